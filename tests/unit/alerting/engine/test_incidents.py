"""Incidents and their escalations, over a real database."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from chainwatch.alerting.delivery.notification import load
from chainwatch.alerting.engine import incidents as engine_module
from chainwatch.alerting.engine.grouped import GroupManager
from chainwatch.alerting.engine.incidents import LOOK_AGAIN_AFTER, Incidents, Place
from chainwatch.alerting.policy.escalation import build_policies
from chainwatch.alerting.policy.lifecycle import fingerprint
from chainwatch.alerting.policy.oncall import build_schedules
from chainwatch.alerting.policy.people import People
from chainwatch.alerting.policy.policies import Policies
from chainwatch.config.people import EscalationSettings, OnCallSettings, PersonSettings, RiseSettings
from chainwatch.store.alerting import alerts, escalations, incidents, outbox
from chainwatch.store.alerting.alert_tables import acknowledgements, alert_members
from chainwatch.store.alerting.alert_tables import alerts as alert_rows
from chainwatch.store.alerting.alerts import Alert
from tests.support.storing import transaction_on
from tests.unit.alerting.helpers import T0

NOW = float(T0)
PLACE = Place("{}/{}:{}", "{}", {"alertname": "TransferOverdue"}, "night")


@pytest.fixture
def connection(database_url: str) -> Iterator[sa.Connection]:
    with transaction_on(database_url) as connection:
        yield connection


def people(steps: Sequence[dict[str, Any]], rise: RiseSettings | None = None, **policy: Any) -> People:
    """A policy called night, anna and bob, and a schedule on which anna is always on call."""
    everybody = {
        name: PersonSettings.model_validate({"name": name, "receivers": f"{name}-phone"})
        for name in ("anna", "bob")
    }
    night = EscalationSettings.model_validate({"name": "night", "steps": list(steps), **policy})
    primary = OnCallSettings.model_validate({"name": "primary", "layers": [{"people": ["anna"]}]})
    return People(
        policies=build_policies({"night": night}, everybody),
        schedules=build_schedules({"primary": primary}),
        receivers=frozenset(["ops", "anna-phone", "bob-phone"]),
        rise_within=rise.within if rise else 0.0,
        rise_after=rise.occurrences if rise else {},
    )


def engine_of(whom: People) -> Incidents:
    return Incidents(whom, GroupManager((), {}, Policies()))


STEPS = [
    {"notify": "ops"},
    {"wait": "5m", "notify": "oncall:primary"},
    {"wait": "5m", "notify": "person:bob"},
]


def fire(connection: sa.Connection, *ids: int, severity: str = "P1", at: float = NOW) -> None:
    """Store firing alerts."""
    new = []
    for alert_id in ids:
        labels = {"alertname": "TransferOverdue", "transfer": str(alert_id), "severity": severity}
        new.append(Alert(alert_id, fingerprint(labels), labels, {}, int(at), at))
    alerts.insert(connection, new)


def end(connection: sa.Connection, *ids: int, now: float = NOW) -> None:
    for alert_id in ids:
        connection.execute(
            sa.update(alert_rows).where(alert_rows.c.id == alert_id).values(state="resolved", ends_at=T0)
        )
    incidents.end(connection, ids, now)


def acknowledge(connection: sa.Connection, alert_id: int) -> None:
    row = {"alert_id": alert_id, "actor": "anna", "at": NOW, "note": "", "severity": "P1", "reminded_at": NOW}
    connection.execute(sa.insert(acknowledgements).values(row))


def notified(connection: sa.Connection) -> list[tuple[str, tuple[int, ...]]]:
    """(receiver, alerts sent as firing) of each notification, in order."""
    queued = outbox.list_notifications(connection, limit=10_000)
    return [(one.receiver, one.payload.firing) for one in reversed(queued)]


def timeline(connection: sa.Connection, incident_id: int = 1) -> list[str]:
    return [f"{e.kind}: {e.text}" for e in incidents.entries(connection, incident_id)]


def opened(connection: sa.Connection, engine: Incidents, *ids: int, now: float = NOW) -> dict[int, str]:
    return engine.opened(connection, [(alert_id, PLACE) for alert_id in ids], now)


def test_steps_are_taken_in_order_each_after_its_wait(connection: sa.Connection) -> None:
    engine = engine_of(people(STEPS))
    fire(connection, 1, 2)
    opened(connection, engine, 1, 2)
    assert engine.advance(connection, NOW) == NOW + 300
    assert notified(connection) == [("ops", (1, 2))]
    assert engine.advance(connection, NOW + 299) == NOW + 300
    assert engine.advance(connection, NOW + 300) == NOW + 600
    assert engine.advance(connection, NOW + 600) is None
    assert notified(connection)[1:] == [("anna-phone", (1, 2)), ("bob-phone", (1, 2))]
    assert timeline(connection) == [
        "started: escalation night",
        "step: step 1: ops",
        "step: step 2: oncall:primary (anna)",
        "step: step 3: person:bob",
        "ended: escalation night has no more steps",
    ]


def test_steps_that_came_due_while_the_process_was_down_are_all_taken_after_it_s2(
    connection: sa.Connection,
) -> None:
    engine = engine_of(people(STEPS))
    fire(connection, 1)
    opened(connection, engine, 1)
    assert engine.advance(connection, NOW + 450) == NOW + 600
    assert [receiver for receiver, _ in notified(connection)] == ["ops", "anna-phone"]


def test_a_transaction_takes_so_many_steps_and_asks_to_be_called_for_the_others_at_once_s10(
    connection: sa.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "PAGES", 1)
    monkeypatch.setattr(engine_module, "DUE_AT_ONCE", 2)
    engine = engine_of(people([{"notify": "ops"}]))
    fire(connection, 1, 2, 3)
    places = [(i, Place(f"key {i}", "{}", {"alertname": "x"}, "night")) for i in (1, 2, 3)]
    engine.opened(connection, places, NOW)
    assert engine.advance(connection, NOW) == NOW
    assert len(notified(connection)) == 2
    assert engine.advance(connection, NOW) is None
    assert len(notified(connection)) == 3


def test_a_repeated_policy_reports_again(connection: sa.Connection) -> None:
    engine = engine_of(people([{"notify": "ops"}], repeat=2, repeat_wait="10m"))
    fire(connection, 1)
    opened(connection, engine, 1)
    assert engine.advance(connection, NOW) == NOW + 600
    engine.advance(connection, NOW + 10_000)
    assert [receiver for receiver, _ in notified(connection)] == ["ops"] * 3


def test_an_acknowledgement_stops_the_steps_and_a_lapse_begins_them_anew(connection: sa.Connection) -> None:
    engine = engine_of(people(STEPS))
    fire(connection, 1)
    opened(connection, engine, 1)
    engine.advance(connection, NOW)
    acknowledge(connection, 1)
    assert engine.advance(connection, NOW + 300) == NOW + 300 + LOOK_AGAIN_AFTER
    assert engine.advance(connection, NOW + 330) == NOW + 330 + LOOK_AGAIN_AFTER
    assert notified(connection) == [("ops", (1,))]
    connection.execute(sa.delete(acknowledgements))
    assert engine.advance(connection, NOW + 360) == NOW + 660
    assert notified(connection) == [("ops", (1,))] * 2
    assert timeline(connection)[2:4] == [
        "stopped: step 2 and what follows are not taken: acknowledged by anna",
        "started: escalation night, from the beginning",
    ]


def test_a_step_that_waits_in_its_queue_does_not_say_that_nobody_has_what_somebody_has(
    connection: sa.Connection,
) -> None:
    engine = engine_of(people(STEPS))
    fire(connection, 1)
    opened(connection, engine, 1)
    engine.advance(connection, NOW + 300)
    newest = outbox.list_notifications(connection)[0]
    assert load(connection, newest).note == "Escalation night, step 2: nobody has acknowledged this."
    row = {"alert_id": 1, "actor": "anna", "at": NOW + 301, "note": "", "severity": "P1", "reminded_at": NOW}
    connection.execute(sa.insert(acknowledgements).values(row))
    assert load(connection, newest).note == (
        "Escalation night, step 2. Acknowledged by anna: TransferOverdue."
    )


def test_a_step_reports_only_of_what_is_nobody_s_yet(connection: sa.Connection) -> None:
    engine = engine_of(people(STEPS))
    fire(connection, 1, 2)
    opened(connection, engine, 1, 2)
    acknowledge(connection, 1)
    engine.advance(connection, NOW)
    assert notified(connection) == [("ops", (2,))]


def test_an_escalation_ends_with_the_last_of_its_alerts_and_the_next_one_is_another_incident(
    connection: sa.Connection,
) -> None:
    engine = engine_of(people(STEPS))
    fire(connection, 1, 2)
    opened(connection, engine, 1, 2)
    end(connection, 1, now=NOW + 10)
    assert engine.advance(connection, NOW + 10) == NOW + 300
    end(connection, 2, now=NOW + 20)
    assert engine.advance(connection, NOW + 1000) is None
    assert [receiver for receiver, _ in notified(connection)] == ["ops"]
    fire(connection, 3)
    opened(connection, engine, 3, now=NOW + 2000)
    first, second = incidents.get(connection, 1), incidents.get(connection, 2)
    assert first is not None
    assert second is not None
    assert (first.ended_at, second.ended_at) == (NOW + 20, None)
    assert incidents.alert_ids(connection, 2) == [3]


def test_whoever_was_reported_by_a_step_is_owed_the_end(connection: sa.Connection) -> None:
    engine = engine_of(people(STEPS))
    fire(connection, 1)
    opened(connection, engine, 1)
    engine.advance(connection, NOW + 300)
    owed = connection.execute(sa.select(alert_members.c.alert_id, alert_members.c.notified)).all()
    assert [tuple(row) for row in owed] == [(1, 1), (1, 1)]


def test_a_change_of_the_configuration_does_not_derail_what_runs(connection: sa.Connection) -> None:
    fire(connection, 1)
    before = engine_of(people(STEPS))
    opened(connection, before, 1)
    before.advance(connection, NOW)
    after = engine_of(people([{"notify": "ops"}]))
    assert after.advance(connection, NOW + 300) == NOW + 600
    assert [receiver for receiver, _ in notified(connection)] == ["ops", "anna-phone"]
    gone = engine_of(People(receivers=frozenset(["bob-phone"])))
    gone.advance(connection, NOW + 600)
    assert notified(connection)[-1] == ("bob-phone", (1,))


def test_an_override_says_who_is_woken(connection: sa.Connection) -> None:
    engine = engine_of(people(STEPS))
    fire(connection, 1)
    opened(connection, engine, 1)
    escalations.add_override(connection, "primary", "bob", T0, T0 + 3600, "anna", NOW)
    engine.advance(connection, NOW + 300)
    assert [receiver for receiver, _ in notified(connection)] == ["ops", "bob-phone"]


def test_a_step_for_other_severities_is_passed_over_and_what_reaches_nobody_is_noted(
    connection: sa.Connection,
) -> None:
    steps: list[dict[str, Any]] = [
        {"notify": "ops", "if_severity": "P0"},
        {"notify": ["oncall:gone", "pager"]},
    ]
    engine = engine_of(people(steps))
    fire(connection, 1)
    opened(connection, engine, 1)
    assert engine.advance(connection, NOW) is None
    assert notified(connection) == []
    assert timeline(connection)[1:4] == [
        "skipped: step 1: not for P1 at this time",
        "skipped: step 2: oncall:gone: no such schedule",
        "skipped: step 2: pager: no such receiver",
    ]


def test_alerts_that_come_too_often_count_as_more_severe_all_that_fire_of_them(
    connection: sa.Connection,
) -> None:
    rise = RiseSettings.model_validate({"within": "10m"})
    engine = engine_of(people([{"notify": "ops", "if_severity": "P0"}], rise))
    fire(connection, 1)
    assert opened(connection, engine, 1) == {}
    fire(connection, 2, at=NOW + 60)
    assert opened(connection, engine, 2, now=NOW + 60) == {1: "P0", 2: "P0"}
    assert incidents.rises(connection, [1, 2, 3]) == {1: "P0", 2: "P0"}
    assert "raised: 2 alerts of P1 count as P0" in timeline(connection)


def test_occurrences_before_the_window_do_not_count(connection: sa.Connection) -> None:
    engine = engine_of(people(STEPS, RiseSettings.model_validate({"within": "10m"})))
    fire(connection, 1)
    opened(connection, engine, 1)
    fire(connection, 2, at=NOW + 601)
    assert opened(connection, engine, 2, now=NOW + 601) == {}


def test_old_incidents_are_forgotten_but_for_the_newest(connection: sa.Connection) -> None:
    engine = engine_of(People())
    for alert_id in (1, 2):
        fire(connection, alert_id)
        opened(connection, engine, alert_id)
        end(connection, alert_id)
    assert incidents.prune(connection, NOW + 1, 100) == 1
    assert incidents.get(connection, 1) is None
    assert incidents.alert_ids(connection, 1) == []
    assert incidents.next_id(connection) == 3
