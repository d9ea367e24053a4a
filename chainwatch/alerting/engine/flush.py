"""The flush of groups: what each one's notification says, what is suppressed or over a rate limit, when the next flush is.

The stages for each group: mark what a policy suppresses → move what is over the rate limit into the receiver's summary →
compose a notification of the rest → queue it. Everything is rows, so a restart changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from chainwatch.alert_model import Group, Member, MemberId, RateStream, RateWindow, Suppression, Transition
from chainwatch.alerting.engine.group_manager import GroupManager, GroupSpec, Joins, add_join
from chainwatch.alerting.policy import grouping, rate_limits
from chainwatch.alerting.policy.grouping import Content
from chainwatch.alerting.policy.muting import INHIBITED, Context, cooldown_of, in_quiet_hours, suppression_of
from chainwatch.alerting.policy.routing import Route, group_key
from chainwatch.store.alerting import activity, alert_groups, alerts, history, limits, outbox, suppressions

RESOLVED_BEFORE = Suppression(
    "resolved before its group was flushed", "its group waits for group_wait or group_interval"
)


def flush(
    group_manager: GroupManager, connection: sa.Connection, groups: Sequence[Group], now: float
) -> None:
    """Queue the notifications of ``groups``, which are due at ``now``, and plan their next flush."""
    page = _Flush(group_manager, connection, groups, now)
    for group in groups:
        page.flush(group)
    page.save()


class _Flush:
    """One page of groups on its way through the stages."""

    def __init__(
        self, group_manager: GroupManager, connection: sa.Connection, groups: Sequence[Group], now: float
    ) -> None:
        self._group_manager = group_manager
        self._connection = connection
        self._now = now
        self._ids = [group.id for group in groups]
        self._members = alert_groups.members(connection, self._ids)
        stored = activity.needs_upkeep(connection, now)
        self._suppressed_before = suppressions.of_groups(connection, self._ids) if stored else {}
        self._suppressed: dict[MemberId, Suppression] = {}
        self._context: Context | None = None
        if self._suppressed_before or group_manager.may_suppress(connection, now, stored):
            self._judge(groups)
        self._queue: list[tuple[str, str, outbox.Payload]] = []
        self._living: list[Group] = []
        self._over: list[int] = []
        self._leaving: list[MemberId] = []
        self._moving: Joins = {}
        self._windows: dict[RateStream, RateWindow] | None = None
        self._notified: list[tuple[str, str]] = []
        self._happened: list[Transition] = []

    def flush(self, group: Group) -> None:
        """Compose and queue the notification of ``group``, if there is anything to say, and plan its next flush."""
        route = self._group_manager.route_of(group)
        members = [self._marked(group, member) for member in self._members.get(group.id, [])]
        collects = route.digest is not None or route.key == rate_limits.ROUTE
        missed = [m for m in members if grouping.ended_unnotified(m, route.group_wait, collects=collects)]
        if missed:
            left = {m.alert_id for m in missed}
            members = [m for m in members if m.alert_id not in left]
        members = self._within_limit(group, route, members)
        sends_ends = self._group_manager.sends_resolved(route, group.receiver)
        if route.digest is not None:
            content = grouping.digest(members, send_resolved=sends_ends, empty=route.digest_empty)
        else:
            content = grouping.content_of(
                members,
                send_resolved=sends_ends,
                repeat=grouping.is_repeat_due(group, route.repeat_interval, self._now),
            )
        if missed:
            content = self._with_missed(group, members, missed, content, sends_ends=sends_ends)
        self._enqueue(group, route, members, content)
        self._plan_next(
            group, route, members, notified=content is not None, emptied=group.id in self._members
        )

    def save(self) -> None:
        """Write the notifications, suppressions, memberships and times that follow."""
        connection, now = self._connection, self._now
        outbox.enqueue(connection, self._queue, now)
        before, current = self._suppressed_before, self._suppressed
        suppressions.release(connection, [member_id for member_id in before if member_id not in current])
        changed = {
            member_id: suppression
            for member_id, suppression in current.items()
            if before.get(member_id) != suppression
        }
        suppressions.save(connection, changed, now)
        alert_groups.leave(connection, self._leaving)
        alert_groups.mark_notified(connection, self._ids)
        alert_groups.update(connection, self._living)
        alert_groups.delete(connection, self._over)
        self._group_manager.join(connection, self._moving, now)
        limits.record_notified(connection, self._notified, now)
        if self._windows is not None:
            limits.save_windows(connection, self._windows, now - rate_limits.WINDOW)
        history.record(connection, self._happened)

    # --- suppression --------------------------------------------------------------------------------------

    def _judge(self, groups: Sequence[Group]) -> None:
        """Find what is suppressed. Resolutions of what was notified are suppressed in quiet hours only."""
        candidates = [
            (group, member, self._group_manager.candidate(group, member))
            for group in groups
            for member in self._members.get(group.id, [])
            if member.notified or not member.quiet
        ]
        self._context = self._group_manager.context_of(
            self._connection, [c for _, _, c in candidates], self._now
        )
        for group, member, candidate in candidates:
            stage = in_quiet_hours if member.state == "resolved" and member.notified else suppression_of
            suppression = stage(candidate, self._context)
            if suppression is not None:
                self._suppressed[group.id, member.alert_id] = suppression

    def _marked(self, group: Group, member: Member) -> Member:
        member_id = (group.id, member.alert_id)
        suppression, before = self._suppressed.get(member_id), self._suppressed_before.get(member_id)
        if suppression is None and before is None:
            return member
        if suppression is None or before is None or suppression.reason != before.reason:
            self._note(group, member, "released" if suppression is None else "held", suppression or before)
        return msgspec.structs.replace(
            member, suppressed=suppression is not None, released=suppression is None
        )

    def _with_missed(
        self,
        group: Group,
        members: Sequence[Member],
        missed: Sequence[Member],
        content: Content | None,
        *,
        sends_ends: bool,
    ) -> Content | None:
        """Return ``content`` with the resolutions of ``missed`` alerts, which ended before their start was notified.

        Alerts resolved while suppressed are not sent, except inhibited ones, which are listed with their inhibitor's
        resolution. Others are listed beside whatever else the group has to say.
        """
        inhibited: list[int] = []
        unsuppressed: list[Member] = []
        for member in missed:
            member_id = (group.id, member.alert_id)
            suppression = self._suppressed.pop(member_id, None) or self._suppressed_before.get(member_id)
            self._leaving.append(member_id)
            if suppression is None and member.unseen_for is None:
                unsuppressed.append(member)
            elif suppression is None:
                self._note(group, member, "not notified", RESOLVED_BEFORE)
            elif (
                not member.suppressed
                and suppression.reason == INHIBITED
                and content is not None
                and content.resolved
            ):
                inhibited.append(member.alert_id)
            else:
                self._note(group, member, "not notified", suppression)
        if inhibited and content is not None:
            content = msgspec.structs.replace(content, resolved=(*inhibited, *content.resolved))
        if sends_ends:
            content = grouping.with_resolutions(
                content, members, unsuppressed, lambda: self._last_resolved(group)
            )
        for member in unsuppressed:
            if content is None or member.alert_id not in content.resolved:
                self._note(group, member, "not notified", RESOLVED_BEFORE)
        return content

    def _last_resolved(self, group: Group) -> set[str]:
        """Return the fingerprints of the alerts that the group's last notification listed as resolved."""
        last = outbox.newest(self._connection, group.receiver, group.key)
        if last is None:
            return set()
        return {a.fingerprint for a in alerts.by_id(self._connection, last.payload.resolved).values()}

    def _note(self, group: Group, member: Member, kind: str, suppression: Suppression | None) -> None:
        cause, note = (suppression.reason, suppression.detail) if suppression is not None else ("", "")
        self._happened.append(
            Transition(member.alert_id, self._now, kind, cause, note=note, receiver=group.receiver)
        )

    # --- the rate limit -----------------------------------------------------------------------------------

    def _within_limit(self, group: Group, route: Route, members: list[Member]) -> list[Member]:
        """Return the members without those over the receiver's rate limit, which move into its summary of the minute."""
        if route.digest is not None or route.key == rate_limits.ROUTE:
            return members
        new = {m.alert_id: m for m in members if grouping.is_to_notify(m) and not m.suppressed}
        if not new:
            return members
        severity = rate_limits.most_severe({m.alert_id: m.severity for m in new.values()})
        limit = self._group_manager.limit(group.receiver, severity)
        if limit is None:
            return members
        first = next(m for m in new.values() if m.severity == severity)
        stream = (group.receiver, severity, rate_limits.counted_as(first.source, first.labels))
        if self._windows is None:
            self._windows = limits.windows(self._connection, self._now - rate_limits.WINDOW)
        window = rate_limits.take(self._windows.get(stream), limit, self._now)
        if window is not None:
            self._windows[stream] = window
            return members
        fresh = {alert_id for alert_id, m in new.items() if not m.notified}
        self._move(group, stream, [m for m in members if m.alert_id in fresh])
        return [m for m in members if m.alert_id not in fresh]

    def _move(self, group: Group, stream: RateStream, over: Sequence[Member]) -> None:
        receiver, severity, source = stream
        window = (self._windows or {})[stream]
        flush_at = window.started_at + rate_limits.WINDOW
        labels = {"severity": severity, "source": source}
        summary = GroupSpec(
            group_key(rate_limits.SUMMARY, labels), receiver, rate_limits.SUMMARY, labels, flush_at
        )
        add_join(self._moving, summary, (member.alert_id for member in over))
        for member in over:
            self._leaving.append((group.id, member.alert_id))
            detail = f"{window.sent} notifications of {severity} from {source} were sent in this minute"
            self._note(group, member, "held", Suppression("rate limit", detail))

    # --- notifications ------------------------------------------------------------------------------------

    def _enqueue(
        self, group: Group, route: Route, members: Sequence[Member], content: Content | None
    ) -> None:
        if content is None:
            return
        kind: outbox.Kind = (
            "digest" if route.digest is not None else "limited" if route.key == rate_limits.ROUTE else ""
        )
        payload = outbox.Payload(
            group.labels,
            content.firing,
            content.resolved,
            kind,
            folded=content.in_order,
            template=route.template,
        )
        self._queue.append((group.receiver, group.key, payload))
        if self._context is not None and self._context.cooldowns:
            fired = set(content.firing)
            for member in members:
                cooldown = cooldown_of(self._context.cooldowns, member.labels)
                if member.alert_id in fired and not member.notified and cooldown is not None:
                    self._notified.append((group.receiver, cooldown.condition(member.labels)))

    def _plan_next(
        self, group: Group, route: Route, members: Sequence[Member], *, notified: bool, emptied: bool
    ) -> None:
        suppression = any(member.suppressed for member in members)
        firing = any(member.state == "firing" for member in members)
        if route.digest is not None:
            after = None
            if firing or suppression or route.digest_empty:
                flush_at = route.digest.next_after(self._now)
                after = msgspec.structs.replace(group, flush_at=flush_at, flushed_at=self._now)
        else:
            after = grouping.after_flush(
                group,
                group_interval=route.group_interval,
                repeat_interval=route.repeat_interval,
                notified=notified,
                firing=firing,
                suppressed=suppression,
                emptied=emptied,
                now=self._now,
            )
        if after is None:
            self._over.append(group.id)
        else:
            self._living.append(after)
