"""Output: tables for people, JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from chainwatch.alerting.providers.text import when
from chainwatch.operations.views import builtins
from chainwatch.support.printable import clean, json_clean

GAP = 1
"""Columns between two cells, beside the line that the table draws."""

EDGES = 2
"""Columns that the table takes left and right of its cells."""

_STATE_STYLES = {
    "live": "green",
    "complete": "green",
    "met": "green",
    "delivered": "green",
    "resolved": "green",
    "holds": "green",
    "overdue": "bold red",
    "orphan": "bold red",
    "disputed": "bold red",
    "firing": "bold red",
    "violated": "bold red",
    "dead": "bold red",
    "halted": "bold red",
    "blind": "red",
    "late": "yellow",
    "broken": "yellow",
    "unread": "yellow",
    "stalled": "yellow",
    "stopped": "yellow",
    "unopened": "dim",
    "untracked": "dim",
}


def print_json(value: Any) -> None:
    """Print an operation's result, or plain values, as JSON."""
    click.echo(json_clean(json.dumps(builtins(value), indent=2, ensure_ascii=False)))


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a list: on a terminal one line a row, where cells that do not fit are cut; in a pipe see `_piped`."""
    _print(columns, [[*map(_cell, row)] for row in rows], cut=True)


def details(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print what is known of one thing: like `table`, but nothing is cut.

    With two columns, long cells continue on the next line; wider rows that do not fit become paragraphs, one line a cell.
    """
    _print(columns, [[*map(_cell, row)] for row in rows], cut=False)


def fitted(widths: Sequence[int], available: int) -> list[int]:
    """Return ``widths`` in columns, the widest ones shortened until all of them fit into ``available``, or are 1."""
    fitting = list(widths)
    while sum(fitting) > available and max(fitting) > 1:
        widest = max(fitting)
        second = max((width for width in fitting if width < widest), default=1)
        equals = fitting.count(widest)
        less = max(1, min(widest - second, (sum(fitting) - available) // equals))
        fitting[fitting.index(widest)] -= less
    return fitting


def _print(columns: Sequence[str], rows: Sequence[Sequence[Text]], *, cut: bool) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        _piped(columns, rows)
        return
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, GAP, 0, 0))
    widths = [max([len(name), *(row[i].cell_len for row in rows)]) for i, name in enumerate(columns)]
    available = console.width - EDGES - (GAP + 1) * (len(columns) - 1)
    if not cut and len(columns) > 2 and sum(widths) > available:
        _paragraphs(console, columns, rows)
        return
    for name, width in zip(columns, fitted(widths, available), strict=True):
        if cut:
            shown.add_column(name, overflow="ellipsis", no_wrap=True, width=width)
        else:
            shown.add_column(name, overflow="fold")
    for row in rows:
        shown.add_row(*row)
    console.print(shown)


def _paragraphs(console: Console, columns: Sequence[str], rows: Sequence[Sequence[Text]]) -> None:
    for row in rows:
        console.print()
        said = [(name, cell) for name, cell in zip(columns, row, strict=True) if cell]
        for number, (name, cell) in enumerate(said):
            line = Text.assemble((f"{name}: ", "dim"), cell)
            console.print(Padding(line, (0, 0, 0, 3 if number else 1)))


def _piped(columns: Sequence[str], rows: Sequence[Sequence[Text]]) -> None:
    """Print one line for each row, whole cells between tabs: for `cut`, `awk` and whoever reads a log."""
    for row in (columns, *rows):
        click.echo("\t".join(str(cell) for cell in row))


def styled(value: str) -> Text:
    """Return ``value``, without control characters, in the style of a state where it names one."""
    text = clean(value)
    return Text(text, _STATE_STYLES.get(text, ""))


def _cell(value: Any) -> Text:
    """Return ``value`` as plain text: text from a chain may look like markup or contain terminal control characters."""
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    return styled("–" if value is None else str(value))


def time_of(seconds: float | None) -> str:
    """Return Unix seconds as UTC, which the text names; empty for None."""
    return when(seconds) if seconds is not None else ""
