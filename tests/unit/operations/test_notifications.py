"""The queues of notifications: listed in pages, retried, dropped."""

from __future__ import annotations

import pytest

from chainwatch.operations import notifications
from chainwatch.operations.context import Access
from chainwatch.operations.errors import Invalid
from chainwatch.operations.views import Changed
from chainwatch.store.alerting import outbox
from tests.unit.operations.conftest import T0


@pytest.fixture
def queued(access: Access) -> Access:
    """Four notifications of ``ops``: the newest pending, then one dropped, one dead, one delivered."""
    with access.database.transaction() as connection:
        outbox.enqueue(connection, [("ops", f"k{n}", outbox.Payload({}, (), ())) for n in range(4)], T0)
        one, two, three, _ = reversed(outbox.list_notifications(connection))
        outbox.mark_delivered(connection, [(one.id, T0 + 1)])
        outbox.mark_dead(connection, two, "refused", T0 + 2)
        outbox.drop(connection, T0 + 3, ids=[three.id])
    return access


def test_notifications_are_listed_newest_first_and_by_status(queued: Access) -> None:
    rows = queued.read(notifications.list_notifications).rows
    assert [row.status for row in rows] == ["pending", "dropped", "dead", "delivered"]
    (dead,) = queued.read(notifications.list_notifications, receiver="ops", status="dead").rows
    assert (dead.last_error, dead.finished_at, dead.group) == ("refused", T0 + 2, "k1")
    assert queued.read(notifications.list_notifications, receiver="phone").rows == []
    with pytest.raises(Invalid, match="status: 'lost' is none of pending, delivered, dead, dropped"):
        queued.read(notifications.list_notifications, status="lost")


def test_pages_of_notifications_join_whatever_is_queued_meanwhile(queued: Access) -> None:
    first = queued.read(notifications.list_notifications, limit=3)
    with queued.database.transaction() as connection:
        outbox.enqueue(connection, [("ops", "new", outbox.Payload({}, (), ()))], T0)
    second = queued.read(notifications.list_notifications, limit=3, after=first.next)
    assert [[row.group for row in page.rows] for page in (first, second)] == [["k3", "k2", "k1"], ["k0"]]
    assert second.next is None


def test_what_was_delivered_is_neither_retried_nor_dropped(queued: Access) -> None:
    delivered, dead, dropped, pending = (
        row.id for row in reversed(queued.read(notifications.list_notifications).rows)
    )
    every = [delivered, dead, dropped, pending, 2**63 - 1]
    assert queued.write(notifications.drop, every) == Changed(
        [dead, pending], [delivered, dropped], [2**63 - 1]
    )
    assert queued.write(notifications.retry, every) == Changed(
        [dead, dropped, pending], [delivered], [2**63 - 1]
    )
    statuses = [row.status for row in queued.read(notifications.list_notifications).rows]
    assert statuses == ["pending", "pending", "pending", "delivered"]


def test_all_of_a_receiver_are_retried_but_what_a_person_dropped(queued: Access) -> None:
    assert queued.write(notifications.retry_receiver, "ops") == 2
    assert queued.write(notifications.retry_receiver, "nobody") == 0
