"""Counts of the newest transfers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import sqlalchemy as sa

from chainwatch.store.tables import transfers

NEWEST = 200_000
"""How many transfers are counted at most, the newest: that takes less than a second on any database."""


def recent(
    connection: sa.Connection, since: Mapping[str, int], newest: int = NEWEST
) -> Iterator[tuple[str, str, str, int]]:
    """Yield flow, status, destination and number of the ``newest`` transfers whose newest event is not before ``since``.

    ``since`` has the flows that are wanted, each with a chain time. The destination is empty where there is none.
    """
    if not since:
        return
    place = sa.func.coalesce(transfers.c.destination, "")
    is_wanted = sa.or_(
        *(sa.and_(transfers.c.flow == flow, transfers.c.last_at >= start) for flow, start in since.items())
    )
    statement = (
        sa.select(transfers.c.flow, transfers.c.status, place, sa.func.count())
        .where(_is_among(newest), is_wanted)
        .group_by(transfers.c.flow, transfers.c.status, place)
    )
    yield from ((row[0], row[1], row[2], row[3]) for row in connection.execute(statement))


def newest_ids(
    connection: sa.Connection, flow: str, statuses: Sequence[str], since: int, limit: int
) -> list[int]:
    """Return the ids of the newest ``limit`` transfers of ``flow`` with one of ``statuses`` and events ``since`` then."""
    statement = (
        sa.select(transfers.c.id)
        .where(
            _is_among(NEWEST),
            transfers.c.flow == flow,
            transfers.c.status.in_(statuses),
            transfers.c.last_at >= since,
        )
        .order_by(transfers.c.id.desc())
        .limit(limit)
    )
    return list(connection.execute(statement).scalars())


def _is_among(newest: int) -> sa.ColumnElement[bool]:
    highest = sa.select(sa.func.coalesce(sa.func.max(transfers.c.id), 0)).scalar_subquery()
    return transfers.c.id > highest - newest
