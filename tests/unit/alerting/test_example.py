"""Who is sent what by the documented example, config.toml."""

import sqlalchemy as sa

from chainwatch.alerting.engine.manager import AlertManager
from chainwatch.config import load
from chainwatch.model import Signal
from chainwatch.store.alerting import outbox
from tests.support.pages import ROOT, variables
from tests.unit.alerting.helpers import T0

EXAMPLE = ROOT / "config.toml"


def manager() -> AlertManager:
    return AlertManager.of(load(EXAMPLE, variables(EXAMPLE.read_text())), 0)


def test_by_the_example_a_p0_is_reported_at_once_to_everybody_on_call(connection: sa.Connection) -> None:
    manager().apply(connection, [Signal({"alertname": "TransferOrphan", "severity": "P0"}, T0)], T0)
    queued = outbox.list_notifications(connection)
    assert sorted(one.receiver for one in queued) == ["console", "ops-discord", "ops-webhook"]
    (notified,) = [one.payload.note for one in queued if one.receiver == "ops-discord"]
    assert notified == "Escalation wake, step 1."


def test_by_the_example_p2_is_grouped_and_p3_waits_for_the_daily_summary(connection: sa.Connection) -> None:
    noon = T0 + 12 * 3600
    for number in range(2):
        labels = {"alertname": "TransferOverdue", "transfer": str(number), "destination": "bnb"}
        signals = [Signal({**labels, "severity": severity}, noon) for severity in ("P2", "P3")]
        manager().apply(connection, signals, noon + number)
    assert outbox.list_notifications(connection) == []
    manager().flush(connection, noon + 30)
    notified = {one.receiver: len(one.payload.firing) for one in outbox.list_notifications(connection)}
    assert notified == {"console": 2, "ops-discord": 2, "ops-webhook": 2}
    manager().flush(connection, noon + 86_400)
    digests = [one for one in outbox.list_notifications(connection) if one.payload.kind == "digest"]
    assert sorted((one.receiver, len(one.payload.firing)) for one in digests) == [
        ("console", 2),
        ("ops-webhook", 2),
    ]


def test_by_the_example_a_storm_is_one_message_though_its_alerts_count_as_more_severe(
    connection: sa.Connection,
) -> None:
    noon = T0 + 12 * 3600
    labels = {"alertname": "TransferOverdue", "severity": "P1", "destination": "bnb"}
    for page in range(2):
        signals = [Signal({**labels, "transfer": f"{page}-{n}"}, noon) for n in range(50)]
        manager().apply(connection, signals, noon + page)
    for later in (15, 30, 60, 300):
        manager().flush(connection, noon + later)
    notified = [(one.receiver, len(one.payload.firing)) for one in outbox.list_notifications(connection)]
    assert sorted(notified) == [("console", 100), ("ops-discord", 100), ("ops-webhook", 100)]


def test_by_the_example_what_rises_at_night_is_reported_by_the_route_of_its_new_severity(
    connection: sa.Connection,
) -> None:
    labels = {"alertname": "TransferOverdue", "severity": "P2", "destination": "bnb"}
    manager().apply(connection, [Signal({**labels, "transfer": str(n)}, T0) for n in range(3)], T0)
    manager().flush(connection, T0 + 30)
    notified = {one.receiver: len(one.payload.firing) for one in outbox.list_notifications(connection)}
    assert notified == {"console": 3, "ops-discord": 3, "ops-webhook": 3}
