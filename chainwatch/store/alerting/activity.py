"""Whether anything is stored that time or a policy changes by itself; where nothing is, a flush has less to read."""

from __future__ import annotations

import sqlalchemy as sa

from chainwatch.store import bulk

_ANYTHING = """
SELECT EXISTS (SELECT 1 FROM acknowledgements)
    OR EXISTS (SELECT 1 FROM alert_timers)
    OR EXISTS (SELECT 1 FROM alert_holds)
    OR EXISTS (SELECT 1 FROM cooldowns)
    OR EXISTS (SELECT 1 FROM escalations WHERE due_at IS NOT NULL)
    OR EXISTS (SELECT 1 FROM silences WHERE ends_at >= ?)
"""


def needs_upkeep(connection: sa.Connection, since: float) -> bool:
    """Return whether there is an acknowledgement, timer, suppressed alert, cooldown, running escalation, or silence.

    Silences count until they ended before ``since``.
    """
    return bool(bulk.scalar(connection, _ANYTHING, (since,)))
