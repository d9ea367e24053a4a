"""What alerting does, in a process that has no other waits, when the host's clock is set."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from chainwatch.alerting import runtime as module
from chainwatch.alerting.delivery.notification import Notification
from chainwatch.alerting.engine import submission
from chainwatch.alerting.engine.alert_engine import AlertEngine
from chainwatch.alerting.policy.policies import Policies
from chainwatch.alerting.providers.callback import CallbackProvider
from chainwatch.alerting.runtime import AlertingConfig, AlertingRuntime
from chainwatch.config import ReceiverSettings, RouteSettings
from chainwatch.store.database import Database
from chainwatch.support.clock import SETTLED_AFTER, SteadyClock
from tests.support.waiting import eventually
from tests.unit.alerting.helpers import route

START = 1_700_000_000.0


class Host:
    """A machine whose clock is ``ahead`` by so many seconds."""

    def __init__(self, ahead: float) -> None:
        self.up = 50.0
        self.ahead = ahead
        self.clock = SteadyClock(lambda: START + self.up + self.ahead, lambda: self.up)


@asynccontextmanager
async def running(
    database: Database,
    host: Host,
    callback: Callable[[Notification], None],
    *routes: RouteSettings,
) -> AsyncIterator[AlertingRuntime]:
    config = AlertingConfig(list(routes), [], Policies(), keep_for=86_400.0, external_url="")
    runtime = AlertingRuntime(database, config, resolve_timeout=3600.0, clock=host.clock)
    await runtime.resume()
    await runtime.start(follow_clock=True)
    try:
        ops = ReceiverSettings(name="ops", provider="function", give_up_after="1h")
        await runtime.register(ops, route("ops", match={"alertname": "soon"}), CallbackProvider(callback))
        yield runtime
    finally:
        await runtime.close()


@pytest.mark.parametrize("ahead", [3600.0, 30.0])
async def test_when_the_clock_is_set_back_groups_and_retries_wait_as_long_as_before_and_nothing_is_sent_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    monkeypatch.setattr(module, "CLOCK_EVERY", 0.01)
    host, taken, tried = Host(ahead), list[str](), list[float]()
    down = True

    def take(notification: Notification) -> None:
        tried.append(host.up)
        if down:
            raise OSError("down")
        taken.append(notification.alerts[0].labels["alertname"])

    with closing(Database.open(f"sqlite:///{tmp_path / 'x.db'}", durable=False)) as database:
        async with running(database, host, take, route("ops", group_wait="2m")) as runtime:
            sent = submission.parse([{"labels": {"alertname": name}} for name in ("soon", "later")])
            await asyncio.wrap_future(runtime.accept(sent))
            await eventually(lambda: bool(tried))
            host.ahead = 0.0
            host.clock()
            host.up += SETTLED_AFTER + 1
            await eventually(lambda: abs(host.clock.jump) < 1)
            down = False
            host.up += 10
            await eventually(lambda: taken == ["soon"])
            host.up += 40
            await asyncio.sleep(0.6)  # one look of the timers
            assert taken == ["soon"]
            host.up += 10
            await eventually(lambda: taken == ["soon", "later"])
            host.up += 60
            await asyncio.sleep(0.1)
            assert taken == ["soon", "later"]


async def test_a_fault_while_the_clock_is_followed_ends_no_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CLOCK_EVERY", 0.01)
    failed = list[float]()

    def fail(_manager: AlertEngine, _connection: sa.Connection, by: float, _now: float) -> None:
        failed.append(by)
        raise RuntimeError("odd")

    monkeypatch.setattr(AlertEngine, "follow_clock", fail)
    host, taken = Host(3600.0), list[str]()

    def take(notification: Notification) -> None:
        taken.append(notification.alerts[0].labels["alertname"])

    with closing(Database.open(f"sqlite:///{tmp_path / 'x.db'}", durable=False)) as database:
        async with running(database, host, take, route("ops")) as runtime:
            host.ahead = 0.0
            host.clock()
            host.up += SETTLED_AFTER + 1
            await eventually(lambda: bool(failed))
            sent = submission.parse([{"labels": {"alertname": "later"}}])
            await asyncio.wrap_future(runtime.accept(sent))
            await eventually(lambda: taken == ["later"])
    assert failed == [pytest.approx(-3600.0)]
