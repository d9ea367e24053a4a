"""What a message says of who has acknowledged its alerts: as that is when the message is rendered, not when it was queued.

A line stored with the message would still say that somebody has an alert after they gave it back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import sqlalchemy as sa

from chainwatch.alert_model import Acknowledgement, Alert, Transition
from chainwatch.store.alerting import acknowledgements, alert_groups, alerts, history
from chainwatch.store.alerting.outbox import Queued

NOBODY = ": nobody has acknowledged this"
"""What a step of an escalation says of what it tells about; left out once somebody has."""
NAMED = 3
"""Alerts up to which each is named; of more the number is given."""
VALUE_SHOWN = 40
"""Characters of a label's value."""

Taken = Mapping[int, Acknowledgement]
"""Alert id → who has it now."""


def taken_now(connection: sa.Connection) -> Taken:
    """Who has which firing alert."""
    return {one.alert_id: one for one in acknowledgements.every(connection)}


def note(connection: sa.Connection, queued: Queued, known: Mapping[int, Alert], taken: Taken) -> str:
    """The line to be put before the alerts of ``queued``, which are stored as ``known`` now; empty for none."""
    payload = queued.payload
    ended = set(payload.resolved)
    firing = [known[i] for i in payload.firing if i in known and i not in ended]
    theirs = [alert for alert in firing if alert.id in taken]
    said = payload.note.replace(NOBODY, "") if theirs else payload.note
    parts = [said] if said else []
    if firing:
        parts += _of_firing(firing, theirs, taken, queued.created_at)
    elif ended:
        parts += _of_ended(connection, [known[i] for i in payload.resolved if i in known])
    left_out = _left_out(connection, queued, taken) if taken else []
    parts += [
        f"Left out, as acknowledged by {who}: {_named(theirs, [*left_out, *firing])}{why}."
        for who, why, theirs in _by_person(left_out, taken)
    ]
    return " ".join(parts)


def _of_firing(
    firing: Sequence[Alert], theirs: Sequence[Alert], taken: Taken, queued_at: float
) -> Iterable[str]:
    """Who has which of the firing alerts of a message. What was theirs before it was queued is in it as a reminder."""
    all_of_one = len({taken[alert.id].actor for alert in theirs}) == 1 and len(theirs) == len(firing)
    for who, why, some in _by_person(theirs, taken):
        names = _named(some, firing)
        if any(taken[alert.id].at >= queued_at for alert in some):
            yield f"Acknowledged by {who}: {names}{why}."
        else:
            yield f"Reminder: acknowledged by {who}, and still firing{'' if all_of_one else f': {names}'}."
    others = [alert for alert in firing if alert.id not in taken and alert.state == "firing"]
    if theirs and others:
        yield f"Not acknowledged: {_named(others, firing)}."


def _of_ended(connection: sa.Connection, ended: Sequence[Alert]) -> Iterable[str]:
    had = history.acknowledged_last(connection, [alert.id for alert in ended])
    for who, why, some in _by_person([alert for alert in ended if alert.id in had], had):
        yield f"Was acknowledged by {who}: {_named(some, ended)}{why}."


def _left_out(connection: sa.Connection, queued: Queued, taken: Taken) -> list[Alert]:
    """What the receiver was told of in this group, and is not told now because somebody has it."""
    inside = {*queued.payload.firing, *queued.payload.resolved}
    places = alert_groups.memberships(connection, [i for i in taken if i not in inside])
    here = (queued.key, queued.receiver)
    ids = [i for i, was_notified, group in places if was_notified and (group.key, group.receiver) == here]
    return [alert for alert in alerts.by_id(connection, sorted(ids)).values() if alert.state == "firing"]


def _by_person(
    some: Iterable[Alert], had: Mapping[int, Acknowledgement] | Mapping[int, Transition]
) -> list[tuple[str, str, list[Alert]]]:
    """(who, their note in brackets, the alerts)."""
    found: dict[tuple[str, str], list[Alert]] = {}
    for alert in some:
        one = had[alert.id]
        found.setdefault((one.actor, one.note), []).append(alert)
    return [(_line(who), f" ({_line(why)})" if why else "", theirs) for (who, why), theirs in found.items()]


def _named(some: Sequence[Alert], among: Collection[Alert]) -> str:
    """``TransferOverdue``; with the labels by which it differs from others of its name that the line is about."""
    if len(some) > NAMED:
        return f"{len(some)} alerts"
    return ", ".join(_name(alert, [a.labels for a in among if a.name == alert.name]) for alert in some)


def _name(alert: Alert, same: Sequence[Mapping[str, str]]) -> str:
    different = [
        f"{name}={_line(value)[:VALUE_SHOWN]}"
        for name, value in alert.labels.items()
        if any(labels.get(name) != value for labels in same)
    ]
    return _line(alert.name) + (f" {' '.join(different)}" if different else "")


def _line(text: str) -> str:
    return " ".join(text.split())
