"""The line of a notification that names who has acknowledged its alerts.

The line is made when the notification is read for sending, not stored with it: acknowledgements may be dropped in between.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import sqlalchemy as sa

from chainwatch.alert_model import Acknowledgement, Alert, Transition
from chainwatch.store.alerting import acknowledgements, alert_groups, alerts, history
from chainwatch.store.alerting.outbox import QueuedNotification

NOBODY = ": nobody has acknowledged this"
"""The end of the note of an escalation's step; left out once one of the alerts is acknowledged."""
NAMED = 3
"""The most alerts that are named one by one; more are counted."""
VALUE_SHOWN = 40
"""Characters of a label's value that are shown."""

Acknowledged = Mapping[int, Acknowledgement]
"""Alert id → its acknowledgement."""


def acknowledged_now(connection: sa.Connection) -> Acknowledged:
    """Return the acknowledgements in force."""
    return {one.alert_id: one for one in acknowledgements.every(connection)}


def note(
    connection: sa.Connection,
    queued: QueuedNotification,
    known: Mapping[int, Alert],
    acknowledged: Acknowledged,
) -> str:
    """Return the line that precedes the alerts of ``queued``, or empty text.

    ``known``: alert id → the alert as stored now.
    """
    payload = queued.payload
    ended = set(payload.resolved)
    firing = [known[i] for i in payload.firing if i in known and i not in ended]
    handled = [alert for alert in firing if alert.id in acknowledged]
    own = payload.note.replace(NOBODY, "") if handled else payload.note
    parts = [own] if own else []
    if firing:
        reminds_from = 0.0 if payload.kind == "update" else queued.created_at  # an update is no reminder
        parts += _of_firing(firing, handled, acknowledged, reminds_from)
    elif ended:
        parts += _of_ended(connection, [known[i] for i in payload.resolved if i in known])
    left_out = _left_out(connection, queued, acknowledged) if acknowledged else []
    parts += [
        f"Left out, as acknowledged by {person}: {_named(some, [*left_out, *firing])}{comment}."
        for person, comment, some in _by_person(left_out, acknowledged)
    ]
    return " ".join(parts)


def _of_firing(
    firing: Sequence[Alert], handled: Sequence[Alert], acknowledged: Acknowledged, queued_at: float
) -> Iterable[str]:
    """Yield sentences about the firing alerts, ``handled`` among them being acknowledged.

    An alert acknowledged before the notification was queued is in it as a reminder.
    """
    all_by_one = len({acknowledged[alert.id].actor for alert in handled}) == 1 and len(handled) == len(firing)
    for person, comment, some in _by_person(handled, acknowledged):
        names = _named(some, firing)
        if any(acknowledged[alert.id].at >= queued_at for alert in some):
            yield f"Acknowledged by {person}: {names}{comment}."
        else:
            yield f"Reminder: acknowledged by {person}, and still firing{'' if all_by_one else f': {names}'}."
    others = [alert for alert in firing if alert.id not in acknowledged and alert.state == "firing"]
    if handled and others:
        yield f"Not acknowledged: {_named(others, firing)}."


def _of_ended(connection: sa.Connection, ended: Sequence[Alert]) -> Iterable[str]:
    last = history.acknowledged_last(connection, [alert.id for alert in ended])
    for person, comment, some in _by_person([alert for alert in ended if alert.id in last], last):
        yield f"Was acknowledged by {person}: {_named(some, ended)}{comment}."


def _left_out(
    connection: sa.Connection, queued: QueuedNotification, acknowledged: Acknowledged
) -> list[Alert]:
    """Return the group's firing alerts that the receiver knows and that are not repeated because they are acknowledged."""
    inside = {*queued.payload.firing, *queued.payload.resolved}
    places = alert_groups.memberships(connection, [i for i in acknowledged if i not in inside])
    here = (queued.key, queued.receiver)
    ids = [i for i, was_notified, group in places if was_notified and (group.key, group.receiver) == here]
    return [alert for alert in alerts.by_id(connection, sorted(ids)).values() if alert.state == "firing"]


def _by_person(
    some: Iterable[Alert], acknowledged: Mapping[int, Acknowledgement] | Mapping[int, Transition]
) -> list[tuple[str, str, list[Alert]]]:
    """Return the alerts of each acknowledgement, as (person, comment in brackets or empty text, alerts)."""
    found: dict[tuple[str, str], list[Alert]] = {}
    for alert in some:
        one = acknowledged[alert.id]
        found.setdefault((one.actor, one.note), []).append(alert)
    return [
        (_line(person), f" ({_line(comment)})" if comment else "", alerts)
        for (person, comment), alerts in found.items()
    ]


def _named(some: Sequence[Alert], among: Collection[Alert]) -> str:
    """Return the alerts' names, each with the labels by which it differs from those of ``among`` that have its name."""
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
