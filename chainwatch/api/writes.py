"""Changes that requests make: an operation and its entry in the audit log, in one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa
from aiohttp import web

from chainwatch.api.identity import IDENTITY
from chainwatch.monitor.companions import Running
from chainwatch.operations import access
from chainwatch.operations.context import Context

P = ParamSpec("P")
T = TypeVar("T")


class Writes:
    """Runs operations that change something; timers and queues are woken once that is committed."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._flows = {flow.name: flow for flow in running.plan.flows}

    async def __call__(
        self,
        request: web.Request,
        operation: Callable[Concatenate[sa.Connection, Context, float, P], T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Return what ``operation`` returns, once it is committed. Raises ``StoreError`` and what it raises."""
        actor, action = request[IDENTITY].name, f"{request.method} {request.path}"
        detail = (await request.read()).decode("utf-8", "replace")

        def recorded(connection: sa.Connection, context: Context, now: float) -> T:
            result = operation(connection, context, now, *args, **kwargs)
            access.record(connection, context, now, actor, action, detail)
            return result

        return await self.unrecorded(recorded)

    async def unrecorded(
        self,
        operation: Callable[Concatenate[sa.Connection, Context, float, P], T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Return the same without an entry in the audit log: for what follows from a request that has one."""
        alerting = self._running.alerting

        def job(connection: sa.Connection, now: float) -> tuple[T, float | None]:
            settings = self._running.plan.settings
            context = Context(settings, alerting.engine, tuple(alerting.receivers), self._flows)
            return operation(connection, context, now, *args, **kwargs), alerting.flush(connection, now)

        return await asyncio.wrap_future(alerting.write(job))
