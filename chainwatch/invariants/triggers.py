"""At which blocks invariants are checked."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from chainwatch.checker.invariants.event_facts import EventTrigger
from chainwatch.checker.invariants.invariant import Invariant
from chainwatch.config import NetworkSettings
from chainwatch.model import Header
from chainwatch.store.invariants import Check


class Trigger(NamedTuple):
    """A block at which invariants may have to be checked. ``previous`` is the block before, where that is known.

    ``is_provisional``: a newer block takes its place, as this one ends a range that was read at once.
    """

    header: Header
    previous: Header | None
    is_provisional: bool


def is_due(every: object, trigger: Trigger) -> bool:
    """Return whether a check is due at a block: at each, or at the first one of each period of ``every`` seconds."""
    if not isinstance(every, float | int) or trigger.previous is None:
        return True
    return trigger.header.timestamp // every > trigger.previous.timestamp // every


def at_once(
    wanted: Mapping[str, Sequence[EventTrigger]],
    names: Collection[str],
    network: str,
    seen: Mapping[tuple[EventTrigger, str], Mapping[int, Header]],
    due: Sequence[Trigger],
) -> dict[str, list[Trigger]]:
    """Return the blocks at which ``names`` are checked because of the events ``wanted``, but for those that are ``due``.

    ``seen`` are the blocks with events.
    """
    done = {trigger.header.number for trigger in due}
    found: dict[str, list[Trigger]] = {}
    for name in wanted.keys() & names:
        headers = {n: one for event in wanted[name] for n, one in seen.get((event, network), {}).items()}
        if some := sorted(headers.keys() - done):
            found[name] = [Trigger(headers[number], None, False) for number in some]
    return found


def misaligned(
    networks: Mapping[str, NetworkSettings], invariant: Invariant, check: Check, headers: Mapping[str, Header]
) -> str:
    """Return why the blocks at the time of a check cannot be compared; empty where they can."""
    for network, header in headers.items():
        apart = check.timestamp - header.timestamp
        if networks[network].block_time is not None and apart > invariant.align:
            return f"block {header.number} of {network} is {apart} s older than that of {check.network}"
    return ""


def new_blocks(headers: Mapping[int, Header], last: int, known: Header | None, most: int) -> list[Trigger]:
    """Return the blocks after ``known`` up to the number ``last``, as far as ``headers`` has them without a gap.

    Of more than ``most``, or after a gap, the last one alone is returned, as a provisional one.
    """
    run: list[Header] = []
    number = last
    while number in headers and (known is None or number > known.number) and len(run) < most:
        run.append(headers[number])
        number -= 1
    run.reverse()
    if not run:
        return []
    if known is None or known.number != run[0].number - 1:
        return [Trigger(run[-1], None, True)]
    return [Trigger(header, before, False) for before, header in zip([known, *run[:-1]], run, strict=True)]
