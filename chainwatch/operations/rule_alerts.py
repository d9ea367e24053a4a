"""Alerts as the calls at the root have them: by the rule that they are of, with times in milliseconds."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec
import sqlalchemy as sa

from chainwatch.operations import alert_actions
from chainwatch.operations.context import Context
from chainwatch.operations.errors import Conflict, NotFound
from chainwatch.operations.paging import Cursors, check_limit
from chainwatch.operations.queries import list_alerts
from chainwatch.operations.unresolved_alerts import as_sent
from chainwatch.operations.views import AlertView, alert_views
from chainwatch.store.alerting import alerts

ACTIVE_CURSORS = Cursors("active", 2)
MILLISECONDS_FROM = 10**11
"""A moment from this number on is in milliseconds, below in seconds: as seconds it lies in the year 5138."""


class ActiveAlert(msgspec.Struct, frozen=True):
    """An alert. ``rule``: its ``alertname``; ``value``: its annotation of this name, where that is a number.

    ``severity`` is P0 to P3; ``labels`` have it as it was sent. ``started_at``: Unix milliseconds of chain time.
    """

    id: int
    rule: str
    severity: str
    state: str
    value: float | None
    labels: Mapping[str, str]
    started_at: int
    annotations: Mapping[str, str]


class PastAlert(ActiveAlert, frozen=True):
    """An alert that may have ended: when (Unix milliseconds of chain time), and why."""

    ended_at: int | None
    reason: str


class ActiveAlerts(msgspec.Struct, frozen=True):
    """Alerts that fire or are pending. ``next`` is the cursor with which the list goes on; None at its end."""

    alerts: list[ActiveAlert]
    next: str | None


class PastAlerts(msgspec.Struct, frozen=True):
    """Alerts, whatever became of them. ``next`` is the cursor with which the list goes on; None at its end."""

    alerts: list[PastAlert]
    next: str | None


def list_active(
    connection: sa.Connection, context: Context, now: float, *, limit: int = 1_000, after: str | None = None
) -> ActiveAlerts:
    """Return the alerts that fire or are pending, newest first. ``after``: a cursor. Raises ``Invalid``."""
    before, wanted = ACTIVE_CURSORS.parse(after), check_limit(limit) + 1
    firing = alerts.list_alerts(connection, state="firing", before=before, limit=wanted)
    pending = alerts.list_alerts(connection, state="pending", before=before, limit=wanted)
    found = sorted((*firing, *pending), key=lambda alert: (alert.starts_at, alert.id), reverse=True)[:wanted]
    views = {view.id: view for view in alert_views(found, context.presenter, connection)}
    page = ACTIVE_CURSORS.page(
        found, limit, lambda a: [alerts.milliseconds(a.starts_at), a.id], lambda a: _active(views[a.id])
    )
    return ActiveAlerts(page.rows, page.next)


def list_history(
    connection: sa.Connection,
    context: Context,
    now: float,
    *,
    since: int | None = None,
    until: int | None = None,
    limit: int = 100,
    after: str | None = None,
) -> PastAlerts:
    """Return alerts that started from ``since`` until ``until``, newest first. ``after``: a cursor.

    Both are Unix milliseconds, as ``started_at``, or seconds. Raises ``Invalid``.
    """
    page = list_alerts(
        connection, context, now, since=_seconds(since), until=_seconds(until), limit=limit, after=after
    )
    return PastAlerts([_past(view) for view in page.rows], page.next)


def resolve_alert(
    connection: sa.Connection, context: Context, now: float, id: int, actor: str = "", note: str = ""
) -> PastAlert:
    """Resolve one alert by hand. Raises ``NotFound``, and ``Conflict`` for one that is resolved already."""
    changed = alert_actions.resolve(connection, context, now, [id], actor, note)
    if changed.not_found:
        raise NotFound(f"no alert has the ID {id}")
    if changed.conflicting:
        raise Conflict(f"the alert {id} is resolved already")
    (view,) = alert_views(list(alerts.by_id(connection, [id]).values()), context.presenter, connection)
    return _past(view)


def _seconds(moment: int | None) -> float | None:
    is_milliseconds = moment is not None and abs(moment) >= MILLISECONDS_FROM
    return moment / 1000 if moment is not None and is_milliseconds else moment


def _active(view: AlertView) -> ActiveAlert:
    labels, annotations = as_sent(view)
    return ActiveAlert(
        id=view.id,
        rule=view.name,
        severity=view.severity,
        state=view.state,
        value=_number(view.annotations.get("value")),
        labels=labels,
        started_at=alerts.milliseconds(view.starts_at),
        annotations=annotations,
    )


def _past(view: AlertView) -> PastAlert:
    ended_at = None if view.ends_at is None else alerts.milliseconds(view.ends_at)
    return PastAlert(**msgspec.structs.asdict(_active(view)), ended_at=ended_at, reason=view.reason)


def _number(text: str | None) -> float | None:
    try:
        found = float(text or "")
    except ValueError:
        return None
    return found if math.isfinite(found) else None
