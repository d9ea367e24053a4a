"""Numbers about the alerts of a window."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from chainwatch.operations import alert_actions
from chainwatch.operations.alert_stats import alert_statistics
from chainwatch.operations.context import Access
from chainwatch.operations.errors import Invalid
from chainwatch.operations.queries import list_alerts
from chainwatch.operations.reports import alert_totals
from chainwatch.store.alerting.alert_tables import alerts
from tests.support.operating import end_alert, raise_alert
from tests.unit.operations.conftest import T0, Clock


def test_alerts_of_a_window_are_counted_by_type_and_severity(access: Access, clock: Clock) -> None:
    raise_alert(access, "Old", "P0")
    clock.now += 90_000
    raise_alert(access, "Late", "P1", key="1")
    raise_alert(access, "Late", "P1", key="2")
    raise_alert(access, "Slow", "P2")
    clock.now += 60
    (first, *_) = (a for a in access.read(list_alerts).rows if a.labels.get("key") == "1")
    access.write(alert_actions.acknowledge, [first.id], "anna")
    end_alert(access, "Late", "P1", key="2")
    clock.now += 1

    found = access.read(alert_statistics)

    assert (found.since, found.until) == (clock.now - 86_400, clock.now)
    assert (found.number, found.firing, found.acknowledged, found.resolved) == (3, 2, 1, 1)
    assert found.mean_time_to_acknowledge == 60
    assert found.mean_time_to_resolve == 60
    late, slow = found.by_type_and_severity
    assert (late.type, late.severity, late.number, late.firing) == ("Late", "P1", 2, 1)
    assert (slow.type, slow.number, slow.mean_time_to_resolve) == ("Slow", 1, None)


def test_a_window_begins_at_its_start_and_ends_just_before_its_end(access: Access, clock: Clock) -> None:
    raise_alert(access, "Late", "P1")
    assert access.read(alert_statistics, since=T0, until=T0 + 1).number == 1
    assert access.read(alert_statistics, since=T0 - 1, until=T0).number == 0
    with pytest.raises(Invalid, match="ends before it begins"):
        access.read(alert_statistics, since=T0, until=T0)


def test_however_long_alerts_lasted_their_mean_is_known(access: Access, clock: Clock) -> None:
    """Other programs choose the times of their alerts, of which there are many."""
    for key in ("1", "2", "3"):
        raise_alert(access, "Late", key=key)
    with access.database.transaction() as connection:
        connection.execute(sa.update(alerts).values(starts_at=0, ends_at=2**62, state="resolved"))
    clock.now += 1

    assert access.read(alert_statistics).mean_time_to_resolve == pytest.approx(2**62 / 1000)
    assert access.read(alert_totals).mean_time_to_resolve == pytest.approx(2**62 / 1000)
