"""Changes that requests make: an operation and its entry in the audit log, in one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Concatenate, NamedTuple, ParamSpec, TypeVar

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
from chainwatch.operations.context import Context, Contexts
from chainwatch.store import idempotency
from chainwatch.store.retrying import retrying

P = ParamSpec("P")
T = TypeVar("T")
Change = Callable[[sa.Connection, Context, float], T]


class Entry(NamedTuple):
    """An entry of the audit log."""

    actor: str
    action: str
    detail: str


async def entry_of(request: web.Request, detail: str | None = None) -> Entry:
    """Return the entry of ``request``. ``detail`` stands in place of its body, which may hold secrets."""
    if detail is None:
        detail = (await request.read()).decode("utf-8", "replace")
    return Entry(request[IDENTITY].name, f"{request.method} {request.path}", detail)


class Writes:
    """Runs operations that change something; timers and queues are woken once that is committed.

    ``extended`` is called when something was created, changed or deleted beside the configuration.
    """

    def __init__(self, running: Running, extended: Callable[[], None] = lambda: None) -> None:
        self._running = running
        self._extended = extended
        self._contexts = Contexts(running.plan)
        self._extending: set[asyncio.Task[None]] = set()
        self._under_way = UnderWay()

    async def __call__(
        self,
        entry: Entry,
        operation: Callable[Concatenate[sa.Connection, Context, float, P], T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Return what ``operation`` returns, once it is committed. Raises ``StoreError`` and what it raises."""
        return await self._commit(_audited(entry, lambda *around: operation(*around, *args, **kwargs)))

    async def unrecorded(
        self,
        operation: Callable[Concatenate[sa.Connection, Context, float, P], T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Return the same without an entry in the audit log: for what follows from a request that has one."""
        return await self._commit(lambda *around: operation(*around, *args, **kwargs))

    async def answer(self, request: web.Request, entry: Entry, change: Change[Answer]) -> web.Response:
        """Return the answer of ``change``, or the earlier one of a request with the same ``Idempotency-Key``.

        Raises ``StoreError``, ``Invalid`` for a key that is none, ``Conflict`` for one that is in use, and what
        ``change`` raises.
        """
        audited = _audited(entry, change)

        async def make(key: Key | None) -> Answer:
            return await self._commit(audited if key is None else _once(key, audited))

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

    async def extend(self) -> None:
        """Have the process take up what was created, changed or deleted beside the configuration, and wait for that."""
        extending = asyncio.ensure_future(retrying(self._running.alerting.extend))
        self._extending.add(extending)
        extending.add_done_callback(self._extending.discard)
        await asyncio.shield(extending)
        self._extended()

    async def _commit(self, change: Change[T]) -> T:
        alerting = self._running.alerting

        def job(connection: sa.Connection, now: float) -> tuple[T, float | None]:
            context = replace(self._contexts.on(connection), engine=alerting.engine)
            return change(connection, context, now), alerting.flush(connection, now)

        return await asyncio.wrap_future(alerting.write(job))


def _audited(entry: Entry, change: Change[T]) -> Change[T]:
    """Return ``change``, after which ``entry`` is recorded."""

    def change_audited(connection: sa.Connection, context: Context, now: float) -> T:
        result = change(connection, context, now)
        access.record(connection, context, now, *entry)
        return result

    return change_audited


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
