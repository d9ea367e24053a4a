"""Signals → alerts → groups → notifications, in the transaction of whatever caused the signals (S2).

The manager keeps nothing: alerts, groups, and what each receiver was told are rows, so a restart changes nothing.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Self

import msgspec
import sqlalchemy as sa

from chainwatch.alerting.delivery import retry
from chainwatch.alerting.engine import upkeep
from chainwatch.alerting.engine.flush import flush
from chainwatch.alerting.engine.grouped import GroupManager, Seats, seat, take_seat
from chainwatch.alerting.engine.hysteresis import Waiting
from chainwatch.alerting.engine.incidents import LOOK_AGAIN_AFTER, Incidents, Place
from chainwatch.alerting.engine.intake import Taken, recognized
from chainwatch.alerting.policy import rate_limits
from chainwatch.alerting.policy.lifecycle import transition
from chainwatch.alerting.policy.muting import Candidate, Known, in_quiet_hours
from chainwatch.alerting.policy.policies import Policies
from chainwatch.alerting.policy.routing import (
    Route,
    build_routes,
    destinations,
    every,
    group_key,
    is_watchdog,
    ways,
)
from chainwatch.config import RouteSettings, Settings
from chainwatch.model import Signal
from chainwatch.store.alerting import alert_groups, clamping, history, standing
from chainwatch.store.alerting import alerts as stored
from chainwatch.store.alerting.alerts import Alert, Audience

FLUSH_PAGE = 500
"""How many groups are flushed at a time."""

Taking = Mapping[int, Sequence[Route]]
"""Alert id → the routes that take it."""


class AlertManager:
    """What turns signals into what people are told.

    ``routes`` in the config's order. ``send_resolved``: receiver → whether it hears of ends; a route may say
    otherwise, and what is queued for a receiver that is gone from the config holds them too. Alerts that ended by
    ``told_since`` (Unix seconds: when this database was made) are recorded and told to nobody. ``policies``: everything
    else that is configured.
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
        """The one that is configured."""
        sends_resolved = {receiver.name: receiver.send_resolved for receiver in settings.receivers.values()}
        return cls(settings.routes, sends_resolved, notify_since, Policies.of(settings))

    def apply(self, connection: sa.Connection, signals: Sequence[Signal], now: float) -> float | None:
        """Let ``signals`` change alerts, and flush the groups that are due; when the next flush is due.

        ``now`` is Unix seconds. Raises ``ValueError`` for labels without ``alertname`` or with an unknown severity.
        """
        return self.take(connection, recognized(connection, signals), now)

    def take(self, connection: sa.Connection, taken: Taken, now: float) -> float | None:
        """As ``apply``, for what has been recognized already."""
        self._take_in(connection, taken, now)
        return self.flush(connection, now)

    def flush(self, connection: sa.Connection, now: float) -> float | None:
        """Let alerts change by themselves whose time has come, and queue the notifications of every group that is due.

        Returns when the next flush is due, None for never.
        """
        moves = standing.is_anything(connection, now - upkeep.LOOK_BACK)
        times: list[float | None] = []
        if moves:
            self._tend(connection, now)
            times.append(self._incidents.advance(connection, now))
        while (next_flush := alert_groups.next_flush(connection)) is not None and next_flush <= now:
            groups = alert_groups.due(connection, now, FLUSH_PAGE)
            flush(self.group_manager, connection, groups, now)
        if moves:
            times.append(upkeep.next_time(connection, self.policies, now))
        return min((time for time in (*times, next_flush) if time is not None), default=None)

    def reroute(
        self,
        connection: sa.Connection,
        now: float,
        ended: Sequence[Signal] = (),
        *,
        reloaded: bool = False,
    ) -> float | None:
        """Let firing alerts follow the configured routes, which may have changed since they were raised: call it at start.

        Groups of routes that are gone stay until they have told what they owe. Alerts about receivers that are gone
        end. ``ended``: signals of what has ended meanwhile. ``reloaded``: groups have their intervals begin now, as
        Alertmanager does after a reload. Returns when the next flush is due.
        """
        self._clamp(connection, now)
        self._take_in(connection, recognized(connection, ended), now)
        gone: list[Signal] = []
        page: list[Alert] = []
        for alert in stored.firing(connection):
            page.append(alert)
            if len(page) == FLUSH_PAGE:
                self._reroute_page(connection, page, now)
                page = []
            if alert.name == "ReceiverFailing" and alert.labels.get("receiver") not in self._receivers:
                gone.append(
                    Signal(alert.labels, alert.starts_at, ends_at=int(now), reason="receiver removed")
                )
        self._reroute_page(connection, page, now)
        upkeep.judge_standing(connection, self.group_manager, self.policies, now)
        self.group_manager.expect_digests(connection, now)
        if reloaded:
            alert_groups.look_at_again(connection, now, but=[rate_limits.ROUTE, *self._by_calendar()])
        return self.apply(connection, gone, now)

    def follow_clock(self, connection: sa.Connection, by: float, now: float) -> None:
        """The clock was set by ``by`` seconds (negative: back) to ``now``: waits keep their length. Then ``reroute``."""
        clamping.shift(connection, by, now, self._by_calendar())

    def _by_calendar(self) -> list[str]:
        """The keys of the routes whose groups wait for a time of the day."""
        return [route.key for route in every(self.routes) if route.digest is not None]

    def _clamp(self, connection: sa.Connection, now: float) -> None:
        """Nothing waits longer than it could have been told to wait: a clock that was wrong may have stored its time."""
        clamping.past(connection, now)
        clamping.attempts(connection, now + retry.LONGEST_OPEN[-1][1])
        clamping.timers(connection, now + self.policies.longest_patience)
        clamping.stopped_escalations(connection, now + LOOK_AGAIN_AFTER)
        self.group_manager.clamp(connection, now)

    def _audience(self, alert: Alert, taking: Sequence[Route]) -> Audience:
        """Who is to hear of ``alert``, which the routes ``taking`` take."""
        if alert.state == "pending" or (alert.ends_at is not None and alert.ends_at <= self._notify_since):
            return "quiet"
        if destinations(taking, alert.labels):
            return "routed"
        return "quiet" if is_watchdog(alert.labels) else "unrouted"

    def _reroute_page(self, connection: sa.Connection, page: Sequence[Alert], now: float) -> None:
        moved: dict[Audience, list[int]] = {}
        taking = {alert.id: ways(self.routes, alert.labels) for alert in page}
        for alert in page:
            audience = self._audience(alert, taking[alert.id])
            if audience != alert.audience:
                moved.setdefault(audience, []).append(alert.id)
        for audience, ids in moved.items():
            stored.set_audience(connection, audience, ids)
        self._join_groups(connection, page, taking, now, self._in_summaries(connection, page))
        self.group_manager.hand_over(connection, [alert.id for alert in page], now)

    def _in_summaries(self, connection: sa.Connection, page: Sequence[Alert]) -> dict[int, set[str]]:
        """Alert id → the receivers whose summary of what was over the rate limit holds it: they hear of it there."""
        found: dict[int, set[str]] = {}
        for alert_id, _, group in alert_groups.places(connection, [alert.id for alert in page]):
            if group.route == rate_limits.ROUTE:
                found.setdefault(alert_id, set()).add(group.receiver)
        return found

    def _tend(self, connection: sa.Connection, now: float) -> None:
        """What time alone changes: alerts that fire or end, acknowledgements, silences about to end."""
        upkeep.keep_acknowledgements(connection, self.group_manager, self.policies, now)
        while timers := history.due_timers(connection, now, FLUSH_PAGE):
            changed = upkeep.changed_by(connection, timers, now)
            taking = {alert.id: ways(self.routes, alert.labels) for alert in changed}
            changed = [msgspec.structs.replace(a, audience=self._audience(a, taking[a.id])) for a in changed]
            stored.update(connection, changed)
            begun = [a for a in changed if a.state == "firing"]
            upkeep.carry_over(connection, begun, now)
            upkeep.ended(
                connection, [a.id for a in changed if a.state == "resolved"], self.group_manager, now
            )
            self._begun(connection, begun, taking, now)
        warnings = upkeep.silence_warnings(connection, now)
        self._take_in(connection, recognized(connection, warnings), now)

    def _take_in(self, connection: sa.Connection, taken: Taken, now: float) -> None:
        if not taken.signals:
            return
        known = dict(taken.known)
        waiting = Waiting(connection, self.policies, known, taken.signals, taken.prints, now)
        next_id = stored.next_id(connection)
        new: dict[int, Alert] = {}
        changed: dict[int, Alert] = {}
        ended: list[int] = []
        taking: dict[int, list[Route]] = {}
        for signal, print_ in zip(taken.signals, taken.prints, strict=True):
            before = known.get(print_)
            after = waiting.settle(before, signal, transition(before, signal, print_, now))
            if after is before:
                continue
            routes = ways(self.routes, after.labels)
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
        )  # first: one episode ends before the next of its kind begins
        stored.insert(connection, list(new.values()))
        waiting.save(known)
        upkeep.renotify(connection, self.group_manager, [known[p].id for p in sorted(waiting.flapping)], now)
        begun = [a for a in new.values() if a.state != "pending"]
        upkeep.carry_over(connection, begun, now)
        upkeep.ended(connection, ended, self.group_manager, now)
        self._begun(connection, begun, taking, now)
        self._risen(connection, self._incidents.returned(connection, sorted(waiting.returned), now), now)

    def _audience_after(self, before: Alert | None, after: Alert, taking: Sequence[Route]) -> Audience:
        """What ends while it is pending was never anybody's."""
        if before is not None and before.id == after.id and before.state == "pending":
            return "quiet"
        return self._audience(after, taking)

    def _begun(self, connection: sa.Connection, alerts: Sequence[Alert], taking: Taking, now: float) -> None:
        """Let alerts that fire from now on, or came and went, be told."""
        upkeep.acknowledge_standing(connection, self.policies, alerts, now)
        self._join_groups(connection, alerts, taking, now)
        self._open_incidents(connection, alerts, taking, now)

    def _open_incidents(
        self, connection: sa.Connection, alerts: Iterable[Alert], taking: Taking, now: float
    ) -> None:
        """Make routed alerts that fire parts of incidents, by which some may rise."""
        routed = [a for a in alerts if a.state == "firing" and a.audience == "routed"]
        placed = [(a.id, _place(a, taking[a.id])) for a in routed if not is_watchdog(a.labels)]
        self._risen(connection, self._incidents.opened(connection, placed, now), now)

    def _risen(self, connection: sa.Connection, rises: Mapping[int, str], now: float) -> None:
        """Let alerts, as id → what they count as from now on, join the groups of their new severity."""
        if rises:
            found = stored.by_id(connection, list(rises)).values()
            hear_anyway = {a.id: self._hear_soon(a, now) for a in found}
            risen = [msgspec.structs.replace(a, labels={**a.labels, "severity": rises[a.id]}) for a in found]
            taking = {a.id: ways(self.routes, a.labels) for a in risen}
            self._join_groups(connection, risen, taking, now, hear_anyway)

    def _hear_soon(self, alert: Alert, now: float) -> set[str]:
        """The receivers that hear of ``alert`` by its own routes, and not only with a digest or after quiet hours."""
        known = Known(now=now, intervals=self.policies.intervals)
        return {
            receiver
            for route, receiver in destinations(ways(self.routes, alert.labels), alert.labels)
            if route.digest is None
            and in_quiet_hours(Candidate(alert.id, alert.labels, route, receiver), known) is None
        }

    def _join_groups(
        self,
        connection: sa.Connection,
        alerts: Iterable[Alert],
        taking: Taking,
        now: float,
        hear_anyway: Mapping[int, Container[str]] | None = None,
    ) -> None:
        """Seat alerts in the groups of the routes that take them, but for the receivers that hear of one anyway."""
        hear_anyway = hear_anyway or {}
        seats: Seats = {}
        for alert in alerts:
            if alert.audience != "quiet":
                for route, receiver in destinations(taking[alert.id], alert.labels):
                    if receiver not in hear_anyway.get(alert.id, ()):
                        take_seat(seats, seat(route, receiver, alert.labels, now), (alert.id,))
        self.group_manager.join(connection, seats, now)


def _place(alert: Alert, taking: Sequence[Route]) -> Place:
    """By the first of its routes that has an escalation, or the first of all."""
    route = next((one for one in taking if one.escalation is not None), taking[0])
    labels = route.group_labels(alert.labels)
    return Place(group_key(route, labels), route.key, labels, route.escalation)
