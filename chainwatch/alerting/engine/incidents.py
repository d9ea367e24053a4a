"""Incidents and their escalation: a group of alerts pages people step by step, until somebody acknowledges.

Works inside the transaction that raised or ended the alerts, and keeps no state: incidents, the escalation policies as they
were at the start and the step that is due are rows, so a restart changes nothing (S2).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
import sqlalchemy as sa

from chainwatch.alert_model import (
    Entry,
    EntryKind,
    Escalation,
    Group,
    Incident,
    StoredOverride,
    Unacknowledged,
)
from chainwatch.alerting.delivery.acknowledged_by import NOBODY
from chainwatch.alerting.engine.group_manager import GroupManager
from chainwatch.alerting.policy import escalation, oncall
from chainwatch.alerting.policy.escalation import EscalationPolicy, Progress, Target
from chainwatch.alerting.policy.intervals import inside
from chainwatch.alerting.policy.muting import Candidate, in_quiet_hours, inhibited, silenced
from chainwatch.alerting.policy.oncall import Duty, Override
from chainwatch.alerting.policy.people import People
from chainwatch.store.alerting import acknowledgements, alert_groups, escalations, outbox
from chainwatch.store.alerting import incidents as stored

DUE_AT_ONCE = 200
PAGES = 5
"""Pages of ``DUE_AT_ONCE`` steps in one transaction; the rest stay due for the next, so that other writes come between."""
RECHECK_AFTER = 30.0
"""Seconds after which a stopped escalation is checked again: an acknowledgement may have lapsed."""
ACTOR = "chainwatch"
REASONS_SHOWN = 3


class IncidentSpec(msgspec.Struct, frozen=True):
    """The incident to which an alert belongs: the group's key and labels, the route's key and escalation policy."""

    key: str
    route: str
    labels: Mapping[str, str]
    escalation: str | None = None


class Incidents:
    """Opens incidents, and takes the steps of their escalations. ``group_manager`` knows what is suppressed."""

    def __init__(self, people: People, group_manager: GroupManager) -> None:
        self._people = people
        self._group_manager = group_manager

    def opened(
        self, connection: sa.Connection, alerts: Sequence[tuple[int, IncidentSpec]], now: float
    ) -> dict[int, str]:
        """Add firing alerts, as (id, incident), to incidents; return those whose severity rises: id → new severity."""
        if not alerts:
            return {}
        specs = {spec.key: spec for _, spec in alerts}
        known = stored.open_with(connection, sorted(specs))
        next_id = stored.next_id(connection)
        new = []
        for key, spec in specs.items():
            if key not in known:
                known[key] = Incident(next_id, key, spec.route, spec.labels, now)
                new.append(known[key])
                next_id += 1
        stored.insert(connection, new)
        stored.add_alerts(connection, [(known[spec.key].id, alert_id) for alert_id, spec in alerts])
        self._start(connection, [(i, specs[i.key].escalation) for i in new], now)
        return self._rise(connection, known, now)

    def returned(self, connection: sa.Connection, alert_ids: Sequence[int], now: float) -> dict[int, str]:
        """Note that conditions of firing alerts, which flap, began again; return rising alerts as ``opened`` does."""
        if not alert_ids or not self._people.rise_after:
            return {}
        stored.note_returns(connection, alert_ids, now, now - self._people.rise_within)
        return self._rise(connection, stored.open_of(connection, alert_ids), now)

    def advance(self, connection: sa.Connection, now: float) -> float | None:
        """Take the steps that are due at ``now``; return when the next one is due, None for never."""
        for _ in range(PAGES):
            running = escalations.due(connection, now, DUE_AT_ONCE)
            if not running:
                break
            known = stored.by_id(connection, [one.incident_id for one in running])
            overrides = escalations.overrides(connection, now)
            changed = [self._advance(connection, known[r.incident_id], r, overrides, now) for r in running]
            escalations.save(connection, changed)
        return escalations.next_due(connection)

    def _start(
        self, connection: sa.Connection, new: Sequence[tuple[Incident, str | None]], now: float
    ) -> None:
        started, noted = [], []
        for incident, name in new:
            policy = self._people.policies.get(name or "")
            if policy is not None:
                started.append(_running(incident.id, policy, now))
                noted.append(_entry(incident, now, "started", f"escalation {policy.name}"))
        escalations.save(connection, started)
        stored.add_entries(connection, noted)

    def _advance(
        self,
        connection: sa.Connection,
        incident: Incident,
        running: Escalation,
        overrides: Mapping[str, Sequence[StoredOverride]],
        now: float,
    ) -> Escalation:
        """Take the step that is due, or stop while every alert is acknowledged, suppressed or over."""
        policy = _policy(running.policy)
        unacknowledged, why = self._to_escalate(connection, incident, now)
        if not unacknowledged:
            if running.stopped_at is None:
                text = f"step {running.step + 1} and what follows are not taken: {why}"
                stored.add_entries(connection, [_entry(incident, now, "stopped", text)])
            again_at = now + RECHECK_AFTER
            return msgspec.structs.replace(running, due_at=again_at, stopped_at=running.stopped_at or now)
        if running.stopped_at is not None:
            noted = _entry(incident, now, "started", f"escalation {policy.name}, from the beginning")
            stored.add_entries(connection, [noted])
            return _running(incident.id, policy, now)
        assert running.due_at is not None
        progress = Progress(running.round, running.step, running.due_at)
        self._take(connection, incident, policy, progress, unacknowledged, overrides, now)
        following = escalation.after(policy, progress)
        if following is None:
            noted = _entry(incident, now, "ended", f"escalation {policy.name} has no more steps")
            stored.add_entries(connection, [noted])
            return msgspec.structs.replace(running, due_at=None)
        return msgspec.structs.replace(
            running, round=following.round, step=following.step, due_at=following.due_at
        )

    def _to_escalate(
        self, connection: sa.Connection, incident: Incident, now: float
    ) -> tuple[Sequence[Unacknowledged], str]:
        """Return the firing alerts not acknowledged, silenced, inhibited or in quiet hours; why others are left out."""
        unacknowledged = stored.unacknowledged(connection, incident.id)
        taken = acknowledgements.of(connection, stored.alert_ids(connection, incident.id))
        reasons = {f"acknowledged by {one.actor}": None for one in taken.values()}
        route = self._group_manager.route(incident.route)
        candidates = [Candidate(one.alert_id, one.labels, route, receiver="") for one in unacknowledged]
        if not candidates or not self._group_manager.may_suppress(connection, now):
            return unacknowledged, _listed(reasons) or "every alert has ended"
        context = self._group_manager.context_of(connection, candidates, now)
        left = []
        for one, candidate in zip(unacknowledged, candidates, strict=True):
            stages = (stage(candidate, context) for stage in (inhibited, silenced, in_quiet_hours))
            held = next((verdict for verdict in stages if verdict is not None), None)
            if held is None:
                left.append(one)
            else:
                reasons[f"{held.reason} {held.detail}"] = None
        return left, _listed(reasons)

    def _take(
        self,
        connection: sa.Connection,
        incident: Incident,
        policy: EscalationPolicy,
        progress: Progress,
        unacknowledged: Sequence[Unacknowledged],
        overrides: Mapping[str, Sequence[StoredOverride]],
        now: float,
    ) -> None:
        step = policy.steps[progress.step]
        severity = escalation.worst([one.severity for one in unacknowledged])
        about = f"step {progress.step + 1}" + (f", repetition {progress.round}" if progress.round else "")
        people = self._people
        if not escalation.applies(
            step, severity, lambda names: inside(people.intervals, names, progress.due_at) is not None
        ):
            skipped = _entry(incident, now, "skipped", f"{about}: not for {severity} at this time")
            stored.add_entries(connection, [skipped])
            return

        def on_call(name: str) -> Duty | None:
            schedule = people.schedules.get(name)
            if schedule is None:
                return None
            current = [Override(o.person, o.starts_at, o.ends_at, o.id) for o in overrides.get(name, ())]
            return oncall.on_call(schedule, people.intervals, current, now)

        found, missed = escalation.targets(step, policy, severity, on_call)
        missed += [f"{t.receiver}: no such receiver" for t in found if t.receiver not in people.receivers]
        found = [target for target in found if target.receiver in people.receivers]
        note = f"Escalation {policy.name}, {about}"
        waited = progress.round or progress.step or step.wait
        note += f"{NOBODY}." if waited else "."
        self._send(connection, incident, found, [one.alert_id for one in unacknowledged], note, now)
        entries = [_entry(incident, now, "skipped", f"{about}: {why}") for why in missed]
        entries += [
            _entry(incident, now, "step", f"{about}: {target.who or target.receiver}", target.receiver)
            for target in found
        ]
        stored.add_entries(connection, entries)

    def _send(
        self,
        connection: sa.Connection,
        incident: Incident,
        targets: Sequence[Target],
        firing: Sequence[int],
        note: str,
        now: float,
    ) -> None:
        """Queue one notification for each target, and give its receiver a group, which sends repeats and resolutions."""
        groups = alert_groups.find(connection, [incident.key])
        next_id = alert_groups.next_id(connection)
        queue = []
        for target in targets:
            group = groups.get((incident.key, target.receiver))
            if group is None:
                group = Group(
                    next_id,
                    incident.key,
                    target.receiver,
                    incident.route,
                    incident.labels,
                    flush_at=now,
                    flushed_at=now,
                    sent_at=now,
                )
                alert_groups.insert(connection, [group])
                next_id += 1
            else:
                alert_groups.update(connection, [msgspec.structs.replace(group, sent_at=now)])
            escalations.mark_notified(connection, group.id, firing)
            payload = outbox.Payload(incident.labels, tuple(firing), (), note=note)
            queue.append((target.receiver, incident.key, payload))
        outbox.enqueue(connection, queue, now)

    def _rise(self, connection: sa.Connection, known: Mapping[str, Incident], now: float) -> dict[int, str]:
        """Raise the severity of the alerts of incidents that were raised too often; return id → new severity."""
        people = self._people
        if not people.rise_after:
            return {}
        risen: dict[int, str] = {}
        counts = stored.occurrences(connection, sorted(known), now - people.rise_within)
        for (key, severity), number in counts.items():
            to = escalation.risen(severity, number, people.rise_after)
            if to is None:
                continue
            incident = known[key]
            ids = stored.firing_as_labelled(connection, incident.id, severity)
            if ids:
                stored.raise_to(connection, ids, to, number, now)
                text = f"{number} alerts of {severity} count as {to}"
                stored.add_entries(connection, [_entry(incident, now, "raised", text)])
                risen |= dict.fromkeys(ids, to)
        return risen


def _listed(reasons: Iterable[str]) -> str:
    """Return the first few reasons, and how many more there are."""
    all_ = list(reasons)
    more = f"; {len(all_) - REASONS_SHOWN} more" if len(all_) > REASONS_SHOWN else ""
    return "; ".join(all_[:REASONS_SHOWN]) + more


def _running(incident_id: int, policy: EscalationPolicy, now: float) -> Escalation:
    first = escalation.begin(policy, now)
    snapshot = msgspec.json.encode(policy).decode()
    return Escalation(incident_id, snapshot, first.round, first.step, now, first.due_at)


def _entry(incident: Incident, now: float, kind: EntryKind, text: str, receiver: str | None = None) -> Entry:
    return Entry(incident.id, now, kind, ACTOR, text, receiver)


_policy = msgspec.json.Decoder(EscalationPolicy).decode
