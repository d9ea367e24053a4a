"""10,000 firing alerts and 1,000 silences: what one request costs, and that none of it is done on the event loop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import msgspec
import pytest
import sqlalchemy as sa

from chainwatch.alerting.engine import intake
from chainwatch.alerting.engine.alert_engine import AlertEngine
from chainwatch.alerting.policy.severities import Severities
from chainwatch.api.alertmanager.listing import Query, grouped, listed
from chainwatch.api.alertmanager.posted import parse_alerts
from chainwatch.config import read_dict
from chainwatch.operations.context import Context
from chainwatch.operations.tested_silences import WantedSilence, list_tested, put
from chainwatch.operations.unresolved_alerts import list_unresolved
from chainwatch.plan import make_plan
from chainwatch.store.database import Database
from tests.support.effort import effort_within

NOW = 1_900_000_000.0
ALERTS, TOGETHER, SILENCES = 10_000, 250, 1_000


def body(number: int) -> bytes:
    return msgspec.json.encode(
        [
            {
                "labels": {
                    "alertname": f"Name{at % 50}",
                    "severity": ("page", "none", "warning")[at % 3],
                    "instance": f"host-{number + at}:9100",
                },
                "annotations": {"summary": "something is wrong " * 3},
                "generatorURL": "http://prom.example/graph?g0.expr=up",
            }
            for at in range(TOGETHER)
        ]
    )


@pytest.fixture
def many(sqlite_url: str) -> Iterator[tuple[sa.Connection, Context]]:
    plan = make_plan(
        read_dict(
            {
                "store": {"url": sqlite_url},
                "receivers": {"ops": {"provider": "console"}},
                "routes": [{"receivers": ["ops"], "match": {"severity": ["P1", "P2"]}}],
            },
            watches=False,
        )
    )
    engine = AlertEngine.of(plan.settings, 0)
    context = Context(plan.settings, engine, ("ops",))
    with (
        closing(Database.open(sqlite_url, durable=False)) as database,
        database.transaction() as connection,
    ):
        for number in range(0, ALERTS, TOGETHER):
            posted = parse_alerts(body(number), Severities(), NOW, 300.0)
            for sent in intake.rounds(posted.valid):
                engine.take(connection, intake.take(connection, sent, NOW, 300.0), NOW)
        for number in range(SILENCES):
            host = (
                ("instance", "=~", f"host-{number}.+") if number % 10 == 0 else ("instance", "=", f"{number}")
            )
            put(connection, context, NOW, WantedSilence((host,), NOW, NOW + 3600, "anna", "works"))
        yield connection, context


@pytest.mark.slow
def test_reading_and_posting_stay_cheap(many: tuple[sa.Connection, Context]) -> None:
    """Several times what each takes is far less than one test for each alert and silence."""
    connection, context = many
    for show in (listed, grouped):
        with effort_within(3):
            alerts = list_unresolved(connection, context, NOW)
            msgspec.json.encode(show(alerts, Query(), NOW, ""))
        assert len(alerts) == ALERTS
    with effort_within(1):
        assert len(list_tested(connection, context, NOW)) == SILENCES
    with effort_within(1):
        (sent,) = intake.rounds(parse_alerts(body(0), Severities(), NOW, 300.0).valid)
        context.engine.take(connection, intake.take(connection, sent, NOW, 300.0), NOW)
    with effort_within(4):
        context.engine.flush(connection, NOW + 10)  # every group is sent, and every silence is asked
