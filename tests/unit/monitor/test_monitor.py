"""How the monitor treats networks that cannot be followed, and a database that refuses."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from chainwatch.alert_model import Escalation, Expiry
from chainwatch.chain.errors import DeepReorg, TransportError, WrongChain
from chainwatch.chain.transport import open_session
from chainwatch.config import read_dict
from chainwatch.flows.checker import FlowChecker
from chainwatch.model import Signal
from chainwatch.monitor import checker_tasks
from chainwatch.monitor import monitor as app
from chainwatch.monitor.heartbeat import Health
from chainwatch.monitor.monitor import Monitor
from chainwatch.monitor.network_records import STATES_EVERY, is_news
from chainwatch.operations.queries import STOPPED_AFTER
from chainwatch.plan import Plan, make_plan
from chainwatch.store import retrying
from chainwatch.store.alerting import alerts, escalations, expiries
from chainwatch.store.blocks import NetworkState
from chainwatch.store.database import Database
from chainwatch.store.errors import StoreError
from chainwatch.support.clock import SETTLED_AFTER, SteadyClock
from chainwatch.support.supervise import TASK_FAILED
from tests.support.ports import free_port
from tests.support.waiting import eventually
from tests.unit.test_plan import CONFIG


@pytest.fixture
def plan() -> Plan:
    dead = [f"http://127.0.0.1:{free_port()}"]
    networks = {name: table | {"rpc": dead} for name, table in CONFIG["networks"].items()}
    return make_plan(read_dict(CONFIG | {"networks": networks}))


@asynccontextmanager
async def running(plan: Plan, file: Path) -> AsyncIterator[tuple[Monitor, Database]]:
    with closing(Database.open(f"sqlite:///{file}", durable=False)) as database:
        async with open_session() as session:
            monitor = Monitor(plan, database, session)
            await monitor.start()
            try:
                yield monitor, database
            finally:
                await monitor.stop()


def firing(database: Database) -> set[tuple[str, str]]:
    with database.reading() as connection:
        return {
            (a.name, a.labels.get("network", a.labels.get("task", ""))) for a in alerts.firing(connection)
        }


async def test_a_reorg_too_deep_halts_its_network_alone_and_is_reported(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # S8
    reads: list[str] = []

    async def read(_: Monitor, name: str) -> None:
        reads.append(name)
        if name == "ethereum":
            raise DeepReorg(name, 1, 9)
        await asyncio.Event().wait()

    monkeypatch.setattr(Monitor, "_read", read)
    async with running(plan, tmp_path / "x.db") as (_, database):
        await eventually(lambda: {("DeepReorg", "ethereum"), ("Watchdog", "")} <= firing(database))
        await eventually(lambda: len(reads) >= 2)
        assert firing(database) == {("DeepReorg", "ethereum"), ("Watchdog", "")}
        assert sorted(reads) == ["ethereum", "optimism"]


async def test_a_network_of_another_chain_is_tried_again_and_is_no_crash(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "WRONG_CHAIN_PAUSE", 0.01)
    reads: list[str] = []

    async def read(_: Monitor, name: str) -> None:
        reads.append(name)
        if reads.count("ethereum") < 4 and name == "ethereum":
            raise WrongChain(name, 1, {"ethereum[0] node": 5})
        await asyncio.Event().wait()

    monkeypatch.setattr(Monitor, "_read", read)
    async with running(plan, tmp_path / "x.db") as (monitor, _):
        await eventually(lambda: reads.count("ethereum") == 4)
        assert monitor._supervisor.crashes == {}


async def test_a_database_that_refuses_is_waited_for_with_few_lines(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # S10
    monkeypatch.setattr(retrying, "STORE_PAUSES", (0.0,))
    tries = 0

    def job(_: sa.Connection) -> str:
        nonlocal tries
        tries += 1
        if tries < 250:
            raise StoreError("cannot write: the disk is full", transient=True)
        return "written"

    with closing(Database.open(f"sqlite:///{tmp_path / 'x.db'}", durable=False)) as database:
        async with open_session() as session:
            monitor = Monitor(plan, database, session)
            with capture_logs() as lines:
                assert await monitor._write(job) == "written"
    assert len(lines) == 4


async def test_what_the_database_refuses_for_good_is_not_tried_again(plan: Plan, tmp_path: Path) -> None:
    def job(_: sa.Connection) -> None:
        raise StoreError("cannot write: the file is damaged")

    with closing(Database.open(f"sqlite:///{tmp_path / 'x.db'}", durable=False)) as database:
        async with open_session() as session:
            monitor = Monitor(plan, database, session)
            for run in (monitor._write, monitor._load):
                with pytest.raises(StoreError, match="damaged"):
                    await run(job)


@pytest.mark.slow
async def test_what_a_checker_cannot_read_is_reported_once_in_a_while(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # S10
    monkeypatch.setattr(checker_tasks, "READ_EVERY", 0.005)
    searches = 0

    async def search(*_: Any) -> AsyncIterator[None]:
        nonlocal searches
        searches += 1
        raise TransportError("ethereum[0] node", "cannot connect")
        yield

    async def read(_: Monitor, _name: str) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(FlowChecker, "load_wanted", lambda *_: object())
    monkeypatch.setattr(FlowChecker, "read", search)
    monkeypatch.setattr(Monitor, "_read", read)
    with capture_logs() as lines:

        def notified() -> list[str]:
            return [line["network"] for line in lines if "reads of a checker" in line["event"]]

        async with running(plan, tmp_path / "x.db") as (_, database):
            await eventually(lambda: searches > 20 and len(notified()) >= len(plan.watches))
            assert TASK_FAILED not in {name for name, _ in firing(database)}
    assert sorted(notified()) == sorted(plan.watches)


async def test_what_a_configuration_made_no_sense_of_ends_with_that_configuration(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Monitor, "_follow", lambda _monitor, _name: asyncio.Event().wait())
    puzzled = ("LogUndecodable", "FlowEvaluationFailed")
    async with running(plan, tmp_path / "x.db") as (monitor, database):
        labels = [{"alertname": name, "severity": "P2"} for name in (*puzzled, "TransferRepeated")]
        await monitor.raise_signals(
            [
                Signal(one, 1_700_000_000, source="event" if one["alertname"] in puzzled else "transfer")
                for one in labels
            ]
        )
    async with running(plan, tmp_path / "x.db") as (_, database):
        assert {name for name, _ in firing(database)} >= {*puzzled, "TransferRepeated"}
    flows = {name: flow.model_copy(update={"lookback": 1.0}) for name, flow in plan.settings.flows.items()}
    changed = replace(plan, settings=plan.settings.model_copy(update={"flows": flows}))
    async with running(changed, tmp_path / "x.db") as (_, database):
        names = {name for name, _ in firing(database)}
    assert names.isdisjoint(puzzled)
    assert "TransferRepeated" in names


async def test_after_a_pause_of_the_process_silence_counts_from_its_end(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "SELF_WATCH_EVERY", 0.01)
    passed = [0.0]
    clock = SteadyClock(lambda: 1_700_000_000 + passed[0], lambda: passed[0])
    looked = 0
    note = Health.note

    def note_look(health: Health, *args: Any) -> None:
        nonlocal looked
        note(health, *args)
        looked += 1

    async def look() -> None:
        """Wait until the monitor has watched itself once more, from beginning to end."""
        before = looked
        await eventually(lambda: looked >= before + 2)

    monkeypatch.setattr(Health, "note", note_look)
    with closing(Database.open(f"sqlite:///{tmp_path / 'x.db'}", durable=False)) as database:
        async with open_session() as session:
            monitor = Monitor(plan, database, session, clock)
            passed[0] += 60  # a long start
            await monitor.start()
            try:
                await eventually(lambda: ("Watchdog", "") in firing(database))
                await look()
                passed[0] += 60
                await look()
                assert "NetworkBlind" not in {name for name, _ in firing(database)}
                for _ in range(6):
                    passed[0] += 3
                    await look()
                assert "NetworkBlind" in {name for name, _ in firing(database)}
            finally:
                await monitor.stop()


async def test_what_was_submitted_and_has_expired_resolves_under_a_monitor_too(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Monitor, "_follow", lambda _monitor, _name: asyncio.Event().wait())
    async with running(plan, tmp_path / "x.db") as (monitor, database):
        await monitor.raise_signals([Signal({"alertname": "Odd", "severity": "P2"}, 1_700_000_000)])
        with database.transaction() as connection:
            (odd,) = (alert for alert in alerts.firing(connection) if alert.name == "Odd")
            expiries.save(connection, [Expiry(odd.fingerprint, time.time() + 0.2, timeout=True)])
        await eventually(lambda: ("Odd", "") not in firing(database))


async def test_when_the_clock_was_set_back_everything_begins_again_with_it_and_no_wait_is_longer(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "SELF_WATCH_EVERY", 0.01)
    monkeypatch.setattr(Monitor, "_follow", lambda _monitor, _name: asyncio.Event().wait())
    up, ahead = 50.0, 3600.0
    clock = SteadyClock(lambda: 1_700_000_000 + up + ahead, lambda: up)
    monkeypatch.setattr(app, "SteadyClock", lambda: clock)
    made: list[Monitor] = []
    started = Monitor.start

    async def start(monitor: Monitor) -> None:
        await started(monitor)
        made.append(monitor)

    monkeypatch.setattr(Monitor, "start", start)
    stop = asyncio.Event()
    with closing(Database.open(f"sqlite:///{tmp_path / 'x.db'}", durable=False)) as database:
        running = asyncio.create_task(app.run(plan, database, stop))
        await eventually(lambda: ("Watchdog", "") in firing(database))
        began = clock()
        await database.write(lambda c: escalations.save(c, [Escalation(1, "{}", 0, 1, began, began + 300)]))
        ahead = 0.0
        clock()
        up += SETTLED_AFTER + 1
        await eventually(lambda: len(made) == 2)
        assert abs(clock.jump) < 1
        with database.reading() as connection:
            (escalation,) = escalations.due(connection, began + 1e6, 10)
        stop.set()
        await running
    assert escalation.due_at is not None
    assert escalation.due_at == pytest.approx(began - 3600 + 300)
    assert escalation.due_at - clock() == pytest.approx(300 - SETTLED_AFTER - 1)


def test_the_state_of_a_network_is_stored_when_it_changes_and_now_and_then() -> None:
    stored = NetworkState("alpha", "live", 7, 1_000, None, 2_000.0)
    assert is_news(stored, None)
    assert not is_news(stored._replace(updated_at=2_004.0), stored)
    assert is_news(stored._replace(updated_at=2_000.0 + STATES_EVERY), stored)
    for change in ({"state": "late"}, {"head": 8}, {"head_timestamp": 1_012}, {"error": "refused"}):
        assert is_news(stored._replace(updated_at=2_001.0, **change), stored)
    assert STATES_EVERY < STOPPED_AFTER / 2  # who looks takes silence for a stop
