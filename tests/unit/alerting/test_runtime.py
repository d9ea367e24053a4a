"""The alerting of a process, as the monitor and the library run it: expiries, reload, draining, restarts."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from chainwatch.alerting.engine import submission
from chainwatch.alerting.providers.callback import CallbackProvider
from chainwatch.alerting.runtime import AlertingConfig, AlertingRuntime
from chainwatch.config import ReceiverSettings, read_dict
from chainwatch.store.alerting import alerts, expiries
from chainwatch.store.database import Database
from chainwatch.support.clock import SteadyClock
from chainwatch.support.supervise import TASK_FAILED
from tests.support.receiver import Receiver
from tests.support.waiting import PATIENCE, eventually
from tests.unit.alerting.helpers import fires, route

LABELS = {"alertname": "Odd", "severity": "P2"}


def config(url: str = "http://127.0.0.1:1/", **more: Any) -> AlertingConfig:
    data = {
        "receivers": {"hook": {"provider": "webhook", "url": url, "allow_private": True}},
        "routes": [{"receivers": ["hook"], "group_wait": "0s", "group_interval": "1ms"}],
        **more,
    }
    return AlertingConfig.of(read_dict(data, watches=False).settings())


def submitted(labels: dict[str, str], until: float) -> list[submission.Submission]:
    return submission.parse([{"labels": labels}], until)


def states(database: Database) -> dict[str, str]:
    with database.reading() as connection:
        return {alert.name: alert.state for alert in alerts.list_alerts(connection)}


@pytest.fixture
def database(tmp_path: Path) -> Any:
    with closing(Database.open(f"sqlite:///{tmp_path / 'x.db'}", durable=False)) as database:
        yield database


@asynccontextmanager
async def running(
    database: Database, wanted: AlertingConfig | None = None, **options: Any
) -> AsyncIterator[AlertingRuntime]:
    runtime = AlertingRuntime(database, wanted or config(), **options)
    await runtime.resume()
    await runtime.start()
    try:
        yield runtime
    finally:
        await runtime.close()


async def submit(runtime: AlertingRuntime, labels: dict[str, str]) -> None:
    await asyncio.wrap_future(runtime.accept(submitted(labels, time.time() + 60)))


async def test_what_is_not_submitted_again_resolves_in_time(database: Database) -> None:
    ahead = 0.0
    begun = time.time()
    clock = SteadyClock(lambda: begun + ahead, lambda: ahead)
    async with running(database, resolve_timeout=0.1, clock=clock) as runtime:
        await submit(runtime, LABELS)
        assert states(database) == {"Odd": "firing"}
        ahead = 0.2
        await eventually(lambda: states(database) == {"Odd": "resolved"})


async def test_what_expired_between_two_lives_resolves_before_anybody_is_notified(database: Database) -> None:
    async with running(database, resolve_timeout=0.05) as runtime:
        await submit(runtime, LABELS)
    await asyncio.sleep(0.1)
    runtime = AlertingRuntime(database, config())
    await runtime.resume()
    assert states(database) == {"Odd": "resolved"}
    await runtime.close()


@pytest.mark.parametrize(("sent_for", "longest", "lasts"), [(240.0, 300.0, 240.0), (7200.0, 300.0, 300.0)])
async def test_what_nobody_could_send_again_between_two_lives_still_fires_for_as_long_as_if_it_was(
    database: Database, sent_for: float, longest: float, lasts: float
) -> None:
    async with running(database) as runtime:
        await submit(runtime, LABELS)
    now = time.time()
    with database.transaction() as connection:
        (known,) = expiries.due(connection, now + 7200, 2)
        sent_at = now - 10_000
        missed = msgspec.structs.replace(known, expires_at=sent_at + sent_for, timeout=False, sent_at=sent_at)
        expiries.save(connection, [missed])
    runtime = AlertingRuntime(database, config(), resolve_timeout=longest)
    await runtime.resume(cut_off=True)
    assert states(database) == {"Odd": "firing"}
    with database.reading() as connection:
        assert (expiries.next_due(connection) or 0.0) - now == pytest.approx(lasts, abs=20.0)
    await runtime.close()


async def test_an_alert_ends_by_its_fingerprint(database: Database) -> None:
    async with running(database) as runtime:
        await submit(runtime, LABELS)
        with database.reading() as connection:
            (alert,) = alerts.list_alerts(connection)
        assert await asyncio.wrap_future(runtime.end(alert.fingerprint, "fixed"))
        assert not await asyncio.wrap_future(runtime.end(alert.fingerprint, "fixed"))
    assert states(database) == {"Odd": "resolved"}


async def test_a_reload_moves_what_fires_to_the_new_receivers_and_leaves_the_queues_that_stay(
    database: Database,
) -> None:
    async with Receiver() as old, Receiver() as new:
        async with running(database, config(old.url)) as runtime:
            await runtime.raise_signals([fires("0x01")])
            await old.wait_for(1)
            both: dict[str, Any] = {
                "receivers": {
                    "hook": {"provider": "webhook", "url": old.url, "allow_private": True},
                    "more": {"provider": "webhook", "url": new.url, "allow_private": True},
                },
                "routes": [{"receivers": ["hook", "more"], "group_wait": "0s", "group_interval": "1ms"}],
            }
            task = task_of(runtime, "receiver hook")
            await runtime.reload(config(**both))
            await new.wait_for(1)
            assert task_of(runtime, "receiver hook") is task
            assert runtime.receivers == ["hook", "more"]
            await runtime.reload(config(old.url))
            assert runtime.receivers == ["hook"]
        assert len(old.requests) == 1


def task_of(runtime: AlertingRuntime, name: str) -> asyncio.Task[Any]:
    (task,) = (task for task in asyncio.all_tasks() if task.get_name() == name)
    return task


async def test_a_new_address_for_people_is_in_every_notification_after_a_reload(database: Database) -> None:
    async with Receiver() as hook, running(database, config(hook.url)) as runtime:
        await runtime.reload(config(hook.url, external_url="https://cw.example"))
        await runtime.raise_signals([fires("0x01")])
        (request,) = await hook.wait_for(1)
    assert request.json()["externalURL"] == "https://cw.example"


async def test_a_reload_that_takes_the_name_of_a_registered_receiver_changes_nothing(
    database: Database,
) -> None:
    async with running(database) as runtime:
        settings = ReceiverSettings(name="mine", provider="function")
        notified: list[object] = []
        await runtime.register(settings, route("mine"), CallbackProvider(notified.append))
        taken: dict[str, Any] = {
            "receivers": {"mine": {"provider": "console"}},
            "routes": [{"receivers": ["mine"]}],
        }
        with pytest.raises(ValueError, match="already"):
            await runtime.reload(config(**taken))
        await runtime.raise_signals([fires("0x01")])
        await eventually(lambda: len(notified) == 1)


async def test_draining_sends_what_waits_for_its_group(database: Database) -> None:
    slow = {"routes": [{"receivers": ["hook"], "group_wait": "1h"}]}
    async with Receiver() as hook:
        async with running(database, config(hook.url, **slow)) as runtime:
            await runtime.raise_signals([fires("0x01")])
            assert await runtime.drain(PATIENCE, lambda: True)
        assert len(hook.requests) == 1


async def test_a_crash_of_the_process_own_task_becomes_an_alert(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def crash() -> None:
        raise KeyError("x")

    runtime = AlertingRuntime(database, config())
    await runtime.resume()
    runtime.supervisor.start("mine", crash)
    await runtime.start()
    await eventually(lambda: states(database).get(TASK_FAILED) == "firing")
    await runtime.close()


async def test_what_the_database_adds_is_taken_up_while_other_queues_go_on(
    database: Database, tmp_path: Path
) -> None:
    first, second = ({"provider": "file", "path": str(tmp_path / name)} for name in ("first", "second"))
    base: dict[str, Any] = {
        "receivers": {"first": first},
        "routes": [{"receivers": ["first"], "group_wait": "0s"}],
    }
    both = {
        "receivers": {"first": first, "second": second},
        "routes": [{"receivers": ["second"], "group_wait": "0s", "continue": True}, *base["routes"]],
    }
    added: list[dict[str, Any]] = [base]

    def extend(_: sa.Connection) -> AlertingConfig:
        return replace(config(**added[-1]), extend=extend)

    async with running(database, replace(config(**base), extend=extend)) as runtime:
        await asyncio.wrap_future(runtime.accept(submitted(LABELS, time.time())))
        await eventually((tmp_path / "first").exists)
        queue = next(task for task in asyncio.all_tasks() if task.get_name() == "receiver first")
        added.append(both)
        await runtime.extend()
        assert runtime.receivers == ["first", "second"]
        await eventually((tmp_path / "second").exists)  # who is added hears of what fires
        assert not queue.done()
        added.append(base)
        await runtime.extend()
        assert runtime.receivers == ["first"]
        assert not queue.done()
        assert "receiver second" not in {task.get_name() for task in asyncio.all_tasks()}
    added.append(both)
    await runtime.extend()  # it has ended: nothing begins
    assert runtime.receivers == ["first"]
