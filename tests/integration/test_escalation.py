"""Escalation from the configuration to the queues: through the manager, over a real database."""

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from chainwatch.alert_model import Acknowledgement, Silence
from chainwatch.alerting.delivery.notification import load
from chainwatch.alerting.engine.alert_engine import AlertEngine
from chainwatch.alerting.policy.policies import Policies
from chainwatch.chain.transport import open_session
from chainwatch.config import from_dict, read_dict
from chainwatch.monitor.monitor import Monitor
from chainwatch.plan import make_plan
from chainwatch.store.alerting import acknowledgements, escalations, incidents, outbox, silences
from chainwatch.store.database import Database
from tests.support.receiver import Receiver
from tests.support.storing import transaction_on
from tests.unit.alerting.helpers import T0, ends, fires

NOW = float(T0)

CONFIG: dict[str, Any] = {
    "networks": {"alpha": {"chain_id": 1, "rpc": ["http://localhost:1"]}},
    "receivers": {name: {"provider": "console"} for name in ("ops", "anna-phone", "bob-phone")},
    "people": {"anna": {"receivers": "anna-phone"}, "bob": {"receivers": "bob-phone"}},
    "oncall": {"primary": {"layers": [{"people": ["anna"]}]}},
    "escalations": {
        "night": {
            "steps": [
                {"wait": "5m", "notify": "oncall:primary"},
                {"wait": "5m", "notify": ["person:bob", "ops"]},
            ]
        }
    },
    "routes": [{"receivers": ["ops"], "group_wait": "0s", "group_interval": "10s", "escalation": "night"}],
}


@pytest.fixture
def connection(database_url: str) -> Iterator[sa.Connection]:
    with transaction_on(database_url) as connection:
        yield connection


def manager(**changes: Any) -> AlertEngine:
    settings = from_dict({**CONFIG, **changes})
    return AlertEngine(settings.routes, dict.fromkeys(settings.receivers, True), 0, Policies.of(settings))


def notified(connection: sa.Connection, receiver: str) -> list[tuple[int, int]]:
    """(alerts sent as firing, alerts sent as resolved) of each notification of a receiver."""
    queued = outbox.list_notifications(connection, receiver=receiver, limit=1000)
    return [(len(q.payload.firing), len(q.payload.resolved)) for q in reversed(queued)]


def test_a_storm_wakes_each_person_once_and_everybody_hears_of_the_end(connection: sa.Connection) -> None:
    alerts = manager()
    storm = [fires(f"0x{i:x}") for i in range(1000)]
    alerts.apply(connection, storm, NOW)
    assert (notified(connection, "ops"), notified(connection, "anna-phone")) == ([(1000, 0)], [])
    for later in (300, 310, 600, 610):
        alerts.flush(connection, NOW + later)
    assert notified(connection, "anna-phone") == [(1000, 0)]
    (woken,) = outbox.list_notifications(connection, receiver="bob-phone")
    assert woken.payload.note == "Escalation night, step 2: nobody has acknowledged this."
    assert notified(connection, "ops") == [(1000, 0), (1000, 0)]
    alerts.apply(connection, [ends(f"0x{i:x}") for i in range(1000)], NOW + 700)
    alerts.flush(connection, NOW + 720)
    for receiver in ("ops", "anna-phone", "bob-phone"):
        assert notified(connection, receiver)[-1] == (0, 1000)
    found = incidents.get(connection, 1)
    assert found is not None
    assert found.ended_at == NOW + 700


def test_the_manager_asks_to_be_called_when_the_next_step_is_due(connection: sa.Connection) -> None:
    assert manager().apply(connection, [fires()], NOW) == NOW + 300


def test_what_is_acknowledged_wakes_nobody(connection: sa.Connection) -> None:
    alerts = manager()
    alerts.apply(connection, [fires()], NOW)
    acknowledgements.save(connection, [Acknowledgement(1, "anna", NOW, "", None, "P1", NOW)])
    alerts.flush(connection, NOW + 700)
    assert notified(connection, "anna-phone") == []


def test_what_is_silenced_wakes_nobody_until_the_silence_ends(connection: sa.Connection) -> None:
    alerts = manager()
    match = {"alertname": ["TransferOverdue"]}
    silences.add(connection, Silence(match, NOW - 1, NOW + 400, "anna", "upgrade", NOW))
    alerts.apply(connection, [fires()], NOW)
    alerts.flush(connection, NOW + 350)
    assert notified(connection, "anna-phone") == []
    alerts.flush(connection, NOW + 420)
    assert notified(connection, "anna-phone") == []
    alerts.flush(connection, NOW + 720)
    assert notified(connection, "anna-phone") == [(1, 0)]


def test_frequent_alerts_reach_the_channels_of_the_next_severity_and_keep_their_labels(
    connection: sa.Connection,
) -> None:
    routes = [
        {"match": {"severity": "P0"}, "receivers": ["bob-phone"], "group_wait": "0s"},
        {"receivers": ["ops"], "group_wait": "0s", "group_interval": "10s"},
    ]
    alerts = manager(routes=routes, escalate_after={"within": "10m"})
    alerts.apply(connection, [fires("0x01")], NOW)
    assert notified(connection, "bob-phone") == []
    alerts.apply(connection, [fires("0x02")], NOW + 60)
    alerts.flush(connection, NOW + 70)
    assert notified(connection, "bob-phone") == [(2, 0)]
    assert notified(connection, "ops") == [(1, 0), (2, 0)]
    (queued,) = outbox.list_notifications(connection, receiver="bob-phone")
    (first, _) = load(connection, queued).alerts
    assert (first.labels["severity"], first.annotations["escalated_to"]) == ("P1", "P0")
    alerts.apply(connection, [ends("0x01"), ends("0x02")], NOW + 80)
    alerts.flush(connection, NOW + 120)
    assert notified(connection, "bob-phone")[-1] == (0, 2)


def test_a_restart_between_two_steps_changes_nothing_s2(connection: sa.Connection) -> None:
    manager().apply(connection, [fires()], NOW)
    manager().reroute(connection, NOW + 100)
    manager().flush(connection, NOW + 300)
    assert notified(connection, "anna-phone") == [(1, 0)]


async def test_a_running_process_takes_a_step_on_time_and_follows_an_override_at_once(tmp_path: Path) -> None:
    async with Receiver() as hook:
        webhook = {"provider": "webhook", "allow_private": True}
        receivers = {
            name: {**webhook, "url": f"{hook.url}/{name}"} for name in ("ops", "anna-phone", "bob-phone")
        }
        wake = {"steps": [{"notify": "oncall:primary", "wait": wait} for wait in ("300ms", "4s")]}
        config = {**CONFIG, "receivers": receivers, "escalations": {"night": wake}}
        plan = make_plan(read_dict({**config, "store": {"url": f"sqlite:///{tmp_path / 'm.db'}"}}))
        with closing(Database.open(f"sqlite:///{tmp_path / 'm.db'}", durable=False)) as database:
            async with open_session() as session:
                monitor = Monitor(plan, database, session)
                await monitor.start()
                try:
                    began = time.time()
                    await monitor.raise_signals([fires()])
                    await hook.wait_for(2)
                    with database.transaction() as connection:
                        now = int(time.time())
                        escalations.add_override(connection, "primary", "bob", now - 1, now + 60, "x", now)
                    requests = await hook.wait_for(3)
                finally:
                    await monitor.stop()
    notified = {
        request.path: request.arrived_at - began for request in requests if "alerts" in request.json()
    }
    assert list(notified) == ["/ops", "/anna-phone", "/bob-phone"]
    assert notified["/anna-phone"] >= 0.3
    assert notified["/bob-phone"] >= 4.3
