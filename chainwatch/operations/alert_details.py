"""One alert with its acknowledgement, and its history."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from chainwatch.alert_model import Alert, Transition
from chainwatch.operations.checks import usable_ids
from chainwatch.operations.context import Context
from chainwatch.operations.errors import NotFound
from chainwatch.operations.paging import Cursors, Page, check_limit
from chainwatch.operations.views import AlertView, alert_views
from chainwatch.store.alerting import acknowledgements, alerts, history

CURSORS = Cursors("history", 1)


class AcknowledgementView(msgspec.Struct, frozen=True):
    """Who acknowledged an alert; ``until`` is None where the acknowledgement lasts until the alert is resolved."""

    by: str
    at: float
    note: str
    until: float | None


class AlertDetails(AlertView, frozen=True):
    """One alert, how often it was raised again while it fired, and its acknowledgement."""

    repeats: int
    acknowledged: AcknowledgementView | None


class TransitionView(msgspec.Struct, frozen=True):
    """One thing that happened to an alert; ``receiver`` where it concerns one."""

    at: float
    kind: str
    cause: str
    actor: str
    note: str
    receiver: str | None


def show(connection: sa.Connection, context: Context, now: float, alert_id: int) -> AlertDetails:
    """Return one alert. Raises ``NotFound``."""
    (view,) = alert_views([get(connection, alert_id)], context.presenter, connection)
    return AlertDetails(
        **msgspec.structs.asdict(view),
        repeats=history.repeats(connection, [alert_id]).get(alert_id, 0),
        acknowledged=acknowledgement_views(connection, [alert_id]).get(alert_id),
    )


def list_history(
    connection: sa.Connection,
    context: Context,
    now: float,
    alert_id: int,
    *,
    limit: int = 100,
    after: str | None = None,
) -> Page[TransitionView]:
    """Return what happened to an alert, oldest first. ``after``: a cursor. Raises ``NotFound`` and ``Invalid``."""
    (begin,) = CURSORS.parse(after) or (0,)
    happened = history.of(connection, get(connection, alert_id))
    found = list(enumerate(happened, 1))[max(0, begin) :][: check_limit(limit) + 1]
    return CURSORS.page(found, limit, lambda row: [row[0]], lambda row: transition_view(row[1]))


def acknowledgement_views(
    connection: sa.Connection, alert_ids: Sequence[int]
) -> dict[int, AcknowledgementView]:
    """Return the acknowledgements of those of these alerts that have one."""
    found = acknowledgements.of(connection, alert_ids)
    return {
        alert_id: AcknowledgementView(one.actor, one.at, one.note, one.until)
        for alert_id, one in found.items()
    }


def get(connection: sa.Connection, alert_id: int) -> Alert:
    """Return the alert with this ID. Raises ``NotFound``."""
    found = alerts.by_id(connection, usable_ids([alert_id])).get(alert_id)
    if found is None:
        raise NotFound(f"no alert has the ID {alert_id}; `chainwatch alerts` lists them")
    return found


def newest(connection: sa.Connection, context: Context, now: float, fingerprint: str) -> int:
    """Return the ID of the newest alert with this fingerprint. Raises ``NotFound``."""
    found = alerts.newest(connection, [fingerprint]).get(fingerprint)
    if found is None:
        raise NotFound(f"no alert has the fingerprint {fingerprint!r}; `chainwatch alerts --json` shows them")
    return found.id


def transition_view(one: Transition) -> TransitionView:
    """Return one thing that happened."""
    return TransitionView(one.at, one.kind, one.cause, one.actor, one.note, one.receiver)
