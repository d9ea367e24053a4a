"""How anything is shown: tables for people, JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from chainwatch.alerting.providers.text import clean, when

PIPED_WIDTH = 100_000
"""Columns that a table may take where no terminal limits them."""

_STATE_STYLES = {
    "live": "green",
    "complete": "green",
    "met": "green",
    "delivered": "green",
    "resolved": "green",
    "overdue": "bold red",
    "orphan": "bold red",
    "disputed": "bold red",
    "firing": "bold red",
    "dead": "bold red",
    "halted": "bold red",
    "blind": "red",
    "late": "yellow",
    "stalled": "yellow",
    "stopped": "yellow",
    "unopened": "dim",
    "untracked": "dim",
}


def print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table. On a terminal long cells go on in a next line, in a pipe a row is one line: nothing is cut off."""
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        shown.add_column(column, overflow="fold")
    for row in rows:
        shown.add_row(*map(_cell, row))
    console = Console()
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    console.print(shown)


def _cell(value: Any) -> Text:
    """``value`` as it stands: what comes from a chain may look like markup or steer a terminal."""
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    text = clean("–" if value is None else " ".join(str(value).splitlines()))
    return Text(text, _STATE_STYLES.get(text, ""))


def time_of(seconds: int | None) -> str:
    """Unix seconds as UTC."""
    return when(seconds).removesuffix(" UTC") if seconds is not None else ""
