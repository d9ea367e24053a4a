"""Who is told what by the documented example, config.toml."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from chainwatch.alerting.manager import AlertManager
from chainwatch.config import load
from chainwatch.model import Signal
from chainwatch.store import outbox
from chainwatch.store.database import Database
from tests.support.pages import ROOT, variables
from tests.unit.alerting.helpers import T0

EXAMPLE = ROOT / "config.toml"


@pytest.fixture
def connection(sqlite_url: str) -> Iterator[sa.Connection]:
    database = Database.open(sqlite_url, durable=False)
    with database.transaction() as connection:
        yield connection
    database.close()


def manager() -> AlertManager:
    return AlertManager.of(load(EXAMPLE, variables(EXAMPLE.read_text())), 0)


def test_by_the_example_a_p0_is_told_at_once_to_everybody_on_call(connection: sa.Connection) -> None:
    manager().apply(connection, [Signal({"alertname": "TransferOrphan", "severity": "P0"}, T0)], T0)
    queued = outbox.list_notifications(connection)
    assert sorted(one.receiver for one in queued) == ["console", "ops-discord", "ops-webhook"]
    (told,) = [one.payload.note for one in queued if one.receiver == "ops-discord"]
    assert told == "Escalation wake, step 1."


def test_by_the_example_p2_is_grouped_and_p3_waits_for_the_daily_summary(connection: sa.Connection) -> None:
    noon = T0 + 12 * 3600
    for number in range(2):
        labels = {"alertname": "TransferOverdue", "transfer": str(number), "destination": "bnb"}
        signals = [Signal({**labels, "severity": severity}, noon) for severity in ("P2", "P3")]
        manager().apply(connection, signals, noon + number)
    assert outbox.list_notifications(connection) == []
    manager().flush(connection, noon + 30)
    told = {one.receiver: len(one.payload.firing) for one in outbox.list_notifications(connection)}
    assert told == {"console": 2, "ops-discord": 2, "ops-webhook": 2}
    manager().flush(connection, noon + 86_400)
    digests = [one for one in outbox.list_notifications(connection) if one.payload.kind == "digest"]
    assert sorted((one.receiver, len(one.payload.firing)) for one in digests) == [
        ("console", 2),
        ("ops-webhook", 2),
    ]
