"""After an outage: what came and went meanwhile is one message for each group (part of S6)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa

from chainwatch.alert_model import Alert
from chainwatch.alerting.delivery.notification import load
from chainwatch.alerting.delivery.retry import OPENS_AFTER
from chainwatch.alerting.providers.provider import DeliveryError
from chainwatch.store.alerting import alerts, claims, folding, outbox
from chainwatch.store.database import Database
from tests.support.effort import effort_within
from tests.unit.alerting.delivery.test_queue import Bench
from tests.unit.alerting.helpers import T0, ends, fires

REFUSED = DeliveryError("the webhook answered 503 Service Unavailable", refused=True)
UNSURE = DeliveryError("the webhook did not answer within 10 seconds")


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    database = Database.open(database_url, durable=False)
    bench = Bench(database)
    yield bench
    await bench.stop()
    database.close()


def _taken(bench: Bench) -> list[list[tuple[str, str]]]:
    return [[(a.status, a.labels["transfer"]) for a in message.alerts] for message in bench.provider.taken]


async def _outage(bench: Bench, error: DeliveryError) -> None:
    """An alert comes and goes, and comes again, while the receiver fails."""
    bench.provider.usual = error
    await bench.apply(fires())
    await bench.until(lambda: len(bench.provider.attempts) >= 1)
    await bench.apply(ends())
    await bench.apply(fires(at=T0 + 100))
    bench.clock.advance(60)
    bench.provider.usual = None


async def test_what_came_and_went_while_a_receiver_refused_is_one_message(bench: Bench) -> None:
    bench.start()
    await _outage(bench, REFUSED)
    await bench.until(lambda: bench.statuses() == ["delivered"])
    assert _taken(bench) == [[("firing", "0x01"), ("resolved", "0x01"), ("firing", "0x01")]]
    (message,) = bench.provider.taken
    assert message.status == "firing"
    assert [(a.starts_at, a.is_over) for a in message.alerts] == [(T0, True), (T0, False), (T0 + 100, False)]
    said: dict[str, list[object]] = {}
    for attempt in bench.provider.attempts:
        said.setdefault(attempt.idempotency_key, []).append([(a.status, a.starts_at) for a in attempt.alerts])
    assert len(said) == 2
    assert all(one == alike[0] for alike in said.values() for one in alike), "a key stands for one message"


async def test_what_a_receiver_may_have_taken_without_saying_so_is_in_the_one_message_too(
    bench: Bench,
) -> None:
    bench.start()
    await _outage(bench, UNSURE)
    await bench.until(lambda: bench.statuses() == ["delivered"])
    assert _taken(bench) == [[("firing", "0x01"), ("resolved", "0x01"), ("firing", "0x01")]]
    assert bench.provider.attempts[0].idempotency_key != bench.provider.taken[0].idempotency_key


async def test_what_an_earlier_run_may_have_sent_is_in_the_one_message_too(bench: Bench) -> None:
    await bench.apply(fires())
    await bench.apply(ends())
    await bench.apply(fires(at=T0 + 100))
    bench.clock.advance(60)
    bench.start()
    await bench.until(lambda: bench.statuses() == ["delivered"])
    assert _taken(bench) == [[("firing", "0x01"), ("resolved", "0x01"), ("firing", "0x01")]]


async def test_what_came_a_moment_before_the_receiver_was_back_is_one_message_too(bench: Bench) -> None:
    bench.provider.usual = REFUSED
    bench.start()
    await bench.apply(fires("other"))
    await bench.until(lambda: len(bench.provider.attempts) > OPENS_AFTER and bench.all_is_noted())
    await bench.apply(fires("0x01"))
    await bench.apply(ends("0x01"))
    bench.provider.usual = None
    await bench.until(lambda: bench.statuses() == ["delivered"] * 2)
    assert sorted(_taken(bench), key=len) == [
        [("firing", "other")],
        [("firing", "0x01"), ("resolved", "0x01")],
    ]


async def test_a_receiver_that_is_there_hears_of_each_change_by_itself(bench: Bench) -> None:
    bench.start()
    await bench.apply(fires())
    await bench.apply(ends())
    await bench.until(lambda: bench.statuses() == ["delivered"] * 2)
    assert _taken(bench) == [[("firing", "0x01")], [("resolved", "0x01")]]


def test_what_is_folded_has_the_time_of_the_newest_to_be_delivered(database_url: str) -> None:
    database = Database.open(database_url, durable=False)
    with database.transaction() as connection:
        for moment, payload in ((0, ((1,), ())), (90, ((), (1,)))):
            outbox.enqueue(connection, [("ops", "g", outbox.Payload({}, *payload))], T0 + moment)
        (head,) = claims.claim(connection, "ops", T0, 10).found
        outbox.mark_failed(connection, head, "down", T0 + 1)
        folding.fold(connection, "ops", ["g"])
        (whole,) = outbox.list_notifications(connection)
    database.close()
    assert (whole.queued_at, whole.attempts) == (T0 + 90, 0)
    assert whole.payload == outbox.Payload({}, (1,), (1,), folded=True)


@pytest.mark.slow
def test_ten_thousand_that_wait_are_folded_in_a_moment(database_url: str) -> None:
    database = Database.open(database_url, durable=False)
    known = [_alert(number) for number in range(1, 10_001)]
    changes = [outbox.Payload({}, (n,) if n % 2 else (), () if n % 2 else (n - 1,)) for n in range(1, 10_001)]
    with database.transaction() as connection:
        alerts.insert(connection, known)
        outbox.enqueue(connection, [("ops", "g", payload) for payload in changes], T0)
        outbox.enqueue(connection, [("ops", "other", changes[0]), ("pager", "g", changes[0])], T0)
    with effort_within(2), database.transaction() as connection:
        heads = claims.claim(connection, "ops", T0, 10).found
        keys = folding.foldable(connection, "ops", heads, 0.0, T0 + 60)
        assert keys == ["g"]
        folding.fold(connection, "ops", keys)
    with database.reading() as connection:
        (message, *_) = claims.claim(connection, "ops", T0, 10).found
        lines = [(a.labels["transfer"], a.status) for a in load(connection, message).alerts]
        assert message.idempotency_key != heads[0].idempotency_key
        assert _pending(connection) == {("ops", "g"): 1, ("ops", "other"): 1, ("pager", "g"): 1}
    assert lines == [(str(n), status) for n in range(1, 10_001, 2) for status in ("firing", "resolved")]
    database.close()


def _alert(number: int) -> Alert:
    labels = {"alertname": "X", "severity": "P1", "transfer": str(number)}
    return Alert(number, f"{number:016x}", labels, {}, T0, T0)


def _pending(connection: sa.Connection) -> dict[tuple[str, str], int]:
    counted: dict[tuple[str, str], int] = {}
    for one in outbox.list_notifications(connection, status="pending", limit=10_000):
        counted[one.receiver, one.key] = counted.get((one.receiver, one.key), 0) + 1
    return counted
