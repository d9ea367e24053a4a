"""Changes that requests make: an operation and its entry in the audit log, in one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa
from aiohttp import web

from chainwatch.api.idempotency import (
    BODY_MAX,
    HEADER,
    Answer,
    Key,
    OtherRequest,
    TooLarge,
    UnderWay,
    key_of,
)
from chainwatch.api.identity import IDENTITY
from chainwatch.api.problems import problem
from chainwatch.monitor.companions import Running
from chainwatch.operations import access
from chainwatch.operations.context import Context
from chainwatch.store import idempotency

P = ParamSpec("P")
T = TypeVar("T")
Change = Callable[[sa.Connection, Context, float], T]


class Writes:
    """Runs operations that change something; timers and queues are woken once that is committed."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._flows = {flow.name: flow for flow in running.plan.flows}
        self._under_way = UnderWay()

    async def __call__(
        self,
        request: web.Request,
        operation: Callable[Concatenate[sa.Connection, Context, float, P], T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Return what ``operation`` returns, once it is committed. Raises ``StoreError`` and what it raises."""
        actor, action, detail = await _entry(request)
        return await self.audited(actor, action, detail, operation, *args, **kwargs)

    async def audited(
        self,
        actor: str,
        action: str,
        detail: str,
        operation: Callable[Concatenate[sa.Connection, Context, float, P], T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """As a call with a request, for an entry in the audit log that is not the request as it came."""

        def change(connection: sa.Connection, context: Context, now: float) -> T:
            result = operation(connection, context, now, *args, **kwargs)
            access.record(connection, context, now, actor, action, detail)
            return result

        return await self._commit(change)

    async def unrecorded(
        self,
        operation: Callable[Concatenate[sa.Connection, Context, float, P], T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Return the same without an entry in the audit log: for what follows from a request that has one."""

        def change(connection: sa.Connection, context: Context, now: float) -> T:
            return operation(connection, context, now, *args, **kwargs)

        return await self._commit(change)

    async def answer(
        self,
        request: web.Request,
        operation: Callable[Concatenate[sa.Connection, Context, float, P], Answer],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> web.Response:
        """Return the answer of ``operation``, or the earlier one of a request with the same ``Idempotency-Key``.

        Raises ``StoreError``, ``Invalid`` for a key that is none, ``Conflict`` for one that is in use, and what
        ``operation`` raises.
        """
        actor, action, detail = await _entry(request)

        def change(connection: sa.Connection, context: Context, now: float) -> Answer:
            result = operation(connection, context, now, *args, **kwargs)
            access.record(connection, context, now, actor, action, detail)
            return result

        async def make(key: Key | None) -> Answer:
            return await self._commit(change if key is None else _once(key, change))

        return await self._keyed(request, make)

    async def answer_later(
        self, request: web.Request, perform: Callable[[], Awaitable[Answer]]
    ) -> web.Response:
        """Return the answer of ``perform``, which waits for more than the database, or the earlier one as `answer` does."""

        async def make(key: Key | None) -> Answer:
            if key is None:
                return await perform()
            kept = await self._commit(lambda connection, _, now: _kept(key, connection, now))
            if kept is not None:
                return kept
            answer = await perform()
            return await self._commit(_once(key, lambda *_: answer))

        return await self._keyed(request, make)

    async def _keyed(
        self, request: web.Request, make: Callable[[Key | None], Awaitable[Answer]]
    ) -> web.Response:
        try:
            key = await key_of(request)
            with nullcontext() if key is None else self._under_way.holding(key):
                answer = await make(key)
        except TooLarge:
            return problem(413, f"with an {HEADER} a body has at most {BODY_MAX // 1024} KiB")
        except OtherRequest:
            return problem(422, f"another request came with this {HEADER}: choose a new key")
        return web.Response(body=answer.body, status=answer.status, content_type=answer.content_type)

    async def _commit(self, change: Change[T]) -> T:
        alerting = self._running.alerting

        def job(connection: sa.Connection, now: float) -> tuple[T, float | None]:
            settings = self._running.plan.settings
            context = Context(settings, alerting.engine, tuple(alerting.receivers), self._flows)
            return change(connection, context, now), alerting.flush(connection, now)

        return await asyncio.wrap_future(alerting.write(job))


async def _entry(request: web.Request) -> tuple[str, str, str]:
    """Return actor, action and detail of the request's entry in the audit log."""
    detail = (await request.read()).decode("utf-8", "replace")
    return request[IDENTITY].name, f"{request.method} {request.path}", detail


def _kept(key: Key, connection: sa.Connection, now: float) -> Answer | None:
    """Return the answer that is kept under ``key``, if there is one. Raises ``OtherRequest``."""
    kept = idempotency.find(connection, key.id, now)
    if kept is not None and kept.request != key.request:
        raise OtherRequest
    return None if kept is None else Answer(kept.body, kept.status, kept.content_type)


def _once(key: Key, change: Change[Answer]) -> Change[Answer]:
    """Return ``change``, which is made and whose answer is kept where ``key`` is new. Raises ``OtherRequest``."""

    def change_once(connection: sa.Connection, context: Context, now: float) -> Answer:
        kept = _kept(key, connection, now)
        if kept is not None:
            return kept
        answer = change(connection, context, now)
        stored = idempotency.StoredAnswer(key.request, answer.status, answer.content_type, answer.body)
        idempotency.keep(connection, key.id, key.actor, stored, now)
        return answer

    return change_once
