"""Incidents with their timelines, and the statistics over alerts."""

from __future__ import annotations

import pytest

from chainwatch.operations import alert_actions, incidents, reports
from chainwatch.operations.context import Access
from chainwatch.operations.errors import Invalid, NotFound
from chainwatch.store.alerting import outbox
from tests.support.operating import end_alert, raise_alert
from tests.unit.operations.conftest import T0, Clock


def test_an_incident_has_its_alerts_and_everything_that_happened_in_order(
    access: Access, clock: Clock
) -> None:
    raise_alert(access, host="a")
    raise_alert(access, severity="P0", host="b")
    clock.now += 60
    access.write(alert_actions.acknowledge, [1], "anna")
    note = access.write(incidents.add_note, 1, "ben", "it was the disk")
    clock.now += 60
    end_alert(access, host="a")

    found = access.read(incidents.show_incident, 1)

    assert (found.severity, found.alert_count, found.firing, found.ended_at) == ("P0", 2, 1, None)
    assert [(alert.id, alert.state) for alert in found.alerts] == [(1, "resolved"), (2, "firing")]
    assert note in found.timeline
    assert (note.at, note.actor, note.text) == (T0 + 60, "ben", "it was the disk")
    assert {"event", "firing", "acknowledged", "note", "queued", "resolved"} <= {
        line.kind for line in found.timeline
    }
    assert [line.at for line in found.timeline] == sorted(line.at for line in found.timeline)
    (summary,) = access.read(incidents.list_incidents).rows
    assert (summary.id, summary.severity, summary.opened_at) == (1, "P0", T0)


def test_incidents_are_listed_by_when_they_opened_and_whether_they_are_open(
    access: Access, clock: Clock
) -> None:
    raise_alert(access, "First")
    clock.now += 60
    end_alert(access, "First")
    raise_alert(access, "Second")

    def ids(**wanted: object) -> list[int]:
        return [one.id for one in access.read(incidents.list_incidents, **wanted).rows]  # type: ignore[arg-type]

    assert (ids(), ids(is_open=True), ids(since=T0 + 60), ids(until=T0 + 60)) == ([2, 1], [2], [2], [1])


def test_pages_of_incidents_join_whatever_opens_meanwhile(access: Access) -> None:
    for name in ("A", "B", "C"):
        raise_alert(access, name)
    first = access.read(incidents.list_incidents, limit=2)
    raise_alert(access, "D")
    second = access.read(incidents.list_incidents, limit=2, after=first.next)
    assert [[one.id for one in page.rows] for page in (first, second)] == [[3, 2], [1]]
    assert second.next is None


@pytest.mark.parametrize("number", [7, 0, -1, 10**30])
def test_an_incident_that_is_not_there_is_named_with_where_to_look(access: Access, number: int) -> None:
    with pytest.raises(NotFound, match=f"no incident {number}; `chainwatch incidents` lists them"):
        access.read(incidents.show_incident, number)
    with pytest.raises(NotFound, match=f"no incident {number}"):
        access.write(incidents.add_note, number, "anna", "text")


def test_arguments_that_no_incident_can_have_are_invalid(access: Access) -> None:
    raise_alert(access)
    with pytest.raises(Invalid, match="the note is empty"):
        access.write(incidents.add_note, 1, "anna", " ")
    with pytest.raises(Invalid, match="is not a cursor of incidents"):
        access.read(incidents.list_incidents, after="1")
    with pytest.raises(Invalid, match="until"):
        access.read(incidents.list_incidents, until=float("nan"))


def test_a_window_counts_alerts_times_noise_and_deliveries(access: Access, clock: Clock) -> None:
    clock.now = T0 - 4000
    raise_alert(access, "Before")
    clock.now = T0
    for host in ("a", "b"):
        raise_alert(access, host=host)
    clock.now += 30
    end_alert(access, host="b")
    clock.now += 90
    access.write(alert_actions.acknowledge, [2], "anna")
    with access.database.transaction() as connection:
        newest = outbox.list_notifications(connection, receiver="ops")[0]
        outbox.mark_delivered(connection, [(newest.id, newest.created_at + 2.0)])

    found = access.read(reports.window_statistics, T0 - 3600)

    assert (found.until, found.alerts, found.before.alerts) == (T0 + 120, 2, 1)
    assert (found.by_severity["P1"], found.by_name, found.active["P1"]) == (2, {"Late": 2}, 2)
    assert (found.acknowledged, found.mean_time_to_acknowledge) == (1, 120)
    assert (found.resolved, found.mean_time_to_resolve, found.noise) == (1, 30, 1)
    (ops, *_) = found.receivers
    assert (ops.receiver, ops.delivered, ops.latency.p50, ops.latency.max) == ("ops", 1, 2.0, 2.0)


def test_a_window_without_alerts_has_no_means(access: Access) -> None:
    found = access.read(reports.window_statistics, T0 - 60)
    assert (found.alerts, found.mean_time_to_acknowledge, found.mean_time_to_resolve) == (0, None, None)
    assert found.receivers == []


@pytest.mark.parametrize(
    ("since", "until", "said"),
    [
        (T0, T0, "its end must be later than its start"),
        (float("nan"), None, "since: nan is not a time"),
        (T0, 1e300, "until: 1e\\+300 is not a time"),
    ],
)
def test_a_window_that_is_none_is_invalid(
    access: Access, since: float, until: float | None, said: str
) -> None:
    with pytest.raises(Invalid, match=said):
        access.read(reports.window_statistics, since, until)


def test_totals_count_every_stored_alert_by_type_and_severity(access: Access, clock: Clock) -> None:
    assert access.read(reports.alert_totals).mean_time_to_resolve is None
    raise_alert(access)
    raise_alert(access, "Slow", "P2")
    clock.now += 50
    end_alert(access, "Slow", "P2")

    found = access.read(reports.alert_totals)

    assert (found.total, found.by_state) == (2, {"firing": 1, "resolved": 1})
    assert (found.by_type, found.by_severity) == ({"Late": 1, "Slow": 1}, {"P1": 1, "P2": 1})
    late, slow = found.by_type_and_severity
    assert (late.type, late.firing, late.mean_time_to_resolve) == ("Late", 1, None)
    assert (slow.resolved, slow.mean_time_to_resolve, found.mean_time_to_resolve) == (1, 50, 50)
