"""S6 under silences and acknowledgements: who was notified that an alert fires is notified of its end, once, in order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from tempfile import TemporaryDirectory
from typing import Literal, NamedTuple

import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwatch.alert_model import Acknowledgement, Silence
from chainwatch.alerting.delivery.notification import load
from chainwatch.alerting.engine.alert_engine import AlertEngine
from chainwatch.config import RouteSettings
from chainwatch.model import Signal
from chainwatch.store.alerting import acknowledgements, alerts, outbox, silences
from chainwatch.store.database import Database

T0 = 1_700_000_000
FAR = 100_000


class Act(NamedTuple):
    """After ``wait`` seconds something happens to the condition."""

    wait: int
    condition: int
    what: Literal["fires", "ends", "silence", "acknowledge", "give back"]


acts = st.lists(
    st.builds(
        Act,
        st.integers(0, 20),
        st.integers(0, 2),
        st.sampled_from(["fires", "ends", "fires", "ends", "silence", "acknowledge", "give back"]),
    ),
    min_size=1,
    max_size=14,
)


def _manager() -> AlertEngine:
    routes = [{"receivers": ["ops"], "group_wait": "5s", "group_interval": "15s", "repeat_interval": "60s"}]
    return AlertEngine([RouteSettings.model_validate(r) for r in routes], {"ops": True}, 0)


def _labels(condition: int) -> dict[str, str]:
    return {"alertname": "Late", "severity": "P1", "transfer": str(condition)}


def _run(connection: sa.Connection, given_acts: Sequence[Act]) -> None:
    now, since = T0, dict[int, int]()
    for act in given_acts:
        now += act.wait
        manager = _manager()  # a new process each time: nothing is kept in memory
        firing = [a for a in alerts.firing(connection) if a.labels == _labels(act.condition)]
        signals = []
        if act.what == "fires" and act.condition not in since:
            since[act.condition] = now
            signals.append(Signal(_labels(act.condition), now))
        elif act.what == "ends" and act.condition in since:
            signals.append(Signal(_labels(act.condition), since.pop(act.condition), {}, now, "late"))
        elif act.what == "silence":
            match = {"transfer": [str(act.condition)]}
            silences.add(connection, Silence(match, now, now + 40, "ann", "", now))
        elif act.what == "acknowledge":
            taken = [Acknowledgement(a.id, "ann", now, "", now + 50, "P1", now) for a in firing]
            acknowledgements.save(connection, taken)
        elif act.what == "give back":
            acknowledgements.remove(connection, [a.id for a in firing])
        manager.apply(connection, signals, now)
        for later in range(now, now + act.wait, 7):
            manager.flush(connection, later)
    for later in range(now, now + 200, 5):
        _manager().flush(connection, later)
    _manager().flush(connection, now + FAR)


@given(acts)
@settings(max_examples=60, deadline=None)
def test_ends_follow_what_was_reported_and_nothing_that_fires_stays_unreported_s6(
    given_acts: list[Act],
) -> None:
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        database = Database.open(f"sqlite:///{folder}/chainwatch.db", durable=False)
        try:
            with database.transaction() as connection:
                _run(connection, given_acts)
                queued = outbox.list_notifications(connection, limit=10_000)
                said: dict[tuple[str, float], list[str]] = defaultdict(list)
                for one in reversed(queued):
                    for notified in load(connection, one).alerts:
                        said[notified.fingerprint, notified.starts_at].append(notified.status)
                known = alerts.list_alerts(connection, limit=10_000)
        finally:
            database.close()
    for alert in known:
        words = said[alert.fingerprint, alert.starts_at]
        if alert.state == "firing":
            assert set(words) == {"firing"}, "what fires and is no longer muted is sent"
        elif "firing" in words:
            assert words.count("resolved") == 1
            assert words[-1] == "resolved"
        else:
            assert words in ([], ["resolved"])
