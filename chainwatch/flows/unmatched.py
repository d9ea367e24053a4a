"""Finds in the stored transfers the flows whose events never come together."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence

import sqlalchemy as sa

from chainwatch.checker.flow import Flow
from chainwatch.checker.unmatched import FlowCount, Unmatched, diagnose, is_matched, window
from chainwatch.model import DISPUTED, RESOLVED
from chainwatch.store import blocks, transfer_counts
from chainwatch.store import transfers as stored

_OPENED = ("open", "overdue", DISPUTED, RESOLVED)
"""The statuses of which one must look at a transfer's events to know whether a step followed its opening."""
LOOKED_AT = 1_000
"""How many such transfers of a flow are looked at, the newest first."""


def unmatched_flows(
    connection: sa.Connection, flows: Iterable[Flow], *, ever: bool = False
) -> list[Unmatched]:
    """Return the flows of which no transfer of the last day has two steps, in their order.

    The day ends with the newest block that was read of any network; with ``ever``, all transfers are looked at.
    """
    checkpoints = blocks.checkpoints(connection).values()
    now = max((checkpoint.last.timestamp for checkpoint in checkpoints), default=0)
    some = list(flows)
    since = {flow.name: 0 if ever else window(flow, now) for flow in some}
    shared = {flow.name for flow in some if any(step.may_be_orphan for step in flow.expected)}
    counts = _counts(connection, since, shared)
    found: list[Unmatched] = []
    for flow in some:
        count = counts.get(flow.name, FlowCount())
        start = since[flow.name]
        if not diagnose(flow, count) or _is_any_matched(connection, flow, _OPENED, start):
            continue
        count.misnamed = _is_any_matched(connection, flow, ("untracked",), start)
        is_certain = bool(count.orphans or count.unanswered or count.misnamed)
        found.append(Unmatched(flow.name, diagnose(flow, count), is_certain))
    return found


def _counts(
    connection: sa.Connection, since: Mapping[str, int], shared: Container[str]
) -> dict[str, FlowCount]:
    """Count the transfers of each flow; the flows ``shared`` see events of others, so that untracked ones say nothing."""
    counts: dict[str, FlowCount] = {}
    for flow, status, destination, number in transfer_counts.recent(connection, since):
        count = counts.setdefault(flow, FlowCount())
        match status:
            case "untracked" if flow not in shared:
                count.untracked[destination] += number
            case "orphan":
                count.orphans += number
            case "overdue":
                count.unanswered += number
            case "complete":
                count.matched = True
    return counts


def _is_any_matched(connection: sa.Connection, flow: Flow, statuses: Sequence[str], since: int) -> bool:
    ids = transfer_counts.newest_ids(connection, flow.name, statuses, since, LOOKED_AT)
    return any(is_matched(flow, transfer) for transfer in stored.load_ids(connection, ids))
