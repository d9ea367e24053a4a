"""chainwatch's alerting for any Python program, without watching a chain: ``from chainwatch import AlertManager``."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from time import time
from typing import Any, Self, TypeVar

from chainwatch.alerting.engine import submission
from chainwatch.alerting.providers.callback import Callback, CallbackProvider
from chainwatch.alerting.runtime import RESOLVE_TIMEOUT, AlertingRuntime
from chainwatch.config import parse_duration
from chainwatch.embedded.arguments import Severity, alert_of
from chainwatch.embedded.inbox import Inbox, Overloaded
from chainwatch.embedded.operations import Operations, Rows
from chainwatch.embedded.setup import Registered, Setup, open_database, read_setup
from chainwatch.operations import queries
from chainwatch.operations.context import Access, Context
from chainwatch.operations.views import AlertView
from chainwatch.store.database import Database
from chainwatch.store.errors import StoreError

DRAIN_TIMEOUT = 10.0
"""Seconds that ``close`` takes at most to send what is queued."""

__all__ = ["AlertManager", "Overloaded", "Severity"]

T = TypeVar("T")


class AlertManager(Operations):
    """Stores alerts and notifies receivers of them by the configured routes. Make one with ``from_config``.

    It works in a thread of its own; every method may be called from any thread, and those that end in ``_async`` are for
    coroutines. On a database, the methods that submit alerts return once these are committed, so a crash loses none. In
    memory, they return at once, and raise ``Overloaded`` when alerts come faster than they can be stored. Use it as a
    context manager, or ``close`` it.
    """

    def __init__(self, setup: Setup, *, resolve_timeout: float) -> None:
        self._setup = setup
        self._resolve_timeout = resolve_timeout
        self._in_memory = setup.in_memory
        self._ending = ExitStack()
        with ExitStack() as opened:
            self._database = open_database(setup, opened)
            self._loop = asyncio.new_event_loop()
            opened.callback(self._loop.close)
            self._thread = threading.Thread(target=self._run, name="chainwatch-alerts", daemon=True)
            self._thread.start()
            opened.callback(self._end_loop)
            self._alerting = self._call(_start(self._database, setup, resolve_timeout))
            self._inbox = Inbox(self._alerting.accept_later)
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
        """Start an alert manager by a configuration file's path, or by its contents as a dict.

        The keys are those of the file; networks, contracts and flows are ignored. Without ``[store] url`` alerts are
        kept in memory until ``close``; ``[store] retention`` is seven days by default. ``${NAME}`` is taken from
        ``environ`` (default: the process's environment). ``resolve_timeout`` (seconds, or text such as ``"5m"``): how
        long after it was last submitted an alert without an end resolves. Raises ``ConfigError`` with every problem
        found, ``ValueError`` for an invalid time-out, ``StoreError`` for a database that cannot be used.
        """
        seconds = parse_duration(resolve_timeout) if isinstance(resolve_timeout, str) else resolve_timeout
        if not seconds > 0:
            raise ValueError(f"resolve_timeout: expected a time longer than none, found {resolve_timeout!r}")
        return cls(read_setup(config, environ), resolve_timeout=seconds)

    def reload(
        self, config: Path | str | Mapping[str, Any], *, environ: Mapping[str, str] | None = None
    ) -> None:
        """Go on with another configuration of routes, receivers and everything else about alerts.

        Alerts, groups, their timers and past notifications stay, so nothing is sent twice; firing alerts follow the new
        routes. Registered receivers stay too. Raises ``ConfigError`` or ``ValueError`` for a configuration that cannot be
        used, that the routes of registered receivers do not fit, or that names another database; then nothing changes.
        """
        setup = read_setup(config, environ)
        self._check_thread()
        with self._reloading:
            self._check_open()
            if setup.where != self._setup.where:
                raise ValueError(
                    "[store] url cannot change while running: close the alert manager and make a new one"
                )
            for made, variables in self._registered:
                made.checked(setup, variables)
            self._call(self._alerting.reload(setup.alerting()))
            self._setup = setup

    async def reload_async(
        self, config: Path | str | Mapping[str, Any], *, environ: Mapping[str, str] | None = None
    ) -> None:
        """As ``reload``."""
        await asyncio.to_thread(self.reload, config, environ=environ)

    # --- submitting ---------------------------------------------------------------------------------------

    def submit(self, alerts: Sequence[Mapping[str, Any]]) -> list[str]:
        """Submit alerts, as to Alertmanager's ``POST /api/v2/alerts``; return their fingerprints.

        Each has ``labels`` (``alertname`` is required, ``severity`` defaults to P2) and may have ``annotations``,
        ``starts_at`` and ``ends_at`` (RFC 3339, ``datetime`` or Unix seconds; also ``startsAt``, ``endsAt``). An end in
        the past resolves the alert. Raises ``ValueError`` for an invalid alert; then none of them is taken.
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
        """Raise one alert, or confirm that it still fires; return its fingerprint.

        ``title``, ``source`` and ``severity`` identify it (labels ``alertname``, ``source``, ``severity``); ``message``
        and ``metadata`` become annotations: values other than text are written as JSON, bytes as 0x-hex. The alert is
        resolved by ``resolve``, or ``resolve_timeout`` after it was last sent.
        """
        return self.submit([alert_of(severity, source, title, message, metadata)])[0]

    async def send_alert_async(
        self,
        severity: Severity | str,
        source: str,
        title: str,
        message: str = "",
        metadata: Mapping[str, object] | None = None,
    ) -> str:
        """As ``send_alert``."""
        return (await self.submit_async([alert_of(severity, source, title, message, metadata)]))[0]

    def resolve(self, fingerprint: str, note: str = "resolved") -> bool:
        """Resolve a firing alert now, with ``note`` as its reason; False where none with this fingerprint fires."""
        return self._alerting.end(fingerprint, note).result()

    async def resolve_async(self, fingerprint: str, note: str = "resolved") -> bool:
        """As ``resolve``."""
        return await asyncio.wrap_future(self._alerting.end(fingerprint, note))

    # --- reading ------------------------------------------------------------------------------------------

    def get_recent_alerts(
        self,
        minutes: float = 60,
        severity: Severity | str | None = None,
        limit: int = 1_000,
        after: str | None = None,
    ) -> Rows[AlertView]:
        """Return the alerts that started in the last ``minutes``, newest first, firing or not.

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
        context = Context(self._setup.settings, self._alerting.engine, tuple(self._alerting.receivers))
        return Access(self._database, context)

    # --- receivers ----------------------------------------------------------------------------------------

    def register_receiver(
        self,
        name: str,
        receiver: Callback | Mapping[str, Any],
        *,
        environ: Mapping[str, str] | None = None,
        **route: Any,
    ) -> None:
        """Add a receiver to those of the configuration.

        ``receiver`` is a function of one ``Notification``, plain or ``async``, which is called again later when it
        raises; or settings as in a ``[receivers.NAME]`` table. ``route``: keys of a ``[[routes]]`` table (``match``,
        ``group_by``, ``group_wait``, ``mute_times``, ``escalation``, …), with the same defaults: all alerts, grouped by
        name. They may refer to intervals, escalations and the like in the configuration. Raises ``ConfigError`` or
        ``ValueError``.
        """
        if not callable(receiver) and not isinstance(receiver, Mapping):
            raise ValueError(f"{name}: expected a function or settings, found {type(receiver).__name__}")
        made = Registered(name, receiver if isinstance(receiver, Mapping) else {"provider": "console"}, route)
        variables = os.environ if environ is None else environ
        self._check_thread()
        with self._reloading:
            self._check_open()
            settings = made.checked(self._setup, variables)
            provider = CallbackProvider(receiver) if callable(receiver) else None
            self._call(self._alerting.register(settings.receivers[name], settings.routes[0], provider))
            self._registered.append((made, variables))

    # --- ending -------------------------------------------------------------------------------------------

    def close(self, within: float = DRAIN_TIMEOUT) -> bool:
        """Send every notification that is due or waits for its group, for at most ``within`` seconds, then stop.

        Returns whether all were sent. Alerts submitted meanwhile are included. On a database, the others are sent after
        the next start; in memory they are lost. With ``within=0`` groups keep their times: after the next start they go
        on waiting as before. Further calls return the same.
        """
        self._check_thread()
        with self._closing:
            if self._closed:
                return self._drained
            with self._reloading:  # a reload or registration under way ends before the loop does
                self._closed = True
            with self._ending:
                try:
                    self._drained = self._call(self._alerting.drain(within, self._inbox.shut))
                finally:
                    self._call(self._alerting.close())
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
        """Return the fingerprints, and a future that is done once the alerts are committed; None in memory."""
        sent = submission.parse(alerts, time() + self._resolve_timeout)
        prints = [one.fingerprint for one in sent]
        if not self._in_memory:
            return prints, self._alerting.accept(sent)
        self._inbox.put(sent)
        return prints, None

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("the alert manager is closed")

    def _check_thread(self) -> None:
        """Raise ``RuntimeError`` on the event loop's own thread, where waiting would never end."""
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


async def _start(database: Database, setup: Setup, resolve_timeout: float) -> AlertingRuntime:
    runtime = AlertingRuntime(database, setup.alerting(), resolve_timeout=resolve_timeout)
    await runtime.resume()
    await runtime.start(follow_clock=True)
    return runtime
