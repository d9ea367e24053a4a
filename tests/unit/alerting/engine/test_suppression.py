"""What silences, inhibition and quiet hours suppress, over a real database: what is sent when, and what is recorded."""

import pytest
import sqlalchemy as sa

from chainwatch.alert_model import Silence
from chainwatch.model import Signal
from chainwatch.store.alerting import (
    alert_groups,
    alerts,
    silences,
    suppressions,
)
from tests.unit.alerting.helpers import NOW, T0, TICK, ends, fires, kinds, manager, queued_for, route, silence

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
    assert (
        suppressions.suppresses_any(connection, mine),
        suppressions.suppresses_any(connection, other),
    ) == (
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
