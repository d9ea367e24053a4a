"""The flush of groups: what each is to tell, what is held back or over a limit, and when it is looked at next.

A pipeline for each group: hold back what a policy holds back → take out what is over the rate limit → put into messages
what is left → queue them. Everything is rows, so a restart changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from chainwatch.alert_model import Group, Member, MemberId, RateStream, RateWindow, Suppression, Transition
from chainwatch.alerting.engine.grouped import GroupManager, Seat, Seats, take_seat
from chainwatch.alerting.policy import grouping, rate_limits
from chainwatch.alerting.policy.grouping import Message
from chainwatch.alerting.policy.muting import INHIBITED, Known, cooldown_of, held_back, in_quiet_hours
from chainwatch.alerting.policy.routing import Route, group_key
from chainwatch.store.alerting import alert_groups, alerts, history, holds, outbox, standing

OVER_BEFORE = Suppression(
    "over before its group was looked at", "its group waits for others, or for its next tick"
)


def flush(
    group_manager: GroupManager, connection: sa.Connection, groups: Sequence[Group], now: float
) -> None:
    """Queue what ``groups``, which are due at ``now``, have to tell."""
    page = _Flush(group_manager, connection, groups, now)
    for group in groups:
        page.flush(group)
    page.save()


class _Flush:
    """One page of groups on its way through the pipeline."""

    def __init__(
        self, group_manager: GroupManager, connection: sa.Connection, groups: Sequence[Group], now: float
    ) -> None:
        self._group_manager = group_manager
        self._connection = connection
        self._now = now
        self._ids = [group.id for group in groups]
        self._members = alert_groups.members(connection, self._ids)
        moves = standing.is_anything(connection, now)
        self._held_before = holds.of_groups(connection, self._ids) if moves else {}
        self._verdicts: dict[MemberId, Suppression] = {}
        self._known: Known | None = None
        if self._held_before or group_manager.may_hold(connection, now, moves):
            self._judge(groups)
        self._queue: list[tuple[str, str, outbox.Payload]] = []
        self._living: list[Group] = []
        self._over: list[int] = []
        self._leaving: list[MemberId] = []
        self._moving: Seats = {}
        self._windows: dict[RateStream, RateWindow] | None = None
        self._notified: list[tuple[str, str]] = []
        self._happened: list[Transition] = []

    def flush(self, group: Group) -> None:
        """Put into the queue what ``group`` has to tell."""
        route = self._group_manager.route_of(group)
        inside = [self._marked(group, member) for member in self._members.get(group.id, [])]
        collects = route.digest is not None or route.key == rate_limits.ROUTE
        unheard = [m for m in inside if grouping.ended_unheard(m, route.group_wait, collects=collects)]
        if unheard:
            left = {m.alert_id for m in unheard}
            inside = [m for m in inside if m.alert_id not in left]
        inside = self._within_limit(group, route, inside)
        sends_ends = self._group_manager.sends_resolved(route, group.receiver)
        if route.digest is not None:
            content = grouping.digest(inside, send_resolved=sends_ends, empty=route.digest_empty)
        else:
            content = grouping.message(
                inside,
                send_resolved=sends_ends,
                repeat=grouping.is_repeat_due(group, route.repeat_interval, self._now),
            )
        if unheard:
            content = self._with_unheard(group, inside, unheard, content, sends_ends=sends_ends)
        self._enqueue(group, route, inside, content)
        self._plan_next(group, route, inside, notified=content is not None, emptied=group.id in self._members)

    def save(self) -> None:
        """Write what came of it."""
        connection, now = self._connection, self._now
        outbox.enqueue(connection, self._queue, now)
        before, current = self._held_before, self._verdicts
        holds.release(connection, [place for place in before if place not in current])
        changed = {place: held for place, held in current.items() if before.get(place) != held}
        holds.save(connection, changed, now)
        alert_groups.leave(connection, self._leaving)
        alert_groups.mark_notified(connection, self._ids)
        alert_groups.update(connection, self._living)
        alert_groups.delete(connection, self._over)
        self._group_manager.join(connection, self._moving, now)
        holds.record_notified(connection, self._notified, now)
        if self._windows is not None:
            holds.save_windows(connection, self._windows, now - rate_limits.WINDOW)
        history.record(connection, self._happened)

    # --- holding back -------------------------------------------------------------------------------------

    def _judge(self, groups: Sequence[Group]) -> None:
        """Find what is held back. Ends of what was told are held in quiet hours only."""
        candidates = [
            (group, member, self._group_manager.candidate(group, member))
            for group in groups
            for member in self._members.get(group.id, [])
            if member.notified or not member.quiet
        ]
        self._known = self._group_manager.known(self._connection, [c for _, _, c in candidates], self._now)
        for group, member, candidate in candidates:
            stage = in_quiet_hours if member.state == "resolved" and member.notified else held_back
            held = stage(candidate, self._known)
            if held is not None:
                self._verdicts[group.id, member.alert_id] = held

    def _marked(self, group: Group, member: Member) -> Member:
        place = (group.id, member.alert_id)
        held, before = self._verdicts.get(place), self._held_before.get(place)
        if held is None and before is None:
            return member
        if held is None or before is None or held.reason != before.reason:
            self._note(group, member, "released" if held is None else "held", held or before)
        return msgspec.structs.replace(member, suppressed=held is not None, released=held is None)

    def _with_unheard(
        self,
        group: Group,
        inside: Sequence[Member],
        unheard: Sequence[Member],
        content: Message | None,
        *,
        sends_ends: bool,
    ) -> Message | None:
        """``told`` with the ends of what was never told as firing: with that of what explained it, or beside others.

        What ended while anything else held it back is told to nobody, nor what nobody saw while it fired.
        """
        explained: list[int] = []
        passed: list[Member] = []
        for member in unheard:
            place = (group.id, member.alert_id)
            held = self._verdicts.pop(place, None) or self._held_before.get(place)
            self._leaving.append(place)
            if held is None and member.unseen_for is None:
                passed.append(member)
            elif held is None:
                self._note(group, member, "not notified", OVER_BEFORE)
            elif (
                not member.suppressed
                and held.reason == INHIBITED
                and content is not None
                and content.resolved
            ):
                explained.append(member.alert_id)
            else:
                self._note(group, member, "not notified", held)
        if explained and content is not None:
            content = msgspec.structs.replace(content, resolved=(*explained, *content.resolved))
        if sends_ends:
            content = grouping.with_passed(content, inside, passed, lambda: self._said_ended(group))
        for member in passed:
            if content is None or member.alert_id not in content.resolved:
                self._note(group, member, "not notified", OVER_BEFORE)
        return content

    def _said_ended(self, group: Group) -> set[str]:
        """The fingerprints of the alerts that the group's last message said had ended."""
        last = outbox.newest(self._connection, group.receiver, group.key)
        if last is None:
            return set()
        return {a.fingerprint for a in alerts.by_id(self._connection, last.payload.resolved).values()}

    def _note(self, group: Group, member: Member, kind: str, held: Suppression | None) -> None:
        cause, note = (held.reason, held.detail) if held is not None else ("", "")
        self._happened.append(
            Transition(member.alert_id, self._now, kind, cause, note=note, receiver=group.receiver)
        )

    # --- the rate limit -----------------------------------------------------------------------------------

    def _within_limit(self, group: Group, route: Route, inside: list[Member]) -> list[Member]:
        """The members without those that are over the receiver's limit, which move to its summary."""
        if route.digest is not None or route.key == rate_limits.ROUTE:
            return inside
        new = {m.alert_id: m for m in inside if grouping.is_to_fire(m) and not m.suppressed}
        if not new:
            return inside
        severity = rate_limits.most_severe({m.alert_id: m.severity for m in new.values()})
        limit = self._group_manager.limit(group.receiver, severity)
        if limit is None:
            return inside
        first = next(m for m in new.values() if m.severity == severity)
        stream = (group.receiver, severity, rate_limits.counted_as(first.source, first.labels))
        if self._windows is None:
            self._windows = holds.windows(self._connection, self._now - rate_limits.WINDOW)
        window = rate_limits.take(self._windows.get(stream), limit, self._now)
        if window is not None:
            self._windows[stream] = window
            return inside
        fresh = {alert_id for alert_id, m in new.items() if not m.notified}
        self._move(group, stream, [m for m in inside if m.alert_id in fresh])
        return [m for m in inside if m.alert_id not in fresh]

    def _move(self, group: Group, stream: RateStream, over: Sequence[Member]) -> None:
        receiver, severity, source = stream
        window = (self._windows or {})[stream]
        flush_at = window.started_at + rate_limits.WINDOW
        labels = {"severity": severity, "source": source}
        place = Seat(group_key(rate_limits.SUMMARY, labels), receiver, rate_limits.SUMMARY, labels, flush_at)
        take_seat(self._moving, place, (member.alert_id for member in over))
        for member in over:
            self._leaving.append((group.id, member.alert_id))
            detail = f"{window.sent} notifications of {severity} from {source} were sent in this minute"
            self._note(group, member, "held", Suppression("rate limit", detail))

    # --- messages -----------------------------------------------------------------------------------------

    def _enqueue(self, group: Group, route: Route, inside: Sequence[Member], content: Message | None) -> None:
        if content is None:
            return
        kind: outbox.Kind = (
            "digest" if route.digest is not None else "limited" if route.key == rate_limits.ROUTE else ""
        )
        payload = outbox.Payload(
            group.labels, content.firing, content.resolved, kind, folded=content.in_order
        )
        self._queue.append((group.receiver, group.key, payload))
        if self._known is not None and self._known.cooldowns:
            fired = set(content.firing)
            for member in inside:
                cooldown = cooldown_of(self._known.cooldowns, member.labels)
                if member.alert_id in fired and not member.notified and cooldown is not None:
                    self._notified.append((group.receiver, cooldown.condition(member.labels)))

    def _plan_next(
        self, group: Group, route: Route, inside: Sequence[Member], *, notified: bool, emptied: bool
    ) -> None:
        held = any(member.suppressed for member in inside)
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
                notified=notified,
                firing=firing,
                held=held,
                emptied=emptied,
                now=self._now,
            )
        if after is None:
            self._over.append(group.id)
        else:
            self._living.append(after)
