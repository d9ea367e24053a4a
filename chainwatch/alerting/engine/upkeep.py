"""What changes alerts beside signals: timers, acknowledgements and their expiry, operators, silences that expire."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from chainwatch.alert_model import ITSELF, Acknowledgement, Alert, Silence, Timer, Transition
from chainwatch.alerting.engine.group_manager import GroupManager
from chainwatch.alerting.policy.intervals import ends_after, inside
from chainwatch.alerting.policy.lifecycle import fingerprint, normal_labels
from chainwatch.alerting.policy.policies import AutoAcknowledgement, Policies
from chainwatch.grammar import matchers
from chainwatch.model import SEVERITIES, Signal
from chainwatch.store.alerting import (
    acknowledgements,
    alert_groups,
    expiries,
    history,
    incidents,
    silences,
    suppressions,
)
from chainwatch.store.alerting import alerts as stored

SILENCE_EXPIRING = "SilenceExpiring"
BY_CONFIGURATION = "by configuration"
LOOK_BACK = 86_400.0
"""Seconds after its end for which a silence is still considered, so that the warning about it ends too."""


def after_timers(connection: sa.Connection, timers: Sequence[Timer], now: float) -> list[Alert]:
    """Apply ``timers``, which are due, and delete them; the alerts that they changed, to be stored by the caller."""
    known = stored.by_id(connection, [timer.alert_id for timer in timers])
    history.stop_timers(connection, [timer.alert_id for timer in timers])
    changed: list[Alert] = []
    happened: list[Transition] = []
    for timer in timers:
        alert = known.get(timer.alert_id)
        if alert is None or alert.state != ("pending" if timer.kind == "fire" else "firing"):
            continue
        if timer.kind == "fire":
            changed.append(msgspec.structs.replace(alert, state="firing"))
            happened.append(Transition(alert.id, now, "firing", "the condition has held"))
        else:
            changed.append(
                msgspec.structs.replace(
                    alert, state="resolved", ends_at=timer.ends_at, reason=timer.reason, resolved_at=now
                )
            )
    history.record(connection, happened)
    return changed


def resolve_now(
    connection: sa.Connection, group_manager: GroupManager, alerts: Sequence[Alert], reason: str, now: float
) -> None:
    """Resolve alerts, firing or pending, by hand: no policy keeps them firing, and no timer resolves them again."""
    ends = [
        msgspec.structs.replace(
            alert,
            state="resolved",
            audience="quiet" if alert.state == "pending" else alert.audience,
            ends_at=max(alert.starts_at, round(now, 3)),
            reason=reason,
            resolved_at=now,
        )
        for alert in alerts
    ]
    ids = [alert.id for alert in ends]
    stored.update(connection, ends)
    history.stop_timers(connection, ids)
    expiries.delete(connection, [alert.fingerprint for alert in ends])
    on_resolved(connection, ids, group_manager, now)


def on_resolved(
    connection: sa.Connection, alert_ids: Sequence[int], group_manager: GroupManager, now: float
) -> None:
    """Drop the acknowledgements of resolved alerts, end their incidents, and have their groups flushed."""
    if alert_ids:
        acknowledgements.remove(connection, alert_ids)
        incidents.end(connection, alert_ids, now)
        group_manager.wake(connection, alert_ids, now)


def carry_acknowledgements(connection: sa.Connection, alerts: Sequence[Alert], now: float) -> None:
    """Acknowledge new alerts whose condition was acknowledged at the same severity or a higher one.

    Severity is a label, so a condition that changes it is another alert. Call it before the old alert has ended.
    """
    taken = acknowledgements.every(connection) if alerts else []
    if not taken:
        return
    known = stored.by_id(connection, [one.alert_id for one in taken])
    by_condition = {_condition(known[one.alert_id]): one for one in taken if one.alert_id in known}
    carried = []
    for alert in alerts:
        one = by_condition.get(_condition(alert))
        if one is not None and alert.state == "firing" and not _is_worse(alert.severity, one.severity):
            carried.append(msgspec.structs.replace(one, alert_id=alert.id))
    acknowledgements.save(connection, carried)
    cause = "the same condition, no more severe"
    history.record(
        connection, [Transition(t.alert_id, now, "acknowledged", cause, t.actor, t.note) for t in carried]
    )


def acknowledge_automatically(
    connection: sa.Connection, policies: Policies, alerts: Sequence[Alert], now: float
) -> None:
    """Acknowledge alerts that begin to fire and that the configuration (``[[acknowledge]]``) acknowledges by itself."""
    if not policies.auto_acknowledgements:
        return
    acknowledging = _AutoAcknowledging(policies, now)
    taken: list[Acknowledgement] = []
    for alert in alerts:
        automatic = acknowledging.first_for(alert) if alert.state == "firing" else None
        if automatic is not None:
            until = acknowledging.until(automatic, now)
            taken.append(Acknowledgement(alert.id, automatic.by, now, "", until, alert.severity, now))
    acknowledgements.save(connection, taken)
    history.record(
        connection, [Transition(t.alert_id, now, "acknowledged", BY_CONFIGURATION, t.actor) for t in taken]
    )


def review_automatic(
    connection: sa.Connection, group_manager: GroupManager, policies: Policies, now: float
) -> None:
    """Bring the acknowledgements by configuration, their people and their ends, in line with the present configuration."""
    taken = {one.alert_id: one for one in acknowledgements.every(connection)}
    last = history.acknowledged_last(connection, sorted(taken))
    ids = [alert_id for alert_id, one in last.items() if one.cause == BY_CONFIGURATION]
    acknowledging = _AutoAcknowledging(policies, now)
    lapsed: dict[int, str] = {}
    changed: list[Acknowledgement] = []
    for alert_id, alert in stored.by_id(connection, ids).items():
        automatic = acknowledging.first_for(alert)
        if automatic is None:
            lapsed[alert_id] = "no longer acknowledged by the configuration"
        else:
            until = acknowledging.until(automatic, taken[alert_id].at)
            changed.append(msgspec.structs.replace(taken[alert_id], actor=automatic.by, until=until))
    acknowledgements.save(connection, changed)
    drop_acknowledgements(connection, group_manager, lapsed, ITSELF, now)


class _AutoAcknowledging:
    """Which alerts the configuration acknowledges at ``now``, and until when."""

    def __init__(self, policies: Policies, now: float) -> None:
        self._policies = policies
        self._now = now
        self._ends: dict[tuple[str, ...], float | None] = {}

    def first_for(self, alert: Alert) -> AutoAcknowledgement | None:
        """Return the first automatic acknowledgement that matches ``alert`` and is within its intervals; None for none."""
        for automatic in self._policies.auto_acknowledgements:
            on = (
                not automatic.during
                or inside(self._policies.intervals, automatic.during, self._now) is not None
            )
            if on and matchers.takes(automatic.match, alert.labels):
                return automatic
        return None

    def until(self, automatic: AutoAcknowledgement, taken_at: float) -> float | None:
        """Return when an acknowledgement that ``automatic`` made at ``taken_at`` lapses."""
        if automatic.during and automatic.during not in self._ends:
            self._ends[automatic.during] = ends_after(self._policies.intervals, automatic.during, self._now)
        times = (
            self._ends[automatic.during] if automatic.during else None,
            None if automatic.lasts is None else taken_at + automatic.lasts,
        )
        return min((time for time in times if time is not None), default=None)


def expire_acknowledgements(
    connection: sa.Connection, group_manager: GroupManager, policies: Policies, now: float
) -> None:
    """Drop acknowledgements whose time has passed or whose alert became more severe; remind of the old ones."""
    taken = acknowledgements.every(connection)
    if not taken:
        return
    alerts = stored.by_id(connection, [one.alert_id for one in taken])
    rises = incidents.rises(connection, list(alerts))
    counts_as = {alert_id: rises.get(alert_id, alert.severity) for alert_id, alert in alerts.items()}
    lapsed = {one.alert_id: why for one in taken if (why := _lapsed(one, counts_as.get(one.alert_id), now))}
    due = [
        one.alert_id
        for one in taken
        if one.alert_id not in lapsed and now >= one.reminded_at + policies.remind_after
    ]
    drop_acknowledgements(connection, group_manager, lapsed, ITSELF, now)
    acknowledgements.set_reminded(connection, due, now)
    renotify(connection, group_manager, due, now)


def drop_acknowledgements(
    connection: sa.Connection, group_manager: GroupManager, lapsed: dict[int, str], actor: str, now: float
) -> None:
    """Drop the acknowledgements of these alerts (id → why), and notify their receivers again."""
    if not lapsed:
        return
    acknowledgements.remove(connection, list(lapsed))
    history.record(
        connection, [Transition(i, now, "unacknowledged", why, actor) for i, why in lapsed.items()]
    )
    renotify(connection, group_manager, list(lapsed), now)


def renotify(
    connection: sa.Connection, group_manager: GroupManager, alert_ids: Sequence[int], now: float
) -> None:
    """Have the receivers that were notified of these alerts notified once more, with the next flush of their groups."""
    if alert_ids:
        alert_groups.renotify(connection, alert_ids)
        group_manager.wake(connection, alert_ids, now)


def silence_warnings(connection: sa.Connection, now: float) -> list[Signal]:
    """Return the warnings about silences that expire soon and suppress alerts, and the ends of those whose silence ended.

    One silence is warned of once: a warning that a person has resolved does not fire again.
    """
    watched = [s for s in silences.select(connection, now - LOOK_BACK) if s.warn_before > 0]
    watched = [s for s in watched if s.starts_at <= now and s.ends_at - s.warn_before <= now]
    if not watched:
        return []
    known = stored.newest(connection, [fingerprint(_warning(s, now).labels) for s in watched])
    signals = []
    for silence in watched:
        signal = _warning(silence, now)
        alert = known.get(fingerprint(signal.labels))
        fires = alert is not None and alert.state == "firing"
        if silence.is_active(now):
            if alert is None and suppressions.suppresses_any(connection, silence.id):
                signals.append(signal)
        elif fires and alert is not None:
            signals.append(alert.signal(int(silence.ends_at), "silence ended"))
    return signals


def next_due(connection: sa.Connection, policies: Policies, now: float) -> float | None:
    """Return when the next timer, lapse, reminder or silence warning is due (Unix seconds), None for never."""
    times = [history.next_timer(connection)]
    for one in acknowledgements.every(connection):
        times += [one.until, one.reminded_at + policies.remind_after]
    for silence in silences.active(connection, now):
        if silence.warn_before > 0:
            times += [silence.ends_at - silence.warn_before, silence.ends_at]
    return min((time for time in times if time is not None and time > now), default=None)


def _lapsed(one: Acknowledgement, severity: str | None, now: float) -> str:
    """Return why an acknowledgement of an alert that counts as ``severity`` lapses; empty while it stands."""
    if one.until is not None and now >= one.until:
        return "its time has passed"
    if severity is not None and _is_worse(severity, one.severity):
        return f"severity rose from {one.severity} to {severity}"
    return ""


def _is_worse(severity: str, than: str) -> bool:
    return SEVERITIES.index(severity) < SEVERITIES.index(than)


def _condition(alert: Alert) -> str:
    """Return the fingerprint of its labels without the severity."""
    return fingerprint({name: value for name, value in alert.labels.items() if name != "severity"})


def _warning(silence: Silence, now: float) -> Signal:
    labels = {"alertname": SILENCE_EXPIRING, "silence": str(silence.id), "severity": "P3"}
    return Signal(
        normal_labels(labels),
        int(now),
        {
            "summary": f"silence {silence.id} of {silence.author} ends soon and suppresses firing alerts",
            "description": (
                f"{silence.comment}\nAlerts that still fire when it ends are notified: fix the cause, or add a silence."
            ).strip(),
            "ends_at": str(int(silence.ends_at)),
        },
        source="silence",
    )
