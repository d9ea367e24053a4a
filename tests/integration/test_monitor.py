"""The whole monitor on an embedded chain: faults of one part, of the database, and a stop at any time."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from chainwatch.alert_model import Alert
from chainwatch.alerting import dispatch
from chainwatch.alerting.engine.alert_engine import AlertEngine
from chainwatch.chain.transport import open_session
from chainwatch.config import read_dict
from chainwatch.config.settings import MonitorSettings
from chainwatch.demo import scenario
from chainwatch.demo.chain import DemoChain
from chainwatch.model import Signal
from chainwatch.monitor import monitor as app
from chainwatch.monitor.monitor import Monitor
from chainwatch.pipeline.pipeline import Outcome, Pipeline
from chainwatch.plan import Plan, make_plan
from chainwatch.store import blocks, retrying, transfers
from chainwatch.store.alerting import alerts
from chainwatch.store.database import Database
from chainwatch.store.errors import StoreError
from chainwatch.support import supervise
from tests.support.ports import free_port
from tests.support.receiver import Answer, Receiver
from tests.support.waiting import eventually

ALPHA, BETA = 900_001, 900_002


@asynccontextmanager
async def chains() -> AsyncIterator[tuple[DemoChain, DemoChain, dict[str, str]]]:
    alpha, beta = DemoChain(ALPHA, "alpha"), DemoChain(BETA, "beta")
    try:
        await asyncio.gather(alpha.start(), beta.start())
        yield (
            alpha,
            beta,
            {
                "alpha": await alpha.deploy_bridge(scenario.ALPHA_DOMAIN),
                "beta": await beta.deploy_bridge(scenario.BETA_DOMAIN),
            },
        )
    finally:
        await asyncio.gather(alpha.stop(), beta.stop())


def plan_for(
    alpha: DemoChain, beta: DemoChain, addresses: dict[str, str], file: Path, hook: str | None = None
) -> Plan:
    config: dict[str, Any] = scenario.config(alpha, beta, addresses, file)
    config["receivers"] = {
        "ops": {"provider": "webhook", "url": hook or "http://127.0.0.1:1/hook", "allow_private": True}
    }
    config["routes"][0]["receivers"] = ["ops"]
    return make_plan(read_dict(config))


@asynccontextmanager
async def running(plan: Plan, database: Database) -> AsyncIterator[Monitor]:
    async with open_session() as session:
        monitor = Monitor(plan, database, session)
        await monitor.start()
        try:
            yield monitor
        finally:
            await monitor.stop()


async def until(condition: Callable[[], bool]) -> None:
    await eventually(condition)


def statuses(database: Database) -> dict[str, int]:
    with database.reading() as connection:
        return transfers.counts(connection).get("bridge", {})


def raised(database: Database, name: str) -> list[Alert]:
    with database.reading() as connection:
        return [a for a in alerts.list_alerts(connection) if a.name == name]


def checkpoint(database: Database, network: str) -> int:
    with database.reading() as connection:
        found = blocks.checkpoints(connection).get(network)
    return found.last.number if found else -1


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "monitor.db"


async def test_a_fault_in_one_network_stops_no_other_and_heals(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # S8, S2
    monkeypatch.setattr(supervise, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(supervise, "LONGEST_PAUSE", 0.1)
    monkeypatch.setattr(supervise, "HEALTHY_AFTER", 1.0)
    process = Pipeline.process
    poisoned = True

    def poison(self: Pipeline, connection: sa.Connection, items: Any, now: float) -> Outcome:
        done = process(self, connection, items, now)
        if poisoned and any(item.network == "alpha" for item in items):
            raise KeyError("a fault of ours")
        return done

    monkeypatch.setattr(Pipeline, "process", poison)
    async with chains() as (alpha, beta, addresses):
        plan = plan_for(alpha, beta, addresses, file)
        await beta.execute(await alpha.xcall(scenario.BETA_DOMAIN, 1))
        with closing(Database.open(f"sqlite:///{file}", durable=False)) as database:
            async with running(plan, database):
                await until(lambda: [a.state for a in raised(database, supervise.TASK_FAILED)] == ["firing"])
                await until(lambda: checkpoint(database, "beta") >= beta.head.number)
                assert checkpoint(database, "alpha") == -1
                assert raised(database, "NetworkBlind") == []
                poisoned = False
                await until(lambda: statuses(database) == {"complete": 1})
                await until(
                    lambda: [a.state for a in raised(database, supervise.TASK_FAILED)] == ["resolved"]
                )


async def test_a_database_that_refuses_for_a_while_loses_nothing(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # S2
    monkeypatch.setattr(retrying, "STORE_PAUSES", (0.02,))
    monkeypatch.setattr(dispatch, "STORE_PAUSE", 0.02)
    hand_over, read = Database.hand_over, Database.read
    refusing = False

    def refuse() -> None:
        if refusing:
            raise StoreError("cannot write: the disk is full", transient=True)

    def hand_over_or_refuse(self: Database, job: Any) -> Any:
        def run(connection: sa.Connection) -> Any:
            refuse()
            return job(connection)

        return hand_over(self, run)

    async def read_or_refuse(self: Database, job: Any) -> Any:
        refuse()
        return await read(self, job)

    monkeypatch.setattr(Database, "hand_over", hand_over_or_refuse)
    monkeypatch.setattr(Database, "read", read_or_refuse)
    async with chains() as (alpha, beta, addresses):
        plan = plan_for(alpha, beta, addresses, file)
        with closing(Database.open(f"sqlite:///{file}", durable=False)) as database:
            async with running(plan, database):
                await until(lambda: checkpoint(database, "beta") >= beta.head.number)
                refusing = True
                await beta.execute(await alpha.xcall(scenario.BETA_DOMAIN, 1))
                await asyncio.sleep(0.5)
                assert statuses(database) == {}
                refusing = False
                await until(lambda: statuses(database) == {"complete": 1})
            assert raised(database, supervise.TASK_FAILED) == []


async def test_a_self_watch_alert_that_could_not_be_stored_is_stored_later(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervise, "FIRST_PAUSE", 0.05)
    refused: list[StoreError] = []
    apply = AlertEngine.apply

    def refuse_once(self: AlertEngine, connection: sa.Connection, signals: Any, now: float) -> float | None:
        if not refused and any(signal.labels["alertname"] == "Watchdog" for signal in signals):
            refused.append(StoreError("cannot write: something odd"))
            raise refused[0]
        return apply(self, connection, signals, now)

    monkeypatch.setattr(AlertEngine, "apply", refuse_once)
    async with chains() as (alpha, beta, addresses):
        plan = plan_for(alpha, beta, addresses, file)
        with closing(Database.open(f"sqlite:///{file}", durable=False)) as database:
            async with running(plan, database):
                await until(lambda: [a.state for a in raised(database, "Watchdog")] == ["firing"])
                (failed,) = raised(database, supervise.TASK_FAILED)
                assert failed.labels["task"] == "self-watch"
    assert refused


async def test_a_stop_does_not_wait_for_a_hanging_receiver(file: Path) -> None:
    async with chains() as (alpha, beta, addresses), Receiver(lambda _: Answer(delay=60.0)) as receiver:
        plan = plan_for(alpha, beta, addresses, file, f"{receiver.url}/hook")
        stop = asyncio.Event()
        with closing(Database.open(f"sqlite:///{file}", durable=False)) as database:
            monitoring = asyncio.create_task(app.run(plan, database, stop))
            await beta.execute(scenario._never_opened(7))  # an orphan, once alpha was seen past it
            await until(lambda: bool(receiver.requests))
            begun = time.monotonic()
            stop.set()
            await monitoring
        assert time.monotonic() - begun < 20


async def test_a_stop_while_the_database_holds_up_the_start_is_a_stop(
    file: Path,
) -> None:
    config = scenario.config(DemoChain(ALPHA, "alpha"), DemoChain(BETA, "beta"), {}, file)
    config["networks"] = {
        name: network | {"rpc": [f"http://127.0.0.1:{free_port()}"]}
        for name, network in config["networks"].items()
    }
    address = "0x" + "11" * 20
    config["contracts"]["bridge"]["address"] = {"alpha": address, "beta": address}
    plan = make_plan(read_dict(config))
    stop = asyncio.Event()
    with (
        closing(Database.open(f"sqlite:///{file}", durable=False)) as database,
        closing(sqlite3.connect(file, isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        monitoring = asyncio.create_task(app.run(plan, database, stop))
        await asyncio.sleep(0.5)
        begun = time.monotonic()
        stop.set()
        await monitoring
        database.close()
        assert time.monotonic() - begun < 20


async def test_a_database_of_other_chains_is_refused(file: Path) -> None:
    async with chains() as (alpha, beta, addresses):
        plan = plan_for(alpha, beta, addresses, file)
        with closing(Database.open(f"sqlite:///{file}", durable=False)) as database:
            async with running(plan, database):
                await until(lambda: checkpoint(database, "alpha") >= 0)
            networks = {
                name: settings.model_copy(update={"chain_id": settings.chain_id + 10})
                for name, settings in plan.settings.networks.items()
            }
            other = replace(plan, settings=plan.settings.model_copy(update={"networks": networks}))
            with pytest.raises(StoreError, match="chain"):
                await app.run(other, database, asyncio.Event())


async def test_an_alert_about_a_task_that_is_no_more_ends_at_the_start(file: Path) -> None:
    async with chains() as (alpha, beta, addresses):
        plan = plan_for(alpha, beta, addresses, file)
        with closing(Database.open(f"sqlite:///{file}", durable=False)) as database:
            async with running(plan, database) as monitor:
                labels = {"alertname": supervise.TASK_FAILED, "task": "network gamma", "severity": "P1"}
                await monitor.raise_signals([Signal(labels, 5, {"summary": "gone"}, source="process")])
            async with running(plan, database):
                await until(
                    lambda: [a.state for a in raised(database, supervise.TASK_FAILED)] == ["resolved"]
                )
            (ended,) = raised(database, supervise.TASK_FAILED)
            assert ended.reason == "there is no such task any more"


async def test_the_heartbeat_stops_while_a_network_cannot_be_seen(file: Path) -> None:
    async with Receiver() as switch, chains() as (alpha, beta, addresses):
        plan = plan_for(alpha, beta, addresses, file)
        networks = {
            name: network.model_copy(update={"blind_after": 1.0})
            for name, network in plan.settings.networks.items()
        }
        table = {"heartbeat": f"{switch.url}/ping", "heartbeat_every": "100ms", "allow_private": True}
        settings = plan.settings.model_copy(
            update={"networks": networks, "monitor": MonitorSettings.model_validate(table)}
        )
        with closing(Database.open(f"sqlite:///{file}", durable=False)) as database:
            async with running(replace(plan, settings=settings), database):
                await switch.wait_for(3)
                stopped_at = time.time()
                await beta.stop()
                await until(
                    lambda: any(
                        alert.labels["network"] == "beta"
                        and alert.state == "firing"
                        and alert.starts_at >= stopped_at - 1  # not while it was slow to begin
                        for alert in raised(database, "NetworkBlind")
                    )
                )
                await until(lambda: switch.requests[-1].arrived_at < time.time() - 1)
