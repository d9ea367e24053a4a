"""What fires now, the most urgent first, with who has it and what keeps it from being notified."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import sqlalchemy as sa

from chainwatch.alert_model import Alert
from chainwatch.alerting.policy.muting import Candidate, suppression_of
from chainwatch.alerting.policy.routing import destinations, matching_routes
from chainwatch.model import SEVERITIES
from chainwatch.operations.alert_details import AcknowledgementView, acknowledgement_views
from chainwatch.operations.checks import usable_ids
from chainwatch.operations.context import Context
from chainwatch.operations.explanations import HeldNow
from chainwatch.operations.views import AlertView, alert_views
from chainwatch.store.alerting import alerts, incidents

ALWAYS_FIRES = "Watchdog"
SHOWN = 50
"""Alerts of each severity that are listed by default."""


class UrgentAlert(msgspec.Struct, frozen=True):
    """An alert. ``severity``: ``P0`` … ``P3``; ``counts_as``: the one to which it rose; ``incident``: its newest one.

    ``muted``: why none of its receivers is notified now, where that is so.
    """

    alert: AlertView
    severity: str
    counts_as: str | None
    acknowledged: AcknowledgementView | None
    muted: HeldNow | None
    incident: int | None


class Urgency(msgspec.Struct, frozen=True):
    """What fires with one severity: how many alerts, how many of them acknowledged, and the most urgent ones."""

    severity: str
    firing: int
    acknowledged: int
    alerts: list[UrgentAlert]


def urgent_alerts(
    connection: sa.Connection, context: Context, now: float, limit: int = SHOWN
) -> list[Urgency]:
    """Return what fires by severity, the worst first: those nobody acknowledged, then the newest, ``limit`` of each.

    The alert that always fires, to show that alerting works, is left out.
    """
    counted = alerts.count_firing(connection, ALWAYS_FIRES)
    found = {s: alerts.urgent(connection, s, ALWAYS_FIRES, limit) for s in SEVERITIES if s in counted}
    views = _views(connection, context, now, [alert for some in found.values() for alert in some])
    return [Urgency(s, *counted[s], [views[a.id] for a in some]) for s, some in found.items()]


def describe(
    connection: sa.Connection, context: Context, now: float, alert_ids: Sequence[int]
) -> list[UrgentAlert]:
    """Return what is known of these alerts, in their order; those that are not stored are left out."""
    found = alerts.by_id(connection, usable_ids(alert_ids))
    views = _views(connection, context, now, list(found.values()))
    return [views[one] for one in alert_ids if one in views]


def _views(
    connection: sa.Connection, context: Context, now: float, some: Sequence[Alert]
) -> Mapping[int, UrgentAlert]:
    ids = [alert.id for alert in some]
    taken = acknowledgement_views(connection, ids)
    rises, newest = incidents.rises(connection, ids), incidents.newest_of(connection, ids)
    muted = _muted(connection, context, now, some)
    return {
        alert.id: UrgentAlert(
            view,
            alert.severity,
            rises.get(alert.id),
            taken.get(alert.id),
            muted.get(alert.id),
            newest.get(alert.id),
        )
        for alert, view in zip(some, alert_views(some, context.presenter, connection), strict=True)
    }


def _muted(
    connection: sa.Connection, context: Context, now: float, some: Sequence[Alert]
) -> Mapping[int, HeldNow]:
    """Return why alerts are notified to none of their receivers, but for acknowledgements, which are shown beside."""
    ways: dict[int, list[Candidate]] = {}
    for alert in some:
        taking = destinations(matching_routes(context.engine.routes, alert.labels), alert.failing_receiver)
        # not as acknowledged: that is shown already
        ways[alert.id] = [
            Candidate(alert.id, alert.labels, route, receiver, again=True) for route, receiver in taking
        ]
    policies = context.engine.group_manager.context_of(
        connection, [one for way in ways.values() for one in way], now
    )
    found = {}
    for alert_id, way in ways.items():
        held = [suppression_of(one, policies) for one in way]
        if held and all(held) and held[0] is not None and held[0].reason != "cooldown":
            found[alert_id] = HeldNow(held[0].reason, held[0].detail)
    return found
