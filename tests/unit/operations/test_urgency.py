"""What fires now, the most urgent first."""

from __future__ import annotations

from chainwatch.operations import alert_actions, incidents, silencing
from chainwatch.operations.context import Access
from chainwatch.operations.urgency import describe, urgent_alerts
from tests.support.operating import end_alert, flush, raise_alert
from tests.unit.operations.conftest import T0, Clock


def test_the_worst_and_what_nobody_has_comes_first(access: Access, clock: Clock) -> None:
    raise_alert(access, "Noted", "P2")
    for name in ("First", "Second", "Third"):
        clock.now += 1
        raise_alert(access, name, "P1")
    raise_alert(access, "Watchdog", "P3")
    raise_alert(access, "Over", "P0")
    end_alert(access, "Over", "P0")
    access.write(alert_actions.acknowledge, [4], "anna", "mine")
    p1, p2 = access.read(urgent_alerts)
    assert (p1.severity, p1.firing, p1.acknowledged) == ("P1", 3, 1)
    assert [one.alert.name for one in p1.alerts] == ["Second", "First", "Third"]
    assert [one.acknowledged and one.acknowledged.by for one in p1.alerts] == [None, None, "anna"]
    assert (p2.firing, p2.acknowledged, p2.alerts[0].alert.name) == (1, 0, "Noted")
    (few, _) = access.read(urgent_alerts, 1)
    assert (few.firing, [one.alert.name for one in few.alerts]) == (3, ["Second"])


def test_what_keeps_an_alert_from_everybody_is_said_but_no_acknowledgement(access: Access) -> None:
    raise_alert(access, "Silent")
    raise_alert(access, "Taken")
    silence = access.write(silencing.add_silence, {"alertname": "Silent"}, "anna", "known")
    access.write(alert_actions.acknowledge, [2], "ben")
    silent, taken, *more = access.read(describe, [1, 2, 99])
    assert silent.muted is not None
    assert (silent.muted.why, silent.muted.detail) == ("silenced", f"by silence {silence.id} of anna: known")
    assert taken.muted is None
    assert not more


def test_each_alert_knows_its_incident_and_how_far_its_escalation_is(access: Access, clock: Clock) -> None:
    raise_alert(access)
    flush(access)
    (one,) = access.read(describe, [1])
    assert one.incident is not None
    progress = access.read(incidents.escalation_progress, one.incident)
    assert progress is not None
    assert (progress.policy, progress.step, progress.steps, progress.notify) == (
        "wake",
        1,
        1,
        ["oncall:primary"],
    )
    assert progress.due_at == T0 + 300
    clock.now += 301
    flush(access)
    progress = access.read(incidents.escalation_progress, one.incident)
    assert progress is not None
    assert (progress.due_at, progress.notify) == (None, [])
    end_alert(access)
    assert access.read(incidents.escalation_progress, one.incident) is None


def test_of_a_large_incident_what_fires_is_shown_first_and_all_of_it_is_acknowledged(access: Access) -> None:
    for number in range(5):
        raise_alert(access, n=str(number))
    end_alert(access, n="4")
    flush(access)
    shown = access.read(incidents.show_incident, 1, most=2)
    assert (shown.alert_count, shown.firing) == (5, 4)
    assert [one.id for one in shown.alerts] == [4, 3]
    assert {line.alert for line in shown.timeline if line.kind == "event"} == {3, 4}
    assert len(access.read(incidents.show_incident, 1).alerts) == 5
    assert access.read(incidents.show_incident, 1, most=5).alerts[-1].id == 5
    access.write(alert_actions.acknowledge, [1, 2], "anna")
    assert access.read(incidents.unacknowledged_alerts, 1) == [3, 4]
