"""Updates of messages: sent to channels that can edit, in order, and never in place of what notifies people."""

from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa

from chainwatch.alerting.delivery.updates import enqueue_updates
from chainwatch.alerting.providers import Capabilities, DeliveryError
from chainwatch.store.alerting import alerts, outbox, receipts
from chainwatch.store.database import Database
from tests.unit.alerting.delivery.test_queue import Bench
from tests.unit.alerting.helpers import ScriptedProvider, fires

EDITS = Capabilities(keeps_receipts=True, edits=True)
REFUSED = DeliveryError("the channel answered 503 Service Unavailable", refused=True)


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    database = Database.open(database_url, durable=False)
    bench = Bench(database)
    yield bench
    await bench.stop()
    database.close()


async def update(bench: Bench, note: str = "") -> None:
    """Somebody acknowledges everything that fires."""

    def enqueue(connection: sa.Connection) -> None:
        ids = [alert.id for alert in alerts.firing(connection)]
        enqueue_updates(connection, ids, bench.clock.now(), note)

    await bench.database.write(enqueue)


def kinds(provider: ScriptedProvider) -> list[tuple[str, str]]:
    return [(one.kind, one.note) for one in provider.taken]


async def test_an_update_of_a_message_under_way_follows_it(bench: Bench) -> None:
    bench.provider.capabilities = EDITS
    await bench.apply(fires())
    await update(bench, "Silenced.")
    bench.start()
    await bench.until(lambda: bench.statuses() == ["delivered"] * 2)
    assert kinds(bench.provider) == [("", ""), ("update", "Silenced.")]


async def test_a_channel_that_cannot_edit_gets_no_update_and_its_queue_goes_on(bench: Bench) -> None:
    await bench.apply(fires())
    await update(bench)
    bench.start()
    await bench.until(lambda: bench.statuses() == ["delivered"] * 2)
    await bench.apply(fires("0x02"))
    await bench.until(lambda: bench.statuses() == ["delivered"] * 3)
    assert kinds(bench.provider) == [("", ""), ("", "")]


async def test_an_update_that_waits_with_a_notification_does_not_silence_it(bench: Bench) -> None:
    """After an outage both are one message, and that notifies people."""
    bench.provider.capabilities = EDITS
    bench.provider.usual = REFUSED
    bench.start()
    await bench.apply(fires())
    await bench.until(lambda: len(bench.provider.attempts) >= 1)
    await update(bench, "Silenced.")
    bench.clock.advance(60)
    bench.provider.usual = None
    await bench.until(lambda: bench.statuses() == ["delivered"])
    assert kinds(bench.provider) == [("", "Silenced.")]


async def test_an_update_to_a_failing_channel_that_cannot_edit_does_not_count_as_its_recovery(
    bench: Bench,
) -> None:
    bench.start()
    await bench.apply(fires())
    await bench.until(lambda: bench.statuses() == ["delivered"])
    (first,) = bench.queued()
    await bench.database.write(
        lambda c: receipts.save(c, "ops", [(first.key, {"message": "1"})], bench.clock.now())
    )
    bench.provider.usual = DeliveryError("the channel answered 404 Not Found", permanent=True)
    await bench.apply(fires("0x02"))
    await bench.until(lambda: "dead" in bench.statuses())
    await update(bench)
    await bench.until(lambda: [one.status for one in updates(bench)] == ["delivered"])
    assert [signal.ends_at for signal in bench.signals] == [None]
    assert kinds(bench.provider) == [("", "")]


def updates(bench: Bench) -> list[outbox.QueuedNotification]:
    return [one for one in bench.queued() if one.payload.kind == "update"]
