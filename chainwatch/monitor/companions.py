"""Tasks that the composer of a process adds to the monitor, such as a server: they run and end with it, supervised."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from chainwatch.alerting.runtime import AlertingRuntime
from chainwatch.monitor.heartbeat import Health
from chainwatch.plan import Plan
from chainwatch.store.database import Database


class Running(NamedTuple):
    """The parts of a running monitor that its companions may use."""

    plan: Plan
    database: Database
    alerting: AlertingRuntime
    health: Health


Tasks = Mapping[str, Callable[[], Awaitable[None]]]
"""Tasks by name; each is called again after a crash."""

Companions = Callable[[Running], Tasks]


def together(*all_of: Companions) -> Companions:
    """Return companions that have the tasks of all of these."""
    return lambda running: {name: task for one in all_of for name, task in one(running).items()}


def no_companions(_: Running) -> Tasks:
    """Return no tasks."""
    return {}
