"""S2, S3 and S6 for alerting: whatever happens between two transactions, receivers get the same, in order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Literal, NamedTuple

import sqlalchemy as sa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chainwatch.alerting.delivery.notification import load
from chainwatch.alerting.engine.alert_engine import AlertEngine
from chainwatch.alerting.policy.lifecycle import fingerprint
from chainwatch.config import RouteSettings
from chainwatch.model import Signal
from chainwatch.store.alerting import alerts, outbox
from chainwatch.store.database import Database

T0 = 1_700_000_000
SETTLED = 3600
"""Seconds after the last signal at which all groups are flushed."""


class Step(NamedTuple):
    """After ``wait`` seconds a condition begins or ends."""

    wait: int
    condition: int
    change: Literal["fires", "ends"]


class NotifiedAlert(NamedTuple):
    """One thing that a receiver was sent."""

    receiver: str
    condition: str
    starts_at: float
    status: str


steps = st.lists(
    st.builds(Step, st.integers(0, 20), st.integers(0, 3), st.sampled_from(["fires", "ends"])),
    min_size=1,
    max_size=12,
)


@contextmanager
def _database() -> Iterator[Database]:
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        database = Database.open(f"sqlite:///{folder}/chainwatch.db", durable=False)
        try:
            yield database
        finally:
            database.close()


def _manager() -> AlertEngine:
    """Two receivers, grouped: a new manager is a restarted process, as all it knows is in the database."""
    route = {"receivers": ["ops", "pager"], "group_by": ["alertname"]}
    return AlertEngine([RouteSettings.model_validate(route)], {"ops": True, "pager": True}, 0)


def _signals(steps: Sequence[Step]) -> list[tuple[int, Signal]]:
    """What a checker says, as (time, signal): each condition begins and ends in turn, with starts of its own."""
    now, started, signals = T0, dict[int, int](), []
    for step in steps:
        now += step.wait + 1
        labels = {"alertname": "X", "severity": "P1", "condition": str(step.condition)}
        if step.change == "fires":
            signals.append((now, Signal(labels, started.setdefault(step.condition, now))))
        elif step.condition in started:
            signals.append((now, Signal(labels, started.pop(step.condition), ends_at=now)))
    return signals


def _notified(connection: sa.Connection) -> list[NotifiedAlert]:
    """All that was queued, in order, repeats of what still fires left out."""
    notified: dict[NotifiedAlert, None] = {}
    for queued in reversed(outbox.list_notifications(connection, limit=10_000)):
        for alert in load(connection, queued).alerts:
            notified[
                NotifiedAlert(queued.receiver, alert.labels["condition"], alert.starts_at, alert.status)
            ] = None
    return list(notified)


def _run(
    database: Database, signals: Sequence[tuple[int, Signal]], delays: Sequence[int]
) -> list[NotifiedAlert]:
    """Live through ``signals``; each is seen ``delay`` seconds late, by a process started anew if it was late."""
    manager, seen = _manager(), 0
    for position, (now, signal) in enumerate(signals):
        late = delays[position % len(delays)]
        with database.transaction() as connection:
            if late:
                manager = _manager()
                manager.reroute(connection, max(seen, now))
            seen = max(seen, now + late)
            manager.apply(connection, [signal], seen)
    with database.transaction() as connection:
        manager.flush(connection, seen + SETTLED)
        return _notified(connection)


@given(steps, st.lists(st.sampled_from([0, 0, 3, 30, 300]), min_size=1, max_size=5))
@settings(max_examples=40, deadline=None)
def test_people_are_reported_the_same_of_what_lasts_whenever_the_process_was_down_s2(
    steps: list[Step], delays: list[int]
) -> None:
    """Alerts resolved before their group is flushed are sent to nobody, and when that is depends on the process."""
    signals = _signals(steps)
    ended = {(s.labels["condition"], s.starts_at) for _, s in signals if s.ends_at is not None}
    with _database() as calm, _database() as restless:
        notified = [
            {one for one in _run(database, signals, given) if (one.condition, one.starts_at) not in ended}
            for database, given in ((calm, [0]), (restless, delays))
        ]
    assert notified[0] == notified[1]
    lasting = {(s.labels["condition"], s.starts_at) for _, s in signals} - ended
    assert {(one.condition, one.starts_at) for one in notified[0] if one.receiver == "ops"} == lasting


@given(steps, st.lists(st.sampled_from([0, 7, 60]), min_size=1, max_size=5))
@settings(max_examples=40, deadline=None)
def test_whoever_is_reported_firing_is_reported_resolved_and_in_this_order_s6(
    steps: list[Step], delays: list[int]
) -> None:
    signals = _signals(steps)
    with _database() as database:
        notified = _run(database, signals, delays)
        with database.reading() as connection:
            known = alerts.list_alerts(connection, limit=10_000)
    statuses = defaultdict(list)
    for receiver, condition, starts_at, status in notified:
        statuses[receiver, condition, starts_at].append(status)
    for alert in known:
        for receiver in ("ops", "pager"):
            received = statuses[receiver, alert.labels["condition"], alert.starts_at]
            if alert.state == "resolved":
                # of what came and went before its group was looked at only the end may be sent
                assert received in ([], ["resolved"], ["firing", "resolved"])
            else:
                assert received == ["firing"]


@given(steps, st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_signals_that_are_given_again_change_nothing_s3(steps: list[Step], times: int) -> None:
    signals = _signals(steps)
    with _database() as once, _database() as again:
        repeated = [pair for pair in signals for _ in range(times)]
        assert _run(once, signals, [0]) == _run(again, repeated, [0])


AGAIN = [
    *(Step(0, 2, "fires"), Step(0, 0, "fires"), Step(14, 2, "ends")),
    *(Step(0, 2, "fires"), Step(0, 2, "ends")),
]
"""Ends twice before its group is flushed: whether the second end is sent depends on when that is."""


@given(steps, st.integers(0, 30))
@example(AGAIN, 0)
@settings(max_examples=30, deadline=None)
def test_a_transaction_that_is_cut_off_leaves_nothing_behind_s2(steps: list[Step], cut: int) -> None:
    signals = _signals(steps)
    with _database() as calm, _database() as cut_off:
        wanted = _run(calm, signals, [0])
        manager = _manager()
        for position, (now, signal) in enumerate(signals):
            if position == cut % max(1, len(signals)):
                with cut_off.transaction() as connection:
                    savepoint = connection.begin_nested()
                    manager.apply(connection, [signal], now)
                    savepoint.rollback()
            with cut_off.transaction() as connection:
                manager.apply(connection, [signal], now)
        with cut_off.transaction() as connection:
            manager.flush(connection, max((now for now, _ in signals), default=0) + SETTLED)
            assert _notified(connection) == wanted


label_names = st.text(min_size=1, max_size=5)


@given(st.dictionaries(label_names, st.text(max_size=5), max_size=6), st.randoms())
def test_a_fingerprint_depends_on_the_labels_alone(labels: dict[str, str], random: object) -> None:
    shuffled = list(labels.items())
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # it is a random.Random
    assert fingerprint(dict(shuffled)) == fingerprint(labels)
