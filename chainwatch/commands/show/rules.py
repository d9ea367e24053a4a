"""Rules, the results of queries, and what was found in rule files: for people, and JSON for machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from chainwatch.commands.show.terminal import print_json, table, time_of
from chainwatch.promql.series import Labels
from chainwatch.support.printable import clean

if TYPE_CHECKING:
    from chainwatch.operations.rule_files import CheckedFile, ReadyMade, TestedFile
    from chainwatch.operations.rule_states import RuleStateView
    from chainwatch.rule_engine.stored_queries import QueryResult


def rules(rows: Sequence[RuleStateView], as_json: bool) -> None:
    """Print one line for each rule."""
    if as_json:
        print_json(rows)
        return
    table(
        ("rule", "state", "alerts", "health", "evaluated", "group", "from", "query", "error"),
        (
            (
                one.name,
                one.state if one.kind == "alert" else "",
                one.alert_count if one.kind == "alert" else "",
                one.health,
                time_of(one.evaluated_at),
                one.group,
                f"{one.file}:{one.line}" if one.file else one.origin,
                " ".join(one.query.split()),
                one.error,
            )
            for one in rows
        ),
    )


def result(found: QueryResult, as_json: bool) -> None:
    """Print the result of a query: one line for each value."""
    if as_json:
        print_json(found)
        return
    table(
        ("series", "at", "value"),
        (
            (repr(Labels(series.labels)) if series.labels else "", time_of(point.at), point.value)
            for series in found.series
            for point in series.points
        ),
    )


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
        for rule in one.repeated:
            same = f"the same name and labels as the rule in line {rule.first}"
            click.echo(clean(f"{one.file}:{rule.line}: warning: {same}"))


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
