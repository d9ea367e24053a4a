"""What the commands begin and end with."""

from __future__ import annotations

import asyncio
import getpass
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from chainwatch.operations.looking import Look
    from chainwatch.plan import Plan

FAILED, BAD_USAGE, FOUND_ALERTS = 1, 2, 3


def plan_of(config: Path) -> Plan:
    """What the configuration plans; log lines go to standard error from now on, as it says."""
    from chainwatch import logs
    from chainwatch.plan import load_plan

    plan = load_plan(config, os.environ)
    logs.configure(plan.settings.log, logs.secrets_in(plan.settings))
    return plan


@contextmanager
def looking_at(config: Path) -> Iterator[Look]:
    """The configuration and its database; what people name wrongly is their usage."""
    from chainwatch.operations.looking import look
    from chainwatch.operations.reviewing import NoIncident
    from chainwatch.operations.rota import NoSuchName

    with look(config, os.environ) as opened:
        try:
            yield opened
        except (NoIncident, NoSuchName) as error:
            raise click.UsageError(str(error)) from error


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
    """Who types: the user's name."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no such user, as in some containers
        return "somebody"
