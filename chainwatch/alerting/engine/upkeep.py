"""What time alone does to alerts: they fire or end after a wait, acknowledgements lapse, silences come to their end."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from chainwatch.alert_model import ITSELF, Acknowledgement, Alert, Silence, Timer, Transition
from chainwatch.alerting.engine.grouped import GroupManager
from chainwatch.alerting.policy.intervals import ends_after, inside
from chainwatch.alerting.policy.lifecycle import fingerprint, normal_labels
from chainwatch.alerting.policy.policies import Policies, Standing
from chainwatch.grammar import matchers
from chainwatch.model import SEVERITIES, Signal
from chainwatch.store.alerting import (
    acknowledgements,
    alert_groups,
    expiries,
    history,
    holds,
    incidents,
    silences,
)
from chainwatch.store.alerting import alerts as stored

SILENCE_EXPIRING = "SilenceExpiring"
BY_CONFIGURATION = "by configuration"
LOOK_BACK = 86_400.0
"""Seconds for which an ended silence is looked at, so that its warning ends too."""


def changed_by(connection: sa.Connection, timers: Sequence[Timer], now: float) -> list[Alert]:
    """The alerts as they are after ``timers``, which are due and go."""
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


def end_now(
    connection: sa.Connection, group_manager: GroupManager, alerts: Sequence[Alert], reason: str, now: float
) -> None:
    """End alerts, firing or pending, because somebody says so: no policy keeps them, and nothing ends them again."""
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
    ended(connection, ids, group_manager, now)


def ended(
    connection: sa.Connection, alert_ids: Sequence[int], group_manager: GroupManager, now: float
) -> None:
    """Alerts have ended: let their groups tell it; they are nobody's any more."""
    if alert_ids:
        acknowledgements.remove(connection, alert_ids)
        incidents.end(connection, alert_ids, now)
        group_manager.wake(connection, alert_ids, now)


def carry_over(connection: sa.Connection, alerts: Sequence[Alert], now: float) -> None:
    """Alerts that begin are somebody's if the same condition was, at their severity or a higher one.

    Severity is a label, so a condition that changes it is another alert. Call it before the old one has ended.
    """
    taken = acknowledgements.every(connection) if alerts else []
    if not taken:
        return
    known = stored.by_id(connection, [one.alert_id for one in taken])
    theirs = {_condition(known[one.alert_id]): one for one in taken if one.alert_id in known}
    carried = []
    for alert in alerts:
        one = theirs.get(_condition(alert))
        if one is not None and alert.state == "firing" and not _is_worse(alert.severity, one.severity):
            carried.append(msgspec.structs.replace(one, alert_id=alert.id))
    acknowledgements.save(connection, carried)
    cause = "the same condition, no more severe"
    history.record(
        connection, [Transition(t.alert_id, now, "acknowledged", cause, t.actor, t.note) for t in carried]
    )


def acknowledge_standing(
    connection: sa.Connection, policies: Policies, alerts: Sequence[Alert], now: float
) -> None:
    """Acknowledge alerts that fire from now on for those whose they are by configuration."""
    if not policies.standing:
        return
    lasting = _Lasting(policies, now)
    taken: list[Acknowledgement] = []
    for alert in alerts:
        rule = lasting.rule_of(alert) if alert.state == "firing" else None
        if rule is not None:
            until = lasting.until(rule, now)
            taken.append(Acknowledgement(alert.id, rule.by, now, "", until, alert.severity, now))
    acknowledgements.save(connection, taken)
    history.record(
        connection, [Transition(t.alert_id, now, "acknowledged", BY_CONFIGURATION, t.actor) for t in taken]
    )


def judge_standing(
    connection: sa.Connection, group_manager: GroupManager, policies: Policies, now: float
) -> None:
    """Let what is somebody's by configuration be so as the configuration is now, and until it says."""
    taken = {one.alert_id: one for one in acknowledgements.every(connection)}
    last = history.acknowledged_last(connection, sorted(taken))
    ids = [alert_id for alert_id, one in last.items() if one.cause == BY_CONFIGURATION]
    lasting = _Lasting(policies, now)
    lapsed: dict[int, str] = {}
    changed: list[Acknowledgement] = []
    for alert_id, alert in stored.by_id(connection, ids).items():
        rule = lasting.rule_of(alert)
        if rule is None:
            lapsed[alert_id] = "it is nobody's by configuration now"
        else:
            until = lasting.until(rule, taken[alert_id].at)
            changed.append(msgspec.structs.replace(taken[alert_id], actor=rule.by, until=until))
    acknowledgements.save(connection, changed)
    give_back(connection, group_manager, lapsed, ITSELF, now)


class _Lasting:
    """Which alerts are somebody's by configuration at ``now``, and for how long."""

    def __init__(self, policies: Policies, now: float) -> None:
        self._policies = policies
        self._now = now
        self._ends: dict[tuple[str, ...], float | None] = {}

    def rule_of(self, alert: Alert) -> Standing | None:
        """The first rule that takes ``alert`` now."""
        for rule in self._policies.standing:
            on = not rule.during or inside(self._policies.intervals, rule.during, self._now) is not None
            if on and matchers.takes(rule.match, alert.labels):
                return rule
        return None

    def until(self, rule: Standing, taken_at: float) -> float | None:
        """When what ``rule`` gave somebody at ``taken_at`` is nobody's again: its intervals have ended, or its time has."""
        if rule.during and rule.during not in self._ends:
            self._ends[rule.during] = ends_after(self._policies.intervals, rule.during, self._now)
        times = (
            self._ends[rule.during] if rule.during else None,
            None if rule.lasts is None else taken_at + rule.lasts,
        )
        return min((time for time in times if time is not None), default=None)


def keep_acknowledgements(
    connection: sa.Connection, group_manager: GroupManager, policies: Policies, now: float
) -> None:
    """Let acknowledgements lapse whose time has passed or whose alert got worse; remind of the old ones."""
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
    give_back(connection, group_manager, lapsed, ITSELF, now)
    acknowledgements.set_reminded(connection, due, now)
    renotify(connection, group_manager, due, now)


def give_back(
    connection: sa.Connection, group_manager: GroupManager, lapsed: dict[int, str], actor: str, now: float
) -> None:
    """These alerts (id → why) are nobody's any more: who was told of them is told again."""
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
    """Have whoever was told of these alerts told once more, with the next message of the group."""
    if alert_ids:
        alert_groups.renotify(connection, alert_ids)
        group_manager.wake(connection, alert_ids, now)


def silence_warnings(connection: sa.Connection, now: float) -> list[Signal]:
    """Signals about silences that end soon and hide something, and about those of them that have ended."""
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
            if alert is None and holds.hides_something(connection, silence.id):
                signals.append(signal)
        elif fires and alert is not None:
            signals.append(alert.signal(int(silence.ends_at), "silence ended"))
    return signals


def next_time(connection: sa.Connection, policies: Policies, now: float) -> float | None:
    """When there is something to do next, None for never."""
    times = [history.next_timer(connection)]
    for one in acknowledgements.every(connection):
        times += [one.until, one.reminded_at + policies.remind_after]
    for silence in silences.active(connection, now):
        if silence.warn_before > 0:
            times += [silence.ends_at - silence.warn_before, silence.ends_at]
    return min((time for time in times if time is not None and time > now), default=None)


def _lapsed(one: Acknowledgement, severity: str | None, now: float) -> str:
    """Why an acknowledgement of an alert that counts as ``severity`` holds no more; empty while it does."""
    if one.until is not None and now >= one.until:
        return "its time has passed"
    if severity is not None and _is_worse(severity, one.severity):
        return f"severity rose from {one.severity} to {severity}"
    return ""


def _is_worse(severity: str, than: str) -> bool:
    return SEVERITIES.index(severity) < SEVERITIES.index(than)


def _condition(alert: Alert) -> str:
    """What identifies it whatever its severity."""
    return fingerprint({name: value for name, value in alert.labels.items() if name != "severity"})


def _warning(silence: Silence, now: float) -> Signal:
    labels = {"alertname": SILENCE_EXPIRING, "silence": str(silence.id), "severity": "P3"}
    return Signal(
        normal_labels(labels),
        int(now),
        {
            "summary": f"silence {silence.id} of {silence.author} ends soon and hides alerts that fire",
            "description": f"{silence.comment}\nWhat it hides is told once it has ended: mend it, or add a silence.".strip(),
            "ends_at": str(int(silence.ends_at)),
        },
        source="silence",
    )
