"""When a group is told, and what: Alertmanager's group_wait, group_interval and repeat_interval, without its losses.

A group is first looked at ``group_wait`` after its first alert, and then on ticks ``group_interval`` apart. Whoever was
told that an alert fires is told that it has ended, and an alert that came and went between two ticks is told twice,
firing and then resolved: so the set of what is told does not depend on when the process ran (S2, S6).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import msgspec

from chainwatch.store.alert_groups import Group, Member

SCHEDULING_SLACK = 1.0
"""Seconds by which a flush may come late and still count as on its tick."""
SHORTEST_REPEAT = 0.1
"""Seconds; a repeat_interval below it would repeat within one flush."""
DUST = 1e-5
"""Seconds by which sums of times may be off."""


class Message(msgspec.Struct, frozen=True):
    """What one notification tells: ids of alerts firing (those not told before first) and of those just resolved."""

    firing: tuple[int, ...]
    resolved: tuple[int, ...] = ()


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


def messages(members: Sequence[Member], *, send_resolved: bool, repeat: bool) -> list[Message]:
    """What is to be told of a group's ``members`` (oldest first), in order.

    Usually one message. An alert that still has both its firing and its end to be told, or the end of one episode and the
    firing of the next, takes one message for each. ``repeat``: tell of firing alerts though nothing changed.
    """
    pending = _untold(members)
    standing = {member.alert_id: None for member in members if member.told and not member.held}
    told = []
    while pending:
        fires, ends = [], []
        for changes in list(pending.values()):
            alert_id, fires_now = changes.pop(0)
            if fires_now:
                fires.append(alert_id)
            else:
                ends.append(alert_id)
        pending = {key: changes for key, changes in pending.items() if changes}
        for alert_id in ends:
            standing.pop(alert_id, None)
        if fires or send_resolved:
            firing = dict.fromkeys(fires) | standing
            told.append(Message(tuple(firing), tuple(ends) if send_resolved else ()))
        standing |= dict.fromkeys(fires)
    if not told and repeat and standing:
        told.append(Message(tuple(standing)))
    return told


def together(told: Sequence[Message]) -> list[Message]:
    """What several messages tell as one: an alert that came and went is told as both."""
    if len(told) < 2:
        return list(told)
    firing = dict.fromkeys(alert_id for message in told for alert_id in message.firing)
    resolved = dict.fromkeys(alert_id for message in told for alert_id in message.resolved)
    return [Message(tuple(firing), tuple(resolved))]


def digest(members: Sequence[Member], *, send_resolved: bool, empty: bool) -> list[Message]:
    """Everything that fires and everything that has ended since the last digest, in one message; none where that is nothing.

    ``empty``: a message even then.
    """
    known = [member for member in members if not member.held and (member.told or not member.quiet)]
    fires = tuple(member.alert_id for member in known if member.state == "firing")
    ends = tuple(member.alert_id for member in known if member.state == "resolved") if send_resolved else ()
    return [Message(fires, ends)] if fires or ends or empty else []


def is_repeat_due(group: Group, repeat_interval: float, now: float) -> bool:
    """Whether a group's firing alerts are told again though nothing changed."""
    return group.sent_at is not None and now >= group.sent_at + max(repeat_interval, SHORTEST_REPEAT) - DUST


def after_flush(
    group: Group,
    *,
    group_interval: float,
    repeat_interval: float,
    told: bool,
    firing: bool,
    now: float,
    held: bool = False,
) -> Group | None:
    """The group after its flush at ``now``; None when it is over.

    A group that holds something back is looked at on every tick. An emptied group lives on for one interval, so that
    what comes next is not told earlier than that.
    """
    flushed_at = group.flush_at if now - group.flush_at < SCHEDULING_SLACK else now
    sent_at = flushed_at if told else group.sent_at
    if firing and sent_at is not None:
        repeat_at = sent_at + max(repeat_interval, SHORTEST_REPEAT)
        flush_at = next_tick(flushed_at, group_interval, repeat_at)
    elif told:
        flush_at = flushed_at + group_interval
    elif held:
        flush_at = next_tick(flushed_at, group_interval, now)
    else:
        return None
    if held:
        flush_at = min(flush_at, next_tick(flushed_at, group_interval, now))
    return msgspec.structs.replace(group, flush_at=flush_at, flushed_at=flushed_at, sent_at=sent_at)


def is_to_fire(member: Member) -> bool:
    """What was held is told when that is over if it still fires; of what ended meanwhile the end is enough."""
    if member.released or member.again:
        return member.state == "firing"
    return not member.told and not member.quiet


def ended_unheard(member: Member) -> bool:
    """Whether it ended while it was held back from somebody who was never told that it fires."""
    return (member.held or member.released) and member.state == "resolved" and not member.told


def _untold(members: Sequence[Member]) -> dict[str, list[tuple[int, bool]]]:
    """For each fingerprint the (alert id, fires) still to be told, in order."""
    changes: dict[str, list[tuple[int, bool]]] = defaultdict(list)
    for member in members:
        if member.held:
            continue
        if is_to_fire(member):
            changes[member.fingerprint].append((member.alert_id, True))
        if member.state == "resolved" and (member.told or not member.quiet):
            changes[member.fingerprint].append((member.alert_id, False))
    return dict(changes)
