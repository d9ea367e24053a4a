"""What people do about alerts: acknowledge them, drop acknowledgements, and resolve them by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from chainwatch.alert_model import Acknowledgement, Alert, Transition
from chainwatch.alerting.delivery.updates import enqueue_updates
from chainwatch.alerting.engine import upkeep
from chainwatch.checker.transfer import resolved_by_hand
from chainwatch.operations.checks import end_of, usable_ids
from chainwatch.operations.context import Context
from chainwatch.operations.errors import Invalid
from chainwatch.operations.views import Changed, changed
from chainwatch.store import transfers
from chainwatch.store.alerting import acknowledgements, alerts, history, incidents

BY_HAND = "by hand"


def acknowledge(
    connection: sa.Connection,
    context: Context,
    now: float,
    ids: Sequence[int],
    actor: str,
    note: str = "",
    *,
    until: float | None = None,
    lasts: float | None = None,
) -> Changed:
    """Acknowledge firing alerts in the name of ``actor``; alerts that do not fire conflict.

    The acknowledgement lapses at ``until`` (Unix seconds), or after ``lasts`` (seconds); without either, when the alert is
    resolved. Raises ``Invalid``.
    """
    if until is not None or lasts is not None:
        until = end_of(now, until, lasts)
        if until <= now:
            raise Invalid("the acknowledgement would have lapsed already: let it end in the future")
    found = alerts.by_id(connection, usable_ids(ids))
    firing = [alert for alert in found.values() if alert.state == "firing"]
    rises = incidents.rises(connection, [alert.id for alert in firing])
    acknowledgements.save(
        connection,
        [Acknowledgement(a.id, actor, now, note, until, rises.get(a.id, a.severity), now) for a in firing],
    )
    _record(connection, firing, now, "acknowledged", actor, note)
    enqueue_updates(connection, [alert.id for alert in firing], now)
    return changed(ids, {alert.id: alert.state == "firing" for alert in found.values()})


def unacknowledge(
    connection: sa.Connection, context: Context, now: float, ids: Sequence[int], actor: str
) -> Changed:
    """Drop acknowledgements, so that the alerts are sent again; alerts that are not acknowledged conflict."""
    found = alerts.by_id(connection, usable_ids(ids))
    dropped = acknowledgements.of(connection, list(found))
    upkeep.drop_acknowledgements(
        connection, context.engine.group_manager, dict.fromkeys(dropped, BY_HAND), actor, now
    )
    return changed(ids, {alert_id: alert_id in dropped for alert_id in found})


def resolve(
    connection: sa.Connection,
    context: Context,
    now: float,
    ids: Sequence[int],
    actor: str,
    note: str = "",
) -> Changed:
    """Resolve firing and pending alerts by hand; resolved ones conflict."""
    found = alerts.by_id(connection, usable_ids(ids))
    unresolved = [alert for alert in found.values() if alert.state != "resolved"]
    reason = f"{BY_HAND}: {note}" if note else BY_HAND
    upkeep.resolve_now(connection, context.engine.group_manager, unresolved, reason, now)
    _note_in_transfers(connection, unresolved, int(now))
    _record(connection, unresolved, now, "resolved", actor, note)
    return changed(ids, {alert.id: alert.state != "resolved" for alert in found.values()})


def _note_in_transfers(connection: sa.Connection, resolved: Sequence[Alert], now: int) -> None:
    """Note in the transfers behind these alerts that a person resolved them: judged again, they stay resolved."""
    by_label: dict[tuple[str, str], list[Mapping[str, str]]] = {}
    for alert in resolved:
        if alert.source == "transfer":
            label = alert.labels["flow"], alert.labels["transfer"]
            by_label.setdefault(label, []).append(alert.labels)
    transfers.save(
        connection,
        [
            (before, resolved_by_hand(before, by_label[label], now))
            for label, before in transfers.labelled(connection, by_label).items()
        ],
    )


def _record(
    connection: sa.Connection, some: Sequence[Alert], now: float, kind: str, actor: str, note: str
) -> None:
    history.record(connection, [Transition(alert.id, now, kind, BY_HAND, actor, note) for alert in some])
