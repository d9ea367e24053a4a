"""Groups: which alerts join which, when they are flushed, and what the policies need to know of their members.

Everything is rows, so a restart changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
import sqlalchemy as sa

from chainwatch.alert_model import Group, Member, MemberId, Transition
from chainwatch.alerting.policy import grouping, rate_limits
from chainwatch.alerting.policy.muting import Candidate, Context, Cooldown, cooldown_of
from chainwatch.alerting.policy.policies import Policies
from chainwatch.alerting.policy.routing import Route, all_routes, group_key
from chainwatch.alerting.policy.silences import first_silences
from chainwatch.grammar import matchers
from chainwatch.store.alerting import (
    acknowledgements,
    alert_groups,
    alerts,
    clamping,
    history,
    limits,
    silences,
    suppressions,
)

NEVER = 10 * 365 * 86_400.0
"""Seconds between repeats of a group whose route is gone from the configuration: only resolutions are still notified."""

GONE = Route(key="", match=(), receivers=(), repeat_interval=NEVER)
"""Stands for a route that is no longer configured."""


class GroupSpec(msgspec.Struct, frozen=True):
    """The group ``key`` of ``receiver`` that alerts join; if it is new, it is first flushed at ``flush_at``."""

    key: str
    receiver: str
    route: Route
    labels: Mapping[str, str]
    flush_at: float


def group_for(route: Route, receiver: str, labels: Mapping[str, str], now: float) -> GroupSpec:
    """Return the group of ``route`` and ``receiver`` that an alert with ``labels`` joins at ``now``."""
    group_labels = route.group_labels(labels)
    flush_at = now + route.group_wait if route.digest is None else route.digest.next_after(now)
    return GroupSpec(group_key(route, group_labels), receiver, route, group_labels, flush_at)


Joins = dict[tuple[str, str], tuple[GroupSpec, list[int]]]
"""By group key and receiver: the group, and the ids of the alerts that join it."""


def add_join(joins: Joins, one: GroupSpec, alert_ids: Iterable[int]) -> None:
    """Add alerts that join a group to ``joins``."""
    joins.setdefault((one.key, one.receiver), (one, []))[1].extend(alert_ids)


class GroupManager:
    """Manages the groups of ``routes``.

    ``send_resolved``: receiver → whether it is notified of resolutions, unless the route says otherwise.
    """

    def __init__(
        self, routes: Sequence[Route], send_resolved: Mapping[str, bool], policies: Policies
    ) -> None:
        self._by_key = {route.key: route for route in all_routes(routes)} | {
            rate_limits.ROUTE: rate_limits.SUMMARY
        }
        self._digests = [
            route for route in all_routes(routes) if route.digest_empty and route.digest is not None
        ]
        self._send_resolved = dict(send_resolved)
        self._policies = policies
        self._mutes = any(route.mute_times or route.active_times for route in self._by_key.values())

    def join(self, connection: sa.Connection, joins: Joins, now: float) -> None:
        """Add alerts to their groups; create those that are missing, and plan the flush of all."""
        if not joins:
            return
        known = alert_groups.find(connection, sorted({key for key, _ in joins}))
        next_id = alert_groups.next_id(connection)
        made, woken, joining = [], [], []
        for key_and_receiver, (one, alert_ids) in joins.items():
            group = known.get(key_and_receiver)
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

    def leave_gone_routes(self, connection: sa.Connection, alert_ids: Sequence[int], now: float) -> None:
        """Move alerts out of groups whose route is gone, into the groups of the same receivers that have them now.

        What was notified counts as notified there, so that nothing is sent again and the repeat interval goes on. A
        receiver that no route leads to any more is not notified of what it was not notified of before.
        """
        memberships = alert_groups.memberships(connection, alert_ids)
        heirs = {(i, g.receiver): g for i, _, g in memberships if self.route_of(g) is not GONE}
        left: dict[MemberId, str] = {}
        taken: list[MemberId] = []
        changed: dict[int, Group] = {}
        for alert_id, notified, group in memberships:
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
        alert_groups.set_notified(connection, taken)
        alert_groups.update(connection, list(changed.values()))

    def _release(self, connection: sa.Connection, left: Mapping[MemberId, str], now: float) -> None:
        """End the suppressions of the alerts that leave their groups (member → receiver)."""
        held = suppressions.of_groups(connection, sorted({group_id for group_id, _ in left}))
        over = [
            Transition(
                alert_id, now, "released", one.reason, note=one.detail, receiver=left[group_id, alert_id]
            )
            for (group_id, alert_id), one in held.items()
            if (group_id, alert_id) in left
        ]
        history.record(connection, over)
        suppressions.release(connection, left)

    def wake(self, connection: sa.Connection, alert_ids: Sequence[int], now: float) -> None:
        """Have the groups of alerts that changed flushed at their next interval."""
        groups = alert_groups.of_alerts(connection, alert_ids)
        alert_groups.update(connection, [self._woken(group, now) for group in groups])

    def create_digest_groups(self, connection: sa.Connection, now: float) -> None:
        """Create the groups of the digests that are sent even when they are empty."""
        joins: Joins = {}
        for route in self._digests:
            for receiver in route.receivers:
                add_join(joins, group_for(route, receiver, {}, now), ())
        self.join(connection, joins, now)

    def clamp(self, connection: sa.Connection, now: float) -> None:
        """Move every flush that lies further ahead than its route allows (a clock was wrong) to the latest possible time."""
        for key, route in self._by_key.items():
            if route.digest is not None:
                wait = interval = longest = route.digest.next_after(now) - now
            else:
                wait, interval = route.group_wait, route.group_interval
                longest = route.repeat_interval + interval
            clamping.groups(connection, key, now, wait=wait, interval=interval, longest=max(wait, longest))

    def candidate(self, group: Group, member: Member) -> Candidate:
        """Return a member as the stages of `policy.muting` take it."""
        route = self.route_of(group)
        return Candidate(
            member.alert_id, member.labels, route, group.receiver, member.notified, member.renotify
        )

    def context_of(self, connection: sa.Connection, candidates: Sequence[Candidate], now: float) -> Context:
        """Return what the stages of `policy.muting` need to judge ``candidates``."""
        cooldowns = self.cooldowns(connection)
        conditions = [
            (one.receiver, cooldown.condition(one.labels))
            for one in candidates
            if (cooldown := cooldown_of(cooldowns, one.labels)) is not None
        ]
        sources = []
        if any(matchers.takes(r.target, c.labels) for r in self._policies.inhibitions for c in candidates):
            sources = alerts.firing_labels(connection, self._policies.inhibitor_names())
        return Context(
            now=now,
            intervals=self._policies.intervals,
            inhibitions=self._policies.inhibitions,
            firing=[
                s for s in sources if any(matchers.takes(r.source, s) for r in self._policies.inhibitions)
            ],
            silences=first_silences(
                {one.alert_id: one.labels for one in candidates},
                silences.active(connection, now),
                self._policies.intervals,
                now,
            ),
            acknowledgements={a.alert_id: a for a in acknowledgements.every(connection)},
            cooldowns=cooldowns,
            notified_at=limits.notified_at(connection, conditions) if conditions else {},
        )

    def cooldowns(self, connection: sa.Connection) -> list[Cooldown]:
        """Return the cooldowns set by operators, then the configured ones: the first that matches an alert counts."""
        stored = [
            Cooldown(matchers.recall(s.match), s.by, s.seconds) for s in limits.stored_cooldowns(connection)
        ]
        return [*stored, *self._policies.cooldowns]

    def may_suppress(self, connection: sa.Connection, now: float, stored: bool = True) -> bool:
        """Return whether any policy could suppress anything now; ``stored``: whether the database may have such a thing."""
        return bool(
            self._mutes
            or self._policies.inhibitions
            or self._policies.cooldowns
            or (stored and silences.active(connection, now))
            or (stored and acknowledgements.every(connection))
            or (stored and limits.stored_cooldowns(connection))
        )

    def route_of(self, group: Group) -> Route:
        """Return the route of a group; ``GONE`` where it is no longer configured, or not for this receiver."""
        route = self.route(group.route)
        return route if group.receiver in route.receivers or route is rate_limits.SUMMARY else GONE

    def route(self, key: str) -> Route:
        """Return the route with this key; ``GONE`` where it is no longer configured."""
        return self._by_key.get(key, GONE)

    def limit(self, receiver: str, severity: str) -> int | None:
        """Return the most notifications about new alerts of ``severity`` a minute for ``receiver``; None for no limit."""
        return self._policies.rate_limits.get(receiver, {}).get(severity)

    def sends_resolved(self, route: Route, receiver: str) -> bool:
        """Return whether ``receiver`` is notified of resolutions by ``route``."""
        if route.send_resolved is not None:
            return route.send_resolved
        return self._send_resolved.get(receiver, True)

    def _heir(self, heir: Group, group: Group, now: float) -> Group:
        """Return ``heir`` with the intervals of ``group`` going on."""
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
