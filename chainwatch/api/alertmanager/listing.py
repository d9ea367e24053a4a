"""Alerts and their groups by the filters of a query, in Alertmanager's order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec
import re2

from chainwatch.alerting.policy.routing import Route
from chainwatch.api.alertmanager.filters import passes
from chainwatch.api.alertmanager.gettable import ROOT, AlertGroup, GettableAlert, Named, gettable
from chainwatch.grammar.matchers import Matchers
from chainwatch.model import RULE, SENT_SEVERITY
from chainwatch.operations.unresolved_alerts import UnresolvedAlert


class Query(msgspec.Struct, frozen=True):
    """Which alerts are wanted: those that are in a state that is switched off are left out."""

    matchers: Matchers = ()
    receiver: re2._Regexp | None = None
    active: bool = True
    silenced: bool = True
    inhibited: bool = True
    muted: bool = True

    def wants(self, alert: GettableAlert) -> bool:
        """Return whether the alert passes, whichever its receivers."""
        status = alert.status
        return (
            (self.active or status.state != "active")
            and (self.silenced or not status.silenced_by)
            and (self.inhibited or not status.inhibited_by)
            and passes(self.matchers, alert.labels)
        )

    def wants_any(self, receivers: Sequence[Named]) -> bool:
        """Return whether one of the receivers passes."""
        return self.receiver is None or any(
            self.receiver.fullmatch(one.name.encode(errors="replace")) for one in receivers
        )


def listed(
    alerts: Sequence[UnresolvedAlert], query: Query, now: float, external_url: str
) -> list[GettableAlert]:
    """Return the alerts that ``query`` wants, by fingerprint."""
    shown = (gettable(one, now, external_url) for one in alerts)
    found = [one for one in shown if query.wants(one) and query.wants_any(one.receivers)]
    return sorted(found, key=lambda one: one.fingerprint)


def grouped(
    alerts: Sequence[UnresolvedAlert], query: Query, now: float, external_url: str
) -> list[AlertGroup]:
    """Return the groups of alerts that ``query`` wants, by labels and receiver."""
    groups: dict[tuple[tuple[tuple[str, str], ...], str, str], list[GettableAlert]] = {}
    for one in alerts:
        shown = gettable(one, now, external_url)
        if query.wants(shown):
            for labels, receiver, route in _places(one, query):
                if query.wants_any([Named(receiver)]):
                    groups.setdefault((labels, receiver, route), []).append(shown)
    return [
        AlertGroup(dict(labels), {}, Named(receiver), sorted(groups[key], key=lambda a: a.fingerprint))
        for key in sorted(groups)
        for labels, receiver, _ in [key]
    ]


def _places(one: UnresolvedAlert, query: Query) -> Iterator[tuple[tuple[tuple[str, str], ...], str, str]]:
    """Yield the labels, the receiver and the route's key of each group of an alert."""
    routes = one.routes if query.muted else [route for route in one.routes if route not in one.muted]
    for route in routes:
        labels = _group_labels(route, one.alert.labels)
        yield from ((labels, receiver, route.key) for receiver in one.receivers([route]))
    if not one.receivers(one.routes):
        yield (), ROOT, ""


def _group_labels(route: Route, labels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return the labels that the alerts of a group share, as they were sent."""
    shared = route.group_labels(labels)
    shared.pop(SENT_SEVERITY, None)
    shared.pop(RULE, None)
    if "severity" in shared:
        shared["severity"] = labels.get(SENT_SEVERITY, shared["severity"])
    return tuple((name, value) for name, value in shared.items() if value)
