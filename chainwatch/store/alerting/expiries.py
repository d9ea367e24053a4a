"""When alerts that others sent end by themselves, unless they are sent again.

All functions work inside the caller's transaction. Times are Unix seconds of this machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from chainwatch.alert_model import Expiry
from chainwatch.store import bulk
from chainwatch.store.alerting.alert_tables import alert_expiries

_COLUMNS = ("fingerprint", "expires_at", "timeout", "sent_at", "generator_url")


def find(connection: sa.Connection, fingerprints: Sequence[str]) -> dict[str, Expiry]:
    """Return the expiries of these fingerprints that have one."""
    rows = bulk.select_in(connection, alert_expiries, _COLUMNS, "fingerprint", fingerprints)
    return {row[0]: _expiry(row) for row in rows}


def save(connection: sa.Connection, expiries: Sequence[Expiry]) -> None:
    """Store expiries, replacing those of the same fingerprints."""
    rows = [(e.fingerprint, e.expires_at, int(e.timeout), e.sent_at, e.generator_url) for e in expiries]
    bulk.upsert(connection, alert_expiries, _COLUMNS, rows)


def delete(connection: sa.Connection, fingerprints: Sequence[str]) -> None:
    """Delete the expiries of these fingerprints."""
    bulk.delete(connection, alert_expiries, ("fingerprint",), [(f,) for f in fingerprints])


def prolong(connection: sa.Connection, now: float, longest: float) -> int:
    """Have alerts last from ``now`` for as long as from when they were last sent, but at most ``longest`` seconds.

    None of them ends sooner by that. Returns how many end later.
    """
    lasts = alert_expiries.c.expires_at - alert_expiries.c.sent_at
    until = now + sa.case((lasts < longest, lasts), else_=longest)
    statement = sa.update(alert_expiries).where(alert_expiries.c.expires_at < until)
    return connection.execute(statement.values(expires_at=until)).rowcount


def due(connection: sa.Connection, now: float, limit: int) -> list[Expiry]:
    """Return up to ``limit`` expiries that are due, the earliest first."""
    query = (
        sa.select(*(alert_expiries.c[name] for name in _COLUMNS))
        .where(alert_expiries.c.expires_at <= now)
        .order_by(alert_expiries.c.expires_at)
        .limit(limit)
    )
    return [_expiry(row) for row in connection.execute(query)]


def next_due(connection: sa.Connection) -> float | None:
    """Return when the next alert ends by itself, if there is any."""
    found: float | None = bulk.scalar(connection, "SELECT min(expires_at) FROM alert_expiries")
    return found


def sooner(connection: sa.Connection, other: float | None) -> float | None:
    """Return ``other``, or when the next alert ends by itself, whichever comes first; None where neither comes."""
    times = (other, next_due(connection))
    return min((time for time in times if time is not None), default=None)


def _expiry(row: Sequence[Any]) -> Expiry:
    """Make an expiry of a row with the columns in their order."""
    return Expiry(row[0], row[1], bool(row[2]), row[3], row[4])
