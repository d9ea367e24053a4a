"""Signals → alerts → groups → notifications, in the transaction of whatever caused the signals (S2).

The engine keeps no state: alerts, groups and what each receiver was notified of are rows, so a restart changes nothing.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Self

import msgspec
import sqlalchemy as sa

from chainwatch.alert_model import Alert, Audience
from chainwatch.alerting.delivery import retry
from chainwatch.alerting.engine import upkeep
from chainwatch.alerting.engine.flush import flush
from chainwatch.alerting.engine.group_manager import GroupManager, Joins, add_join, group_for
from chainwatch.alerting.engine.hysteresis import Hysteresis
from chainwatch.alerting.engine.incidents import RECHECK_AFTER, Incidents, IncidentSpec
from chainwatch.alerting.engine.intake import Taken, recognized
from chainwatch.alerting.policy import rate_limits
from chainwatch.alerting.policy.lifecycle import transition
from chainwatch.alerting.policy.muting import Candidate, Context, in_quiet_hours
from chainwatch.alerting.policy.policies import Policies
from chainwatch.alerting.policy.routing import (
    Route,
    all_routes,
    build_routes,
    destinations,
    group_key,
    is_watchdog,
    matching_routes,
)
from chainwatch.config import RouteSettings, Settings
from chainwatch.model import Signal
from chainwatch.store.alerting import activity, alert_groups, clamping, history
from chainwatch.store.alerting import alerts as stored

FLUSH_PAGE = 500
"""The most groups that are flushed, and timers and alerts that are processed, at a time."""

Taking = Mapping[int, Sequence[Route]]
"""Alert id → the routes that match it."""


class AlertEngine:
    """Turns signals into alerts, and alerts into queued notifications.

    ``routes`` are in the configuration's order. ``send_resolved``: receiver → whether it is notified of resolutions, unless
    the route says otherwise; a receiver that is no longer configured is. Alerts that ended before ``notify_since`` (Unix
    seconds: when this database was made) are recorded without a notification. ``policies``: everything else configured.
    """

    def __init__(
        self,
        routes: Sequence[RouteSettings],
        send_resolved: Mapping[str, bool],
        notify_since: int,
        policies: Policies | None = None,
    ) -> None:
        self.routes = build_routes(routes)
        self.policies = policies or Policies()
        self.group_manager = GroupManager(self.routes, send_resolved, self.policies)
        self._incidents = Incidents(self.policies.people, self.group_manager)
        self._receivers = frozenset(send_resolved)
        self._notify_since = notify_since

    @classmethod
    def of(cls, settings: Settings, notify_since: int) -> Self:
        """Return the engine of a configuration."""
        sends_resolved = {receiver.name: receiver.send_resolved for receiver in settings.receivers.values()}
        return cls(settings.routes, sends_resolved, notify_since, Policies.of(settings))

    def apply(self, connection: sa.Connection, signals: Sequence[Signal], now: float) -> float | None:
        """Change alerts as ``signals`` say, and flush the groups that are due; return when the next flush is due.

        ``now`` is Unix seconds. Raises ``ValueError`` for labels without ``alertname`` or with an unknown severity.
        """
        return self.take(connection, recognized(connection, signals), now)

    def take(self, connection: sa.Connection, taken: Taken, now: float) -> float | None:
        """As ``apply``, for signals that `intake` has prepared."""
        self._apply_signals(connection, taken, now)
        return self.flush(connection, now)

    def flush(self, connection: sa.Connection, now: float) -> float | None:
        """Do everything that is due at ``now``: timers, escalations, and the notifications of groups.

        Returns when something is due next (Unix seconds), None for never.
        """
        needs_upkeep = activity.needs_upkeep(connection, now - upkeep.LOOK_BACK)
        times: list[float | None] = []
        if needs_upkeep:
            self._run_upkeep(connection, now)
            times.append(self._incidents.advance(connection, now))
        while (next_flush := alert_groups.next_flush(connection)) is not None and next_flush <= now:
            groups = alert_groups.due(connection, now, FLUSH_PAGE)
            flush(self.group_manager, connection, groups, now)
        if needs_upkeep:
            times.append(upkeep.next_due(connection, self.policies, now))
        return min((time for time in (*times, next_flush) if time is not None), default=None)

    def reroute(
        self,
        connection: sa.Connection,
        now: float,
        ended: Sequence[Signal] = (),
        *,
        reloaded: bool = False,
    ) -> float | None:
        """Route firing alerts by the configured routes, which may have changed since they were raised: call it at start.

        Groups of routes that are gone stay until they have notified the resolutions of their alerts. Alerts about
        receivers that are gone end. ``ended``: signals of what has ended meanwhile. ``reloaded``: the intervals of groups
        begin anew now, as in Alertmanager after a reload. Returns when the next flush is due.
        """
        self._clamp(connection, now)
        self._apply_signals(connection, recognized(connection, ended), now)
        gone: list[Signal] = []
        page: list[Alert] = []
        for alert in stored.firing(connection):
            page.append(alert)
            if len(page) == FLUSH_PAGE:
                self._reroute_page(connection, page, now)
                page = []
            if alert.source == "receiver" and alert.failing_receiver not in self._receivers:
                gone.append(alert.signal(int(now), "receiver removed"))
        self._reroute_page(connection, page, now)
        upkeep.review_automatic(connection, self.group_manager, self.policies, now)
        self.group_manager.create_digest_groups(connection, now)
        if reloaded:
            alert_groups.flush_again(connection, now, but=[rate_limits.ROUTE, *self._by_calendar()])
        return self.apply(connection, gone, now)

    def follow_clock(self, connection: sa.Connection, by: float, now: float) -> None:
        """Move waits after the clock was set by ``by`` seconds (negative: back) to ``now``: they keep their length.

        Then ``reroute``.
        """
        clamping.shift(connection, by, now, self._by_calendar())

    def _by_calendar(self) -> list[str]:
        """Return the keys of the routes whose groups wait for a time of the day."""
        return [route.key for route in all_routes(self.routes) if route.digest is not None]

    def _clamp(self, connection: sa.Connection, now: float) -> None:
        """Correct stored times that lie further ahead than they can: a wrong clock may have stored them."""
        clamping.past(connection, now)
        clamping.attempts(connection, now + retry.LONGEST_OPEN[-1][1])
        clamping.timers(connection, now + self.policies.longest_delay)
        clamping.stopped_escalations(connection, now + RECHECK_AFTER)
        self.group_manager.clamp(connection, now)

    def _audience(self, alert: Alert, taking: Sequence[Route]) -> Audience:
        """Return whether ``alert``, which the routes ``taking`` match, goes to any receiver."""
        if alert.state == "pending" or (alert.ends_at is not None and alert.ends_at <= self._notify_since):
            return "quiet"
        if destinations(taking, alert.failing_receiver):
            return "routed"
        return "quiet" if is_watchdog(alert.labels) else "unrouted"

    def _reroute_page(self, connection: sa.Connection, page: Sequence[Alert], now: float) -> None:
        moved: dict[Audience, list[int]] = {}
        taking = {alert.id: matching_routes(self.routes, alert.labels) for alert in page}
        for alert in page:
            audience = self._audience(alert, taking[alert.id])
            if audience != alert.audience:
                moved.setdefault(audience, []).append(alert.id)
        for audience, ids in moved.items():
            stored.set_audience(connection, audience, ids)
        self._join_groups(connection, page, taking, now, self._in_summaries(connection, page))
        self.group_manager.leave_gone_routes(connection, [alert.id for alert in page], now)

    def _in_summaries(self, connection: sa.Connection, page: Sequence[Alert]) -> dict[int, set[str]]:
        """Return by alert id the receivers notified of it by the summary of what was over their rate limit."""
        found: dict[int, set[str]] = {}
        for alert_id, _, group in alert_groups.memberships(connection, [alert.id for alert in page]):
            if group.route == rate_limits.ROUTE:
                found.setdefault(alert_id, set()).add(group.receiver)
        return found

    def _run_upkeep(self, connection: sa.Connection, now: float) -> None:
        """Apply what time alone changes: timers of alerts, acknowledgements that lapse, silences that expire."""
        upkeep.expire_acknowledgements(connection, self.group_manager, self.policies, now)
        while timers := history.due_timers(connection, now, FLUSH_PAGE):
            changed = upkeep.after_timers(connection, timers, now)
            taking = {alert.id: matching_routes(self.routes, alert.labels) for alert in changed}
            changed = [msgspec.structs.replace(a, audience=self._audience(a, taking[a.id])) for a in changed]
            stored.update(connection, changed)
            begun = [a for a in changed if a.state == "firing"]
            upkeep.carry_acknowledgements(connection, begun, now)
            upkeep.on_resolved(
                connection, [a.id for a in changed if a.state == "resolved"], self.group_manager, now
            )
            self._on_begun(connection, begun, taking, now)
        warnings = upkeep.silence_warnings(connection, now)
        self._apply_signals(connection, recognized(connection, warnings), now)

    def _apply_signals(self, connection: sa.Connection, taken: Taken, now: float) -> None:
        if not taken.signals:
            return
        known = dict(taken.known)
        hysteresis = Hysteresis(connection, self.policies, known, taken.signals, taken.prints, now)
        next_id = stored.next_id(connection)
        new: dict[int, Alert] = {}
        changed: dict[int, Alert] = {}
        ended: list[int] = []
        taking: dict[int, list[Route]] = {}
        for signal, print_ in zip(taken.signals, taken.prints, strict=True):
            before = known.get(print_)
            after = hysteresis.delay(before, signal, transition(before, signal, print_, now))
            if after is before:
                continue
            routes = matching_routes(self.routes, after.labels)
            audience = self._audience_after(before, after, routes)
            if after.id == 0:
                after = msgspec.structs.replace(after, id=next_id, audience=audience)
                next_id += 1
                taking[after.id] = routes
            else:
                after = msgspec.structs.replace(after, audience=audience)
            if after.id in taking:
                new[after.id] = after
            else:
                if before is not None and before.state != after.state:
                    ended.append(after.id)
                changed[after.id] = after
            known[print_] = after
        stored.update(
            connection, list(changed.values())
        )  # first: an episode ends before the next one of its condition begins
        stored.insert(connection, list(new.values()))
        hysteresis.save(known)
        upkeep.renotify(
            connection, self.group_manager, [known[p].id for p in sorted(hysteresis.flapping)], now
        )
        begun = [a for a in new.values() if a.state != "pending"]
        upkeep.carry_acknowledgements(connection, begun, now)
        upkeep.on_resolved(connection, ended, self.group_manager, now)
        self._on_begun(connection, begun, taking, now)
        self._on_risen(
            connection, self._incidents.returned(connection, sorted(hysteresis.returned), now), now
        )

    def _audience_after(self, before: Alert | None, after: Alert, taking: Sequence[Route]) -> Audience:
        """Return the audience of ``after``; quiet for an alert that ends while it is pending, as it was never notified."""
        if before is not None and before.id == after.id and before.state == "pending":
            return "quiet"
        return self._audience(after, taking)

    def _on_begun(
        self, connection: sa.Connection, alerts: Sequence[Alert], taking: Taking, now: float
    ) -> None:
        """Put alerts that began to fire, or began and ended, into groups and incidents."""
        upkeep.acknowledge_automatically(connection, self.policies, alerts, now)
        self._join_groups(connection, alerts, taking, now)
        self._open_incidents(connection, alerts, taking, now)

    def _open_incidents(
        self, connection: sa.Connection, alerts: Iterable[Alert], taking: Taking, now: float
    ) -> None:
        """Add routed alerts that fire to incidents, which may raise the severity of some."""
        routed = [a for a in alerts if a.state == "firing" and a.audience == "routed"]
        placed = [(a.id, _incident_of(a, taking[a.id])) for a in routed if not is_watchdog(a.labels)]
        self._on_risen(connection, self._incidents.opened(connection, placed, now), now)

    def _on_risen(self, connection: sa.Connection, rises: Mapping[int, str], now: float) -> None:
        """Add alerts, as id → their raised severity, to the groups of that severity."""
        if rises:
            found = stored.by_id(connection, list(rises)).values()
            notified_anyway = {a.id: self._notified_soon(a, now) for a in found}
            risen = [msgspec.structs.replace(a, labels={**a.labels, "severity": rises[a.id]}) for a in found]
            taking = {a.id: matching_routes(self.routes, a.labels) for a in risen}
            self._join_groups(connection, risen, taking, now, notified_anyway)

    def _notified_soon(self, alert: Alert, now: float) -> set[str]:
        """Return the receivers notified of ``alert`` at its own severity, other than by a digest or after quiet hours."""
        context = Context(now=now, intervals=self.policies.intervals)
        return {
            receiver
            for route, receiver in destinations(
                matching_routes(self.routes, alert.labels), alert.failing_receiver
            )
            if route.digest is None
            and in_quiet_hours(Candidate(alert.id, alert.labels, route, receiver), context) is None
        }

    def _join_groups(
        self,
        connection: sa.Connection,
        alerts: Iterable[Alert],
        taking: Taking,
        now: float,
        notified_anyway: Mapping[int, Container[str]] | None = None,
    ) -> None:
        """Add alerts to the groups of the routes that match them, except for receivers that are notified of one anyway."""
        notified_anyway = notified_anyway or {}
        joins: Joins = {}
        for alert in alerts:
            if alert.audience != "quiet":
                for route, receiver in destinations(taking[alert.id], alert.failing_receiver):
                    if receiver not in notified_anyway.get(alert.id, ()):
                        add_join(joins, group_for(route, receiver, alert.labels, now), (alert.id,))
        self.group_manager.join(connection, joins, now)


def _incident_of(alert: Alert, taking: Sequence[Route]) -> IncidentSpec:
    """Return the incident of ``alert``: by the first of its routes with an escalation, or the first of all."""
    route = next((one for one in taking if one.escalation is not None), taking[0])
    labels = route.group_labels(alert.labels)
    return IncidentSpec(group_key(route, labels), route.key, labels, route.escalation)
