"""Why members of groups are not told for now, what limits the telling, and when that began, as rows.

All functions work inside the caller's transaction; times are Unix seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from chainwatch.store import bulk
from chainwatch.store.alerting.alert_tables import alert_holds, cooldowns, last_notified, rate_windows
from chainwatch.store.alerting.alerts import in_chunks


class Held(msgspec.Struct, frozen=True):
    """Why an alert is not told: ``why`` in a word or two (``silenced``), ``detail`` by what; ``silence_id``: which one."""

    why: str
    detail: str = ""
    silence_id: int | None = None


_HOLD = ("group_id", "alert_id", "why", "detail", "silence_id")

Place = tuple[int, int]
"""A group's id and an alert's."""


def of_groups(connection: sa.Connection, group_ids: Sequence[int]) -> dict[Place, Held]:
    """What is held in these groups."""
    found: dict[Place, Held] = {}
    for some in in_chunks(group_ids):
        query = sa.select(*(alert_holds.c[name] for name in _HOLD))
        for row in connection.execute(query.where(alert_holds.c.group_id.in_(some))):
            found[row.group_id, row.alert_id] = Held(row.why, row.detail, row.silence_id)
    return found


def save(connection: sa.Connection, held: Mapping[Place, Held], now: float) -> None:
    """Hold these from now on."""
    rows = [(*place, one.why, one.detail, one.silence_id, now) for place, one in held.items()]
    bulk.upsert(connection, alert_holds, (*_HOLD, "since"), rows)


def release(connection: sa.Connection, places: Iterable[Place]) -> None:
    """Hold these no more."""
    bulk.delete(connection, alert_holds, ("group_id", "alert_id"), list(places))


def hides_something(connection: sa.Connection, silence_id: int) -> bool:
    """Whether an alert is held by this silence."""
    query = sa.select(alert_holds.c.alert_id).where(alert_holds.c.silence_id == silence_id).limit(1)
    return connection.execute(query).first() is not None


# --- cooldowns ------------------------------------------------------------------------------------------


class StoredCooldown(msgspec.Struct, frozen=True):
    """A cooldown set while running; ``seconds`` 0 lifts a configured one."""

    id: int
    match: Mapping[str, Sequence[str]]
    by: tuple[str, ...]
    seconds: float
    author: str
    created_at: float


def stored_cooldowns(connection: sa.Connection) -> list[StoredCooldown]:
    """Those set while running, the newest first."""
    rows = connection.execute(sa.select(cooldowns).order_by(cooldowns.c.id.desc()))
    return [
        StoredCooldown(r.id, _matchers(r.matchers), _names(r.by), r.seconds, r.author, r.created_at)
        for r in rows
    ]


def add_cooldown(connection: sa.Connection, cooldown: StoredCooldown) -> int:
    """Set a cooldown; its id."""
    row: dict[str, Any] = {
        "matchers": msgspec.json.encode(cooldown.match).decode(),
        "by": msgspec.json.encode(cooldown.by).decode(),
        "seconds": cooldown.seconds,
        "author": cooldown.author,
        "created_at": cooldown.created_at,
    }
    return int(connection.execute(sa.insert(cooldowns).values(row).returning(cooldowns.c.id)).scalar_one())


def remove_cooldowns(connection: sa.Connection, ids: Sequence[int]) -> int:
    """Take cooldowns back; how many there were."""
    return connection.execute(sa.delete(cooldowns).where(cooldowns.c.id.in_(ids))).rowcount


def notified_at(connection: sa.Connection, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], float]:
    """When each (receiver, condition) was last told, where it was."""
    wanted = set(pairs)
    found: dict[tuple[str, str], float] = {}
    for some in in_chunks(sorted({condition for _, condition in wanted})):
        for row in connection.execute(sa.select(last_notified).where(last_notified.c.condition.in_(some))):
            if (row.receiver, row.condition) in wanted:
                found[row.receiver, row.condition] = row.at
    return found


def record_notified(connection: sa.Connection, pairs: Iterable[tuple[str, str]], now: float) -> None:
    """Note that each (receiver, condition) is told now."""
    save_notified_at(connection, dict.fromkeys(pairs, now))


def save_notified_at(connection: sa.Connection, notified: Mapping[tuple[str, str], float]) -> None:
    """Note when each (receiver, condition) was told."""
    rows = [(*pair, notified[pair]) for pair in sorted(notified)]
    bulk.upsert(connection, last_notified, ("receiver", "condition", "at"), rows)


def prune_notified_at(connection: sa.Connection, before: float, limit: int) -> int:
    """Forget up to ``limit`` tellings before ``before``; how many went."""
    doomed = (
        sa.select(last_notified.c.receiver, last_notified.c.condition)
        .where(last_notified.c.at < before)
        .limit(limit)
    )
    rows = [tuple(row) for row in connection.execute(doomed)]
    bulk.delete(connection, last_notified, ("receiver", "condition"), rows)
    return len(rows)


# --- rates ----------------------------------------------------------------------------------------------

Stream = tuple[str, str, str]
"""Receiver, severity and source of notifications."""


class Window(msgspec.Struct, frozen=True):
    """How many notifications went out since ``started_at``."""

    started_at: float
    sent: int


def windows(connection: sa.Connection, since: float) -> dict[Stream, Window]:
    """The windows of all streams that began after ``since``."""
    query = sa.select(rate_windows).where(rate_windows.c.started_at > since)
    return {
        (r.receiver, r.severity, r.source): Window(r.started_at, r.sent) for r in connection.execute(query)
    }


def save_windows(connection: sa.Connection, changed: Mapping[Stream, Window], since: float) -> None:
    """Store windows, and forget those that began at ``since`` or before: sources may have any names."""
    connection.execute(sa.delete(rate_windows).where(rate_windows.c.started_at <= since))
    rows = [(*stream, one.started_at, one.sent) for stream, one in changed.items()]
    bulk.upsert(connection, rate_windows, ("receiver", "severity", "source", "started_at", "sent"), rows)


_matchers = msgspec.json.Decoder(dict[str, list[str]]).decode
_names = msgspec.json.Decoder(tuple[str, ...]).decode
