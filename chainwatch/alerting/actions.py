"""Listens for what people click in channels, and has it performed in the transactions of alerting.

Operations lie above alerting, so the process that composes both passes a ``Perform``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import sqlalchemy as sa

from chainwatch.alerting.engine.alert_engine import AlertEngine
from chainwatch.alerting.providers.actions import Act, Action, Answer, Listening
from chainwatch.support.supervise import Supervisor

Perform = Callable[[sa.Connection, AlertEngine, float, Action], Answer]
"""Performs an action in the caller's transaction at a time (Unix seconds). It refuses by an answer, not by raising."""

TASK = "buttons "
"""Begins the names of tasks that listen."""


class Listeners:
    """Keeps one task for each account at which providers listen, under ``supervisor``."""

    def __init__(self, supervisor: Supervisor, act: Act) -> None:
        self._supervisor = supervisor
        self._act = act
        self._running: dict[str, Mapping[str, Any]] = {}
        """By account the providers that listen there, by receiver."""

    async def follow(self, providers: Mapping[str, object]) -> None:
        """Listen for ``providers``, by receiver, and for no others; where nothing changes, listening goes on."""
        wanted: dict[str, dict[str, Any]] = {}
        for receiver, provider in providers.items():
            if isinstance(provider, Listening) and provider.account is not None:
                wanted.setdefault(provider.account, {})[receiver] = provider
        for account in [one for one, group in self._running.items() if wanted.get(one) != group]:
            await self._supervisor.finish(_task(self._running.pop(account)), 0.0)
        for account, group in wanted.items():
            if account not in self._running:
                self._running[account] = group
                first = next(iter(group.values()))
                self._supervisor.start(_task(group), partial(first.listen, group, self._act))

    def forget(self) -> None:
        """Note that the supervisor has ended every task."""
        self._running.clear()


def _task(group: Mapping[str, Any]) -> str:
    """Return a task's name, which alerts show: the same after a restart, and without the account, which may be secret."""
    return TASK + min(group)
