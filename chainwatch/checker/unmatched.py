"""Flows whose events never come together: their configuration is wrong, or nothing that they watch is a transfer. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

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
    misnamed: bool = False
    """Whether one that is untracked has its opening and another step: it went to a network that is watched."""
    matched: bool = False


class Unmatched(NamedTuple):
    """A flow whose events never come together, and why, in words.

    ``is_certain``: events show it; else it may only watch few of the networks on which its transfers are.
    """

    flow: str
    reason: str
    is_certain: bool


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
    if count.misnamed:
        found.append("of some of these a later step was seen on a network that it does watch")
    if count.unanswered:
        steps = " or ".join(step.name for step in flow.expected)
        found.append(f"{count.unanswered} were opened and never followed by {steps}")
    if count.orphans:
        found.append(f"{count.orphans} have a later step without an opening")
    return "; ".join(found)


def unmatched_signals(found: Iterable[Unmatched], now: int) -> list[Signal]:
    """Return the alerts about the flows ``found`` that hold ``now`` (Unix seconds)."""
    return [
        Signal(
            {"alertname": UNMATCHED, "flow": flow, "severity": "P2" if is_certain else "P3"},
            now,
            {
                "summary": f"{flow}: no transfer of a day has two of its steps",
                "description": f"Of all transfers of the last day, {reason}. None has both its opening and another step: "
                + (_CERTAIN if is_certain else _LIKELY),
            },
            source="flow",
        )
        for flow, reason, is_certain in found
    ]


_CERTAIN = (
    "the flow's key, its networks or its contracts are probably wrong. Try both transactions of one transfer with "
    "`chainwatch flows test`. Where the others really go to networks that are not configured, leave them out with "
    "`where`. Until it is clear, treat orphans as real."
)
_LIKELY = (
    "either all really are of networks that are not configured, which `where` can leave out, or `network_by` or its "
    "values are wrong, and the flow watches nothing. `chainwatch flows test` shows what a transaction names."
)
