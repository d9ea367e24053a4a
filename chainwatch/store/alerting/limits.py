"""What limits how often receivers are notified, as rows: cooldowns, the last notifications that they count
from, and the windows of rate limits.

All functions work inside the caller's transaction; times are Unix seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from chainwatch.alert_model import RateStream, RateWindow, StoredCooldown
from chainwatch.store import bulk
from chainwatch.store.alerting.alert_tables import cooldowns, last_notified, rate_windows
from chainwatch.store.alerting.alerts import in_chunks

# --- cooldowns ------------------------------------------------------------------------------------------


def stored_cooldowns(connection: sa.Connection) -> list[StoredCooldown]:
    """Return the cooldowns that operators have set, the newest first."""
    rows = connection.execute(sa.select(cooldowns).order_by(cooldowns.c.id.desc()))
    return [
        StoredCooldown(r.id, _matchers(r.matchers), _names(r.by), r.seconds, r.author, r.created_at)
        for r in rows
    ]


def add_cooldown(connection: sa.Connection, cooldown: StoredCooldown) -> int:
    """Store a cooldown; return its id."""
    row: dict[str, Any] = {
        "matchers": msgspec.json.encode(cooldown.match).decode(),
        "by": msgspec.json.encode(cooldown.by).decode(),
        "seconds": cooldown.seconds,
        "author": cooldown.author,
        "created_at": cooldown.created_at,
    }
    return int(connection.execute(sa.insert(cooldowns).values(row).returning(cooldowns.c.id)).scalar_one())


def remove_cooldowns(connection: sa.Connection, ids: Sequence[int]) -> int:
    """Delete cooldowns; return how many there were."""
    return connection.execute(sa.delete(cooldowns).where(cooldowns.c.id.in_(ids))).rowcount


def notified_at(connection: sa.Connection, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], float]:
    """Return when each receiver was last notified of a condition, by (receiver, condition), where it was."""
    wanted = set(pairs)
    found: dict[tuple[str, str], float] = {}
    for some in in_chunks(sorted({condition for _, condition in wanted})):
        for row in connection.execute(sa.select(last_notified).where(last_notified.c.condition.in_(some))):
            if (row.receiver, row.condition) in wanted:
                found[row.receiver, row.condition] = row.at
    return found


def record_notified(connection: sa.Connection, pairs: Iterable[tuple[str, str]], now: float) -> None:
    """Store that each receiver is notified of a condition now, as (receiver, condition)."""
    save_notified_at(connection, dict.fromkeys(pairs, now))


def save_notified_at(connection: sa.Connection, notified: Mapping[tuple[str, str], float]) -> None:
    """Store when each receiver was last notified of a condition, by (receiver, condition)."""
    rows = [(*pair, notified[pair]) for pair in sorted(notified)]
    bulk.upsert(connection, last_notified, ("receiver", "condition", "at"), rows)


def prune_notified_at(connection: sa.Connection, before: float, limit: int) -> int:
    """Delete up to ``limit`` of these times that lie before ``before``; return how many."""
    outdated = (
        sa.select(last_notified.c.receiver, last_notified.c.condition)
        .where(last_notified.c.at < before)
        .limit(limit)
    )
    rows = [tuple(row) for row in connection.execute(outdated)]
    bulk.delete(connection, last_notified, ("receiver", "condition"), rows)
    return len(rows)


# --- rate limits ----------------------------------------------------------------------------------------


def windows(connection: sa.Connection, since: float) -> dict[RateStream, RateWindow]:
    """Return the windows of all streams that began after ``since``."""
    query = sa.select(rate_windows).where(rate_windows.c.started_at > since)
    return {
        (r.receiver, r.severity, r.source): RateWindow(r.started_at, r.sent)
        for r in connection.execute(query)
    }


def save_windows(connection: sa.Connection, changed: Mapping[RateStream, RateWindow], since: float) -> None:
    """Store windows, and delete those that began at ``since`` or before: there may be any number of streams."""
    connection.execute(sa.delete(rate_windows).where(rate_windows.c.started_at <= since))
    rows = [(*stream, one.started_at, one.sent) for stream, one in changed.items()]
    bulk.upsert(connection, rate_windows, ("receiver", "severity", "source", "started_at", "sent"), rows)


_matchers = msgspec.json.Decoder(dict[str, list[str]]).decode
_names = msgspec.json.Decoder(tuple[str, ...]).decode
