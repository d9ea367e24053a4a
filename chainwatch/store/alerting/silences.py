"""Silences as rows. All functions work inside the caller's transaction; times are Unix seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from chainwatch.store.alerting.alert_tables import silences


class Silence(msgspec.Struct, frozen=True):
    """What is told to nobody from ``starts_at`` until ``ends_at``: alerts that ``match`` takes, within ``during``.

    ``match`` is label → values as in the configuration; ``during`` names intervals, none for all the time. ``warn_before``:
    seconds before its end at which a warning is raised if it hides something, 0 for none.
    """

    match: Mapping[str, Sequence[str]]
    starts_at: float
    ends_at: float
    author: str
    comment: str
    created_at: float
    during: tuple[str, ...] = ()
    warn_before: float = 0.0
    id: int = 0

    def is_active(self, now: float) -> bool:
        """Whether ``now`` lies between its start and its end."""
        return self.starts_at <= now < self.ends_at


def add(connection: sa.Connection, silence: Silence) -> int:
    """Store a new silence; its id."""
    row = msgspec.structs.asdict(silence)
    del row["id"]
    row["matchers"] = msgspec.json.encode(row.pop("match")).decode()
    row["during"] = msgspec.json.encode(row["during"]).decode()
    return int(connection.execute(sa.insert(silences).values(row).returning(silences.c.id)).scalar_one())


def active(connection: sa.Connection, now: float) -> list[Silence]:
    """Those between their start and their end at ``now``, oldest first."""
    query = sa.select(silences).where(silences.c.ends_at > now, silences.c.starts_at <= now)
    return [_silence(row) for row in connection.execute(query.order_by(silences.c.id))]


def select(
    connection: sa.Connection, ended_after: float, *, limit: int | None = None, before_id: int | None = None
) -> list[Silence]:
    """Those that end after ``ended_after``, newest first; ``before_id`` is the last id of the page before."""
    query = sa.select(silences).where(silences.c.ends_at > ended_after).order_by(silences.c.id.desc())
    if before_id is not None:
        query = query.where(silences.c.id < before_id)
    return [_silence(row) for row in connection.execute(query.limit(limit))]


def by_id(connection: sa.Connection, ids: Sequence[int]) -> dict[int, Silence]:
    """The silences with these ids."""
    query = sa.select(silences).where(silences.c.id.in_(ids))
    return {row.id: _silence(row) for row in connection.execute(query)}


def expire(connection: sa.Connection, ids: Sequence[int], now: float) -> int:
    """End silences now; how many had not ended yet."""
    query = sa.update(silences).where(silences.c.id.in_(ids), silences.c.ends_at > now).values(ends_at=now)
    return connection.execute(query).rowcount


def prune(connection: sa.Connection, before: float, limit: int) -> int:
    """Forget up to ``limit`` silences that ended before ``before``; how many went."""
    doomed = sa.select(silences.c.id).where(silences.c.ends_at < before).limit(limit)
    return connection.execute(sa.delete(silences).where(silences.c.id.in_(doomed))).rowcount


def _silence(row: Any) -> Silence:
    return Silence(
        match=_matchers(row.matchers),
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        author=row.author,
        comment=row.comment,
        created_at=row.created_at,
        during=_names(row.during),
        warn_before=row.warn_before,
        id=row.id,
    )


_matchers = msgspec.json.Decoder(dict[str, list[str]]).decode
_names = msgspec.json.Decoder(tuple[str, ...]).decode
