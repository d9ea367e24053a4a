"""What was found in rule files: for people, and JSON for machines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from chainwatch.commands.show.terminal import print_json, table
from chainwatch.support.printable import clean

if TYPE_CHECKING:
    from chainwatch.operations.rule_files import CheckedFile, ReadyMade, TestedFile


def checked(files: list[CheckedFile], as_json: bool) -> None:
    """Print the rules found in each file, or what is wrong with it, as ``file:line:column: reason``."""
    if as_json:
        print_json(files)
        return
    for one in files:
        for problem in one.problems:
            click.echo(clean(f"{one.file}:{problem.line}:{problem.column}: {problem.reason}"))
        if not one.problems:
            click.echo(clean(f"{one.file}: {_count(one.rules, 'rule')}"))


def tested(files: list[TestedFile], as_json: bool) -> None:
    """Print what failed in each file."""
    if as_json:
        print_json(files)
        return
    for one in files:
        for failure in one.failures:
            for line in f"{one.file}: {failure}".splitlines():
                click.echo(clean(line))
        if not one.failures:
            click.echo(clean(f"{one.file}: {_count(one.tests, 'test')} passed"))


def presets(found: list[ReadyMade], as_json: bool) -> None:
    """Print the ready-made rules with their parameters."""
    if as_json:
        print_json(found)
        return
    table(("preset", "alerts", "about"), [(one.name, len(one.alerts), one.about) for one in found])


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
