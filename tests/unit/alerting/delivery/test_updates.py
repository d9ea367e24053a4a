"""Updates of messages: sent to channels that can edit, in order, and never in place of what notifies people."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa

from chainwatch.alert_model import Acknowledgement
from chainwatch.alerting.delivery.updates import enqueue_updates
from chainwatch.alerting.providers import Capabilities, DeliveryError
from chainwatch.store.alerting import acknowledgements, alerts, outbox, receipts
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


async def confirm(bench: Bench) -> None:
    """The channel has confirmed a message of every group."""
    keys = {one.key for one in bench.queued()}
    await bench.database.write(
        lambda c: receipts.save(c, "ops", [(key, {"message": "1"}) for key in keys], bench.clock.now())
    )


async def test_an_update_follows_the_messages_that_wait(bench: Bench) -> None:
    bench.provider.capabilities = EDITS
    await bench.apply(fires())
    await confirm(bench)
    await update(bench, "Silenced.")
    bench.start()
    await bench.until(lambda: bench.statuses() == ["delivered"] * 2)
    assert kinds(bench.provider) == [("", ""), ("update", "Silenced.")]


async def test_an_alert_does_not_wait_for_the_updates_of_many_others(bench: Bench) -> None:
    bench.provider = ScriptedProvider(concurrency=1)
    bench.provider.capabilities = EDITS
    await bench.apply(*(fires(f"0x{number:02x}") for number in range(40)))
    await confirm(bench)
    queued = [one.id for one in bench.queued()]
    await bench.database.write(lambda c: outbox.mark_delivered(c, [(i, bench.clock.now()) for i in queued]))
    await update(bench, "Silenced.")
    gate = bench.provider.on_hold["0x01"] = asyncio.Event()
    bench.start()
    await bench.until(lambda: len(bench.provider.attempts) == 2)
    await bench.apply(fires("0xff"))
    gate.set()
    await bench.until(lambda: len(bench.provider.taken) >= 10)
    places = [one.alerts[0].labels["transfer"] for one in bench.provider.taken]
    assert places.index("0xff") <= 3


async def test_an_acknowledgement_while_the_first_message_is_under_way_is_shown_after_it(
    bench: Bench,
) -> None:
    bench.provider.capabilities = EDITS
    gate = bench.provider.on_hold["0x01"] = asyncio.Event()
    bench.start()
    await bench.apply(fires())
    await bench.until(lambda: len(bench.provider.attempts) == 1)

    def acknowledge(connection: sa.Connection) -> None:
        (alert,) = alerts.firing(connection)
        now = bench.clock.now()
        acknowledgements.save(connection, [Acknowledgement(alert.id, "ann", now, "", None, "P1", now)])

    await bench.database.write(acknowledge)
    await update(bench)
    assert bench.statuses() == ["pending"]
    bench.clock.advance(1.0)
    gate.set()
    await bench.until(lambda: bench.statuses() == ["delivered"] * 2)
    assert kinds(bench.provider) == [("", ""), ("update", "Acknowledged by ann: TransferOverdue.")]


async def test_a_channel_that_cannot_edit_gets_no_update_and_its_queue_goes_on(bench: Bench) -> None:
    await bench.apply(fires())
    await confirm(bench)
    await update(bench)
    bench.start()
    await bench.until(lambda: bench.statuses() == ["delivered"])
    await bench.apply(fires("0x02"))
    await bench.until(lambda: bench.statuses() == ["delivered"] * 2)
    assert kinds(bench.provider) == [("", ""), ("", "")]


async def test_an_update_that_waits_with_a_notification_does_not_silence_it(bench: Bench) -> None:
    """After an outage both are one message, and that notifies people."""
    bench.provider.capabilities = EDITS
    bench.provider.usual = REFUSED
    bench.start()
    await bench.apply(fires())
    await bench.until(lambda: len(bench.provider.attempts) >= 1)
    await confirm(bench)
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
    await confirm(bench)
    bench.provider.usual = DeliveryError("the channel answered 404 Not Found", permanent=True)
    await bench.apply(fires("0x02"))
    await bench.until(lambda: "dead" in bench.statuses())
    await update(bench)
    assert len(updates(bench)) == 1
    await bench.until(lambda: not updates(bench))
    assert [signal.ends_at for signal in bench.signals] == [None]
    assert kinds(bench.provider) == [("", "")]


def updates(bench: Bench) -> list[outbox.QueuedNotification]:
    return [one for one in bench.queued() if one.payload.kind == "update"]
