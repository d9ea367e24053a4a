"""Where alerts are to be told, and what keeps them from it: the groups of the routes, and what is known of policies.

Everything is rows, so a restart changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
import sqlalchemy as sa

from chainwatch.alert_model import Group, Member, MemberId, Transition
from chainwatch.alerting.policy import grouping, rate_limits
from chainwatch.alerting.policy.muting import Candidate, Cooldown, Known, cooldown_of
from chainwatch.alerting.policy.policies import Policies
from chainwatch.alerting.policy.routing import Route, every, group_key
from chainwatch.grammar import matchers
from chainwatch.store.alerting import (
    acknowledgements,
    alert_groups,
    alerts,
    clamping,
    history,
    holds,
    silences,
)

NEVER = 10 * 365 * 86_400.0
"""Seconds between repeats of a group whose route is gone from the config: it only tells what is still owed."""

GONE = Route(key="", match=(), receivers=(), repeat_interval=NEVER)


class Seat(msgspec.Struct, frozen=True):
    """Where alerts are to be told: in the group ``key`` of ``receiver``, first looked at by ``flush_at``."""

    key: str
    receiver: str
    route: Route
    labels: Mapping[str, str]
    flush_at: float


def seat(route: Route, receiver: str, labels: Mapping[str, str], now: float) -> Seat:
    """The seat of an alert that joins at ``now``."""
    group_labels = route.group_labels(labels)
    flush_at = now + route.group_wait if route.digest is None else route.digest.next_after(now)
    return Seat(group_key(route, group_labels), receiver, route, group_labels, flush_at)


Seats = dict[tuple[str, str], tuple[Seat, list[int]]]
"""By group key and receiver: where, and the ids of the alerts."""


def take_seat(seats: Seats, one: Seat, alert_ids: Iterable[int]) -> None:
    """Add alerts to ``seats``."""
    seats.setdefault((one.key, one.receiver), (one, []))[1].extend(alert_ids)


class GroupManager:
    """Tells groups. ``send_resolved``: receiver → whether it hears of ends, unless the route says otherwise."""

    def __init__(
        self, routes: Sequence[Route], send_resolved: Mapping[str, bool], policies: Policies
    ) -> None:
        self._by_key = {route.key: route for route in every(routes)} | {
            rate_limits.ROUTE: rate_limits.SUMMARY
        }
        self._digests = [route for route in every(routes) if route.digest_empty and route.digest is not None]
        self._send_resolved = dict(send_resolved)
        self._policies = policies
        self._mutes = any(route.mute_times or route.active_times for route in self._by_key.values())

    def join(self, connection: sa.Connection, seats: Seats, now: float) -> None:
        """Put alerts into their groups, which are made where they are missing and flushed in time."""
        if not seats:
            return
        known = alert_groups.find(connection, sorted({key for key, _ in seats}))
        next_id = alert_groups.next_id(connection)
        made, woken, joining = [], [], []
        for place, (one, alert_ids) in seats.items():
            group = known.get(place)
            if group is None:
                group = Group(next_id, one.key, one.receiver, one.route.key, one.labels, one.flush_at)
                next_id += 1
                made.append(group)
            else:
                woken.append(self._woken(group, now))
            joining += [(group.id, alert_id) for alert_id in alert_ids]
        alert_groups.insert(connection, made)
        alert_groups.update(connection, woken)
        alert_groups.join(connection, joining)

    def hand_over(self, connection: sa.Connection, alert_ids: Sequence[int], now: float) -> None:
        """Let groups whose route is gone hand what they told to the groups of the same receivers that have these alerts now.

        So nothing is told again, and repeats go on counting. What was not told yet to a receiver to which no route leads
        any more is not told.
        """
        places = alert_groups.places(connection, alert_ids)
        heirs = {(i, g.receiver): g for i, _, g in places if self.route_of(g) is not GONE}
        left: dict[MemberId, str] = {}
        taken: list[MemberId] = []
        changed: dict[int, Group] = {}
        for alert_id, notified, group in places:
            heir = heirs.get((alert_id, group.receiver))
            if self.route_of(group) is not GONE or (heir is None and notified):
                continue
            left[group.id, alert_id] = group.receiver
            if heir is None:
                continue
            heir = changed.get(heir.id, heir)
            if notified:
                taken.append((heir.id, alert_id))
                changed[heir.id] = self._heir(heir, group, now)
            elif heir.flushed_at is None:
                flush_at = min(heir.flush_at, group.flush_at)
                changed[heir.id] = msgspec.structs.replace(heir, flush_at=flush_at)
        self._release(connection, left, now)
        alert_groups.leave(connection, list(left))
        alert_groups.inherit(connection, taken)
        alert_groups.update(connection, list(changed.values()))

    def _release(self, connection: sa.Connection, left: Mapping[MemberId, str], now: float) -> None:
        """What held the alerts back that leave their groups (place → receiver) is over."""
        held = holds.of_groups(connection, sorted({group_id for group_id, _ in left}))
        over = [
            Transition(
                alert_id, now, "released", one.reason, note=one.detail, receiver=left[group_id, alert_id]
            )
            for (group_id, alert_id), one in held.items()
            if (group_id, alert_id) in left
        ]
        history.record(connection, over)
        holds.release(connection, left)

    def wake(self, connection: sa.Connection, alert_ids: Sequence[int], now: float) -> None:
        """Have the groups of alerts that changed looked at on their next tick."""
        groups = alert_groups.of_alerts(connection, alert_ids)
        alert_groups.update(connection, [self._woken(group, now) for group in groups])

    def expect_digests(self, connection: sa.Connection, now: float) -> None:
        """Make the groups of the digests that are sent even when they are empty."""
        seats: Seats = {}
        for route in self._digests:
            for receiver in route.receivers:
                take_seat(seats, seat(route, receiver, {}, now), ())
        self.join(connection, seats, now)

    def clamp(self, connection: sa.Connection, now: float) -> None:
        """Have every group looked at no later than its route lets it wait from ``now``."""
        for key, route in self._by_key.items():
            if route.digest is not None:
                wait = interval = longest = route.digest.next_after(now) - now
            else:
                wait, interval = route.group_wait, route.group_interval
                longest = route.repeat_interval + interval
            clamping.groups(connection, key, now, wait=wait, interval=interval, longest=max(wait, longest))

    def candidate(self, group: Group, member: Member) -> Candidate:
        """A member as the stages see it."""
        route = self.route_of(group)
        return Candidate(
            member.alert_id, member.labels, route, group.receiver, member.notified, member.renotify
        )

    def known(self, connection: sa.Connection, candidates: Sequence[Candidate], now: float) -> Known:
        """What the stages look at for ``candidates``."""
        cooldowns = self.cooldowns(connection)
        conditions = [
            (one.receiver, cooldown.condition(one.labels))
            for one in candidates
            if (cooldown := cooldown_of(cooldowns, one.labels)) is not None
        ]
        sources = []
        if any(matchers.takes(r.target, c.labels) for r in self._policies.inhibitions for c in candidates):
            sources = alerts.firing_labels(connection, self._policies.source_names())
        return Known(
            now=now,
            intervals=self._policies.intervals,
            inhibitions=self._policies.inhibitions,
            firing=[
                s for s in sources if any(matchers.takes(r.source, s) for r in self._policies.inhibitions)
            ],
            silences=[(s, matchers.recall(s.match)) for s in silences.active(connection, now)],
            acknowledgements={a.alert_id: a for a in acknowledgements.every(connection)},
            cooldowns=cooldowns,
            notified_at=holds.notified_at(connection, conditions) if conditions else {},
        )

    def cooldowns(self, connection: sa.Connection) -> list[Cooldown]:
        """Those set while running, then the configured ones."""
        stored = [
            Cooldown(matchers.recall(s.match), s.by, s.seconds) for s in holds.stored_cooldowns(connection)
        ]
        return [*stored, *self._policies.cooldowns]

    def may_hold(self, connection: sa.Connection, now: float, moves: bool = True) -> bool:
        """Whether any policy could hold anything back now; ``moves``: whether anything stands in the database."""
        return bool(
            self._mutes
            or self._policies.inhibitions
            or self._policies.cooldowns
            or (moves and silences.active(connection, now))
            or (moves and acknowledgements.every(connection))
            or (moves and holds.stored_cooldowns(connection))
        )

    def route_of(self, group: Group) -> Route:
        """The route of a group; one that tells only what is owed where it is gone or leads to others now."""
        route = self.route(group.route)
        return route if group.receiver in route.receivers or route is rate_limits.SUMMARY else GONE

    def route(self, key: str) -> Route:
        """The route with this key; one that tells only what is owed where it is gone."""
        return self._by_key.get(key, GONE)

    def limit(self, receiver: str, severity: str) -> int | None:
        """How many notifications about new alerts a minute ``receiver`` takes, None for any number."""
        return self._policies.rate_limits.get(receiver, {}).get(severity)

    def sends_resolved(self, route: Route, receiver: str) -> bool:
        """Whether ``receiver`` hears of ends by ``route``."""
        if route.send_resolved is not None:
            return route.send_resolved
        return self._send_resolved.get(receiver, True)

    def _heir(self, heir: Group, group: Group, now: float) -> Group:
        """``heir`` on the ticks of ``group``."""
        route = self.route_of(heir)
        flushed_at = max(heir.flushed_at or 0.0, group.flushed_at or now)
        flush_at = grouping.next_tick(flushed_at, route.group_interval, now)
        return msgspec.structs.replace(
            heir,
            flush_at=heir.flush_at if route.digest is not None else flush_at,
            flushed_at=flushed_at,
            sent_at=max(heir.sent_at or 0.0, group.sent_at or now),
        )

    def _woken(self, group: Group, now: float) -> Group:
        route = self.route_of(group)
        if route.digest is not None:
            return group
        flush_at = grouping.flush_at_change(group, route.group_interval, now)
        return msgspec.structs.replace(group, flush_at=flush_at)
