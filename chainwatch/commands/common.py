"""What the commands share: configuration, database, errors, signals."""

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

from chainwatch.support.spelling import did_you_mean

if TYPE_CHECKING:
    from chainwatch.config import Settings
    from chainwatch.operations.queries import Look
    from chainwatch.plan import Plan

FAILED, BAD_USAGE, FOUND_ALERTS = 1, 2, 3


def plan_of(config: Path) -> Plan:
    """The plan of the configuration; sets up logging to standard error as it says."""
    from chainwatch import logs
    from chainwatch.plan import load_plan

    plan = load_plan(config, os.environ)
    logs.configure(plan.settings.log, logs.secrets_in(plan.settings))
    return plan


@contextmanager
def looking_at(config: Path) -> Iterator[Look]:
    """The configuration and its database; unknown names become ``click.UsageError``."""
    from chainwatch.operations.queries import look

    with look(config, os.environ) as opened, naming():
        yield opened


@contextmanager
def naming() -> Iterator[None]:
    """Turn errors about unknown names into ``click.UsageError``."""
    from chainwatch.operations.reports import NoIncident
    from chainwatch.operations.rota import NoSuchName

    try:
        yield
    except (NoIncident, NoSuchName) as error:
        raise click.UsageError(str(error)) from error


def settings_of(config: Path) -> Settings:
    """The configuration, for commands that need no database. Raises ``ConfigError``."""
    from chainwatch.config import read

    return read(config, os.environ, watches=False).settings()


def known_as(what: str, name: str, known: Iterable[str]) -> None:
    """Raise ``click.UsageError``, with a suggestion, unless ``name`` is one of the ``known``."""
    names = list(known)
    if name not in names:
        raise click.UsageError(no_such(what, name, names))


def doubt(what: str, name: str | None, known: Iterable[str]) -> None:
    """Warn that the configuration does not know ``name``: stored rows may be from another one, so look all the same."""
    names = list(known)
    if name is not None and name not in names:
        click.echo(no_such(what, name, names), err=True)


def no_such(what: str, name: str, known: Iterable[str]) -> str:
    """The message about an unknown ``name``."""
    return f"no {what} is called {name!r}; {did_you_mean(name, known) or 'none is configured'}"


def print_done(number: int, done: str, otherwise: str) -> None:
    """Print how many rows were changed; if none, ``otherwise``, and exit with code 1."""
    click.echo(f"{number} {done}")
    if number == 0:
        click.echo(otherwise, err=True)
        sys.exit(FAILED)


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
    """The name of the user running the command."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no such user, as in some containers
        return "somebody"
