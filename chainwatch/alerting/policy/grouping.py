"""When a group is flushed, and what its notification says: Alertmanager's group_wait, group_interval and repeat_interval.

A group is first flushed ``group_wait`` after its first alert, and then at ticks ``group_interval`` apart, each time with
one notification at most. Unlike in Alertmanager, a receiver that was notified that an alert fires is always notified of its
resolution. An alert that ended before the group's flush, so that its start was not notified, is listed as resolved if the
group has something else to say, as in Alertmanager. An alert that began and ended while the process was down is notified if
it lasted so long that it would have been notified otherwise (S2).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet

import msgspec

from chainwatch.alert_model import Group, Member

SCHEDULING_SLACK = 1.0
"""Seconds by which a flush may be late and still count as on its tick."""
SHORTEST_REPEAT = 0.1
"""Seconds; a repeat_interval below it would repeat within one flush."""
KEPT_EMPTY = 30.0
"""Seconds that a group keeps its ticks after its last alert has left: as long as Alertmanager may keep it."""
ROUNDING = 1e-5
"""Seconds by which sums of times may be off."""


class Content(msgspec.Struct, frozen=True):
    """What one notification says: the ids of firing alerts (new ones first) and of those resolved since the last one.

    An alert in both began and ended since. ``in_order``: the alerts are to be listed in the order of their ids, as a
    condition has more than one.
    """

    firing: tuple[int, ...]
    resolved: tuple[int, ...] = ()
    in_order: bool = False


def flush_at_change(group: Group, group_interval: float, now: float) -> float:
    """Return when a group in which an alert changed at ``now`` is flushed next."""
    if group.flushed_at is None:
        return group.flush_at
    return min(group.flush_at, next_tick(group.flushed_at, group_interval, now))


def next_tick(base: float, interval: float, at: float) -> float:
    """Return the first of ``base``, ``base + interval``, … after ``base`` that is not before ``at``."""
    if interval <= 0:
        return at
    return base + max(1, math.ceil((at - base - ROUNDING) / interval)) * interval


def content_of(members: Sequence[Member], *, send_resolved: bool, repeat: bool) -> Content | None:
    """Return what the notification of a group with these ``members`` (oldest first) says; None for no notification.

    ``repeat``: notify of firing alerts although nothing changed.
    """
    present = [member for member in members if not member.suppressed]
    ended = (
        [m for m in present if m.state == "resolved" and (m.notified or not m.quiet)] if send_resolved else []
    )
    fires = [m for m in present if is_to_notify(m) and (send_resolved or m.state == "firing")]
    still_firing = [m.alert_id for m in present if m.notified and m.state == "firing"]
    if not fires and not ended:
        return Content(tuple(still_firing)) if repeat and still_firing else None
    resolved = {member.fingerprint for member in ended}
    return Content(
        tuple(dict.fromkeys([*(member.alert_id for member in fires), *still_firing])),
        tuple(member.alert_id for member in ended),
        any(member.fingerprint in resolved for member in fires),
    )


def with_resolutions(
    content: Content | None,
    members: Sequence[Member],
    ended: Sequence[Member],
    resolved_before: Callable[[], AbstractSet[str]],
) -> Content | None:
    """Return ``content`` (or a repeat of what fires) with the resolutions of ``ended`` alerts, not notified before.

    An alert whose condition is that of one of the group's ``members`` is left out. ``resolved_before`` gives the
    fingerprints that the group's last notification listed as resolved: the same ones are no reason for another.
    """
    present = [member for member in members if not member.suppressed]
    still_firing = tuple(m.alert_id for m in present if m.notified and m.state == "firing")
    known = {member.fingerprint for member in present}
    ends = {member.fingerprint: member.alert_id for member in ended if member.fingerprint not in known}
    if not ends or (content is None and (not still_firing or ends.keys() <= resolved_before())):
        return content
    content = content or Content(still_firing)
    return msgspec.structs.replace(content, resolved=(*content.resolved, *ends.values()))


def digest(members: Sequence[Member], *, send_resolved: bool, empty: bool) -> Content | None:
    """Return everything that fires and everything resolved since the last digest; None where that is nothing.

    Alerts that began and ended in between are listed as both. ``empty``: send a digest even if it lists nothing.
    """
    known = [member for member in members if not member.suppressed and (member.notified or not member.quiet)]
    ended = [member for member in known if member.state == "resolved"] if send_resolved else []
    came_and_went = {member.alert_id for member in ended if not member.notified}
    fires = [m for m in known if m.state == "firing" or m.alert_id in came_and_went]
    if not fires and not ended and not empty:
        return None
    resolved = {member.fingerprint for member in ended}
    return Content(
        tuple(member.alert_id for member in fires),
        tuple(member.alert_id for member in ended),
        any(member.fingerprint in resolved for member in fires),
    )


def is_repeat_due(group: Group, repeat_interval: float, now: float) -> bool:
    """Return whether the receiver is notified again of the group's firing alerts although nothing changed."""
    return (
        group.sent_at is not None and now >= group.sent_at + max(repeat_interval, SHORTEST_REPEAT) - ROUNDING
    )


def after_flush(
    group: Group,
    *,
    group_interval: float,
    repeat_interval: float,
    notified: bool,
    firing: bool,
    now: float,
    suppressed: bool = False,
    emptied: bool = False,
) -> Group | None:
    """Return the group after its flush at ``now``; None when it is over.

    ``notified``, ``firing``, ``suppressed``, ``emptied``: whether it queued a notification, has firing members, has
    suppressed ones, and had members that left. A group with suppressed members is flushed on every tick. One whose last
    alert left with this flush is kept for an interval, and at least ``KEPT_EMPTY`` seconds, so that new alerts of the
    group are notified on its ticks.
    """
    flushed_at = group.flush_at if now - group.flush_at < SCHEDULING_SLACK else now
    sent_at = flushed_at if notified else group.sent_at
    if firing and sent_at is not None:
        repeat_at = sent_at + max(repeat_interval, SHORTEST_REPEAT)
        flush_at = next_tick(flushed_at, group_interval, repeat_at)
    elif (notified or emptied) and not suppressed:
        flush_at = next_tick(flushed_at, group_interval, flushed_at + KEPT_EMPTY)
    elif suppressed:
        flush_at = next_tick(flushed_at, group_interval, now)
    else:
        return None
    if suppressed:
        flush_at = min(flush_at, next_tick(flushed_at, group_interval, now))
    return msgspec.structs.replace(group, flush_at=flush_at, flushed_at=flushed_at, sent_at=sent_at)


def is_to_notify(member: Member) -> bool:
    """Return whether to notify that it fires; after a suppression or a notification, only if it still does."""
    if member.released or member.renotify:
        return member.state == "firing"
    return not member.notified and not member.quiet


def ended_unnotified(member: Member, wait: float, *, collects: bool = False) -> bool:
    """Return whether it ended before the receiver was notified that it fires, so that its start is not notified any more.

    ``wait``: seconds that an alert that ended before this process noticed it must have lasted to be notified all the
    same. ``collects``: the group lists everything that happened (a digest, a summary).
    """
    if member.state != "resolved" or member.notified:
        return False
    if member.suppressed or member.released:
        return True
    if member.quiet or collects:
        return False
    return member.unseen_for is None or member.unseen_for < wait
