"""Silences as rows. All functions work inside the caller's transaction; times are Unix seconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from chainwatch.alert_model import Silence
from chainwatch.store.alerting.alert_tables import silences


def add(connection: sa.Connection, silence: Silence) -> int:
    """Store a new silence; return its id."""
    statement = sa.insert(silences).values(_row(silence)).returning(silences.c.id)
    return int(connection.execute(statement).scalar_one())


def replace(connection: sa.Connection, silence: Silence) -> None:
    """Store ``silence`` in place of the one with its id."""
    connection.execute(sa.update(silences).where(silences.c.id == silence.id).values(_row(silence)))


def active(connection: sa.Connection, now: float) -> list[Silence]:
    """Return the silences that are active at ``now``, oldest first."""
    query = sa.select(silences).where(silences.c.ends_at > now, silences.c.starts_at <= now)
    return [_silence(row) for row in connection.execute(query.order_by(silences.c.id))]


def select(
    connection: sa.Connection, ended_after: float, *, limit: int | None = None, before_id: int | None = None
) -> list[Silence]:
    """Return those that end after ``ended_after``, newest first; ``before_id`` is the last id of the page before."""
    query = sa.select(silences).where(silences.c.ends_at > ended_after).order_by(silences.c.id.desc())
    if before_id is not None:
        query = query.where(silences.c.id < before_id)
    return [_silence(row) for row in connection.execute(query.limit(limit))]


def by_id(connection: sa.Connection, ids: Sequence[int]) -> dict[int, Silence]:
    """Return the silences with these ids."""
    query = sa.select(silences).where(silences.c.id.in_(ids))
    return {row.id: _silence(row) for row in connection.execute(query)}


def expire(connection: sa.Connection, ids: Sequence[int], now: float) -> int:
    """End silences now, before their start too; return how many had not ended yet."""
    earlier = sa.case((silences.c.starts_at > now, now), else_=silences.c.starts_at)
    query = sa.update(silences).where(silences.c.id.in_(ids), silences.c.ends_at > now)
    return connection.execute(query.values(starts_at=earlier, ends_at=now)).rowcount


def prune(connection: sa.Connection, before: float, limit: int) -> int:
    """Delete up to ``limit`` silences that ended before ``before``; return how many."""
    outdated = sa.select(silences.c.id).where(silences.c.ends_at < before).limit(limit)
    return connection.execute(sa.delete(silences).where(silences.c.id.in_(outdated))).rowcount


def _row(silence: Silence) -> dict[str, Any]:
    row = msgspec.structs.asdict(silence)
    del row["id"]
    match, tests = row.pop("match"), row.pop("tests")
    row["matchers"] = msgspec.json.encode(tests or match).decode()
    row["during"] = msgspec.json.encode(row["during"]).decode()
    return row


def _silence(row: Any) -> Silence:
    found = _matchers(row.matchers)
    return Silence(
        match=found if isinstance(found, dict) else {},
        tests=found if isinstance(found, tuple) else (),
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        author=row.author,
        comment=row.comment,
        created_at=row.created_at,
        during=_names(row.during),
        warn_before=row.warn_before,
        id=row.id,
    )


_matchers = msgspec.json.Decoder(dict[str, list[str]] | tuple[tuple[str, str, str], ...]).decode
_names = msgspec.json.Decoder(tuple[str, ...]).decode
