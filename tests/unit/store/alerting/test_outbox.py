"""The queues as rows, on both databases."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from chainwatch.store.alerting import claims, outbox
from chainwatch.store.alerting.alert_tables import notifications
from chainwatch.store.alerting.outbox import Depth, Payload, QueuedNotification
from tests.support.storing import transaction_on

NOW = 1000.5


@pytest.fixture
def connection(database_url: str) -> Iterator[sa.Connection]:
    with transaction_on(database_url) as connection:
        yield connection


def _enqueue(connection: sa.Connection, *places: str, now: float = NOW) -> list[int]:
    """One notification for each ``receiver/key``; their ids."""
    messages = [(*place.split("/"), Payload({"alertname": "X"}, (1, 2), (3,))) for place in places]
    outbox.enqueue(connection, messages, now)  # type: ignore[arg-type]  # receiver, key and payload
    queued = outbox.list_notifications(connection, limit=len(places))
    return [q.id for q in reversed(queued)]


def _one(connection: sa.Connection, notification_id: int) -> QueuedNotification:
    queued = outbox.get(connection, notification_id)
    assert queued is not None
    return queued


def _claimed(connection: sa.Connection, *busy: str, now: float = NOW, limit: int = 10) -> list[int]:
    return [q.id for q in claims.claim(connection, "ops", now, limit, busy).found]


def test_a_notification_waits_in_its_queue_as_it_was_put_there(connection: sa.Connection) -> None:
    (only,) = _enqueue(connection, "ops/a")
    queued = outbox.get(connection, only)
    assert queued is not None
    assert (queued.receiver, queued.key, queued.status, queued.attempts) == ("ops", "a", "pending", 0)
    assert queued.payload == Payload({"alertname": "X"}, (1, 2), (3,))
    assert (queued.created_at, queued.next_attempt_at) == (NOW, NOW)
    assert outbox.get(connection, only + 1) is None


def test_every_notification_has_an_idempotency_key_of_its_own(connection: sa.Connection) -> None:
    _enqueue(connection, *["ops/a"] * 5)
    assert len({q.idempotency_key for q in outbox.list_notifications(connection)}) == 5


def test_the_oldest_of_each_key_is_claimed_s6(connection: sa.Connection) -> None:
    a1, a2, b1, _other = _enqueue(connection, "ops/a", "ops/a", "ops/b", "else/a")
    assert _claimed(connection) == [a1, b1]
    assert _claimed(connection, limit=1) == [a1]
    assert _claimed(connection, "a") == [b1]
    outbox.mark_delivered(connection, [(a1, NOW)])
    assert _claimed(connection) == [a2, b1]


def test_what_notifies_people_goes_before_updates_however_many_wait(connection: sa.Connection) -> None:
    updates = [("ops", f"u{number}", Payload({}, (1,), (), "update")) for number in range(5)]
    outbox.enqueue(connection, updates, NOW)
    urgent = _enqueue(connection, "ops/a", "ops/b", "ops/u4")
    first = urgent[0] - 5
    assert _claimed(connection, limit=2) == urgent[:2]
    assert _claimed(connection, limit=4) == [*urgent[:2], first, first + 1]
    assert _claimed(connection) == [*urgent[:2], *range(first, first + 5)], "the order of a group stays"


def test_a_failed_one_keeps_its_place_and_holds_back_those_behind_it_s6(connection: sa.Connection) -> None:
    a1, _a2 = _enqueue(connection, "ops/a", "ops/a")
    outbox.mark_failed(connection, _one(connection, a1), "503", NOW + 4)
    assert claims.claim(connection, "ops", NOW, 10).next_ready == NOW + 4
    assert _claimed(connection, now=NOW + 4) == [a1]
    queued = outbox.get(connection, a1)
    assert queued is not None
    assert (queued.attempts, queued.last_error) == (1, "503")


def test_a_dead_one_is_kept_and_makes_way(connection: sa.Connection) -> None:
    a1, a2 = _enqueue(connection, "ops/a", "ops/a")
    outbox.mark_dead(connection, _one(connection, a1), "404", NOW)
    assert _claimed(connection) == [a2]
    (dead,) = outbox.list_notifications(connection, status="dead")
    assert (dead.id, dead.last_error, dead.finished_at) == (a1, "404", NOW)


def test_nothing_is_claimed_from_an_empty_queue(connection: sa.Connection) -> None:
    assert claims.claim(connection, "ops", NOW, 10).next_ready is None


def test_what_a_person_took_out_stays_out_whatever_its_delivery_came_to(connection: sa.Connection) -> None:
    (only,) = _enqueue(connection, "ops/a")
    assert outbox.drop(connection, NOW, ids=[only]) == 1
    outbox.mark_delivered(connection, [(only, NOW)])
    (queued,) = outbox.list_notifications(connection)
    assert queued.status == "dropped"


def test_retrying_gives_a_new_budget(connection: sa.Connection) -> None:
    a1, b1 = _enqueue(connection, "ops/a", "ops/b")
    outbox.mark_dead(connection, _one(connection, a1), "404", NOW)
    outbox.mark_failed(connection, _one(connection, b1), "503", NOW + 300)
    assert outbox.retry(connection, NOW + 9, receiver="ops") == 2
    assert _claimed(connection, now=NOW + 9) == [a1, b1]
    queued = outbox.get(connection, a1)
    assert queued is not None
    assert (queued.attempts, queued.queued_at, queued.finished_at) == (0, NOW + 9, None)


def test_a_try_that_began_before_a_person_asked_for_another_takes_nothing_of_the_new_budget(
    connection: sa.Connection,
) -> None:
    failing, hopeless = (_one(connection, one) for one in _enqueue(connection, "ops/a", "ops/b"))
    assert outbox.retry(connection, NOW + 9, receiver="ops") == 2
    outbox.mark_failed(connection, failing, "503", NOW + 300)
    outbox.mark_dead(connection, hopeless, "404", NOW + 10)
    assert _claimed(connection, now=NOW + 10) == [failing.id, hopeless.id]
    assert [_one(connection, tried.id).attempts for tried in (failing, hopeless)] == [0, 0]


def test_delivered_ones_are_neither_retried_nor_dropped(connection: sa.Connection) -> None:
    (only,) = _enqueue(connection, "ops/a")
    outbox.mark_delivered(connection, [(only, NOW)])
    assert outbox.retry(connection, NOW, ids=[only]) == outbox.drop(connection, NOW, ids=[only]) == 0


def test_a_dropped_one_comes_back_only_when_it_is_named(connection: sa.Connection) -> None:
    (only,) = _enqueue(connection, "ops/a")
    outbox.drop(connection, NOW, receiver="ops")
    assert outbox.retry(connection, NOW, receiver="ops") == 0
    assert outbox.retry(connection, NOW, ids=[only]) == 1


def test_operations_need_ids_or_a_receiver(connection: sa.Connection) -> None:
    with pytest.raises(ValueError, match="ids or by receiver"):
        outbox.retry(connection, NOW)


def test_queues_of_receivers_that_are_gone_are_listed_too(connection: sa.Connection) -> None:
    first, *_ = _enqueue(connection, "gone/a", "ops/a", "ops/b")
    outbox.mark_delivered(connection, [(first + 1, NOW)])
    assert outbox.depths(connection) == [
        Depth("gone", "pending", 1, NOW),
        Depth("ops", "delivered", 1, NOW),
        Depth("ops", "pending", 1, NOW),
    ]
    assert [q.receiver for q in outbox.list_notifications(connection, receiver="gone")] == ["gone"]


def test_lists_go_on_from_a_page_to_the_next(connection: sa.Connection) -> None:
    ids = _enqueue(connection, *["ops/a"] * 5)
    page = outbox.list_notifications(connection, limit=2)
    rest = outbox.list_notifications(connection, limit=9, before_id=page[-1].id)
    assert [q.id for q in page + rest] == ids[::-1]


def test_old_delivered_and_dropped_ones_are_forgotten_in_steps_and_dead_ones_never(
    connection: sa.Connection,
) -> None:
    delivered, dropped, dead, _pending, fresh = _enqueue(connection, *[f"ops/{key}" for key in "abcde"])
    outbox.mark_delivered(connection, [(delivered, NOW)])
    outbox.drop(connection, NOW, ids=[dropped])
    outbox.mark_dead(connection, _one(connection, dead), "404", NOW)
    outbox.mark_delivered(connection, [(fresh, NOW + 50)])
    assert outbox.prune(connection, before=NOW + 10, limit=1) == 1
    assert outbox.prune(connection, before=NOW + 10) == 1
    assert len(outbox.list_notifications(connection)) == 3


def test_claiming_is_quick_behind_a_backlog_of_one_key_s8(connection: sa.Connection) -> None:
    """Also on an upgraded database, where other indexes are newer: of two that serve alike, SQLite takes the newest."""
    for index in notifications.indexes:
        if "pending" not in str(index.name):
            index.drop(connection)
            index.create(connection)
    outbox.enqueue(connection, [("ops", "a", Payload({}, (), ()))] * 3000, NOW)
    explain = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
    plan = connection.exec_driver_sql(
        f"{explain} SELECT min(id) FROM notifications WHERE receiver = 'ops' AND key = 'a' AND status = 'pending'"
    ).all()
    assert "notifications_pending" in str(plan)
    assert len(_claimed(connection)) == 1
