"""The command that shows what is wrong now in a terminal, and lets people act on it."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from chainwatch.commands.common import accessing
from chainwatch.commands.options import by

if TYPE_CHECKING:
    from rich.console import Console

    from chainwatch.commands.board import Board
    from chainwatch.commands.keyboard import Keyboard

REFRESH = 2.0
"""Seconds from one reading of the database to the next, or ten times as long as that took."""


@click.command()
@by
@click.pass_obj
def top(config: Path, actor: str) -> None:
    """Show alerts, networks and transfers in flight in this terminal, live; acknowledge and silence by keys."""
    from rich.console import Console

    console = Console()
    if not (sys.stdin.isatty() and console.is_terminal and not console.is_dumb_terminal):
        raise click.UsageError("top needs a terminal; `chainwatch status` prints numbers once")
    from chainwatch.commands.board import Board
    from chainwatch.commands.keyboard import taken_over

    with accessing(config) as access, taken_over() as keyboard:
        try:
            _follow(console, Board(access, actor), keyboard)
        except OSError:
            if not keyboard.is_over:
                raise
            # the terminal is gone, so nothing can be drawn on it


def _follow(console: Console, board: Board, keyboard: Keyboard) -> None:
    """Draw until a key or a signal ends it."""
    from rich.live import Live

    from chainwatch.commands.show.now import screen

    with Live(console=console, screen=True, auto_refresh=False, vertical_overflow="crop") as live:
        next_at = 0.0
        while not (keyboard.is_over or board.is_over):
            begun = time.monotonic()
            if begun >= next_at:
                board.read()
                next_at = begun + max(REFRESH, 10 * (time.monotonic() - begun))
            live.update(screen(board.shown, *console.size, time.time()), refresh=True)
            for key in keyboard.wait(max(0.0, next_at - time.monotonic())):
                board.press(key)
