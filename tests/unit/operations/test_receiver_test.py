"""A sample for a receiver: sent, refused, or left to the running process; it never blocks the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing

import pytest

from chainwatch.alerting.providers.webhook import WebhookProvider
from chainwatch.config import Settings, read_dict
from chainwatch.operations import receiver_test
from chainwatch.operations.errors import Invalid, NotFound
from chainwatch.store.alerting import alerts, outbox
from chainwatch.store.claim import claimed
from chainwatch.store.database import Database
from tests.support.receiver import Answer, Receiver
from tests.support.waiting import PATIENCE


def settings(database_url: str, hook: str = "http://127.0.0.1:1/") -> Settings:
    ops = {"provider": "webhook", "url": hook, "allow_private": True}
    routes = [{"receivers": ["ops"]}]
    config = {"store": {"url": database_url}, "receivers": {"ops": ops}, "routes": routes}
    return read_dict(config, watches=False).settings()


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with closing(Database.open(database_url, durable=False)) as opened:
        yield opened


def left(database: Database) -> tuple[int, list[str]]:
    """How many alerts are stored, and the statuses of the notifications."""
    with database.reading() as connection:
        found = outbox.list_notifications(connection)
        return len(alerts.list_alerts(connection)), [one.status for one in found]


async def test_a_sample_is_delivered_and_leaves_its_notification_only(
    database: Database, database_url: str
) -> None:
    async with Receiver() as hook:
        outcome = await receiver_test.send_sample(database, settings(database_url, hook.url), "ops", PATIENCE)
        (request,) = hook.requests
    assert request.json()["alerts"][0]["labels"]["alertname"] == "ReceiverTest"
    assert (outcome.delivered, outcome.by, outcome.attempts, outcome.error) == (True, "this command", 1, None)
    assert left(database) == (0, ["delivered"])


async def test_a_refusal_is_the_outcome_and_the_sample_is_dropped(
    database: Database, database_url: str
) -> None:
    async with Receiver(lambda _: Answer(status=403)) as hook:
        outcome = await receiver_test.send_sample(database, settings(database_url, hook.url), "ops", PATIENCE)
    assert not outcome.delivered
    assert outcome.error is not None
    assert "403" in outcome.error
    assert left(database) == (0, ["dropped"])


async def test_a_running_process_that_does_not_send_it_in_time_is_reported(
    database: Database, database_url: str
) -> None:
    with claimed(database_url):
        outcome = await receiver_test.send_sample(database, settings(database_url), "ops", 0.3)
    assert (outcome.delivered, outcome.by) == (False, "the running process")
    assert outcome.error == "not delivered within 0.3 seconds"
    assert left(database) == (0, ["dropped"])


async def test_the_event_loop_goes_on_while_another_transaction_holds_the_database(
    database: Database, database_url: str
) -> None:
    async with Receiver() as hook:
        with database.transaction():
            sending = receiver_test.send_sample(database, settings(database_url, hook.url), "ops", PATIENCE)
            task = asyncio.create_task(sending)
            await asyncio.sleep(0.1)
            assert not task.done()
        assert (await task).delivered


async def test_a_receiver_that_is_not_there_is_named_and_nothing_is_queued(
    database: Database, database_url: str
) -> None:
    with pytest.raises(NotFound, match="no receiver is called 'opz'; did you mean \"ops\""):
        await receiver_test.send_sample(database, settings(database_url), "opz", 5)
    with pytest.raises(Invalid, match="within: -1 is not a length of time"):
        await receiver_test.send_sample(database, settings(database_url), "ops", -1)
    assert left(database) == (0, [])


async def test_a_provider_that_breaks_is_the_outcome_and_names_no_secret_s9(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise KeyError("T0KEN")

    monkeypatch.setattr(WebhookProvider, "send", fail)
    outcome = await receiver_test.send_sample(database, settings(database_url), "ops", PATIENCE)
    assert outcome.error == "the provider broke: KeyError"
    assert left(database) == (0, ["dropped"])
