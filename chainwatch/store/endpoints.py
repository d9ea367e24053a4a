"""Endpoints as the running process last knew them, and their health over the last day."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from chainwatch.store import bulk
from chainwatch.store.endpoint_tables import endpoint_history, endpoints

PERIOD = 300
"""Seconds of one period of the history."""
KEPT_FOR = 86_400
"""Seconds for which the history is kept."""


class StoredEndpoint(NamedTuple):
    """An endpoint: ``reads`` and ``errors`` since the process began; ``latency`` in seconds; times by the wall clock."""

    name: str
    network: str
    kind: str
    state: str
    reads: int
    errors: int
    error_ratio: float
    latency: float | None
    last_answer_at: float | None
    last_error: str | None
    updated_at: float


class Period(NamedTuple):
    """One period of an endpoint: its first second, the worst state, and what was read of it then."""

    name: str
    at: int
    network: str
    state: str
    reads: int
    errors: int
    latency: float | None


def save(connection: sa.Connection, some: Sequence[StoredEndpoint], periods: Sequence[Period]) -> None:
    """Store what is known of endpoints, and their present ``periods``."""
    bulk.upsert(connection, endpoints, StoredEndpoint._fields, some)
    bulk.upsert(connection, endpoint_history, Period._fields, periods)


def prune(connection: sa.Connection, before: float, names: Sequence[str]) -> None:
    """Delete the periods before a time, and all endpoints but ``names``."""
    connection.execute(sa.delete(endpoint_history).where(endpoint_history.c.at < before))
    for table in (endpoint_history, endpoints):
        connection.execute(sa.delete(table).where(table.c.name.not_in(names)))


def all_stored(connection: sa.Connection) -> dict[str, StoredEndpoint]:
    """Return all endpoints by name."""
    columns = [endpoints.c[field] for field in StoredEndpoint._fields]
    return {row[0]: StoredEndpoint(*row) for row in connection.execute(sa.select(*columns))}


def history(connection: sa.Connection, since: float) -> Iterable[Period]:
    """Return the periods from a time on, in their order."""
    columns = [endpoint_history.c[field] for field in Period._fields]
    statement = sa.select(*columns).where(endpoint_history.c.at >= since).order_by(endpoint_history.c.at)
    return (Period(*row) for row in connection.execute(statement))
