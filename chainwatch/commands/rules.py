"""The commands about rule files."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from chainwatch.commands.common import FAILED, refusals
from chainwatch.commands.options import as_json

_FILES = click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))


@click.group()
def rules() -> None:
    """Check rule files in Prometheus' format, and run their unit tests."""


@rules.command("check")
@_FILES
@as_json
def check(files: tuple[Path, ...], as_json: bool) -> None:
    """Check rule files, and report every mistake with line, column and reason.

    FILE may be a pattern, or a folder: then all .yml, .yaml and .rules files below it are checked, but for unit tests.
    """
    from chainwatch.commands.show import rules as show
    from chainwatch.operations import rule_files

    checked = [rule_files.check(file) for file in rule_files.named_rule_files(files)]
    show.checked(checked, as_json)
    if any(one.problems for one in checked):
        sys.exit(FAILED)


@rules.command("test")
@_FILES
@as_json
def test(files: tuple[Path, ...], as_json: bool) -> None:
    """Run unit tests of rules, in promtool's format.

    FILE may be a pattern, or a folder: then all unit tests below it are run.
    """
    from chainwatch.commands.show import rules as show
    from chainwatch.operations import rule_files

    tested = [rule_files.test(file) for file in rule_files.named_unit_files(files)]
    show.tested(tested, as_json)
    if any(one.failures for one in tested):
        sys.exit(FAILED)


@rules.command("presets")
@click.argument("preset", required=False)
@as_json
def presets(preset: str | None, as_json: bool) -> None:
    """List the ready-made rules, or print the rule file of PRESET, such as "bridges runway=2h"."""
    from chainwatch.commands.show import rules as show
    from chainwatch.operations import rule_files

    if preset is None:
        show.presets(rule_files.ready_made(), as_json)
        return
    with refusals():
        click.echo(rule_files.preset_text(preset), nl=False)
