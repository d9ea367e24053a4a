"""When a group is told, and what: Alertmanager's group_wait, group_interval and repeat_interval, without its losses.

A group is first looked at ``group_wait`` after its first alert, and then on ticks ``group_interval`` apart, each time
with one message at most. Whoever was told that an alert fires is told that it has ended. Of what ended before a group's
flush and was never told, the end alone is told beside what else there is in the group, as Alertmanager does, and nothing
where the group is empty. What nobody saw, as it began and ended while the process was down, is told if it lasted so long
that it would have been told otherwise (S2).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet

import msgspec

from chainwatch.alert_model import Group, Member

SCHEDULING_SLACK = 1.0
"""Seconds by which a flush may come late and still count as on its tick."""
SHORTEST_REPEAT = 0.1
"""Seconds; a repeat_interval below it would repeat within one flush."""
KEPT_EMPTY = 30.0
"""Seconds that a group keeps its ticks after it has emptied: as long as Alertmanager may know it."""
DUST = 1e-5
"""Seconds by which sums of times may be off."""


class Message(msgspec.Struct, frozen=True):
    """What one notification tells: ids of alerts firing (those not told before first) and of those just resolved.

    What is in both came and went. ``in_order``: alerts are to be read in the order of their ids, as more than one thing
    happened to a condition.
    """

    firing: tuple[int, ...]
    resolved: tuple[int, ...] = ()
    in_order: bool = False


def flush_at_change(group: Group, group_interval: float, now: float) -> float:
    """When a group in which something changed at ``now`` is looked at next."""
    if group.flushed_at is None:
        return group.flush_at
    return min(group.flush_at, next_tick(group.flushed_at, group_interval, now))


def next_tick(base: float, interval: float, at: float) -> float:
    """The first of ``base``, ``base + interval``, … after ``base`` that is not before ``at``."""
    if interval <= 0:
        return at
    return base + max(1, math.ceil((at - base - DUST) / interval)) * interval


def message(members: Sequence[Member], *, send_resolved: bool, repeat: bool) -> Message | None:
    """What is to be told of a group's ``members`` (oldest first); None for nothing.

    ``repeat``: tell of firing alerts though nothing changed.
    """
    present = [member for member in members if not member.suppressed]
    ended = (
        [m for m in present if m.state == "resolved" and (m.notified or not m.quiet)] if send_resolved else []
    )
    fires = [m for m in present if is_to_fire(m) and (send_resolved or m.state == "firing")]
    standing = [m.alert_id for m in present if m.notified and m.state == "firing"]
    if not fires and not ended:
        return Message(tuple(standing)) if repeat and standing else None
    over = {member.fingerprint for member in ended}
    return Message(
        tuple(dict.fromkeys([*(member.alert_id for member in fires), *standing])),
        tuple(member.alert_id for member in ended),
        any(member.fingerprint in over for member in fires),
    )


def with_passed(
    content: Message | None,
    members: Sequence[Member],
    passed: Sequence[Member],
    said_before: Callable[[], AbstractSet[str]],
) -> Message | None:
    """``told`` of a group's ``members`` with the ends of what ``passed`` unheard: with it, or beside what still fires.

    Whose condition ``told`` is about or fires anyway is left out. ``said_before``: the fingerprints of what the group's
    last message said had ended; when nothing else has ended since, there is nothing to tell.
    """
    present = [member for member in members if not member.suppressed]
    standing = tuple(m.alert_id for m in present if m.notified and m.state == "firing")
    known = {member.fingerprint for member in present}
    ends = {member.fingerprint: member.alert_id for member in passed if member.fingerprint not in known}
    if not ends or (content is None and (not standing or ends.keys() <= said_before())):
        return content
    content = content or Message(standing)
    return msgspec.structs.replace(content, resolved=(*content.resolved, *ends.values()))


def digest(members: Sequence[Member], *, send_resolved: bool, empty: bool) -> Message | None:
    """Everything that fires and everything that has ended since the last digest; None where that is nothing.

    What began and ended meanwhile is told as both. ``empty``: a message even where there is nothing to tell.
    """
    known = [member for member in members if not member.suppressed and (member.notified or not member.quiet)]
    ended = [member for member in known if member.state == "resolved"] if send_resolved else []
    came_and_went = {member.alert_id for member in ended if not member.notified}
    fires = [m for m in known if m.state == "firing" or m.alert_id in came_and_went]
    if not fires and not ended and not empty:
        return None
    over = {member.fingerprint for member in ended}
    return Message(
        tuple(member.alert_id for member in fires),
        tuple(member.alert_id for member in ended),
        any(member.fingerprint in over for member in fires),
    )


def is_repeat_due(group: Group, repeat_interval: float, now: float) -> bool:
    """Whether a group's firing alerts are told again though nothing changed."""
    return group.sent_at is not None and now >= group.sent_at + max(repeat_interval, SHORTEST_REPEAT) - DUST


def after_flush(
    group: Group,
    *,
    group_interval: float,
    repeat_interval: float,
    notified: bool,
    firing: bool,
    now: float,
    held: bool = False,
    emptied: bool = False,
) -> Group | None:
    """The group after its flush at ``now``; None when it is over.

    A group that holds something back is looked at on every tick. One from which the last alert is gone with this flush
    (``told``, or ``emptied`` without a word) lives on for an interval and for ``KEPT_EMPTY`` seconds, so that what comes
    next is told on its ticks.
    """
    flushed_at = group.flush_at if now - group.flush_at < SCHEDULING_SLACK else now
    sent_at = flushed_at if notified else group.sent_at
    if firing and sent_at is not None:
        repeat_at = sent_at + max(repeat_interval, SHORTEST_REPEAT)
        flush_at = next_tick(flushed_at, group_interval, repeat_at)
    elif (notified or emptied) and not held:
        flush_at = next_tick(flushed_at, group_interval, flushed_at + KEPT_EMPTY)
    elif held:
        flush_at = next_tick(flushed_at, group_interval, now)
    else:
        return None
    if held:
        flush_at = min(flush_at, next_tick(flushed_at, group_interval, now))
    return msgspec.structs.replace(group, flush_at=flush_at, flushed_at=flushed_at, sent_at=sent_at)


def is_to_fire(member: Member) -> bool:
    """What was held is told when that is over if it still fires; of what ended meanwhile the end is enough."""
    if member.released or member.renotify:
        return member.state == "firing"
    return not member.notified and not member.quiet


def ended_unheard(member: Member, wait: float, *, collects: bool = False) -> bool:
    """Whether it ended before somebody was told that it fires, and is told no more.

    ``wait``: seconds that what nobody saw while it fired must have lasted to be told nevertheless. ``collects``: the group
    tells everything that happened.
    """
    if member.state != "resolved" or member.notified:
        return False
    if member.suppressed or member.released:
        return True
    if member.quiet or collects:
        return False
    return member.unseen_for is None or member.unseen_for < wait
