"""Flows whose events never come together: their configuration is wrong, or nothing that they watch is a transfer. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from chainwatch.checker.flow import Flow
from chainwatch.model import Signal, Transfer

UNMATCHED = "FlowUnmatched"
DAY = 86_400
ENOUGH = 10
"""How many transfers must be judged: fewer may be chance."""

_SHOWN, _PLACE = 5, 100
"""Of how many destinations the numbers are shown, and in how many characters each: an event may name any text."""


@dataclass
class FlowCount:
    """The transfers of one flow in some time. ``matched``: one has its opening and another step."""

    untracked: Counter[str] = field(default_factory=Counter)
    """By the destination that they name."""
    orphans: int = 0
    unanswered: int = 0
    """Those whose opening no other step followed, though it was due."""
    matched: bool = False


def is_matched(flow: Flow, transfer: Transfer) -> bool:
    """Return whether ``transfer`` has its opening and at least one of the steps that follow it."""
    seen = {occurrence.step for occurrence in transfer.occurrences}
    return flow.opening.name in seen and len(seen) > 1


def window(flow: Flow, now: int) -> int:
    """Return from when on a transfer counts, ``now`` being chain time: a day, and as long before as a step may take."""
    return now - DAY - max((step.within for step in flow.expected), default=0)


def diagnose(flow: Flow, count: FlowCount) -> str:
    """Return in words how the events of ``flow`` never come together; empty where they do, or where they are too few."""
    untracked = count.untracked.total()
    if count.matched or untracked + count.orphans + count.unanswered < ENOUGH:
        return ""
    found = []
    if untracked:
        places = [
            f"{place[:_PLACE] or 'none'} ({number})" for place, number in count.untracked.most_common(_SHOWN)
        ]
        found.append(f"{untracked} go to networks that it does not watch: {', '.join(places)}")
    if count.unanswered:
        steps = " or ".join(step.name for step in flow.expected)
        found.append(f"{count.unanswered} were opened and never followed by {steps}")
    if count.orphans:
        found.append(f"{count.orphans} have a later step without an opening")
    return "; ".join(found)


def unmatched_signals(found: Iterable[tuple[str, str]], now: int) -> list[Signal]:
    """Return the alerts about flows, given as names with `diagnose`, that hold ``now`` (Unix seconds)."""
    return [
        Signal(
            {"alertname": UNMATCHED, "flow": flow, "severity": "P2"},
            now,
            {
                "summary": f"{flow}: no transfer of a day has two of its steps",
                "description": f"Of all transfers of the last day, {reason}. None has both its opening and another step: "
                "the flow's key, its networks or its contracts are probably wrong. Try both transactions of one transfer "
                "with `chainwatch flows test`. Where the others really go to networks that are not configured, leave them "
                "out with `where`. Until it is clear, treat orphans as real.",
            },
            source="flow",
        )
        for flow, reason in found
        if reason
    ]
