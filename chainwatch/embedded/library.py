"""chainwatch's alerting for any Python program, without watching a chain: ``from chainwatch import AlertManager``."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Collection, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from time import time
from typing import Any, Self, TypeVar

import msgspec

from chainwatch.alerting.dispatch import Receiver
from chainwatch.alerting.engine import submission
from chainwatch.alerting.providers.call import Call, CallProvider
from chainwatch.config import parse_duration
from chainwatch.embedded.inbox import Inbox, Overloaded
from chainwatch.embedded.operations import Operations, Rows
from chainwatch.embedded.service import AlertService
from chainwatch.embedded.setup import Registered, Setup, open_database, read_setup
from chainwatch.operations import queries
from chainwatch.operations.context import Access, Context
from chainwatch.operations.views import AlertView
from chainwatch.store import schema
from chainwatch.store.database import Database
from chainwatch.store.errors import StoreError

RESOLVE_TIMEOUT = 300.0
"""Seconds after which an alert without an end, that is not sent again, ends by itself; as in Alertmanager."""
GIVE_UP_AFTER = 86_400.0
"""Seconds of failed tries after which a notification for a function is dead."""
DRAIN_TIMEOUT = 10.0
NESTING_MAX = 500
"""Containers within one another that a value of an alert's metadata may have."""

__all__ = ["AlertManager", "Overloaded", "Severity"]

T = TypeVar("T")


class Severity(StrEnum):
    """How urgent an alert is, from the most to the least."""

    P0 = "P0"
    P1 = "P1"
    P2 = "P2"
    P3 = "P3"
    CRITICAL = P0
    HIGH = P1
    MEDIUM = P2
    LOW = P3


class AlertManager(Operations):
    """Takes alerts, keeps them, and tells receivers of them as the routes say. Make one with ``from_config``.

    Works in a thread of its own; every method may be called from any thread. Those that end in ``_async`` are for
    coroutines. With a database, a method that sends returns once what was sent is committed: it outlives a crash. In
    memory, it returns at once, and raises ``Overloaded`` where more is sent than can be taken up. Use it as a context
    manager, or ``close`` it.
    """

    def __init__(self, setup: Setup, *, resolve_timeout: float) -> None:
        self._setup = setup
        self._resolve_timeout = resolve_timeout
        self._in_memory = setup.in_memory
        self._ending = ExitStack()
        with ExitStack() as opened:
            self._database = open_database(setup, opened)
            with self._database.reading() as connection:
                created = schema.created_at(connection)
            self._loop = asyncio.new_event_loop()
            opened.callback(self._loop.close)
            self._thread = threading.Thread(target=self._run, name="chainwatch-alerts", daemon=True)
            self._thread.start()
            opened.callback(self._end_loop)
            self._service = self._call(_start(self._database, setup, created, resolve_timeout))
            self._inbox = Inbox(self._service.accept_later)
            self._ending = opened.pop_all()
        self._registered: list[tuple[Registered, Mapping[str, str]]] = []
        self._reloading = threading.Lock()
        self._closing = threading.Lock()
        self._closed = False
        self._drained = False

    @classmethod
    def from_config(
        cls,
        config: Path | str | Mapping[str, Any],
        *,
        environ: Mapping[str, str] | None = None,
        resolve_timeout: float | str = RESOLVE_TIMEOUT,
    ) -> Self:
        """A running alert manager from a configuration file's path, or from its contents as a dict.

        The keys are the file's; networks, contracts and flows may be there and are not looked at. Without ``[store]
        url`` alerts are kept in memory until ``close``; ``[store] retention`` is seven days unless it is given.
        ``${NAME}`` is taken from ``environ`` (default: the process's). ``resolve_timeout``: seconds or text such as
        ``"5m"``. Raises ``ConfigError`` with every problem found, ``ValueError`` for a time-out
        that is none, ``StoreError`` for a database that does not serve.
        """
        seconds = parse_duration(resolve_timeout) if isinstance(resolve_timeout, str) else resolve_timeout
        if not seconds > 0:
            raise ValueError(f"resolve_timeout: expected a time longer than none, found {resolve_timeout!r}")
        return cls(read_setup(config, environ), resolve_timeout=seconds)

    def reload(
        self, config: Path | str | Mapping[str, Any], *, environ: Mapping[str, str] | None = None
    ) -> None:
        """Go on with another configuration: routes, receivers and everything else that decides who is told what.

        Alerts, groups, their timers and what was told stay, so nothing is told twice; what fires follows the new routes.
        Receivers that were registered stay too. Raises ``ConfigError`` or ``ValueError`` for one that cannot be used, also
        by the routes of those, or that names another database; then everything is as it was before.
        """
        setup = read_setup(config, environ)
        self._check_thread()
        with self._reloading:
            self._check_open()
            before = self._setup
            if setup.where != before.where:
                raise ValueError(
                    "[store] url cannot change while running: close the alert manager and make a new one"
                )
            for made, variables in self._registered:
                made.checked(setup, variables)
            kept = [name for name, one in setup.settings.receivers.items() if one == before.receiver(name)]
            if setup.settings.external_url != before.settings.external_url:
                kept = []  # it stands in every message
            self._call(self._service.reload(setup.service(), kept))
            self._setup = setup

    async def reload_async(
        self, config: Path | str | Mapping[str, Any], *, environ: Mapping[str, str] | None = None
    ) -> None:
        """As ``reload``."""
        await asyncio.to_thread(self.reload, config, environ=environ)

    # --- sending ------------------------------------------------------------------------------------------

    def submit(self, alerts: Sequence[Mapping[str, Any]]) -> list[str]:
        """Take alerts as Alertmanager's ``POST /api/v2/alerts`` does; their fingerprints.

        Each has ``labels`` (``alertname`` among them; ``severity`` is P2 where it is missing) and may have
        ``annotations``, ``starts_at`` and ``ends_at`` (RFC 3339, ``datetime`` or Unix seconds; also ``startsAt``,
        ``endsAt``). An end in the past ends the alert. Raises ``ValueError``, with nothing taken, when one is wrong.
        """
        prints, future = self._send(alerts)
        if future is not None:
            future.result()
        return prints

    async def submit_async(self, alerts: Sequence[Mapping[str, Any]]) -> list[str]:
        """As ``submit``."""
        prints, future = self._send(alerts)
        if future is not None:
            await asyncio.wrap_future(future)
        return prints

    def send_alert(
        self,
        severity: Severity | str,
        source: str,
        title: str,
        message: str = "",
        metadata: Mapping[str, object] | None = None,
    ) -> str:
        """Raise one alert, or say again that it fires; its fingerprint.

        ``title``, ``source`` and ``severity`` identify it (labels ``alertname``, ``source``, ``severity``); ``message``
        and ``metadata`` explain it: values other than text are written as in JSON, bytes as 0x-hex. It ends by
        ``resolve``, or ``resolve_timeout`` after it was sent last.
        """
        return self.submit([_alert(severity, source, title, message, metadata)])[0]

    async def send_alert_async(
        self,
        severity: Severity | str,
        source: str,
        title: str,
        message: str = "",
        metadata: Mapping[str, object] | None = None,
    ) -> str:
        """As ``send_alert``."""
        return (await self.submit_async([_alert(severity, source, title, message, metadata)]))[0]

    def resolve(self, fingerprint: str, note: str = "resolved") -> bool:
        """End a firing alert now, for the reason ``note``; False where none with this fingerprint fires."""
        return self._service.end(fingerprint, note).result()

    async def resolve_async(self, fingerprint: str, note: str = "resolved") -> bool:
        """As ``resolve``."""
        return await asyncio.wrap_future(self._service.end(fingerprint, note))

    # --- queries ------------------------------------------------------------------------------------------

    def get_recent_alerts(
        self,
        minutes: float = 60,
        severity: Severity | str | None = None,
        limit: int = 1_000,
        after: str | None = None,
    ) -> Rows[AlertView]:
        """The alerts that started in the last ``minutes``, newest first, firing or not.

        ``after``: ``next`` of the page before. Raises ``ValueError``.
        """
        return Rows(
            self._access().read(
                queries.list_alerts,
                severities=[] if severity is None else [str(severity)],
                since=int(time() - minutes * 60),
                limit=limit,
                after=after,
            )
        )

    def _access(self) -> Access:
        self._check_open()
        if self._in_memory:
            self._database.hand_over(lambda _: None).result()  # wait until what was sent before is stored
        service = self._service
        return Access(
            self._database, Context(self._setup.settings, service.manager, tuple(service.receivers))
        )

    # --- receivers ----------------------------------------------------------------------------------------

    def register_receiver(
        self,
        name: str,
        receiver: Call | Mapping[str, Any],
        *,
        environ: Mapping[str, str] | None = None,
        **route: Any,
    ) -> None:
        """Let ``receiver`` hear of alerts too, beside whom the configuration names.

        It is a function of one ``Notification``, plain or ``async``, called again later when it raises; or settings as
        in a ``[receivers.NAME]`` table. ``route`` are keys of a ``[[routes]]`` table (``match``, ``group_by``,
        ``group_wait``, ``mute_times``, ``escalation``, …), by default as there: all alerts, by name; they may name what the
        configuration has. Raises ``ConfigError`` or ``ValueError``.
        """
        if not callable(receiver) and not isinstance(receiver, Mapping):
            raise ValueError(f"{name}: expected a function or settings, found {type(receiver).__name__}")
        made = Registered(name, receiver if isinstance(receiver, Mapping) else {"provider": "console"}, route)
        variables = os.environ if environ is None else environ
        self._check_thread()
        with self._reloading:
            self._check_open()
            settings = made.checked(self._setup, variables)
            if callable(receiver):
                new = Receiver(name, CallProvider(receiver), give_up_after=GIVE_UP_AFTER)
            else:
                new = Receiver.of(settings.receivers[name])
            self._call(self._service.register(new, settings.routes[0]))
            self._registered.append((made, variables))

    # --- ending -------------------------------------------------------------------------------------------

    def close(self, within: float = DRAIN_TIMEOUT) -> bool:
        """Tell what is still to be told, for at most ``within`` seconds, then end; whether everything was told.

        What is sent meanwhile is told too. What was not told is told after the next start on the same database, and lost
        with memory. With ``within=0`` nothing is hastened: groups go on waiting after the next start as if there had
        been none. Called again, it gives the same answer.
        """
        self._check_thread()
        with self._closing:
            if self._closed:
                return self._drained
            with self._reloading:  # what has begun on the loop is done before the loop ends
                self._closed = True
            with self._ending:
                try:
                    self._drained = self._call(self._service.drain(within, self._inbox.shut))
                finally:
                    self._call(self._service.stop())
            return self._drained

    async def close_async(self, within: float = DRAIN_TIMEOUT) -> bool:
        """As ``close``."""
        return await asyncio.to_thread(self.close, within)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close_async()

    # --- threads ------------------------------------------------------------------------------------------

    def _send(self, alerts: Sequence[Mapping[str, Any]]) -> tuple[list[str], Future[None] | None]:
        """The fingerprints, and what to wait for."""
        sent = submission.parse(alerts, time() + self._resolve_timeout)
        prints = [one.fingerprint for one in sent]
        if not self._in_memory:
            return prints, self._service.accept(sent)
        self._inbox.put(sent)
        return prints, None

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("the alert manager is closed")

    def _check_thread(self) -> None:
        """Raise ``RuntimeError`` on the thread of the event loop, which would wait for itself for ever."""
        if threading.current_thread() is self._thread:
            raise RuntimeError(
                "a receiver's coroutine cannot wait for this: use the method that ends in _async, or asyncio.to_thread"
            )

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


async def _start(database: Database, setup: Setup, created: int, resolve_timeout: float) -> AlertService:
    service = AlertService(database, setup.service(), notify_since=created, resolve_timeout=resolve_timeout)
    await service.start()
    return service


def _alert(
    severity: Severity | str, source: str, title: str, message: str, metadata: Mapping[str, object] | None
) -> dict[str, Any]:
    if metadata is not None and not isinstance(metadata, Mapping):
        raise ValueError(f"metadata: expected a table, found {type(metadata).__name__}")
    more = dict(_metadata(key, value) for key, value in (metadata or {}).items())
    return {
        "labels": {"alertname": title, "severity": str(severity), "source": source},
        "annotations": {"summary": title, "description": message, **more},
    }


def _metadata(key: object, value: object) -> tuple[str, str]:
    """A name and its value as text. Raises ``ValueError``, naming it, for what cannot be written."""
    try:
        name = str(key)
    except Exception as error:  # noqa: BLE001 - the caller's own object may raise anything
        raise ValueError(f"metadata: a name that is no text: {type(error).__name__}") from None
    try:
        return name, _text(value)
    except RecursionError:
        raise ValueError(f"metadata: {name!r}: nested too deep, or within itself") from None
    except Exception as error:  # noqa: BLE001 - the caller's own object may raise anything
        raise ValueError(f"metadata: {name!r}: cannot be written as text ({type(error).__name__})") from None


def _text(value: object) -> str:
    """Text as it is, bytes as 0x-hex, all else as JSON has it; without quotes where that is text."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if _is_deep(value):  # the encoder recurses: under a raised recursion limit it would end the process
        raise RecursionError
    written = msgspec.json.encode(value, enc_hook=str)
    return msgspec.json.decode(written) if written.startswith(b'"') else written.decode()


def _is_deep(value: object) -> bool:
    """Whether containers are nested deeper than ``NESTING_MAX``, or within themselves."""
    level = [value]
    for _ in range(NESTING_MAX):
        inside = [one for container in level for one in _inside(container)]
        level = list({id(one): one for one in inside}.values())
        if not level:
            return False
    return True


def _inside(value: object) -> Collection[object]:
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, list | tuple | set | frozenset) else ()
