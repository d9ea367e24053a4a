"""Silences: notifications about matching alerts are suppressed for a while."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from chainwatch.alert_model import Alert, Silence
from chainwatch.alerting.policy.label_index import LabelIndex
from chainwatch.alerting.policy.silences import silence_matchers
from chainwatch.grammar import matchers
from chainwatch.operations.checks import (
    Match,
    check_match,
    check_seconds,
    end_of,
    no_such,
    usable_ids,
)
from chainwatch.operations.context import Context
from chainwatch.operations.errors import Invalid
from chainwatch.operations.paging import Cursors, Page, check_limit
from chainwatch.operations.views import AlertView, Changed, alert_views, changed
from chainwatch.store.alerting import alerts, silences

LASTS = 7200.0
"""Seconds that a silence lasts where neither its end nor its length is given."""
ENDED_SHOWN_FOR = 7 * 86_400.0
"""Seconds for which ended silences are listed on request."""
CURSORS = Cursors("silences", 1)


class SilenceView(msgspec.Struct, frozen=True):
    """One silence. ``state``: ``pending``, ``active`` or ``ended``; ``hides``: how many firing alerts it matches now."""

    id: int
    state: str
    matchers: str
    starts_at: float
    ends_at: float
    during: Sequence[str]
    author: str
    comment: str
    hides: int


def add_silence(
    connection: sa.Connection,
    context: Context,
    now: float,
    match: Match,
    author: str = "",
    comment: str = "",
    *,
    starts_at: float | None = None,
    ends_at: float | None = None,
    lasts: float | None = None,
    during: Sequence[str] = (),
    warn_before: float = 0.0,
) -> SilenceView:
    """Silence alerts that ``match`` matches, from ``starts_at`` (default: now); ``hides`` counts those that fire.

    The end is given in Unix seconds, or as a length in seconds, by default ``LASTS``. ``during`` names configured intervals
    outside of which the silence does nothing. ``warn_before``: seconds before its end at which chainwatch warns if it hides
    something; 0: never. Raises ``Invalid``.
    """
    tests = check_match(match)
    begins = now if starts_at is None else starts_at
    ends = end_of(begins, ends_at, lasts, LASTS)
    if ends <= max(begins, now):
        raise Invalid("a silence must end after its start and in the future: give a later end")
    check_seconds("warn_before", warn_before)
    intervals = context.settings.intervals
    for name in during:
        if name not in intervals:
            raise Invalid(no_such("interval", name, intervals))
    silence = Silence(tests, begins, ends, author, comment, now, tuple(during), warn_before)
    stored = msgspec.structs.replace(silence, id=silences.add(connection, silence))
    return _view(stored, now, len(_matched(connection, silence_matchers(silence))))


def list_silences(
    connection: sa.Connection,
    context: Context,
    now: float,
    *,
    ended: bool = False,
    limit: int = 100,
    after: str | None = None,
) -> Page[SilenceView]:
    """Return silences that have not ended, newest first; with ``ended`` those that ended within a week too.

    ``after``: a cursor. Raises ``Invalid``.
    """
    (before_id,) = CURSORS.parse(after) or (None,)
    found = silences.select(
        connection,
        now - (ENDED_SHOWN_FOR if ended else 0.0),
        limit=check_limit(limit) + 1,
        before_id=before_id,
    )
    active = [one for one in found[:limit] if one.is_active(now)]
    firing = LabelIndex(alerts.firing_labels(connection, None) if active else [])
    hidden = {one.id: firing.taken(silence_matchers(one)).bit_count() for one in active}
    return CURSORS.page(found, limit, lambda s: [s.id], lambda s: _view(s, now, hidden.get(s.id, 0)))


def expire_silences(connection: sa.Connection, context: Context, now: float, ids: Sequence[int]) -> Changed:
    """End silences now; those that have ended conflict."""
    found = silences.by_id(connection, usable_ids(ids))
    silences.expire(connection, list(found), now)
    return changed(ids, {silence.id: silence.ends_at > now for silence in found.values()})


def preview(connection: sa.Connection, context: Context, now: float, match: Match) -> list[AlertView]:
    """Return the firing alerts that a silence with ``match`` would hide, oldest first. Raises ``Invalid``."""
    return alert_views(
        _matched(connection, matchers.recall(check_match(match))), context.presenter, connection
    )


def _view(silence: Silence, now: float, hides: int) -> SilenceView:
    return SilenceView(
        id=silence.id,
        state="pending" if now < silence.starts_at else "active" if silence.is_active(now) else "ended",
        matchers=matchers.written(silence_matchers(silence)),
        starts_at=silence.starts_at,
        ends_at=silence.ends_at,
        during=list(silence.during),
        author=silence.author,
        comment=silence.comment,
        hides=hides,
    )


def _matched(connection: sa.Connection, built: matchers.Matchers) -> list[Alert]:
    return [alert for alert in alerts.firing(connection) if matchers.takes(built, alert.labels)]
