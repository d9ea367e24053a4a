"""Every alert that fires or is pending, with what becomes of it: its routes, and what suppresses it now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import sqlalchemy as sa

from chainwatch.alert_model import Alert, Expiry, sent_labels
from chainwatch.alerting.policy.label_index import LabelIndex, positions
from chainwatch.alerting.policy.lifecycle import WHOLE
from chainwatch.alerting.policy.muting import Candidate, in_quiet_hours
from chainwatch.alerting.policy.muting import Context as MutingContext
from chainwatch.alerting.policy.routing import Route
from chainwatch.alerting.policy.silences import is_in_effect, silence_matchers
from chainwatch.operations.context import Context
from chainwatch.operations.views import AlertView
from chainwatch.store.alerting import alerts, silences
from chainwatch.support.bounds import LABEL_MAX, beginning

SILENCES_MAX = 25
"""The most silences that are named for one alert."""


class UnresolvedAlert(msgspec.Struct, gc=False):
    """One alert. ``routes``: those that take it, in order. ``silenced_by``: ids of silences, ``inhibited_by``: the alert.

    ``muted``: the routes on whose way quiet hours suppress it now. ``expiry``: when it ends by itself, where another
    program sent it.
    """

    alert: Alert
    expiry: Expiry | None
    routes: list[Route] = []
    muted: list[Route] = []
    silenced_by: list[int] = []
    inhibited_by: Alert | None = None

    def receivers(self, routes: Sequence[Route]) -> list[str]:
        """Return the receivers that ``routes`` of its own lead to; never the one that it is about."""
        failing = self.alert.failing_receiver
        return list(dict.fromkeys(name for route in routes for name in route.receivers if name != failing))


def list_unresolved(connection: sa.Connection, context: Context, now: float) -> list[UnresolvedAlert]:
    """Return every alert that fires or is pending, oldest first."""
    found = [UnresolvedAlert(alert, expiry) for alert, expiry in alerts.unresolved(connection)]
    index = LabelIndex([one.alert.labels for one in found])
    quiet = MutingContext(now=now, intervals=context.engine.policies.intervals)
    for route, taken in index.routed(context.engine.routes):
        has_quiet_hours = bool(route.mute_times or route.active_times)
        for at in positions(taken):
            one = found[at]
            one.routes.append(route)
            if has_quiet_hours and in_quiet_hours(Candidate(0, one.alert.labels, route, ""), quiet):
                one.muted.append(route)
    for silence in silences.active(connection, now):
        if is_in_effect(silence, quiet.intervals, now):
            for at in positions(index.taken(silence_matchers(silence))):
                if len(found[at].silenced_by) < SILENCES_MAX:
                    found[at].silenced_by.append(silence.id)
    inhibitions = context.engine.policies.inhibitions
    firing = sum(1 << at for at, one in enumerate(found) if one.alert.state == "firing") if inhibitions else 0
    for inhibition in inhibitions:
        for at, source in index.inhibited(inhibition, firing):
            found[at].inhibited_by = found[at].inhibited_by or found[source].alert
    return found


def as_sent(alert: Alert | AlertView) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Return the labels and annotations of ``alert`` as its sender wrote them."""
    labels: Mapping[str, str] = sent_labels(alert.labels)
    annotations = alert.annotations
    long = [name for name, value in labels.items() if len(value) > LABEL_MAX // 5]
    for name in long:
        if beginning(labels[name]) is not None and f"{name}{WHOLE}" in annotations:
            labels = {**labels, name: annotations[f"{name}{WHOLE}"]}
            annotations = {key: text for key, text in annotations.items() if key != f"{name}{WHOLE}"}
    return labels, annotations
