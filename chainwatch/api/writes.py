"""Changes that requests make: an operation and its entry in the audit log, in one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa
from aiohttp import web

from chainwatch.api.identity import IDENTITY
from chainwatch.monitor.companions import Running
from chainwatch.operations import access
from chainwatch.operations.context import Context, Contexts
from chainwatch.store.retrying import retrying

P = ParamSpec("P")
T = TypeVar("T")


class Writes:
    """Runs operations that change something; timers and queues are woken once that is committed."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._contexts = Contexts(running.plan)
        self._extending: set[asyncio.Task[None]] = set()

    async def __call__(
        self,
        request: web.Request,
        operation: Callable[Concatenate[sa.Connection, Context, float, P], T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Return what ``operation`` returns, once it is committed. Raises ``StoreError`` and what it raises."""
        detail = (await request.read()).decode("utf-8", "replace")
        return await self.noting(detail, request, operation, *args, **kwargs)

    async def noting(
        self,
        detail: str,
        request: web.Request,
        operation: Callable[Concatenate[sa.Connection, Context, float, P], T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """As itself, with ``detail`` in the audit log in place of the request's body, which may hold secrets."""
        alerting = self._running.alerting
        actor, action = request[IDENTITY].name, f"{request.method} {request.path}"

        def job(connection: sa.Connection, now: float) -> tuple[T, float | None]:
            context = replace(self._contexts.on(connection), engine=alerting.engine)
            result = operation(connection, context, now, *args, **kwargs)
            access.record(connection, context, now, actor, action, detail)
            return result, alerting.flush(connection, now)

        return await asyncio.wrap_future(alerting.write(job))

    async def extend(self) -> None:
        """Have the process take up what was created, changed or deleted beside the configuration, and wait for that."""
        extending = asyncio.ensure_future(retrying(self._running.alerting.extend))
        self._extending.add(extending)
        extending.add_done_callback(self._extending.discard)
        await asyncio.shield(extending)
