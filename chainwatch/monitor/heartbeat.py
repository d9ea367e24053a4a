"""A dead man's switch: while all is well a URL is called, as of healthchecks.io. When the calls stop, its owner is alarmed.

It works where alerts cannot: when this machine, its network or the way to every receiver is down.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from functools import partial

import structlog

from chainwatch.alerting.providers import DeliveryError, Server, Transport
from chainwatch.alerting.providers.provider import check_status
from chainwatch.config.settings import MonitorSettings
from chainwatch.model import Signal
from chainwatch.monitor.self_monitoring import DEEP_REORG, NETWORK_ALERTS
from chainwatch.store import schema
from chainwatch.store.database import Database
from chainwatch.store.errors import StoreError
from chainwatch.support.supervise import Supervisor

UNWELL = frozenset({*NETWORK_ALERTS, DEEP_REORG}) - {"EndpointDegraded"}
"""The alerts about networks with which not all is well: of an endpoint that is degraded, others take over."""
STALE_AFTER = 30.0
"""Seconds without a turn of self-monitoring after which it counts as stuck."""
CHECK_EVERY = 5.0
"""The most seconds between two checks while something is wrong."""
WRITE_WITHIN = 10.0
"""Seconds within which the database must take a small row."""
TIMEOUT = 10.0
"""Seconds for an answer to a call."""
PROPERTY = "heartbeat"
"""The property that is written to see whether the database takes it: when all was well last (Unix seconds)."""
WHO = "the heartbeat's server"

_log = structlog.get_logger(__name__)


class Health:
    """What self-monitoring has found last; ``clock`` is monotonic, in seconds."""

    def __init__(self, networks: Collection[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._networks = networks
        self._clock = clock
        self._noted_at = clock()
        self._wrong = "it has not looked yet"

    def note(self, seen: Collection[str], holding: Iterable[Signal]) -> None:
        """Note which networks have been ``seen`` since the start, and the conditions that hold now."""
        self._noted_at = self._clock()
        self._wrong = problem_of(self._networks, seen, holding)

    def problem(self) -> str:
        """Return what is wrong in a few words; empty where nothing is."""
        return "self-monitoring is stuck" if self._clock() - self._noted_at > STALE_AFTER else self._wrong


def problem_of(networks: Iterable[str], seen: Collection[str], holding: Iterable[Signal]) -> str:
    """Return what is wrong with ``networks``; empty where nothing is."""
    for name in networks:
        if name not in seen:
            return f"{name} has not been seen yet"
    for signal in holding:
        if signal.labels["alertname"] in UNWELL:
            return f"{signal.labels['alertname']} {signal.labels.get('network', '')}".rstrip()
    return ""


class Heartbeat:
    """Calls the configured URL while the ``health`` of ``networks`` is good, no task fails, and the database is writable."""

    def __init__(
        self,
        settings: MonitorSettings,
        networks: Collection[str],
        supervisor: Supervisor,
        database: Database,
    ) -> None:
        self.health = Health(networks)
        self._settings = settings
        self._supervisor = supervisor
        self._database = database
        self._problem_before: str | None = None
        """Why the last call was not made; None before the first."""

    def all(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """Return the task by its name; none where no URL is configured."""
        url = self._settings.heartbeat
        if url is None:
            return {}
        server = Server(url.get_secret_value(), self._settings.allow_private)
        return {"heartbeat": partial(self._beat, server, self._settings.heartbeat_every)}

    async def _beat(self, server: Server, every: float) -> None:
        async with Transport() as transport:
            while True:
                problem = await self._problem()
                self._log(problem)
                if not problem:
                    await _call(server, transport)
                await asyncio.sleep(min(every, CHECK_EVERY) if problem else every)

    async def _problem(self) -> str:
        if problem := self.health.problem():
            return problem
        if failing := self._supervisor.failing:
            return f"the task {failing[0]} fails"
        try:
            async with asyncio.timeout(WRITE_WITHIN):
                await self._database.write(lambda c: schema.set_property(c, PROPERTY, f"{time.time():.0f}"))
        except (StoreError, TimeoutError):
            return "the database does not take anything"
        return ""

    def _log(self, problem: str) -> None:
        if problem == self._problem_before:
            return
        if not problem:
            _log.info("heartbeats are sent")
        elif self._problem_before == "":
            _log.warning("heartbeats are withheld", problem=problem)
        self._problem_before = problem


async def _call(server: Server, transport: Transport) -> None:
    try:
        answer = await transport.request(
            "GET", server, b"", {"User-Agent": "chainwatch"}, who=WHO, within=TIMEOUT
        )
        check_status(WHO, answer.status, answer.headers)
    except DeliveryError as error:  # its owner is alarmed unless one of the next calls succeeds
        _log.warning("a heartbeat was not taken", error=str(error))
