"""Long lists and counts are read by indexes on either database: none of them reads a whole table."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from chainwatch.store import tables, transfer_search, transfer_totals, transfers
from chainwatch.store.alerting import alerts, incidents, outbox, past_notifications

READS: dict[str, tuple[Callable[[sa.Connection], Any], str]] = {
    "newest alerts": (lambda c: alerts.list_alerts(c, limit=100), "alerts_by_start"),
    "further alerts": (lambda c: alerts.list_alerts(c, before=(5, 5), limit=100), "alerts_by_start"),
    "alerts of a window": (lambda c: alerts.list_alerts(c, since=5, until=9), "alerts_by_start"),
    "counts of alerts": (alerts.counts, "alerts_counted"),
    "depths of queues": (
        outbox.depths,
        "notifications_",
    ),  # PostgreSQL may take either that begins with the status
    "dead notifications": (
        lambda c: outbox.list_notifications(c, receiver="ops", status="dead"),
        "notifications_listed",
    ),
    "notifications about an alert": (
        lambda c: past_notifications.about(c, [700], 5.0, 9.0),
        "notifications_created",
    ),
    "sizes of incidents": (lambda c: incidents.sizes(c, [1, 2, 3]), "incident_alerts"),
    "transfers in flight": (lambda c: list(transfers.in_flight(c)), "transfers_unfinished"),
    "the oldest in flight": (transfers.oldest_in_flight, "transfers_unfinished"),
    "transfers of a window": (
        lambda c: transfer_search.ids_where(c, [tables.transfers.c.opened_at.between(5, 9)], 10),
        "transfers_opened",
    ),
    "totals of transfers": (transfer_totals.totals, "transfer_totals"),
}


@pytest.mark.parametrize("name", READS)
def test_each_is_read_by_its_index(connection: sa.Connection, name: str) -> None:
    read, index = READS[name]
    statements: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, text: str, values: Any, *_: Any) -> None:
        statements.append((text, values))

    is_postgres = connection.dialect.name == "postgresql"
    if is_postgres:
        connection.exec_driver_sql(
            "SET LOCAL enable_seqscan = off"
        )  # tables this small are read whole otherwise
    sa.event.listen(connection, "before_cursor_execute", note)
    read(connection)
    sa.event.remove(connection, "before_cursor_execute", note)
    text, values = statements[0]
    explain = "EXPLAIN" if is_postgres else "EXPLAIN QUERY PLAN"
    plan = "\n".join(str(row) for row in connection.exec_driver_sql(f"{explain} {text}", values))
    assert index in plan, plan
