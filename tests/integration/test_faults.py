"""Any exception out of any boundary: the task comes back, an alert reports it, and nothing is lost.

One fault is put into a running monitor; it must end as it does without it: a transfer complete, another one overdue and
notified of (S2, S8).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from structlog.testing import capture_logs

from chainwatch.alerting import dispatch
from chainwatch.alerting.delivery import queue
from chainwatch.alerting.engine.alert_engine import AlertEngine
from chainwatch.alerting.providers.webhook import WebhookProvider
from chainwatch.chain import member
from chainwatch.chain.heads import Heads
from chainwatch.chain.pool import Pool
from chainwatch.chain.rpc import Endpoint
from chainwatch.chain.transport import HttpTransport, open_session
from chainwatch.chain.watch import NetworkWatch
from chainwatch.config import read_dict
from chainwatch.demo.bridge import Transfer
from chainwatch.flows.checker import FlowChecker
from chainwatch.monitor import checker_tasks, deadlines
from chainwatch.monitor import monitor as app
from chainwatch.monitor.checker_tasks import CheckerTasks
from chainwatch.monitor.monitor import Monitor
from chainwatch.pipeline.pipeline import Pipeline
from chainwatch.plan import Plan, make_plan
from chainwatch.store import blocks, retrying, transfers
from chainwatch.store.alerting import alerts
from chainwatch.store.database import Database
from chainwatch.support import supervise
from tests.fakenode import FakeChain, FakeLog, FakeNode
from tests.support import connext
from tests.support.notified import notified
from tests.support.receiver import Receiver
from tests.support.waiting import PATIENCE, eventually

ADDRESS = bytes.fromhex(connext.ETHEREUM.address[2:])


class Boundary(NamedTuple):
    """Where a call comes into our code; ``is_async``: whether it is awaited there."""

    owner: Any
    method: str
    is_async: bool = True


HANDING_OVER = "scheduler, handing over"

BOUNDARIES = {
    "transport": Boundary(HttpTransport, "exchange"),
    "endpoint": Boundary(Endpoint, "blocks"),
    "pool": Boundary(Pool, "ask_agreeing"),
    "observer": Boundary(Heads, "newest"),
    "decoder": Boundary(NetworkWatch, "decode_all", is_async=False),
    "pipeline": Boundary(Pipeline, "process", is_async=False),
    "alerts": Boundary(AlertEngine, "apply", is_async=False),
    "timers": Boundary(AlertEngine, "flush", is_async=False),
    "store": Boundary(transfers, "save", is_async=False),
    "reading the store": Boundary(Database, "read"),
    "reads of checkers": Boundary(FlowChecker, "load_wanted", is_async=False),
    "self-watch": Boundary(app, "network_signals", is_async=False),
    "scheduler, loading": Boundary(CheckerTasks, "_load_deadlines"),
    HANDING_OVER: Boundary(Monitor, "_confirm_heads"),
    "provider": Boundary(WebhookProvider, "send"),
}


class Speechless(Exception):
    """Cannot say what it is."""

    def __str__(self) -> str:
        raise ValueError("no words")

    __repr__ = __str__


class Fundamental(BaseException):
    """Not an `Exception`."""


FAULTS: dict[str, Callable[[], BaseException]] = {
    "ValueError": lambda: ValueError("wrong \ud800\0 value"),
    "RecursionError": RecursionError,
    "MemoryError": MemoryError,
    "OverflowError": lambda: OverflowError(34, "out of range"),
    "UnicodeDecodeError": lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    "TimeoutError": TimeoutError,
    "CancelledError": asyncio.CancelledError,
    "StopIteration": StopIteration,
    "Speechless": Speechless,
    "ExceptionGroup": lambda: ExceptionGroup("several", [ValueError("one"), Speechless()]),
    "BaseExceptionGroup": lambda: BaseExceptionGroup("several", [Fundamental()]),
    "Fundamental": Fundamental,
    "SystemExit": lambda: SystemExit(3),
}


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, changes in (
        (supervise, {"FIRST_PAUSE": 0.01, "LONGEST_PAUSE": 0.05}),
        (member, {"FIRST_PAUSE": 0.01, "LONGEST_PAUSE": 0.05}),
        (app, {"SELF_WATCH_EVERY": 0.05}),
        (checker_tasks, {"READ_EVERY": 0.05}),
        (retrying, {"STORE_PAUSES": (0.01,)}),
        (queue, {"STORE_PAUSE": 0.05, "POLL": 0.1}),
        (deadlines, {"REFILL_EVERY": 0.05}),
        (dispatch, {"LOOK_EVERY": 0.05, "STORE_PAUSE": 0.05}),
    ):
        for name, value in changes.items():
            monkeypatch.setattr(module, name, value)


class Injector:
    """Raises a fault once, at the first call of ``boundary`` after it was armed with it."""

    def __init__(self, boundary: Boundary, monkeypatch: pytest.MonkeyPatch) -> None:
        self.armed: Callable[[], BaseException] | None = None
        call = getattr(boundary.owner, boundary.method)

        async def later(*args: Any, **kwargs: Any) -> Any:
            self._strike()
            return await call(*args, **kwargs)

        def now(*args: Any, **kwargs: Any) -> Any:
            self._strike()
            return call(*args, **kwargs)

        monkeypatch.setattr(boundary.owner, boundary.method, later if boundary.is_async else now)

    def _strike(self) -> None:
        fault, self.armed = self.armed, None
        if fault is not None:
            raise fault()


def plan_for(urls: dict[str, str], hook: str) -> Plan:
    abi = Path(__file__).parents[2] / "abi" / "connext.json"
    networks = {
        n.name: {
            "chain_id": n.chain_id,
            "domain": n.domain,
            "rpc": [urls[n.name]],
            "start_block": 0,
            "poll_interval": "20ms",
            "confirmations": 1,  # seen as far as their blocks reach, and no further
        }
        for n in (connext.ETHEREUM, connext.OPTIMISM)
    }
    config: dict[str, Any] = {
        "networks": networks,
        "contracts": {"connext": {"abi": str(abi), "address": connext.ETHEREUM.address}},
        "flows": {
            "connext": {
                "contract": "connext",
                "key": "transferId",
                "network_by": "domain",
                "opens": {
                    "step": "xcall",
                    "event": "XCalled",
                    "origin": "params.originDomain",
                    "destination": "params.destinationDomain",
                },
                "expects": [{"step": "execute", "event": "Executed", "on": "destination", "within": "30s"}],
            }
        },
        "receivers": {"ops": {"provider": "webhook", "url": hook, "allow_private": True}},
        "routes": [{"receivers": ["ops"], "group_by": ["..."], "group_wait": "0s", "group_interval": "1s"}],
    }
    return make_plan(read_dict(config))


def _log(event: connext.Log) -> FakeLog:
    return FakeLog(ADDRESS, event.topics, event.data)


@pytest.mark.parametrize("boundary", BOUNDARIES)
async def test_any_fault_at_a_boundary_is_reported_and_loses_nothing(
    boundary: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    injector = Injector(BOUNDARIES[boundary], monkeypatch)
    begin = int(time.time()) - 10_000
    alpha, beta = (FakeChain(n.chain_id, start=begin) for n in (connext.ETHEREUM, connext.OPTIMISM))
    for chain in (alpha, beta):
        chain.mine()
    with capture_logs() as lines:
        async with FakeNode(alpha) as one, FakeNode(beta) as two, Receiver() as receiver:
            plan = plan_for({"ethereum": one.http_url, "optimism": two.http_url}, f"{receiver.url}/hook")
            with closing(Database.open(f"sqlite:///{tmp_path / 'x.db'}", durable=False)) as database:
                async with open_session() as session:
                    monitor = Monitor(plan, database, session)
                    await monitor.start()
                    try:
                        await eventually(lambda: len(_checkpoints(database)) == 2)
                        for number, fault in enumerate(FAULTS, 1):
                            noticed = partial(_notices, monitor, lines, database)
                            known = noticed()
                            injector.armed = FAULTS[fault]
                            try:
                                await _open(alpha, number, database)
                                if boundary == HANDING_OVER:  # before there is nothing due any more
                                    await _becomes(lambda: injector.armed, None)
                                await _live_on(alpha, beta, number, database, receiver)
                                await eventually(lambda: injector.armed is None)
                                await eventually(partial(_is_more, noticed, known))
                            except AssertionError as error:
                                raise AssertionError(f"after {fault}: {error}") from error
                    finally:
                        await monitor.stop()
    expected = {"TransferOverdue"} | ({supervise.TASK_FAILED} if _is_task(boundary) else set())
    assert {alert.name for alert in notified(receiver.requests)} - {"Watchdog"} == expected


def _is_task(boundary: str) -> bool:
    return boundary not in ("transport", "endpoint", "provider")


def _transfer(number: int) -> Transfer:
    return connext.transfer(connext.ETHEREUM, connext.OPTIMISM, number)


async def _open(alpha: FakeChain, number: int, database: Database) -> None:
    """Two transfers begin."""
    alpha.mine(*(_log(connext.xcalled(_transfer(2 * number + more))) for more in (0, 1)))
    alpha.mine()
    await _becomes(lambda: _checkpoints(database)["ethereum"], alpha.head.number - 1)


async def _live_on(
    alpha: FakeChain, beta: FakeChain, number: int, database: Database, receiver: Receiver
) -> None:
    """One of them is paid, the other is not; both are found, and the second is notified."""
    beta.mine(_log(connext.executed(_transfer(2 * number))))
    beta.mine(count=41)
    alpha.mine(count=40)
    await _becomes(lambda: _statuses(database), {"complete": number, "overdue": number})
    await _becomes(lambda: _overdue(receiver), number)
    await _becomes(lambda: _checkpoints(database)["ethereum"], alpha.head.number - 1)


async def _becomes(look: Callable[[], object], wanted: object) -> None:
    end = time.monotonic() + PATIENCE
    while (found := look()) != wanted:
        assert time.monotonic() < end, f"{found} instead of {wanted}"
        await asyncio.sleep(0.02)


def _overdue(receiver: Receiver) -> int:
    return len({a.fingerprint for a in notified(receiver.requests) if a.name == "TransferOverdue"})


def _checkpoints(database: Database) -> dict[str, int]:
    with database.reading() as connection:
        return {name: found.last.number for name, found in blocks.checkpoints(connection).items()}


def _statuses(database: Database) -> dict[str, int]:
    with database.reading() as connection:
        return transfers.counts(connection).get("connext", {})


def _notices(monitor: Monitor, lines: list[Any], database: Database) -> int:
    """What reports faults: alerts about tasks; lines of the log and endpoints' errors where another try is all there is."""
    errors = sum(e.errors for pool in monitor._pools.values() for e in pool.endpoints)
    with database.reading() as connection:
        failed = sum(a.name == supervise.TASK_FAILED for a in alerts.list_alerts(connection))
    return errors + failed + sum(line["log_level"] in ("warning", "error", "critical") for line in lines)


def _is_more(noticed: Callable[[], int], known: int) -> bool:
    return noticed() > known
