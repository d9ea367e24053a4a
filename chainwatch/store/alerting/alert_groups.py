"""Groups of alerts as rows, one per route, set of labels and receiver, and of what each receiver was notified.

All functions work inside the caller's transaction. Times are Unix seconds of this machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from chainwatch.alert_model import Group, Member, MemberId
from chainwatch.store import bulk
from chainwatch.store.alerting import receipts
from chainwatch.store.alerting.alert_tables import alert_groups, alert_holds, alert_members, alerts
from chainwatch.store.alerting.alerts import in_chunks, seconds

RENOTIFY = 2
"""In place of 1 in ``notified``: the receiver was notified, and is to be notified once more."""


def find(connection: sa.Connection, keys: Sequence[str]) -> dict[tuple[str, str], Group]:
    """Return the groups with these keys, by key and receiver."""
    groups = map(_group, bulk.select_in(connection, alert_groups, _COLUMNS, "key", keys))
    return {(group.key, group.receiver): group for group in groups}


def of_alerts(connection: sa.Connection, alert_ids: Sequence[int]) -> list[Group]:
    """Return the groups that have these alerts as members."""
    found = {
        row[0] for row in bulk.select_in(connection, alert_members, ("group_id",), "alert_id", alert_ids)
    }
    return [_group(row) for row in bulk.select_in(connection, alert_groups, _COLUMNS, "id", sorted(found))]


def memberships(connection: sa.Connection, alert_ids: Sequence[int]) -> list[tuple[int, bool, Group]]:
    """Return the memberships of these alerts, as (alert id, whether the group's receiver was notified of it, group)."""
    rows = list(
        bulk.select_in(connection, alert_members, ("alert_id", "notified", "group_id"), "alert_id", alert_ids)
    )
    ids = sorted({group_id for _, _, group_id in rows})
    groups = {row[0]: _group(row) for row in bulk.select_in(connection, alert_groups, _COLUMNS, "id", ids)}
    return [(alert_id, notified > 0, groups[group_id]) for alert_id, notified, group_id in rows]


def next_id(connection: sa.Connection) -> int:
    """Return the id for the next new group."""
    return (bulk.scalar(connection, "SELECT max(id) FROM alert_groups") or 0) + 1


def insert(connection: sa.Connection, new: Sequence[Group]) -> None:
    """Store new groups, which carry their ids."""
    bulk.change(connection, _INSERT, [_row(group) for group in new])


def join(connection: sa.Connection, pairs: Sequence[tuple[int, int]]) -> None:
    """Make alerts members of groups, as (group id, alert id), not yet notified; existing members stay as they are."""
    rows = [(group_id, alert_id, 0) for group_id, alert_id in pairs]
    bulk.insert(connection, alert_members, ("group_id", "alert_id", "notified"), rows)


def update(connection: sa.Connection, changed: Sequence[Group]) -> None:
    """Store the changed times of groups."""
    rows = [(group.flush_at, group.flushed_at, group.sent_at, group.id) for group in changed]
    bulk.change(
        connection, "UPDATE alert_groups SET flush_at = ?, flushed_at = ?, sent_at = ? WHERE id = ?", rows
    )


def delete(connection: sa.Connection, ids: Sequence[int]) -> None:
    """Delete groups, which have no members left, and the receipts of their messages."""
    receipts.delete_with_groups(connection, ids)
    for some in in_chunks(ids):
        connection.execute(sa.delete(alert_groups).where(alert_groups.c.id.in_(some)))


def delete_of(connection: sa.Connection, receiver: str) -> None:
    """Delete the groups of a receiver that is gone, with their members: it is notified of nothing any more."""
    ids = connection.execute(
        sa.select(alert_groups.c.id).where(alert_groups.c.receiver == receiver)
    ).scalars()
    for some in in_chunks(ids.all()):
        for column in (alert_members.c.group_id, alert_holds.c.group_id):
            connection.execute(sa.delete(column.table).where(column.in_(some)))
        delete(connection, some)


def due(connection: sa.Connection, now: float, limit: int) -> list[Group]:
    """Return up to ``limit`` groups that are to be flushed, the longest due first."""
    return [_group(row) for row in bulk.select(connection, _DUE, (now, limit))]


def next_flush(connection: sa.Connection) -> float | None:
    """Return when the next group is to be flushed; None without groups."""
    found: float | None = bulk.scalar(connection, "SELECT min(flush_at) FROM alert_groups")
    return found


def members(connection: sa.Connection, group_ids: Sequence[int]) -> dict[int, list[Member]]:
    """Return the members of groups, oldest alert first."""
    found: dict[int, list[Member]] = {}
    rows = bulk.select_in(connection, _JOINED, _MEMBER, "group_id", group_ids, " ORDER BY alerts.id")
    for group_id, alert_id, fingerprint, state, notified, audience, severity, labels, source, *times in rows:
        member = Member(
            alert_id,
            fingerprint,
            state,
            notified > 0,
            audience == "quiet",
            renotify=notified == RENOTIFY,
            severity=severity,
            labels_text=labels,
            source=source,
            unseen_for=_unseen_for(*times),
        )
        found.setdefault(group_id, []).append(member)
    return found


def notified_firing(connection: sa.Connection, receiver: str) -> list[int]:
    """Return the ids of the firing alerts that ``receiver`` was notified of, oldest first."""
    query = (
        sa.select(alerts.c.id)
        .join(alert_members, alert_members.c.alert_id == alerts.c.id)
        .join(alert_groups, alert_groups.c.id == alert_members.c.group_id)
        .where(alert_groups.c.receiver == receiver, alert_members.c.notified > 0)
        .where(alerts.c.state == sa.literal_column("'firing'"))
        .distinct()
        .order_by(alerts.c.id)
    )
    return list(connection.execute(query).scalars())


def mark_notified(connection: sa.Connection, group_ids: Sequence[int]) -> None:
    """Mark all members that are not suppressed as notified; resolved ones leave their groups."""
    bulk.change_in(connection, _DELETE_RESOLVED, group_ids)
    bulk.change_in(connection, _MARK_NOTIFIED, group_ids)


def set_notified(connection: sa.Connection, members: Sequence[tuple[int, int]]) -> None:
    """Mark members, as (group id, alert id), as notified."""
    bulk.change(
        connection,
        "UPDATE alert_members SET notified = 1 WHERE group_id = ? AND alert_id = ? AND notified = 0",
        members,
    )


def renotify(connection: sa.Connection, alert_ids: Sequence[int]) -> None:
    """Have the receivers that were notified of these alerts notified once more."""
    for some in in_chunks(alert_ids):
        connection.execute(
            sa.update(alert_members)
            .where(alert_members.c.alert_id.in_(some), alert_members.c.notified == 1)
            .values(notified=RENOTIFY)
        )


def leave(connection: sa.Connection, members: Sequence[MemberId]) -> None:
    """Remove alerts from groups, as (group id, alert id)."""
    bulk.delete(connection, alert_members, ("group_id", "alert_id"), members)


def advance_unnotified(connection: sa.Connection, now: float) -> None:
    """Have the groups that have something new to notify flushed by ``now``, whatever their intervals."""
    unnotified = (
        sa.select(alert_members.c.group_id)
        .join(alerts, alerts.c.id == alert_members.c.alert_id)
        .where((alert_members.c.notified == 0) | (alerts.c.state == sa.literal_column("'resolved'")))
    )
    connection.execute(
        sa.update(alert_groups)
        .where(alert_groups.c.flush_at > now, alert_groups.c.id.in_(unnotified))
        .values(flush_at=now)
    )


def flush_again(connection: sa.Connection, now: float, but: Sequence[str]) -> None:
    """Have the groups that were flushed before flushed by ``now``; those of the routes ``but`` stay as planned."""
    connection.execute(
        sa.update(alert_groups)
        .where(alert_groups.c.flushed_at.isnot(None), alert_groups.c.flush_at > now)
        .where(alert_groups.c.route.notin_(but))
        .values(flush_at=now)
    )


_COLUMNS = ("id", "key", "receiver", "route", "labels", "flush_at", "flushed_at", "sent_at")
_INSERT = f"INSERT INTO alert_groups ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608
_DUE = f"SELECT {', '.join(_COLUMNS)} FROM alert_groups WHERE flush_at <= ? ORDER BY flush_at, id LIMIT ?"  # noqa: S608
_NOT_SUPPRESSED = (
    "group_id IN ? AND NOT EXISTS (SELECT 1 FROM alert_holds "
    "WHERE alert_holds.group_id = alert_members.group_id AND alert_holds.alert_id = alert_members.alert_id)"
)
_IS_RESOLVED = "EXISTS (SELECT 1 FROM alerts WHERE alerts.id = alert_members.alert_id AND state = 'resolved')"
_DELETE_RESOLVED = f"DELETE FROM alert_members WHERE {_NOT_SUPPRESSED} AND {_IS_RESOLVED}"  # noqa: S608
_MARK_NOTIFIED = f"UPDATE alert_members SET notified = 1 WHERE {_NOT_SUPPRESSED} AND notified <> 1"  # noqa: S608
_JOINED = "alert_members JOIN alerts ON alerts.id = alert_members.alert_id"
_MEMBER = (
    *(
        "group_id",
        "alerts.id",
        "fingerprint",
        "state",
        "notified",
        "audience",
        "severity",
        "labels",
        "source",
    ),
    *("starts_at", "ends_at", "raised_at"),
)


def _unseen_for(starts_at: int, ends_at: int | None, raised_at: float) -> float | None:
    if ends_at is None or seconds(ends_at) > raised_at:
        return None
    return seconds(ends_at - starts_at)


def _row(group: Group) -> tuple[Any, ...]:
    """Return the values in the order of the columns."""
    labels = msgspec.json.encode(group.labels).decode()
    times = (group.flush_at, group.flushed_at, group.sent_at)
    return (group.id, group.key, group.receiver, group.route, labels, *times)


def _group(row: Any) -> Group:
    """Make a group of a row with the columns in their order."""
    number, key, receiver, route, labels, flush_at, flushed_at, sent_at = row
    return Group(number, key, receiver, route, _from_json(labels), flush_at, flushed_at, sent_at)


_from_json = msgspec.json.Decoder(dict[str, str]).decode
