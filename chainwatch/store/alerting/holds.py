"""Why members of groups are not told for now, what limits the telling, and when that began, as rows.

All functions work inside the caller's transaction; times are Unix seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from chainwatch.alert_model import MemberId, RateStream, RateWindow, StoredCooldown, Suppression
from chainwatch.store import bulk
from chainwatch.store.alerting.alert_tables import alert_holds, cooldowns, last_notified, rate_windows
from chainwatch.store.alerting.alerts import in_chunks

_HOLD = ("group_id", "alert_id", "why", "detail", "silence_id")


def of_groups(connection: sa.Connection, group_ids: Sequence[int]) -> dict[MemberId, Suppression]:
    """What is held in these groups."""
    found: dict[MemberId, Suppression] = {}
    for some in in_chunks(group_ids):
        query = sa.select(*(alert_holds.c[name] for name in _HOLD))
        for row in connection.execute(query.where(alert_holds.c.group_id.in_(some))):
            found[row.group_id, row.alert_id] = Suppression(row.why, row.detail, row.silence_id)
    return found


def save(connection: sa.Connection, held: Mapping[MemberId, Suppression], now: float) -> None:
    """Hold these from now on."""
    rows = [(*place, one.reason, one.detail, one.silence_id, now) for place, one in held.items()]
    bulk.upsert(connection, alert_holds, (*_HOLD, "since"), rows)


def release(connection: sa.Connection, places: Iterable[MemberId]) -> None:
    """Hold these no more."""
    bulk.delete(connection, alert_holds, ("group_id", "alert_id"), list(places))


def suppresses_any(connection: sa.Connection, silence_id: int) -> bool:
    """Whether an alert is held by this silence."""
    query = sa.select(alert_holds.c.alert_id).where(alert_holds.c.silence_id == silence_id).limit(1)
    return connection.execute(query).first() is not None


# --- cooldowns ------------------------------------------------------------------------------------------


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


def windows(connection: sa.Connection, since: float) -> dict[RateStream, RateWindow]:
    """The windows of all streams that began after ``since``."""
    query = sa.select(rate_windows).where(rate_windows.c.started_at > since)
    return {
        (r.receiver, r.severity, r.source): RateWindow(r.started_at, r.sent)
        for r in connection.execute(query)
    }


def save_windows(connection: sa.Connection, changed: Mapping[RateStream, RateWindow], since: float) -> None:
    """Store windows, and forget those that began at ``since`` or before: sources may have any names."""
    connection.execute(sa.delete(rate_windows).where(rate_windows.c.started_at <= since))
    rows = [(*stream, one.started_at, one.sent) for stream, one in changed.items()]
    bulk.upsert(connection, rate_windows, ("receiver", "severity", "source", "started_at", "sent"), rows)


_matchers = msgspec.json.Decoder(dict[str, list[str]]).decode
_names = msgspec.json.Decoder(tuple[str, ...]).decode
