"""What mutes alerts, over a real database: what is sent when, and what is recorded."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from chainwatch.alerting.delivery.notification import load
from chainwatch.alerting.engine import upkeep
from chainwatch.alerting.engine.manager import AlertManager
from chainwatch.alerting.policy.policies import Policies
from chainwatch.config import RouteSettings, from_dict
from chainwatch.model import Signal
from chainwatch.store.alerting import (
    acknowledgements,
    alert_groups,
    alerts,
    history,
    holds,
    incidents,
    outbox,
    silences,
)
from chainwatch.store.alerting.acknowledgements import Acknowledgement
from chainwatch.store.alerting.alert_tables import rate_windows
from chainwatch.store.alerting.history import Transition
from chainwatch.store.alerting.silences import Silence
from tests.unit.alerting.helpers import T0, ends, fires, queued_for, route

NOW = float(T0)
TICK = 15.0


def manager(*routes: RouteSettings, **config: Any) -> AlertManager:
    settings = from_dict(
        {
            "networks": {"n": {"chain_id": 1, "rpc": ["http://127.0.0.1:1"]}},
            "receivers": {"ops": {"provider": "console", **config.pop("receiver", {})}},
            "routes": [{"receivers": ["ops"]}],
            **config,
        }
    )
    return AlertManager(routes or (route(),), {"ops": True}, 0, Policies.of(settings))


def silence(connection: sa.Connection, start: float, end: float, **more: Any) -> int:
    match = more.pop("match", {"alertname": ["TransferOverdue"]})
    return silences.add(connection, Silence(match, NOW + start, NOW + end, "ann", "testing", NOW, **more))


def kinds(connection: sa.Connection) -> list[str]:
    (alert,) = alerts.list_alerts(connection)
    return [one.kind for one in history.of(connection, alert)]


# --- silences -------------------------------------------------------------------------------------------


def test_what_is_silenced_is_reported_on_the_first_tick_after_it_if_it_still_fires(
    connection: sa.Connection,
) -> None:
    m = manager()
    silence(connection, 0, 20)
    assert m.apply(connection, [fires()], NOW) == NOW + TICK
    m.flush(connection, NOW + TICK)
    assert queued_for(connection) == []
    m.flush(connection, NOW + 2 * TICK)
    assert queued_for(connection) == [[("firing", "0x01")]]
    assert kinds(connection) == ["firing", "held", "released"]


def test_what_ended_while_it_was_silenced_is_reported_to_nobody(connection: sa.Connection) -> None:
    m = manager()
    silence(connection, 0, 100)
    m.apply(connection, [fires()], NOW)
    m.apply(connection, [ends()], NOW + 1)
    m.flush(connection, NOW + TICK)
    m.flush(connection, NOW + 1000)
    assert queued_for(connection) == []
    assert "not notified" in kinds(connection)


@pytest.mark.parametrize("was_notified", [True, False])
def test_what_ended_while_silenced_and_the_process_was_down_is_reported_to_whom_it_was_reported_before(
    connection: sa.Connection, was_notified: bool
) -> None:
    m = manager(route(repeat_interval="1s"))
    silence(connection, 5 if was_notified else 0, 100)
    m.apply(connection, [fires()], NOW)
    m.flush(connection, NOW + TICK)
    assert queued_for(connection) == ([[("firing", "0x01")]] if was_notified else [])
    later = NOW + 1000  # the silence has ended, and so has the alert
    again = manager(route(repeat_interval="1s"))
    again.apply(connection, [ends(until=T0 + 50)], later)
    again.flush(connection, later + TICK)
    assert queued_for(connection) == ([[("firing", "0x01")], [("resolved", "0x01")]] if was_notified else [])


@pytest.mark.parametrize("was_notified", [True, False])
def test_what_ended_after_its_silence_before_a_tick_is_reported_to_whom_it_was_reported_before(
    connection: sa.Connection, was_notified: bool
) -> None:
    m = manager()
    silence(connection, 5 if was_notified else 0, 20)
    m.apply(connection, [fires()], NOW)
    m.flush(connection, NOW + TICK)
    m.apply(connection, [ends()], NOW + 25)
    m.flush(connection, NOW + 2 * TICK)
    assert queued_for(connection) == ([[("firing", "0x01")], [("resolved", "0x01")]] if was_notified else [])
    assert ("not notified" in kinds(connection)) is not was_notified
    m.flush(connection, NOW + 4 * TICK)
    assert alert_groups.next_flush(connection) is None


def test_the_end_of_what_was_reported_is_reported_though_it_is_silenced_meanwhile(
    connection: sa.Connection,
) -> None:
    m = manager()
    m.apply(connection, [fires()], NOW)
    silence(connection, 1, 1000)
    m.apply(connection, [ends()], NOW + 5)
    m.flush(connection, NOW + TICK)
    assert queued_for(connection) == [[("firing", "0x01")], [("resolved", "0x01")]]


def test_a_silenced_alert_is_left_out_of_repeats_and_back_when_the_silence_is_over(
    connection: sa.Connection,
) -> None:
    m = manager(route(group_interval="1s", repeat_interval="1s"))
    m.apply(connection, [fires("a"), fires("b")], NOW)
    silence(connection, 0.5, 2.5, match={"transfer": ["a"]})
    for second in (1, 2, 3):
        m.flush(connection, NOW + second)
    both, only_b = [("firing", "a"), ("firing", "b")], [("firing", "b")]
    assert queued_for(connection) == [both, only_b, only_b, both]


def test_a_recurring_silence_hides_within_its_interval_only(connection: sa.Connection) -> None:
    at = T0 - T0 % 86_400  # midnight UTC
    m = manager(intervals={"night": {"times": ["00:00-01:00"]}})
    match = {"alertname": ["TransferOverdue"]}
    silences.add(connection, Silence(match, at, at + 10 * 86_400, "ann", "", at, ("night",)))
    m.apply(connection, [fires("a", destination="x")], at + 1800)
    assert queued_for(connection) == []
    m.flush(connection, at + 3600 + TICK)
    assert queued_for(connection) == [[("firing", "a")]]


def test_a_warning_is_raised_before_a_silence_ends_that_hides_something(connection: sa.Connection) -> None:
    m = manager(route(group_by=["alertname"]))
    silence(connection, 0, 100, warn_before=30.0)
    m.apply(connection, [fires()], NOW)
    m.flush(connection, NOW + 69)
    names = [a.name for a in alerts.list_alerts(connection)]
    assert names == ["TransferOverdue"]
    m.flush(connection, NOW + 70)
    m.flush(connection, NOW + 101)
    (warning,) = alerts.list_alerts(connection, name="SilenceExpiring")
    assert (warning.state, warning.reason) == ("resolved", "silence ended")


def test_a_silence_is_not_taken_for_another_that_its_text_names(connection: sa.Connection) -> None:
    m = manager(route(group_by=["alertname"]))
    other = silence(connection, 0, 100, match={"alertname": ["Nothing"]}, warn_before=30.0)
    named = Silence(
        {"alertname": ["TransferOverdue"]},
        NOW,
        NOW + 200,
        f"x: by silence {other} of",
        f"by silence {other} %",
        NOW,
    )
    mine = silences.add(connection, named)
    m.apply(connection, [fires()], NOW)
    m.flush(connection, NOW + 75)
    assert (holds.hides_something(connection, mine), holds.hides_something(connection, other)) == (
        True,
        False,
    )
    assert alerts.list_alerts(connection, name="SilenceExpiring") == []


# --- inhibition -----------------------------------------------------------------------------------------

BLIND = {
    "inhibit": [
        {
            "source": {"alertname": "NetworkBlind"},
            "target": {"alertname": "TransferOverdue"},
            "equal": ["network=destination"],
        }
    ]
}


def blind(network: str, until: int | None = None) -> Signal:
    labels = {"alertname": "NetworkBlind", "network": network, "severity": "P1", "transfer": network}
    return Signal(labels, T0, {}, until, "recovered")


def test_a_blind_network_inhibits_what_is_overdue_towards_it_alone(connection: sa.Connection) -> None:
    m = manager(**BLIND)
    m.apply(connection, [blind("x"), fires("a", destination="x"), fires("b", destination="y")], NOW)
    assert sorted(queued_for(connection)) == [[("firing", "b")], [("firing", "x")]]
    m.apply(connection, [blind("x", T0 + 5)], NOW + 5)
    m.flush(connection, NOW + TICK)
    assert [("firing", "a"), ("firing", "b")] in queued_for(connection)


def test_of_what_ended_with_its_inhibitor_the_end_is_reported(connection: sa.Connection) -> None:
    m = manager(route(group_by=[]), **BLIND)
    m.apply(connection, [fires("a", destination="x"), blind("x")], NOW)
    m.apply(connection, [blind("x", T0 + 5), ends("a", destination="x")], NOW + 5)
    m.flush(connection, NOW + TICK)
    assert queued_for(connection) == [[("firing", "x")], [("resolved", "a"), ("resolved", "x")]]


def test_the_end_of_what_was_inhibited_alone_is_no_news(connection: sa.Connection) -> None:
    m = manager(route(group_by=["..."]), **BLIND)
    m.apply(connection, [fires("a", destination="x"), blind("x")], NOW)
    m.apply(connection, [blind("x", T0 + 5), ends("a", destination="x")], NOW + 5)
    m.flush(connection, NOW + TICK)
    assert queued_for(connection) == [[("firing", "x")], [("resolved", "x")]]


# --- quiet hours ----------------------------------------------------------------------------------------


def test_in_quiet_hours_nothing_is_sent_but_p0_and_the_rest_comes_after(connection: sa.Connection) -> None:
    midnight = T0 - T0 % 86_400
    m = manager(
        route(group_by=["severity"], mute_times=["night"]), intervals={"night": {"times": ["22:00-07:00"]}}
    )
    m.apply(connection, [fires("a"), fires("b", severity="P0")], midnight)
    assert queued_for(connection) == [[("firing", "b")]]
    m.apply(connection, [ends("b", severity="P0")], midnight + 60)
    m.flush(connection, midnight + 3600)
    m.flush(connection, midnight + 7 * 3600 + TICK)
    assert sorted(queued_for(connection)[1:]) == [[("firing", "a")], [("resolved", "b")]]


def test_the_end_of_what_was_reported_waits_for_the_end_of_the_quiet_hours(connection: sa.Connection) -> None:
    midnight = T0 - T0 % 86_400
    m = manager(route(mute_times=["night"]), intervals={"night": {"times": ["22:00-07:00"]}})
    m.apply(connection, [fires()], midnight - 3 * 3600)
    m.apply(connection, [ends()], midnight)
    m.flush(connection, midnight + 3600)
    assert queued_for(connection) == [[("firing", "0x01")]]
    m.flush(connection, midnight + 7 * 3600 + TICK)
    assert queued_for(connection) == [[("firing", "0x01")], [("resolved", "0x01")]]


# --- acknowledgements -----------------------------------------------------------------------------------


def acknowledge(connection: sa.Connection, at: float, until: float | None = None) -> None:
    (alert,) = alerts.list_alerts(connection)
    taken = Acknowledgement(alert.id, "ann", at, "mine", until, alert.severity, at)
    acknowledgements.save(connection, [taken])


def test_an_acknowledged_alert_is_not_repeated_until_the_acknowledgement_lapses(
    connection: sa.Connection,
) -> None:
    m = manager(route(repeat_interval="60s"))
    m.apply(connection, [fires()], NOW)
    acknowledge(connection, NOW + 1, until=NOW + 100)
    m.flush(connection, NOW + 60)
    assert len(queued_for(connection)) == 1
    m.flush(connection, NOW + 120)
    assert queued_for(connection) == [[("firing", "0x01")]] * 2
    assert "unacknowledged" in kinds(connection)


def severities(connection: sa.Connection) -> list[tuple[str, str]]:
    queued = outbox.list_notifications(connection, limit=100)
    return [(a.status, a.severity) for q in reversed(queued) for a in load(connection, q).alerts]


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(("severity", "is_notified"), [("P0", True), ("P2", False)])
def test_an_acknowledgement_holds_for_the_condition_unless_its_severity_rises(
    connection: sa.Connection, severity: str, is_notified: bool, together: bool
) -> None:
    m = manager(route(group_by=["..."]))
    m.apply(connection, [fires()], NOW)
    acknowledge(connection, NOW + 1)
    changed = fires(severity=severity, at=T0 + 10)
    if together:
        m.apply(connection, [ends(), changed], NOW + 10)
    else:
        m.apply(connection, [changed], NOW + 10)
        m.apply(connection, [ends()], NOW + 11)
    m.flush(connection, NOW + TICK)
    assert (("firing", severity) in severities(connection)) is is_notified
    m.apply(connection, [fires("0x02", severity=severity)], NOW + 20)
    assert ("firing", severity) in severities(connection), "another condition is nobody's"


def test_a_severity_that_falls_and_comes_back_is_still_somebody_s(connection: sa.Connection) -> None:
    m = manager(route(group_by=["..."]))
    m.apply(connection, [fires()], NOW)
    acknowledge(connection, NOW + 1)
    m.apply(connection, [ends(), fires(severity="P3", at=T0 + 10)], NOW + 10)
    m.apply(connection, [ends(severity="P3", at=T0 + 10), fires(at=T0 + 20)], NOW + 20)
    m.flush(connection, NOW + 2 * TICK)
    assert severities(connection) == [("firing", "P1"), ("resolved", "P1")]
    m.apply(connection, [ends(at=T0 + 20)], NOW + 40)
    m.apply(connection, [fires(at=T0 + 50)], NOW + 50)
    m.flush(connection, NOW + 4 * TICK)
    assert severities(connection)[2:] == [("firing", "P1")], "what began anew is nobody's"


def note(connection: sa.Connection) -> str:
    """What stands before the alerts of the newest message, as it is rendered now."""
    return load(connection, outbox.list_notifications(connection)[0]).note


def taken(connection: sa.Connection, transfer: str, at: float, actor: str = "ann", why: str = "mine") -> int:
    """Let ``actor`` acknowledge the firing alert of ``transfer``."""
    (alert,) = [a for a in alerts.firing(connection) if a.labels["transfer"] == transfer]
    acknowledgements.save(connection, [Acknowledgement(alert.id, actor, at, why, None, alert.severity, at)])
    history.record(connection, [Transition(alert.id, at, "acknowledged", "by hand", actor, why)])
    return alert.id


def given_back(connection: sa.Connection, m: AlertManager, alert_id: int, at: float) -> None:
    upkeep.give_back(connection, m.group_manager, {alert_id: "by hand"}, "ann", at)


def test_who_was_reported_learns_with_the_next_message_who_has_taken_it(connection: sa.Connection) -> None:
    m = manager()
    m.apply(connection, [fires("0x01")], NOW)
    taken(connection, "0x01", NOW + 1)
    m.flush(connection, NOW + TICK)
    assert len(queued_for(connection)) == 1, "it is no message of its own"
    m.apply(connection, [fires("0x02")], NOW + 20)
    m.flush(connection, NOW + 2 * TICK)
    assert queued_for(connection)[1:] == [[("firing", "0x02")]]
    assert note(connection) == "Left out, as acknowledged by ann: TransferOverdue transfer=0x01 (mine)."


def test_what_is_taken_on_while_its_message_waits_is_shown_as_that(connection: sa.Connection) -> None:
    m = manager()
    m.apply(connection, [fires("0x01"), fires("0x02")], NOW)
    assert note(connection) == ""
    first = taken(connection, "0x01", NOW + 1)
    assert note(connection) == (
        "Acknowledged by ann: TransferOverdue transfer=0x01 (mine). "
        "Not acknowledged: TransferOverdue transfer=0x02."
    )
    shown = load(connection, outbox.list_notifications(connection)[0]).alerts
    assert [a.annotations.get("acknowledged_by") for a in shown] == ["ann", None]
    second = taken(connection, "0x02", NOW + 2, "ben", "")
    assert note(connection) == (
        "Acknowledged by ann: TransferOverdue transfer=0x01 (mine). "
        "Acknowledged by ben: TransferOverdue transfer=0x02."
    )
    given_back(connection, m, first, NOW + 3)
    given_back(connection, m, second, NOW + 3)
    assert note(connection) == ""


def test_nobody_is_named_above_an_alert_that_was_given_back(connection: sa.Connection) -> None:
    m = manager()
    m.apply(connection, [fires("0x01")], NOW)
    given_back(connection, m, taken(connection, "0x01", NOW + 1), NOW + 2)
    m.flush(connection, NOW + TICK)
    assert queued_for(connection) == [[("firing", "0x01")]] * 2
    assert note(connection) == ""


def test_nobody_is_named_above_an_alert_whose_acknowledgement_has_lapsed(connection: sa.Connection) -> None:
    m = manager()
    m.apply(connection, [fires("0x01")], NOW)
    alert_id = taken(connection, "0x01", NOW + 1)
    acknowledge(connection, NOW + 1, until=NOW + 5)
    m.flush(connection, NOW + TICK)
    m.flush(connection, NOW + 2 * TICK)
    assert alert_id not in acknowledgements.of(connection, [alert_id])
    assert queued_for(connection) == [[("firing", "0x01")]] * 2
    assert note(connection) == ""


def test_nobody_is_named_above_an_alert_that_became_more_severe(connection: sa.Connection) -> None:
    m = manager()
    m.apply(connection, [fires(severity="P2")], NOW)
    taken(connection, "0x01", NOW + 1)
    m.apply(connection, [ends(severity="P2"), fires(severity="P1", at=T0 + 5)], NOW + 5)
    m.flush(connection, NOW + TICK)
    assert severities(connection)[1:] == [("firing", "P1"), ("resolved", "P2")]
    assert note(connection) == ""


def test_many_that_are_somebody_s_are_counted(connection: sa.Connection) -> None:
    m = manager()
    m.apply(connection, [fires(str(n)) for n in range(5)], NOW)
    for n in range(4):
        taken(connection, str(n), NOW + 1, why="")
    assert note(connection) == "Acknowledged by ann: 4 alerts. Not acknowledged: TransferOverdue transfer=4."


def test_who_had_it_is_reported_with_its_end(connection: sa.Connection) -> None:
    m = manager()
    m.apply(connection, [fires("0x01"), fires("0x02")], NOW)
    taken(connection, "0x01", NOW + 1)
    given_back(connection, m, taken(connection, "0x02", NOW + 1, "ben"), NOW + 2)
    m.apply(connection, [ends("0x01"), ends("0x02")], NOW + 5)
    m.flush(connection, NOW + TICK)
    assert note(connection) == "Was acknowledged by ann: TransferOverdue transfer=0x01 (mine)."


def test_a_reminder_says_which_of_a_group_nobody_has(connection: sa.Connection) -> None:
    m = manager(alerts={"remind_after": "10m"})
    m.apply(connection, [fires("0x01"), fires("0x02")], NOW)
    taken(connection, "0x01", NOW + 1)
    m.flush(connection, NOW + 601)
    m.flush(connection, NOW + 601 + TICK)
    assert queued_for(connection)[1:] == [[("firing", "0x01"), ("firing", "0x02")]]
    assert note(connection) == (
        "Reminder: acknowledged by ann, and still firing: TransferOverdue transfer=0x01. "
        "Not acknowledged: TransferOverdue transfer=0x02."
    )
    given_back(connection, m, 1, NOW + 650)
    assert note(connection) == ""


def test_people_are_reminded_of_what_they_acknowledged_and_still_fires(connection: sa.Connection) -> None:
    m = manager(route(repeat_interval="60s"), alerts={"remind_after": "10m"})
    m.apply(connection, [fires()], NOW)
    acknowledge(connection, NOW + 1)
    m.flush(connection, NOW + 599)
    assert len(queued_for(connection)) == 1
    m.flush(connection, NOW + 601)
    m.flush(connection, NOW + 601 + TICK)
    m.flush(connection, NOW + 900)
    assert len(queued_for(connection)) == 2
    assert note(connection) == "Reminder: acknowledged by ann, and still firing."


def test_what_is_somebody_s_by_configuration_wakes_nobody(connection: sa.Connection) -> None:
    m = manager(acknowledge=[{"match": {"alertname": "TransferOverdue"}, "by": "bob", "lasts": "20s"}])
    m.apply(connection, [fires()], NOW)
    assert queued_for(connection) == []
    m.flush(connection, NOW + 20)
    m.flush(connection, NOW + 2 * TICK)
    assert queued_for(connection) == [[("firing", "0x01")]]


MAINTENANCE: dict[str, Any] = {
    "intervals": {"early": {"times": ["00:00-02:00"]}, "late": {"times": ["02:00-03:00"]}},
    "acknowledge": [{"match": {"transfer": "0x01"}, "by": "bob", "during": ["early", "late"]}],
}
MIDNIGHT = float(T0 - T0 % 86_400)
HOUR = 3600.0


@pytest.mark.parametrize("restarted", [False, True])
def test_what_is_somebody_s_during_an_interval_is_nobody_s_after_it(
    connection: sa.Connection, restarted: bool
) -> None:
    m = manager(**MAINTENANCE)
    at = MIDNIGHT + HOUR
    m.apply(connection, [fires("0x01", severity="P0", at=int(at))], at)
    end = MIDNIGHT + 3 * HOUR
    m.flush(connection, end - 1)
    assert queued_for(connection) == [], "one interval ends as the next begins"
    m = manager(**MAINTENANCE) if restarted else m
    due = m.flush(connection, end)
    assert due is not None
    m.flush(connection, due)
    assert queued_for(connection) == [[("firing", "0x01")]]
    assert note(connection) == ""
    assert [k for k in kinds(connection) if "acknowledged" in k] == ["acknowledged", "unacknowledged"]


def test_a_shorter_time_ends_what_is_somebody_s_during_an_interval(connection: sa.Connection) -> None:
    rule = {**MAINTENANCE["acknowledge"][0], "lasts": "10m"}
    m = manager(**MAINTENANCE | {"acknowledge": [rule]})
    m.apply(connection, [fires("0x01")], MIDNIGHT)
    m.flush(connection, MIDNIGHT + 600)
    m.flush(connection, MIDNIGHT + 600 + TICK)
    assert queued_for(connection) == [[("firing", "0x01")]]


def test_what_is_somebody_s_by_configuration_follows_a_change_of_it(connection: sa.Connection) -> None:
    m = manager(**MAINTENANCE)
    m.apply(connection, [fires("0x01")], MIDNIGHT)
    same = manager(**MAINTENANCE)
    same.reroute(connection, MIDNIGHT + 60, reloaded=True)
    assert queued_for(connection) == []
    intervals = {"early": {"times": ["00:00-01:00"]}, "late": {"times": ["02:00-03:00"]}}
    shorter = manager(**MAINTENANCE | {"intervals": intervals})
    shorter.reroute(connection, MIDNIGHT + 120, reloaded=True)
    shorter.flush(connection, MIDNIGHT + HOUR)
    shorter.flush(connection, MIDNIGHT + HOUR + TICK)
    assert queued_for(connection) == [[("firing", "0x01")]]
    m.apply(connection, [fires("0x01", severity="P0")], MIDNIGHT + HOUR + 60)
    gone = manager()
    gone.reroute(connection, MIDNIGHT + HOUR + 61, reloaded=True)
    gone.flush(connection, MIDNIGHT + HOUR + 61 + TICK)
    assert ("firing", "P0") in severities(connection)


# --- cooldowns and rates --------------------------------------------------------------------------------


def test_within_its_cooldown_a_condition_is_recorded_and_not_reported_again(
    connection: sa.Connection,
) -> None:
    m = manager(cooldowns=[{"match": {"alertname": "TransferOverdue"}, "within": "10m"}])
    m.apply(connection, [fires()], NOW)
    m.apply(connection, [ends(until=T0 + 30)], NOW + 30)
    m.apply(connection, [fires(at=T0 + 60)], NOW + 60)
    m.apply(connection, [ends(at=T0 + 60, until=T0 + 90)], NOW + 90)
    m.apply(connection, [fires(at=T0 + 500)], NOW + 500)
    m.flush(connection, NOW + 620)
    assert len(alerts.list_alerts(connection)) == 3
    assert queued_for(connection) == [[("firing", "0x01")], [("resolved", "0x01")], [("firing", "0x01")]]


def test_rate_limits_keep_no_more_sources_than_there_were_in_the_last_minute_s10(
    connection: sa.Connection,
) -> None:
    m = manager(route(group_by=["..."]), receiver={"rate_limit": {"P1": 2}})
    for n in range(5):
        m.apply(connection, [fires(f"{n}", flow=f"f{n}")], NOW + 40 * n)
    assert len(queued_for(connection)) == 5
    sources = connection.execute(sa.select(rate_windows.c.source)).scalars()
    assert sorted(sources) == ["f3", "f4"]


def test_what_is_over_the_rate_limit_comes_as_one_summary_and_its_ends_too(connection: sa.Connection) -> None:
    m = manager(route(group_by=["..."]), receiver={"rate_limit": {"P1": 2}})
    m.apply(connection, [fires(f"{n}", flow="f") for n in range(6)], NOW)
    assert len(queued_for(connection)) == 2
    m.flush(connection, NOW + 60)
    assert len(queued_for(connection)) == 3
    assert len(queued_for(connection)[2]) == 4
    newest = outbox.list_notifications(connection)[0]
    assert newest.payload.kind == "limited"
    m.apply(connection, [ends(f"{n}", flow="f") for n in range(6)], NOW + 100)
    m.flush(connection, NOW + 200)
    assert sorted(len(one) for one in queued_for(connection)[3:]) == [1, 1, 4]


def test_a_summary_of_what_is_over_already_is_one_that_says_both(connection: sa.Connection) -> None:
    m = manager(route(group_by=["..."]), receiver={"rate_limit": {"P1": 1}})
    m.apply(connection, [fires(f"{n}", flow="f") for n in range(4)], NOW)
    m.apply(connection, [ends("2", until=T0 + 20, flow="f"), ends("3", until=T0 + 20, flow="f")], NOW + 20)
    m.flush(connection, NOW + 60)
    assert queued_for(connection) == [
        [("firing", "0")],
        [("firing", "1"), ("firing", "2"), ("resolved", "2"), ("firing", "3"), ("resolved", "3")],
    ]
    summary = load(connection, outbox.list_notifications(connection)[0])
    assert (summary.kind, summary.status) == ("limited", "firing")
    assert [alert.is_over for alert in summary.alerts] == [False, True, False, True, False]


def test_a_summary_of_a_condition_that_came_twice_is_one_too(connection: sa.Connection) -> None:
    m = manager(route(group_by=["..."]), receiver={"rate_limit": {"P1": 1}})
    m.apply(connection, [fires("0", flow="f"), fires("1", flow="f")], NOW)
    m.apply(connection, [ends("1", until=T0 + 20, flow="f")], NOW + 20)
    m.apply(connection, [fires("1", at=T0 + 30, flow="f")], NOW + 30)
    m.flush(connection, NOW + 60)
    assert queued_for(connection) == [
        [("firing", "0")],
        [("firing", "1"), ("resolved", "1"), ("firing", "1")],
    ]


# --- lifecycle ------------------------------------------------------------------------------------------


def test_a_condition_must_hold_for_its_time_before_it_is_reported(connection: sa.Connection) -> None:
    m = manager(lifecycle=[{"match": {"alertname": "TransferOverdue"}, "for": "60s"}])
    assert m.apply(connection, [fires()], NOW) == NOW + 60
    assert [a.state for a in alerts.list_alerts(connection)] == ["pending"]
    m.flush(connection, NOW + 60)
    assert queued_for(connection) == [[("firing", "0x01")]]
    assert kinds(connection) == ["pending", "firing"]


def test_a_condition_that_did_not_hold_for_its_time_is_reported_to_nobody(connection: sa.Connection) -> None:
    m = manager(lifecycle=[{"match": {"alertname": "TransferOverdue"}, "for": "60s"}])
    m.apply(connection, [fires()], NOW)
    m.apply(connection, [ends(until=T0 + 30)], NOW + 30)
    m.flush(connection, NOW + 100)
    assert queued_for(connection) == []
    assert [a.state for a in alerts.list_alerts(connection)] == ["resolved"]


def test_an_alert_is_kept_firing_until_its_condition_has_been_gone_for_a_while(
    connection: sa.Connection,
) -> None:
    m = manager(lifecycle=[{"match": {"alertname": "TransferOverdue"}, "keep_firing_for": "60s"}])
    m.apply(connection, [fires()], NOW)
    m.apply(connection, [ends(until=T0 + 30)], NOW + 30)
    m.apply(connection, [fires()], NOW + 40)
    m.apply(connection, [ends(until=T0 + 50)], NOW + 50)
    m.flush(connection, NOW + 109)
    assert queued_for(connection) == [[("firing", "0x01")]]
    m.flush(connection, NOW + 110)
    m.flush(connection, NOW + 125)
    assert queued_for(connection) == [[("firing", "0x01")], [("resolved", "0x01")]]
    (alert,) = alerts.list_alerts(connection)
    assert (alert.ends_at, alert.reason) == (T0 + 50, "late")
    assert history.repeats(connection, [alert.id]) == {alert.id: 1}


def test_an_alert_that_was_kept_firing_has_fired_since_its_first_start(connection: sa.Connection) -> None:
    m = manager(lifecycle=[{"match": {"alertname": "DiskFull"}, "keep_firing_for": "60s"}])
    one = {"alertname": "DiskFull", "severity": "P1"}
    m.apply(connection, [Signal(one, T0)], NOW)
    m.apply(connection, [Signal(one, T0, {}, T0 + 30, "gone")], NOW + 30)
    m.apply(connection, [Signal(one, T0 + 40)], NOW + 40)
    (alert,) = alerts.list_alerts(connection)
    assert (alert.state, alert.starts_at) == ("firing", T0)


def test_an_alert_that_flaps_is_held_as_firing_until_it_is_steady(connection: sa.Connection) -> None:
    m = manager(alerts={"flapping_changes": 4, "flapping_within": "10m"})
    one = {"alertname": "DiskFull", "severity": "P1"}
    for turn in range(4):
        m.apply(connection, [Signal(one, T0 + 20 * turn)], NOW + 20 * turn)
        m.apply(
            connection, [Signal(one, T0 + 20 * turn, {}, T0 + 20 * turn + 10, "gone")], NOW + 20 * turn + 10
        )
    newest, first = alerts.list_alerts(connection)
    assert (first.state, newest.state) == ("resolved", "firing")
    assert "4 changes within 10m" in newest.annotations["flapping"]
    m.flush(connection, NOW + 70 + 600)
    assert alerts.list_alerts(connection)[0].reason == "steady again"


def test_who_was_reported_of_an_alert_hears_once_that_it_flaps(connection: sa.Connection) -> None:
    m = manager(alerts={"flapping_changes": 4, "flapping_within": "10m"})
    one = {"alertname": "DiskFull", "severity": "P1"}
    for at in range(0, 300, 60):
        m.apply(connection, [Signal(one, T0 + at)], NOW + at)
        m.flush(connection, NOW + at + TICK)
        m.apply(connection, [Signal(one, T0 + at, {}, T0 + at + 30, "gone")], NOW + at + 30)
        m.flush(connection, NOW + at + 30 + TICK)
    fires_, ends_ = ("firing", "P1"), ("resolved", "P1")
    assert severities(connection) == [fires_, ends_, fires_, fires_], "the last says that it flaps"
    assert alerts.list_alerts(connection)[0].annotations["flapping"]
    m.flush(connection, NOW + 300 + 600)
    m.flush(connection, NOW + 300 + 600 + TICK)
    assert severities(connection)[4:] == [ends_]


@pytest.mark.parametrize("acknowledged", [False, True])
def test_a_condition_that_comes_and_goes_is_counted_on_while_it_flaps(
    connection: sa.Connection, acknowledged: bool
) -> None:
    m = manager(
        route(match={"severity": "P3"}, digest="daily 09:00 UTC"),
        route("pager", match={"severity": "P2"}, group_interval="1s"),
        escalate_after={"within": "15m", "occurrences": {"P3": 5}},
    )
    one = {"alertname": "Noise", "severity": "P3"}
    for turn in range(5):
        at = 60 * turn
        if turn == 4:
            assert outbox.list_notifications(connection, receiver="pager") == []
            (alert, *_) = alerts.firing(connection)
            assert "flapping" in alert.annotations
            if acknowledged:
                save = Acknowledgement(alert.id, "ann", NOW + at, "", None, "P3", NOW + at)
                acknowledgements.save(connection, [save])
        m.apply(connection, [Signal(one, T0 + at)], NOW + at)
        m.flush(connection, NOW + at + 1)
        m.flush(connection, NOW + at + 3)
        if turn < 4:
            m.apply(connection, [Signal(one, T0 + at, {}, T0 + at + 30, "gone")], NOW + at + 30)
    assert incidents.rises(connection, [alert.id]) == {alert.id: "P2"}
    assert acknowledgements.every(connection) == [], "at a higher severity it is nobody's"
    queued = outbox.list_notifications(connection, receiver="pager")
    (heard,) = load(connection, queued[0]).alerts
    assert (heard.status, heard.annotations["escalated_to"]) == ("firing", "P2")


def test_what_is_sent_again_while_it_fires_is_not_counted(connection: sa.Connection) -> None:
    m = manager(
        route(match={"severity": "P3"}),
        route("pager", match={"severity": "P2"}),
        escalate_after={"within": "15m", "occurrences": {"P3": 5}},
    )
    one = {"alertname": "Noise", "severity": "P3"}
    for turn in range(20):
        m.apply(connection, [Signal(one, T0, {"turn": str(turn)})], NOW + turn)
    assert outbox.list_notifications(connection, receiver="pager") == []


# --- digests and trees ----------------------------------------------------------------------------------


def test_a_digest_reports_everything_once_a_day(connection: sa.Connection) -> None:
    midnight = T0 - T0 % 86_400
    m = manager(route(digest="daily 09:00 UTC"))
    assert m.apply(connection, [fires("a"), fires("b", name="Other")], midnight) == midnight + 9 * 3600
    m.apply(connection, [ends("b", name="Other")], midnight + 60)
    m.flush(connection, midnight + 9 * 3600)
    assert queued_for(connection) == [[("firing", "a"), ("firing", "b"), ("resolved", "b")]]
    digest = load(connection, outbox.list_notifications(connection)[0])
    assert [(a.labels["transfer"], a.is_over) for a in digest.alerts] == [
        ("a", False),
        ("b", True),
        ("b", False),
    ]
    m.flush(connection, midnight + 33 * 3600)
    assert queued_for(connection)[1:] == [[("firing", "a")]]


@pytest.mark.parametrize(
    ("noon", "nights"),
    [
        ("2026-03-28T12:00:00+01:00", ["03-29T03:00+02:00", "03-30T02:30+02:00", "03-31T02:30+02:00"]),
        ("2026-10-24T12:00:00+02:00", ["10-25T02:30+02:00", "10-26T02:30+01:00", "10-27T02:30+01:00"]),
    ],
    ids=["spring skips its time", "autumn shows it twice"],
)
def test_a_digest_comes_once_in_each_night_though_the_clocks_change(
    connection: sa.Connection, noon: str, nights: list[str]
) -> None:
    start = datetime.fromisoformat(noon).timestamp()
    m = manager(route(digest="daily 02:30 Europe/Berlin"))
    due = m.apply(connection, [fires(at=int(start))], start)
    while due is not None and due < start + 2.7 * 86_400:
        due = m.flush(connection, due)
    zone = ZoneInfo("Europe/Berlin")
    sent = [q.created_at for q in reversed(outbox.list_notifications(connection))]
    assert [datetime.fromtimestamp(at, zone).isoformat(timespec="minutes")[5:] for at in sent] == nights


def test_a_digest_is_sent_empty_when_that_is_asked_for(connection: sa.Connection) -> None:
    midnight = T0 - T0 % 86_400
    m = manager(route(digest="daily 09:00 UTC", digest_empty=True))
    assert m.reroute(connection, midnight) == midnight + 9 * 3600
    m.flush(connection, midnight + 9 * 3600)
    assert queued_for(connection) == [[]]
    assert outbox.list_notifications(connection)[0].payload.kind == "digest"


def test_what_waits_for_the_summary_of_a_rate_limit_is_reported_once_after_a_restart(
    connection: sa.Connection,
) -> None:
    policies = Policies(rate_limits={"ops": {"P1": 1}})
    manager = AlertManager([route(group_by=["..."])], {"ops": True}, 0, policies)
    manager.apply(connection, [fires("a"), fires("b")], NOW)
    manager.reroute(connection, NOW + 1)
    manager.flush(connection, NOW + 60)
    assert [{t for _, t in message} for message in queued_for(connection)] == [{"a"}, {"b"}]
