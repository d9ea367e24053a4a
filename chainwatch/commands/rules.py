"""The commands about rules."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from chainwatch.commands.common import FAILED, accessing, print_more, refusals
from chainwatch.commands.options import Duration, Moment, as_json, paged

_FILES = click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))


@click.group()
def rules() -> None:
    """Show the rules in use, evaluate queries, check rule files in Prometheus' format, and run their unit tests."""


@rules.command("list")
@click.option("--state", help="Only rules in this state: inactive, pending, firing or failing.")
@paged("by group")
@as_json
@click.pass_obj
def rules_list(config: Path, state: str | None, limit: int, after: str | None, as_json: bool) -> None:
    """List the rules in use with the state of their alerts, by what is stored."""
    from chainwatch.commands.show import rules as show
    from chainwatch.operations.rule_states import list_rules

    with accessing(config) as access:
        page = access.read(list_rules, state=state, limit=limit, after=after)
    show.rules(page.rows, as_json)
    print_more(page)


@rules.command("eval")
@click.argument("query")
@click.option(
    "--at",
    type=Moment(),
    help="When to evaluate: a date, a time, Unix seconds, or 1h ago as 1h. Default: now.",
)
@click.option(
    "--range", "range_", type=Duration(), metavar="TIME", help="Evaluate over this long before, such as 1h."
)
@click.option(
    "--step",
    type=Duration(),
    metavar="TIME",
    help="Time between two of them. Default: a hundredth of --range.",
)
@as_json
@click.pass_obj
def rules_eval(
    config: Path, query: str, at: int | None, range_: float | None, step: float | None, as_json: bool
) -> None:
    """Evaluate QUERY, in PromQL, over the samples that are stored."""
    from chainwatch.commands.show import rules as show
    from chainwatch.rule_engine.stored_queries import evaluate_stored

    if step is not None and range_ is None:
        raise click.UsageError("--step needs --range")
    with accessing(config) as access:
        found = access.read(evaluate_stored, query, at, range_, step)
    show.result(found, as_json)


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
