"""Shared by the commands: configuration, database, refusals, signals."""

from __future__ import annotations

import asyncio
import getpass
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chainwatch.support.printable import clean

if TYPE_CHECKING:
    from chainwatch.config import Settings
    from chainwatch.operations.context import Access
    from chainwatch.operations.paging import Page
    from chainwatch.operations.views import Changed
    from chainwatch.plan import Plan

FAILED, BAD_USAGE, FOUND_ALERTS = 1, 2, 3


def plan_of(config: Path) -> Plan:
    """Return the plan of the configuration; sets up logging to standard error as it says."""
    from chainwatch import logs
    from chainwatch.plan import load_plan

    plan = load_plan(config, os.environ)
    logs.configure(plan.settings.log, logs.secrets_in(plan.settings))
    return plan


@contextmanager
def accessing(config: Path, *, not_found: int = BAD_USAGE, create: bool = False) -> Iterator[Access]:
    """Open the configuration's database for operations; refusals end the command as in ``refusals``.

    ``create`` makes the database where it is missing.
    """
    from chainwatch.operations.context import open_access

    with open_access(config, os.environ, create=create) as access, refusals(not_found=not_found):
        yield access


@contextmanager
def refusals(*, not_found: int = BAD_USAGE) -> Iterator[None]:
    """Turn an operation's refusal into its message and an exit code; ``not_found`` is the one for ``NotFound``."""
    from chainwatch.operations.errors import Invalid, NotFound, OperationError

    try:
        yield
    except OperationError as error:
        if isinstance(error, Invalid) or (isinstance(error, NotFound) and not_found == BAD_USAGE):
            raise click.UsageError(clean(str(error))) from error
        click.echo(clean(str(error)), err=True)
        sys.exit(FAILED)


def settings_of(config: Path) -> Settings:
    """Return the configuration, for commands that need no database. Raises ``ConfigError``."""
    from chainwatch.config import read

    return read(config, os.environ, watches=False).settings()


def doubt(kind: str, name: str | None, known: Iterable[str]) -> None:
    """Warn that the configuration does not know ``name``; stored rows may have it from an earlier configuration."""
    from chainwatch.operations.checks import no_such

    names = list(known)
    if name is not None and name not in names:
        click.echo(no_such(kind, name, names), err=True)


def print_changed(changed: Changed, done: str, *, conflicting: str, kind: str, listed_by: str) -> None:
    """Print how many rows were changed, and why others were not; exit with code 1 if none was.

    ``conflicting`` says what keeps rows from being changed; ``listed_by`` is the command that lists every ``kind``.
    """
    click.echo(f"{len(changed.done)} {done}")
    reasons = []
    if changed.conflicting:
        reasons.append(f"{conflicting}: {', '.join(map(str, changed.conflicting))}")
    if changed.not_found:
        unknown = ", ".join(map(str, changed.not_found))
        reasons.append(f"no {kind} has the ID {unknown}; `chainwatch {listed_by}` lists them")
    if reasons:
        click.echo("; ".join(reasons), err=True)
    if not changed.done:
        sys.exit(FAILED)


def print_more(page: Page[Any]) -> None:
    """Print on standard error how to get the next page, if there is one."""
    if page.next is not None:
        click.echo(f"there are more rows: add --after {page.next}", err=True)


def can_ask() -> bool:
    """Return whether somebody at a terminal can answer a question."""
    return sys.stdin.isatty()


def run_until_stopped(work: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    """Run ``work`` with an event that SIGTERM and Ctrl-C set."""

    async def run() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await work(stop)

    asyncio.run(run())


def myself() -> str:
    """Return the name of the user running the command."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no such user, as in some containers
        return "somebody"
