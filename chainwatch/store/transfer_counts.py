"""Counts of the transfers in flight, and of the newest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from chainwatch.store.tables import transfers

NEWEST = 200_000
"""How many transfers are counted at most, the newest: that takes less than a second on any database."""


class InFlight(NamedTuple):
    """The transfers of one route that are open or overdue; networks are empty where they are not known.

    ``oldest_at``: when the oldest was opened (chain time), None where that is not known of any.
    """

    flow: str
    origin: str
    destination: str
    number: int
    overdue: int
    oldest_at: int | None


def in_flight(connection: sa.Connection) -> list[InFlight]:
    """Return the transfers in flight by route."""
    places = [sa.func.coalesce(place, "") for place in (transfers.c.origin, transfers.c.destination)]
    overdue = sa.func.sum(sa.case((transfers.c.status == "overdue", 1), else_=0))
    statement = (
        sa.select(transfers.c.flow, *places, sa.func.count(), overdue, sa.func.min(transfers.c.opened_at))
        .where(
            transfers.c.status != "complete",  # as the index has it
            transfers.c.status.in_(["open", "overdue"]),
        )
        .group_by(transfers.c.flow, *places)
    )
    return [InFlight(*row[:4], int(row[4]), row[5]) for row in connection.execute(statement)]


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
