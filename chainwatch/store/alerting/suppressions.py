"""Which members of groups are suppressed, why and since when, as rows.

All functions work inside the caller's transaction; times are Unix seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import sqlalchemy as sa

from chainwatch.alert_model import MemberId, Suppression
from chainwatch.store import bulk
from chainwatch.store.alerting.alert_tables import alert_holds
from chainwatch.store.alerting.alerts import in_chunks

_COLUMNS = ("group_id", "alert_id", "why", "detail", "silence_id")


def of_groups(connection: sa.Connection, group_ids: Sequence[int]) -> dict[MemberId, Suppression]:
    """Return the suppressions of the members of these groups."""
    found: dict[MemberId, Suppression] = {}
    for some in in_chunks(group_ids):
        query = sa.select(*(alert_holds.c[name] for name in _COLUMNS))
        for row in connection.execute(query.where(alert_holds.c.group_id.in_(some))):
            found[row.group_id, row.alert_id] = Suppression(row.why, row.detail, row.silence_id)
    return found


def save(connection: sa.Connection, suppressed: Mapping[MemberId, Suppression], now: float) -> None:
    """Store that these members are suppressed since ``now``."""
    rows = [(*member, one.reason, one.detail, one.silence_id, now) for member, one in suppressed.items()]
    bulk.upsert(connection, alert_holds, (*_COLUMNS, "since"), rows)


def release(connection: sa.Connection, members: Iterable[MemberId]) -> None:
    """Delete the suppressions of these members."""
    bulk.delete(connection, alert_holds, ("group_id", "alert_id"), list(members))


def suppresses_any(connection: sa.Connection, silence_id: int) -> bool:
    """Return whether this silence suppresses any alert."""
    query = sa.select(alert_holds.c.alert_id).where(alert_holds.c.silence_id == silence_id).limit(1)
    return connection.execute(query).first() is not None
