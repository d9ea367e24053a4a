"""Alerts as rows: the newest of each fingerprint, bulk writes, and what the commands show.

All functions work inside the caller's transaction. Times are Unix seconds: chain time in ``starts_at`` and ``ends_at``,
which are stored in milliseconds, this machine's in ``raised_at`` and ``resolved_at``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from chainwatch.alert_model import Alert, Audience, Expiry, State
from chainwatch.store import bulk
from chainwatch.store.alerting.alert_tables import (
    acknowledgements,
    alert_members,
    alert_repeats,
    alert_transitions,
    alerts,
    notifications,
)
from chainwatch.store.bulk import IN_LIST_MAX

UNFINISHED_MARGIN = 86_400.0
"""Seconds before the oldest unfinished notification in which resolved alerts are kept for it."""


_FIRING = alerts.c.state == sa.literal_column("'firing'")
"""As a literal, or the partial index would not be used."""


def newest(connection: sa.Connection, fingerprints: Iterable[str]) -> dict[str, Alert]:
    """Return the newest alert of each fingerprint that has any; one that has not ended is always the newest."""
    found: dict[str, Alert] = {}
    prints = list(dict.fromkeys(fingerprints))
    latest = [row[1] for row in bulk.select_in(connection, alerts, _LATEST, "fingerprint", prints, _BY_PRINT)]
    for row in bulk.select_in(connection, alerts, _COLUMNS, "id", latest):
        alert = _alert(row)
        found[alert.fingerprint] = alert
    return found


def next_id(connection: sa.Connection) -> int:
    """Return the id for the next new alert; there is one writer, which counts on from here."""
    return (bulk.scalar(connection, "SELECT max(id) FROM alerts") or 0) + 1


def next_sample_id(connection: sa.Connection) -> int:
    """Return the id for the next sample, which is below zero and so never one of ``next_id``."""
    return min(bulk.scalar(connection, "SELECT min(id) FROM alerts") or 0, 0) - 1


def delete_sample(connection: sa.Connection, alert_id: int) -> None:
    """Delete a sample, which has no history and is in no group."""
    connection.execute(sa.delete(alerts).where(alerts.c.id == alert_id))


def insert(connection: sa.Connection, new: Sequence[Alert]) -> None:
    """Store new alerts, which carry their ids."""
    bulk.change(connection, _INSERT, [_row(alert) for alert in new])


def update(connection: sa.Connection, changed: Sequence[Alert]) -> None:
    """Store what changed of alerts; id, labels, source and when they were raised never change."""
    rows = [dict(zip(_COLUMNS, _row(alert), strict=True)) for alert in changed]
    bulk.change(connection, _UPDATE, [tuple(row[name] for name in (*_CHANGING, "id")) for row in rows])


def by_id(connection: sa.Connection, ids: Sequence[int]) -> dict[int, Alert]:
    """Return the alerts with these ids that are still stored."""
    found: dict[int, Alert] = {}
    for row in bulk.select_in(connection, alerts, _COLUMNS, "id", ids):
        found[row[0]] = _alert(row)
    return found


def list_alerts(
    connection: sa.Connection,
    *,
    state: State | None = None,
    name: str | None = None,
    severities: Sequence[str] = (),
    since: float | None = None,
    until: float | None = None,
    before: tuple[int, ...] | None = None,
    limit: int = 1000,
) -> list[Alert]:
    """Return alerts by chain time of their start, newest first; ``since`` and ``until`` bound ``starts_at`` on both ends.

    ``before``: only what follows the alert with this start (milliseconds) and this id.
    """
    query = sa.select(alerts).order_by(alerts.c.starts_at.desc(), alerts.c.id.desc()).limit(limit)
    if state is not None:
        query = query.where(alerts.c.state == sa.literal_column(f"'{state}'"))  # a partial index is used
    if name is not None:
        query = query.where(alerts.c.name == name)
    if severities:
        query = query.where(alerts.c.severity.in_(severities))
    if since is not None:
        query = query.where(alerts.c.starts_at >= milliseconds(since))
    if until is not None:
        query = query.where(alerts.c.starts_at <= milliseconds(until))
    if before is not None:
        query = query.where(sa.tuple_(alerts.c.starts_at, alerts.c.id) < sa.tuple_(*before))
    return [_alert(row) for row in connection.execute(query)]


def firing(connection: sa.Connection) -> Iterator[Alert]:
    """Yield every firing alert, oldest first, read in pages."""
    after = 0
    while True:
        page = connection.execute(
            sa.select(alerts)
            .where(alerts.c.state == sa.literal_column("'firing'"), alerts.c.id > after)
            .order_by(alerts.c.id)
            .limit(IN_LIST_MAX)
        ).all()
        yield from map(_alert, page)
        if len(page) < IN_LIST_MAX:
            return
        after = page[-1].id


def unresolved(connection: sa.Connection) -> list[tuple[Alert, Expiry | None]]:
    """Return every alert that fires or is pending, oldest first, and when it ends by itself if another program sent it."""
    found = []
    for row in bulk.select(connection, _UNRESOLVED):
        number, print_, state, labels, annotations, starts_at, raised_at, source, *ending = row
        alert = Alert(
            id=number,
            fingerprint=print_,
            labels=_from_json(labels),
            annotations=_from_json(annotations),
            starts_at=seconds(starts_at),
            raised_at=raised_at,
            state=state,
            source=source,
        )
        expires_at, timeout, sent_at, url = ending
        found.append(
            (alert, None if expires_at is None else Expiry(print_, expires_at, bool(timeout), sent_at, url))
        )
    return found


def count_firing(connection: sa.Connection, but: str) -> dict[str, tuple[int, int]]:
    """Return how many alerts fire with each severity, and how many of them are acknowledged, but for those named ``but``."""
    query = (
        sa.select(alerts.c.severity, sa.func.count(), sa.func.count(acknowledgements.c.alert_id))
        .select_from(alerts)
        .outerjoin(acknowledgements, acknowledgements.c.alert_id == alerts.c.id)
        .where(_FIRING, alerts.c.name != but)
        .group_by(alerts.c.severity)
    )
    return {row[0]: (row[1], row[2]) for row in connection.execute(query)}


def urgent(connection: sa.Connection, severity: str, but: str, limit: int) -> list[Alert]:
    """Return firing alerts of one severity: first those that nobody has acknowledged, then the newest.

    Those named ``but`` are left out.
    """
    taken = sa.exists().where(acknowledgements.c.alert_id == alerts.c.id)
    query = (
        sa.select(alerts)
        .where(_FIRING, alerts.c.severity == severity, alerts.c.name != but)
        .order_by(taken, alerts.c.starts_at.desc(), alerts.c.id.desc())
    )
    return [_alert(row) for row in connection.execute(query.limit(limit))]


def last_raised(connection: sa.Connection, limit: int) -> list[Alert]:
    """Return the last ``limit`` alerts that were raised, whatever became of them, newest first."""
    rows = connection.execute(sa.select(alerts).order_by(alerts.c.id.desc()).limit(limit))
    return [_alert(row) for row in rows]


def firing_labels(connection: sa.Connection, names: Sequence[str] | None) -> list[dict[str, str]]:
    """Return the labels of the firing alerts with these names; of all where ``names`` is None."""
    query = sa.select(alerts.c.labels).where(alerts.c.state == sa.literal_column("'firing'"))
    if names is not None:
        query = query.where(alerts.c.name.in_(names))
    return [_from_json(text) for text in connection.execute(query.order_by(alerts.c.id)).scalars()]


class Count(msgspec.Struct, frozen=True):
    """How many alerts share a state, a severity and an audience."""

    state: State
    severity: str
    audience: Audience
    number: int


def counts(connection: sa.Connection) -> list[Count]:
    """Return how many alerts there are of each state, severity and audience."""
    by = (alerts.c.state, alerts.c.severity, alerts.c.audience)
    rows = connection.execute(sa.select(*by, sa.func.count()).group_by(*by).order_by(*by))
    return [Count(*row) for row in rows]


def set_audience(connection: sa.Connection, audience: Audience, ids: Sequence[int]) -> None:
    """Store whether alerts go to a receiver now."""
    for some in in_chunks(ids):
        connection.execute(sa.update(alerts).where(alerts.c.id.in_(some)).values(audience=audience))


def prune(connection: sa.Connection, before: float, limit: int = 1000) -> int:
    """Delete up to ``limit`` alerts resolved before ``before`` (Unix seconds) with their histories; return how many.

    Alerts that are still to be notified are kept, and the newest alert, whose id must not be given twice.
    """
    oldest_unfinished = connection.execute(
        sa.select(sa.func.min(notifications.c.created_at)).where(
            notifications.c.status.in_(["pending", "dead"])
        )
    ).scalar()
    if oldest_unfinished is not None:
        before = min(before, oldest_unfinished - UNFINISHED_MARGIN)
    newest_id = sa.select(sa.func.max(alerts.c.id)).scalar_subquery()
    member = sa.exists().where(alert_members.c.alert_id == alerts.c.id)
    outdated = (
        sa.select(alerts.c.id)
        .where(alerts.c.state == sa.literal_column("'resolved'"), alerts.c.resolved_at < before)
        .where(alerts.c.id != newest_id, ~member)
        .limit(limit)
    )
    ids = connection.execute(outdated).scalars().all()
    for some in in_chunks(ids):
        for column in (alert_transitions.c.alert_id, alert_repeats.c.alert_id, alerts.c.id):
            connection.execute(sa.delete(column.table).where(column.in_(some)))
    return len(ids)


def milliseconds(at: float) -> int:
    """Return Unix seconds as they are stored, in milliseconds."""
    return round(at * 1000)


def seconds(stored: int) -> float:
    """Return stored milliseconds as Unix seconds, whole ones as ``int``."""
    return stored / 1000 if stored % 1000 else stored // 1000


def in_chunks(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Yield ``values`` in slices that fit into one statement's IN list."""
    for start in range(0, len(values), IN_LIST_MAX):
        yield values[start : start + IN_LIST_MAX]


_COLUMNS = (
    *("id", "fingerprint", "name", "severity", "state", "audience", "labels", "annotations"),
    *("starts_at", "ends_at", "reason", "raised_at", "resolved_at", "source"),
)
_FIXED = ("id", "fingerprint", "name", "severity", "labels", "raised_at", "source")
_CHANGING = tuple(name for name in _COLUMNS if name not in _FIXED)
_UPDATE = f"UPDATE alerts SET {', '.join(f'{name} = ?' for name in _CHANGING)} WHERE id = ?"  # noqa: S608
_INSERT = f"INSERT INTO alerts ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608
_UNRESOLVED = (
    "SELECT id, a.fingerprint, state, labels, annotations, starts_at, raised_at, source, "
    "expires_at, timeout, sent_at, generator_url FROM alerts a "
    "LEFT JOIN alert_expiries e ON e.fingerprint = a.fingerprint WHERE state = 'firing' "
    "OR id IN (SELECT alert_id FROM alert_timers WHERE kind = 'fire') ORDER BY id"
)
_LATEST = ("fingerprint", "max(id)")
_BY_PRINT = " GROUP BY fingerprint"


def _row(alert: Alert) -> tuple[Any, ...]:
    """Return the values in the order of the columns."""
    return (
        alert.id,
        alert.fingerprint,
        alert.name,
        alert.severity,
        alert.state,
        alert.audience,
        _json(alert.labels),
        _json(alert.annotations),
        milliseconds(alert.starts_at),
        None if alert.ends_at is None else milliseconds(alert.ends_at),
        alert.reason,
        alert.raised_at,
        alert.resolved_at,
        alert.source,
    )


def _alert(row: Any) -> Alert:
    """Make an alert of a row with the columns in their order."""
    (
        number,
        print_,
        _,
        _,
        state,
        audience,
        labels,
        annotations,
        starts_at,
        ends_at,
        reason,
        raised_at,
        resolved_at,
        source,
    ) = row
    return Alert(
        id=number,
        fingerprint=print_,
        labels=_from_json(labels),
        annotations=_from_json(annotations),
        starts_at=seconds(starts_at),
        raised_at=raised_at,
        state=state,
        audience=audience,
        ends_at=None if ends_at is None else seconds(ends_at),
        reason=reason,
        resolved_at=resolved_at,
        source=source,
    )


def _json(pairs: Mapping[str, str]) -> str:
    return msgspec.json.encode(pairs).decode()


_from_json = msgspec.json.Decoder(dict[str, str]).decode
