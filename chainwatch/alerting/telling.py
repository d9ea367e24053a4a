"""The flush of groups: what each is to tell, what is held back or over a limit, and when it is looked at next.

A pipeline for each group: hold back what a policy holds back → take out what is over the rate limit → put into messages
what is left → queue them. Everything is rows, so a restart changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
import sqlalchemy as sa

from chainwatch.alerting.policies import Policies
from chainwatch.alerting.policy import grouping, limits
from chainwatch.alerting.policy.grouping import Message
from chainwatch.alerting.policy.holding import (
    INHIBITED,
    Candidate,
    Cooldown,
    Known,
    cooldown_of,
    held_back,
    in_quiet_hours,
)
from chainwatch.alerting.policy.routing import Route, every, group_key
from chainwatch.config import matching
from chainwatch.store import (
    acknowledgements,
    alert_groups,
    alerts,
    history,
    holds,
    outbox,
    silences,
    standing,
)
from chainwatch.store.alert_groups import Group, Member
from chainwatch.store.history import Transition
from chainwatch.store.holds import Held, Place, Stream, Window

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


class Teller:
    """Tells groups. ``send_resolved``: receiver → whether it hears of ends, unless the route says otherwise."""

    def __init__(
        self, routes: Sequence[Route], send_resolved: Mapping[str, bool], policies: Policies
    ) -> None:
        self._by_key = {route.key: route for route in every(routes)} | {limits.ROUTE: limits.SUMMARY}
        self._digests = [route for route in every(routes) if route.digest_empty and route.digest is not None]
        self._send_resolved = dict(send_resolved)
        self._policies = policies
        self._mutes = any(route.mute_times or route.active_times for route in self._by_key.values())

    def flush(self, connection: sa.Connection, groups: Sequence[Group], now: float) -> None:
        """Queue what ``groups``, which are due at ``now``, have to tell."""
        flush = _Flush(self, connection, groups, now)
        for group in groups:
            flush.tell(group)
        flush.save()

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

        So nothing is told again, and repeats go on counting.
        """
        places = alert_groups.places(connection, alert_ids)
        heirs = {(i, g.receiver): g for i, _, g in places if self.route_of(g) is not GONE}
        left: list[Place] = []
        taken: list[Place] = []
        changed: dict[int, Group] = {}
        for alert_id, told, group in places:
            heir = heirs.get((alert_id, group.receiver))
            if told and heir is not None and self.route_of(group) is GONE:
                left.append((group.id, alert_id))
                taken.append((heir.id, alert_id))
                changed[heir.id] = self._heir(changed.get(heir.id, heir), group, now)
        holds.release(connection, left)
        alert_groups.leave(connection, left)
        alert_groups.inherit(connection, taken)
        alert_groups.update(connection, list(changed.values()))

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

    def candidate(self, group: Group, member: Member) -> Candidate:
        """A member as the stages see it."""
        route = self._by_key.get(group.route, GONE)
        return Candidate(member.alert_id, member.labels, route, group.receiver, member.told, member.again)

    def known(self, connection: sa.Connection, candidates: Sequence[Candidate], now: float) -> Known:
        """What the stages look at for ``candidates``."""
        cooldowns = self.cooldowns(connection)
        conditions = [
            (one.receiver, cooldown.condition(one.labels))
            for one in candidates
            if (cooldown := cooldown_of(cooldowns, one.labels)) is not None
        ]
        sources = []
        if any(matching.takes(r.target, c.labels) for r in self._policies.inhibitions for c in candidates):
            sources = alerts.firing_labels(connection, self._policies.source_names())
        return Known(
            now=now,
            intervals=self._policies.intervals,
            inhibitions=self._policies.inhibitions,
            firing=[
                s for s in sources if any(matching.takes(r.source, s) for r in self._policies.inhibitions)
            ],
            silences=[(s, matching.build(s.match)) for s in silences.active(connection, now)],
            acknowledgements={a.alert_id: a for a in acknowledgements.every(connection)},
            cooldowns=cooldowns,
            told_at=holds.told_at(connection, conditions) if conditions else {},
        )

    def cooldowns(self, connection: sa.Connection) -> list[Cooldown]:
        """Those set while running, then the configured ones."""
        stored = [
            Cooldown(matching.build(s.match), s.by, s.seconds) for s in holds.stored_cooldowns(connection)
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
        """The route of a group; one that tells only what is owed where it is gone."""
        return self.route(group.route)

    def route(self, key: str) -> Route:
        """The route with this key; one that tells only what is owed where it is gone."""
        return self._by_key.get(key, GONE)

    def limit(self, receiver: str, severity: str) -> int | None:
        """How many notifications about new alerts a minute ``receiver`` takes, None for any number."""
        return self._policies.rate_limits.get(receiver, {}).get(severity)

    def tells_ends(self, route: Route, receiver: str) -> bool:
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


class _Flush:
    """One page of groups on its way through the pipeline."""

    def __init__(
        self, teller: Teller, connection: sa.Connection, groups: Sequence[Group], now: float
    ) -> None:
        self._teller = teller
        self._connection = connection
        self._now = now
        self._ids = [group.id for group in groups]
        self._members = alert_groups.members(connection, self._ids)
        moves = standing.is_anything(connection, now)
        self._held_before = holds.of_groups(connection, self._ids) if moves else {}
        self._verdicts: dict[Place, Held] = {}
        self._known: Known | None = None
        if self._held_before or teller.may_hold(connection, now, moves):
            self._judge(groups)
        self._queue: list[tuple[str, str, outbox.Payload]] = []
        self._living: list[Group] = []
        self._over: list[int] = []
        self._leaving: list[Place] = []
        self._moving: Seats = {}
        self._windows: dict[Stream, Window] | None = None
        self._told: list[tuple[str, str]] = []
        self._happened: list[Transition] = []

    def tell(self, group: Group) -> None:
        """Put into the queue what ``group`` has to tell."""
        route = self._teller.route_of(group)
        inside = [self._marked(group, member) for member in self._members.get(group.id, [])]
        unheard = {m.alert_id: m for m in inside if grouping.ended_unheard(m)}
        if unheard:
            inside = [m for m in inside if m.alert_id not in unheard]
        inside = self._within_limit(group, route, inside)
        sends_ends = self._teller.tells_ends(route, group.receiver)
        if route.digest is not None:
            told = grouping.digest(inside, send_resolved=sends_ends, empty=route.digest_empty)
        else:
            told = grouping.messages(
                inside,
                send_resolved=sends_ends,
                repeat=grouping.is_repeat_due(group, route.repeat_interval, self._now),
            )
        if unheard:
            told = self._with_explained(group, list(unheard.values()), told)
        self._enqueue(group, route, inside, told)
        self._plan_next(group, route, inside, told)

    def save(self) -> None:
        """Write what came of it."""
        connection, now = self._connection, self._now
        outbox.enqueue(connection, self._queue, now)
        before, current = self._held_before, self._verdicts
        holds.release(connection, [place for place in before if place not in current])
        changed = {place: held for place, held in current.items() if before.get(place) != held}
        holds.save(connection, changed, now)
        alert_groups.leave(connection, self._leaving)
        alert_groups.mark_told(connection, self._ids)
        alert_groups.update(connection, self._living)
        alert_groups.delete(connection, self._over)
        self._teller.join(connection, self._moving, now)
        holds.note_told(connection, self._told, now)
        if self._windows is not None:
            holds.save_windows(connection, self._windows)
        history.record(connection, self._happened)

    # --- holding back -------------------------------------------------------------------------------------

    def _judge(self, groups: Sequence[Group]) -> None:
        """Find what is held back. Ends of what was told are held in quiet hours only."""
        candidates = [
            (group, member, self._teller.candidate(group, member))
            for group in groups
            for member in self._members.get(group.id, [])
            if member.told or not member.quiet
        ]
        self._known = self._teller.known(self._connection, [c for _, _, c in candidates], self._now)
        for group, member, candidate in candidates:
            stage = in_quiet_hours if member.state == "resolved" and member.told else held_back
            held = stage(candidate, self._known)
            if held is not None:
                self._verdicts[group.id, member.alert_id] = held

    def _marked(self, group: Group, member: Member) -> Member:
        place = (group.id, member.alert_id)
        held, before = self._verdicts.get(place), self._held_before.get(place)
        if held is None and before is None:
            return member
        if held is None or before is None or held.why != before.why:
            self._note(group, member, "released" if held is None else "held", held or before)
        return msgspec.structs.replace(member, held=held is not None, released=held is None)

    def _with_explained(
        self, group: Group, unheard: Sequence[Member], told: Sequence[Message]
    ) -> list[Message]:
        """What ended while it was held back is told to nobody, unless with the end of what explained it."""
        explained: list[int] = []
        for member in unheard:
            place = (group.id, member.alert_id)
            held = self._verdicts.pop(place, None) or self._held_before[place]
            self._leaving.append(place)
            if not member.held and held.why == INHIBITED and any(message.resolved for message in told):
                explained.append(member.alert_id)
            else:
                self._note(group, member, "not told", held)
        if not explained:
            return list(told)
        *others, last = told
        return [*others, msgspec.structs.replace(last, resolved=(*explained, *last.resolved))]

    def _note(self, group: Group, member: Member, kind: str, held: Held | None) -> None:
        cause, note = (held.why, held.detail) if held is not None else ("", "")
        self._happened.append(
            Transition(member.alert_id, self._now, kind, cause, note=note, receiver=group.receiver)
        )

    # --- the rate limit -----------------------------------------------------------------------------------

    def _within_limit(self, group: Group, route: Route, inside: list[Member]) -> list[Member]:
        """The members without those that are over the receiver's limit, which move to its summary."""
        if route.digest is not None or route.key == limits.ROUTE:
            return inside
        new = {m.alert_id: m for m in inside if grouping.is_to_fire(m) and not m.held}
        if not new:
            return inside
        severity = limits.most_severe({m.alert_id: m.severity for m in new.values()})
        limit = self._teller.limit(group.receiver, severity)
        if limit is None:
            return inside
        first = next(m for m in new.values() if m.severity == severity)
        stream = (group.receiver, severity, limits.source_of(first.labels))
        if self._windows is None:
            self._windows = holds.windows(self._connection)
        window = limits.take(self._windows.get(stream), limit, self._now)
        if window is not None:
            self._windows[stream] = window
            return inside
        fresh = {alert_id for alert_id, m in new.items() if not m.told}
        self._move(group, stream, [m for m in inside if m.alert_id in fresh])
        return [m for m in inside if m.alert_id not in fresh]

    def _move(self, group: Group, stream: Stream, over: Sequence[Member]) -> None:
        receiver, severity, source = stream
        window = (self._windows or {})[stream]
        flush_at = window.started_at + limits.WINDOW
        labels = {"severity": severity, "source": source}
        place = Seat(group_key(limits.SUMMARY, labels), receiver, limits.SUMMARY, labels, flush_at)
        take_seat(self._moving, place, (member.alert_id for member in over))
        for member in over:
            self._leaving.append((group.id, member.alert_id))
            detail = f"{window.sent} notifications of {severity} from {source} were sent in this minute"
            self._note(group, member, "held", Held("rate limit", detail))

    # --- messages -----------------------------------------------------------------------------------------

    def _enqueue(self, group: Group, route: Route, inside: Sequence[Member], told: Sequence[Message]) -> None:
        kind: outbox.Kind = (
            "digest" if route.digest is not None else "limited" if route.key == limits.ROUTE else ""
        )
        reminded = [m.alert_id for m in inside if m.again and not m.held]
        note = self._reminder(reminded) if reminded else ""
        if told and group.sent_at is not None:
            note = " ".join(part for part in (note, self._news(group, inside)) if part)
        for message in told:
            payload = outbox.Payload(group.labels, message.firing, message.resolved, kind, note)
            self._queue.append((group.receiver, group.key, payload))
        if self._known is not None and self._known.cooldowns:
            fired = {i for message in told for i in message.firing}
            for member in inside:
                cooldown = cooldown_of(self._known.cooldowns, member.labels)
                if member.alert_id in fired and not member.told and cooldown is not None:
                    self._told.append((group.receiver, cooldown.condition(member.labels)))

    def _reminder(self, alert_ids: Sequence[int]) -> str:
        taken = self._known.acknowledgements if self._known is not None else {}
        people = sorted({taken[i].actor for i in alert_ids if i in taken})
        return f"Reminder: acknowledged by {', '.join(people)}, and still firing." if people else ""

    def _news(self, group: Group, inside: Sequence[Member]) -> str:
        """Who has taken on what of this group since its receiver was told last."""
        since = group.sent_at or 0.0
        names = {m.alert_id: m.labels["alertname"] for m in inside if m.told}
        taken: dict[tuple[str, str], list[str]] = {}
        for one in history.acknowledged(self._connection, list(names), since):
            taken.setdefault((one.actor, one.note), []).append(names[one.alert_id])
        return " ".join(
            f"Acknowledged by {actor}: {names[0] if len(names) == 1 else f'{len(names)} alerts'}"
            + (f" ({note})." if note else ".")
            for (actor, note), names in taken.items()
        )

    def _plan_next(
        self, group: Group, route: Route, inside: Sequence[Member], told: Sequence[Message]
    ) -> None:
        held = any(member.held for member in inside)
        firing = any(member.state == "firing" for member in inside)
        if route.digest is not None:
            after = None
            if firing or held or route.digest_empty:
                flush_at = route.digest.next_after(self._now)
                after = msgspec.structs.replace(group, flush_at=flush_at, flushed_at=self._now)
        else:
            after = grouping.after_flush(
                group,
                group_interval=route.group_interval,
                repeat_interval=route.repeat_interval,
                told=bool(told),
                firing=firing,
                held=held,
                now=self._now,
            )
        if after is None:
            self._over.append(group.id)
        else:
            self._living.append(after)
