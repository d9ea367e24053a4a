"""Numbers for a monitoring system."""

from __future__ import annotations

from chainwatch.operations.context import Access
from chainwatch.operations.measures import OTHERS, measure
from chainwatch.store.alerting import outbox
from chainwatch.store.alerting.outbox import Payload
from tests.support.operating import end_alert, flush, raise_alert
from tests.unit.operations.conftest import Clock


def test_what_is_configured_has_numbers_before_anything_happened(access: Access) -> None:
    measures = access.read(measure)
    assert set(measures.alerts.values()) == {0}
    assert measures.alerts.keys() >= {("firing", "P0"), ("resolved", "P3")}
    assert measures.notifications[("ops", "pending")] == 0
    assert measures.waiting == {"ops": 0.0, "phone": 0.0}


def test_alerts_and_queues_are_counted(access: Access, clock: Clock) -> None:
    raise_alert(access, "Late", "P1")
    raise_alert(access, "Slow", "P1")
    flush(access)
    clock.now += 30
    end_alert(access, "Slow", "P1")
    measures = access.read(measure)
    assert measures.alerts[("firing", "P1")] == 1
    assert measures.alerts[("resolved", "P1")] == 1
    assert measures.notifications[("ops", "pending")] >= 1
    assert measures.waiting["ops"] == 30


def test_receivers_that_are_not_configured_share_a_label(access: Access, clock: Clock) -> None:
    with access.database.transaction() as connection:
        new = [(name, "key", Payload({}, (1,), ())) for name in ("gone", "lost")]
        outbox.enqueue(connection, new, clock.now - 5)
    measures = access.read(measure)
    assert measures.notifications[(OTHERS, "pending")] == 2
    assert measures.waiting[OTHERS] == 5
    assert {receiver for receiver, _ in measures.notifications} == {"ops", "phone", OTHERS}
