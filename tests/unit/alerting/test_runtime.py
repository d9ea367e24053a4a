"""The alerting of a process, as the monitor and the library run it: expiries, reload, draining, restarts."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from chainwatch.alerting.engine import submission
from chainwatch.alerting.providers.callback import CallbackProvider
from chainwatch.alerting.runtime import AlertingConfig, AlertingRuntime
from chainwatch.config import ReceiverSettings, read_dict
from chainwatch.store.alerting import alerts
from chainwatch.store.database import Database
from chainwatch.support.supervise import TASK_FAILED
from tests.support.receiver import Receiver
from tests.unit.alerting.helpers import eventually, fires, route

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
    async with running(database, resolve_timeout=0.1) as runtime:
        await submit(runtime, LABELS)
        assert states(database) == {"Odd": "firing"}
        await eventually(lambda: states(database) == {"Odd": "resolved"})


async def test_what_expired_between_two_lives_resolves_before_anybody_is_notified(database: Database) -> None:
    async with running(database, resolve_timeout=0.05) as runtime:
        await submit(runtime, LABELS)
    await asyncio.sleep(0.1)
    runtime = AlertingRuntime(database, config())
    await runtime.resume()
    assert states(database) == {"Odd": "resolved"}
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
            assert await runtime.drain(5.0, lambda: True)
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
