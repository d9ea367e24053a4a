"""When invariants did not hold. Times are chain time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from chainwatch.store import bulk
from chainwatch.store.invariant_tables import invariant_breaches

_b = invariant_breaches.c


class Breach(NamedTuple):
    """A time in which the invariant ``name`` did not hold: since ``block`` of ``network``; ``read`` are the values then.

    ``ends_at`` is None while it lasts. ``held_block`` is the last block before it at which the invariant held, where that is
    known. ``labels`` and ``annotations`` are the alert's. ``is_searched``: blocks before it were searched, or need not be.
    """

    name: str
    network: str
    block: int
    starts_at: int
    read: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    held_block: int | None = None
    held_at: int | None = None
    ends_at: int | None = None
    reason: str | None = None
    is_searched: bool = True


_COLUMNS = [_b[field] for field in Breach._fields]
_UNSEARCHED = (
    f"SELECT {', '.join(Breach._fields)} FROM invariant_breaches WHERE network = ? AND NOT is_searched "  # noqa: S608
    "ORDER BY starts_at LIMIT ?"
)


def save(connection: sa.Connection, breach: Breach) -> None:
    """Store a breach, in place of one that began at the same block."""
    row = breach._replace(labels=_json(breach.labels), annotations=_json(breach.annotations))  # type: ignore[arg-type]
    bulk.upsert(connection, invariant_breaches, Breach._fields, [row])


def end(
    connection: sa.Connection, place: tuple[str, str, int], at: int, reason: str, *, is_over: bool
) -> None:
    """Note that the breach at ``place`` (name, network, block) has ended ``at``, and why.

    ``is_over``: it has not ended because the invariant holds again, so that when it held last need not be searched.
    """
    values: dict[str, object] = {"ends_at": at, "reason": reason}
    if is_over:
        values["is_searched"] = True
    connection.execute(sa.update(invariant_breaches).where(_at(*place)).values(values))


def find(connection: sa.Connection, name: str, network: str, block: int) -> Breach | None:
    """Return the breach since ``block``."""
    row = connection.execute(sa.select(*_COLUMNS).where(_at(name, network, block))).one_or_none()
    return None if row is None else _breach(row)


def drop(connection: sa.Connection, name: str, network: str, block: int) -> None:
    """Delete the breach since ``block``: it has begun earlier, or later."""
    connection.execute(sa.delete(invariant_breaches).where(_at(name, network, block)))


def unsearched(connection: sa.Connection, network: str, limit: int) -> list[Breach]:
    """Return up to ``limit`` breaches on ``network`` before which blocks are still to be searched, the oldest first."""
    return [_breach(row) for row in bulk.select(connection, _UNSEARCHED, (network, limit))]


def of(connection: sa.Connection, name: str, since: float, limit: int) -> list[Breach]:
    """Return up to ``limit`` breaches of ``name`` that lasted after ``since``, the newest first."""
    lasted = sa.or_(_b.ends_at.is_(None), _b.ends_at >= since)
    query = sa.select(*_COLUMNS).where(_b.name == name, lasted)
    rows = connection.execute(query.order_by(_b.starts_at.desc(), _b.block.desc()).limit(limit))
    return [_breach(row) for row in rows]


def prune(connection: sa.Connection, before: float, limit: int) -> int:
    """Delete up to ``limit`` breaches that ended before ``before``; return how many."""
    query = sa.select(_b.name, _b.network, _b.block).where(_b.ends_at < before).limit(max(0, limit))
    rows = [tuple(row) for row in connection.execute(query)]
    bulk.delete(connection, invariant_breaches, ("name", "network", "block"), rows)
    return len(rows)


def _at(name: str, network: str, block: int) -> sa.ColumnElement[bool]:
    return sa.and_(_b.name == name, _b.network == network, _b.block == block)


def _breach(row: Sequence[Any]) -> Breach:
    breach = Breach(*row)
    texts: Any = (breach.labels, breach.annotations)
    labels, annotations = map(msgspec.json.decode, texts)
    return breach._replace(labels=labels, annotations=annotations, is_searched=bool(breach.is_searched))


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
