"""Pruning takes what is old and over, a little at a time, and never anything that is open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwatch.alert_model import Alert, State
from chainwatch.model import Batch, Checkpoint, Occurrence, Raised, Transfer
from chainwatch.store import blocks, schema, tables, transfers
from chainwatch.store.alerting import alert_groups, alerts, outbox
from chainwatch.store.alerting.outbox import Payload
from chainwatch.store.retention import horizon, prune
from tests.support.counting import assert_totals_are_right
from tests.support.flows import event, header
from tests.support.storing import store_batch

OLD, BEFORE, NEW = 100, 500, 900


def transfer(key: str, status: str, at: int, **changes: Any) -> Transfer:
    step = Occurrence("send", "alpha", at, 0, at, b"t", {})
    return Transfer(**{"flow": "bridge", "key": key, "status": status, "occurrences": (step,), **changes})


def save(connection: sa.Connection, new: Sequence[Transfer]) -> None:
    transfers.save(connection, [(Transfer(t.flow, t.key), t) for t in new])


def keys(connection: sa.Connection) -> set[str]:
    return {t.key for t in transfers.select(connection, transfers.Filter())}


def raised(ends_at: int | None) -> dict[str, Raised]:
    return {"x": Raised({}, OLD, ends_at, 1)}


@pytest.mark.parametrize("status", ["complete", "untracked", "unopened"])
def test_finished_transfers_go_when_their_last_event_is_old(connection: sa.Connection, status: str) -> None:
    save(
        connection,
        [transfer("old", status, OLD), transfer("new", status, NEW), transfer("edge", status, BEFORE)],
    )

    assert prune(connection, BEFORE, 0, 100) == 1
    assert keys(connection) == {"new", "edge"}
    assert_totals_are_right(connection)


@pytest.mark.parametrize("status", ["open", "overdue", "orphan"])
def test_unfinished_transfers_stay_however_old(connection: sa.Connection, status: str) -> None:
    save(connection, [transfer("old", status, OLD)])

    assert prune(connection, BEFORE, 0, 100) == 0


def test_a_transfer_about_which_an_alert_fires_stays(connection: sa.Connection) -> None:
    firing = transfer("fires", "complete", OLD, raised=raised(None))
    save(connection, [firing, transfer("fired", "complete", OLD, raised=raised(OLD + 1))])

    prune(connection, BEFORE, 0, 100)

    assert keys(connection) == {"fires"}


def test_a_finished_transfer_with_an_open_deadline_stays(connection: sa.Connection) -> None:
    """A step on the wrong network is still to be judged."""
    save(connection, [transfer("old", "complete", OLD, deadlines={"!opening": ("beta", 10**6)})])

    assert prune(connection, BEFORE, 0, 100) == 0


def saved_logs(
    connection: sa.Connection, network: str, times: Sequence[int], window: Sequence[int] = ()
) -> None:
    """Logs in blocks of the number of their time, and the headers of the blocks in ``window``."""
    last = header(max(times), max(times))
    made = tuple(event(network, "Sent", at) for at in times)
    batch = Batch(network, 1, last, made, headers=tuple(header(n, n) for n in window))
    store_batch(connection, batch, Checkpoint(network, last, 1, 1, last.timestamp), 10_000)


def left(connection: sa.Connection, network: str) -> list[int]:
    return [s.log.block_number for s in blocks.logs_above(connection, network, 0)]


def test_logs_of_old_blocks_go_on_every_network(connection: sa.Connection) -> None:
    saved_logs(connection, "alpha", [100, 200, 600])
    saved_logs(connection, "beta", [100, 499, 500])
    saved_logs(connection, "gamma", [700])

    assert prune(connection, BEFORE, 0, 100) == 4
    assert [left(connection, n) for n in ("alpha", "beta", "gamma")] == [[600], [500], [700]]


def test_logs_that_a_reorg_may_still_drop_stay(connection: sa.Connection) -> None:
    """S4: they say whose transfers it touches."""
    saved_logs(connection, "alpha", [100, 200, 201, 300], window=range(200, 301))

    prune(connection, BEFORE, 0, 100)

    assert left(connection, "alpha") == [201, 300]


@pytest.mark.parametrize("limit", [1, 3, 7])
def test_no_step_takes_more_than_its_limit_and_all_steps_together_take_everything(
    connection: sa.Connection, limit: int
) -> None:
    save(connection, [transfer(str(n), "complete", OLD) for n in range(5)])
    saved_logs(connection, "alpha", list(range(100, 105)))
    saved_logs(connection, "beta", list(range(100, 105)))
    notify(connection, "delivered", 5)
    store_alerts(connection, [alert(n, resolved_at=1.0) for n in range(1, 7)])
    steps = []
    while gone := prune(connection, BEFORE, 500.0, limit):
        steps.append(gone)

    assert max(steps) <= limit
    assert sum(steps) == 5 + 10 + 5 + 5  # the newest alert stays: its id must not be given twice


def notify(connection: sa.Connection, status: str, count: int = 1, at: float = 1.0, key: str = "k") -> None:
    """Store notifications that were made and finished at ``at``."""
    outbox.enqueue(connection, [("ops", key, Payload({}, (1,), ()))] * count, at)
    for queued in outbox.list_notifications(connection, status="pending", limit=count):
        if status == "delivered":
            outbox.mark_delivered(connection, [(queued.id, at)])
        elif status == "dead":
            outbox.mark_dead(connection, queued, "gone", at)
        elif status == "dropped":
            outbox.drop(connection, at, ids=[queued.id])


@pytest.mark.parametrize(("status", "goes"), [("delivered", 1), ("dropped", 1), ("pending", 0), ("dead", 0)])
def test_notifications_go_once_they_were_delivered_or_dropped_long_ago(
    connection: sa.Connection, status: str, goes: int
) -> None:
    """S6: what is pending or dead stays and stays visible."""
    notify(connection, status, at=1.0)

    assert prune(connection, 0, 500.0, 100) == goes
    notify(connection, "delivered", at=501.0)
    assert prune(connection, 0, 500.0, 100) == 0


def alert(number: int, resolved_at: float | None) -> Alert:
    state: State = "firing" if resolved_at is None else "resolved"
    return Alert(
        number,
        f"{number:016x}",
        {"alertname": "A", "severity": "P1"},
        {},
        1,
        1.0,
        state=state,
        ends_at=None if resolved_at is None else 2,
        resolved_at=resolved_at,
    )


def store_alerts(connection: sa.Connection, given: Sequence[Alert]) -> None:
    alerts.insert(connection, given)


def alert_ids(connection: sa.Connection) -> list[int]:
    return sorted(a.id for a in alerts.list_alerts(connection))


def test_alerts_go_once_they_were_resolved_long_ago_and_reported_to_all(connection: sa.Connection) -> None:
    store_alerts(connection, [alert(1, 1.0), alert(2, None), alert(3, 900.0), alert(4, 1.0), alert(5, None)])
    alert_groups.join(connection, [(1, 4)])

    assert prune(connection, 0, 500.0, 100) == 1
    assert alert_ids(connection) == [2, 3, 4, 5]


@pytest.mark.parametrize("status", ["pending", "dead"])
def test_alerts_stay_while_a_notification_that_may_name_them_is_not_finished(
    connection: sa.Connection, status: str
) -> None:
    store_alerts(connection, [alert(1, 1.0), alert(2, None)])
    notify(connection, status, at=2.0)

    assert prune(connection, 0, 500.0, 100) == 0


_engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
schema.metadata.create_all(_engine)

statuses = st.sampled_from(["open", "complete", "overdue", "orphan", "unopened", "untracked"])
any_transfers = st.lists(st.tuples(statuses, st.integers(0, 1000), st.booleans(), st.booleans()), max_size=12)


@given(any_transfers, st.integers(1, 5))
@settings(max_examples=100, deadline=None)
def test_pruning_never_touches_anything_open(
    given_transfers: list[tuple[str, int, bool, bool]], limit: int
) -> None:
    def made(number: int, status: str, at: int, firing: bool, waiting: bool) -> Transfer:
        deadlines = {"settle": ("beta", at + 10)} if waiting else {}
        return transfer(str(number), status, at, raised=raised(None) if firing else {}, deadlines=deadlines)

    all_made = [made(number, *facts) for number, facts in enumerate(given_transfers)]
    over = {
        t.key
        for t, (status, at, firing, waiting) in zip(all_made, given_transfers, strict=True)
        if status in ("complete", "unopened", "untracked") and at < BEFORE and not firing and not waiting
    }
    with _engine.connect() as connection:
        save(connection, all_made)
        open_rows = connection.execute(sa.select(tables.deadlines)).all()
        while prune(connection, BEFORE, 0.0, limit):
            pass

        assert keys(connection) == {t.key for t in all_made} - over
        assert connection.execute(sa.select(tables.deadlines)).all() == open_rows
        connection.rollback()


def test_no_step_reads_a_whole_table(sqlite_url: str) -> None:
    """Each finds what it takes by an index."""
    engine = sa.create_engine(sqlite_url)
    statements: list[tuple[str, Any]] = []
    with engine.begin() as connection:
        schema.metadata.create_all(connection)
        saved_logs(connection, "alpha", [100, 600])
        sa.event.listen(
            connection,
            "before_cursor_execute",
            lambda _c, _cursor, text, parameters, *_: statements.append((text, parameters)),
        )
        prune(connection, BEFORE, 500.0, 100)
        plans = [
            (text, row.detail)
            for text, parameters in statements
            if "EXPLAIN" not in text
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", parameters)
        ]
    engine.dispose()

    scans = [
        (text, detail) for text, detail in plans if detail.startswith("SCAN") and "networks" not in detail
    ]
    assert scans == []
    assert any("transfers_prunable" in detail for _, detail in plans)


@pytest.mark.parametrize(
    ("seen", "now", "expected"),
    [((), 5_000, 4_000), ((1_400, 1_800), 5_000, 800), ((1_400, 9_000), 5_000, 4_000)],
    ids=["no network", "a clock that is ahead", "a network that is ahead"],
)
def test_a_clock_that_is_ahead_deletes_nothing_too_early(
    connection: sa.Connection, seen: Sequence[int], now: int, expected: int
) -> None:
    for number, until in enumerate(seen):
        last = header(until, until)
        batch = Batch(f"net{number}", 0, last, ())
        store_batch(connection, batch, Checkpoint(batch.network, last, 0, 0, until))

    assert horizon(connection, 1_000, now) == expected
