"""What runs beside an alert manager: timers and queues that mind what others have written."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from chainwatch.alerting import dispatch as module
from chainwatch.alerting.delivery.notification import Notification
from chainwatch.alerting.dispatch import Dispatch, Receiver, firing
from chainwatch.alerting.engine.alert_engine import AlertEngine
from chainwatch.alerting.providers.callback import CallbackProvider
from chainwatch.config import ReceiverSettings
from chainwatch.model import Signal
from chainwatch.store.database import Database
from chainwatch.store.errors import StoreError
from chainwatch.support.supervise import Supervisor
from tests.support.waiting import PATIENCE, eventually
from tests.unit.alerting.helpers import fires, route

NOW = 1_700_000_000.0


class Flushes:
    """Stands for an alert manager; wants to be called again ``after`` seconds."""

    def __init__(self, after: float | None) -> None:
        self.after = after
        self.number = 0
        self.refusal: StoreError | None = None

    def apply(self, connection: sa.Connection, signals: Sequence[Signal], now: float) -> float | None:
        return self.flush(connection, now)

    def flush(self, connection: sa.Connection, now: float) -> float | None:
        self.number += 1
        if self.refusal is not None:
            raise self.refusal
        return None if self.after is None else now + self.after


@pytest.fixture
def file(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'dispatch.db'}"


@asynccontextmanager
async def dispatching(
    database: Database, alerts: module.Alerts, receivers: Sequence[Receiver] = ()
) -> AsyncIterator[Dispatch]:
    supervisor = Supervisor(lambda signals: dispatch.raise_signals(signals))
    dispatch = Dispatch(database, supervisor, alerts, keep_for=1e9, external_url="")
    await dispatch.start(receivers)
    try:
        yield dispatch
    finally:
        await dispatch.stop()


async def until_flushed(alerts: Flushes, times: int) -> None:
    await eventually(lambda: alerts.number >= times)


async def test_what_is_due_is_flushed_on_time_and_what_is_not_is_looked_at_now_and_then(file: str) -> None:
    with closing(Database.open(file, durable=False)) as database:
        often, seldom = Flushes(after=0.02), Flushes(after=None)
        began = time.monotonic()
        async with dispatching(database, often), dispatching(database, seldom):
            await until_flushed(often, 6)
            assert seldom.number <= 2 + (time.monotonic() - began) / module.LOOK_EVERY
            await until_flushed(seldom, 2)


async def test_what_another_process_writes_is_reported_within_a_second(file: str) -> None:
    notified: asyncio.Queue[Notification] = asyncio.Queue()
    manager = AlertEngine([route("ops")], {"ops": True}, 0)
    receiver = Receiver(ReceiverSettings(name="ops", provider="function"), CallbackProvider(notified.put))
    with (
        closing(Database.open(file, durable=False)) as database,
        closing(Database.open(file, durable=False)) as other,
    ):
        async with dispatching(database, manager, [receiver]):
            await asyncio.sleep(0.1)
            with other.transaction() as connection:
                manager.apply(connection, [fires("0x01")], NOW)
            notification = await asyncio.wait_for(notified.get(), PATIENCE)
    assert module.LOOK_EVERY < 1
    assert [alert.labels["transfer"] for alert in notification.alerts] == ["0x01"]


async def test_a_database_that_refuses_is_asked_again_and_no_task_crashes(
    file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STORE_PAUSE", 0.01)
    alerts = Flushes(after=None)
    alerts.refusal = StoreError("cannot write: the disk is full", transient=True)
    with closing(Database.open(file, durable=False)) as database:
        async with dispatching(database, alerts):
            await until_flushed(alerts, 3)
            alerts.refusal = None
            await until_flushed(alerts, 4)
        with database.reading() as connection:
            assert firing(connection, ["TaskFailed"]) == []


async def test_a_failed_write_makes_the_timer_look_again(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_EVERY", 3600.0)
    alerts = Flushes(after=3600.0)

    def fail(_connection: sa.Connection, _now: float) -> tuple[None, float]:
        raise ValueError("a fault of ours")

    with closing(Database.open(file, durable=False)) as database:
        async with dispatching(database, alerts) as dispatch:
            await until_flushed(alerts, 1)
            before = alerts.number
            with pytest.raises(ValueError, match="a fault of ours"):
                await asyncio.wrap_future(dispatch.write(fail))
            await eventually(lambda: alerts.number > before)
