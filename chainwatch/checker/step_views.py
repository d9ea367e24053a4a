"""Whether and when each expected step of a transfer was seen, for reports. Pure."""

from __future__ import annotations

from typing import NamedTuple

from chainwatch import model
from chainwatch.checker.flow import Flow, Step, expected_network
from chainwatch.checker.step_events import by_step, group_events, openings_of
from chainwatch.model import Occurrence, Transfer


class StepView(NamedTuple):
    """An expected step: on which network and until when (chain time) it was due, and its event (None while missing)."""

    step: Step
    network: str
    due_at: int
    event: Occurrence | None


def step_views(flow: Flow, transfer: Transfer) -> list[StepView]:
    """Return the expected steps of an opened transfer; empty for one that never opened.

    A missing step without a deadline (it may lie before the first block watched) is left out.
    """
    events = by_step(transfer)
    openings = openings_of(flow, events)
    if not openings or transfer.status in ("untracked", model.EXCLUDED):
        return []
    views = []
    for step in flow.expected:
        network = expected_network(step, openings[0])
        due_at = openings[0].timestamp + step.within
        event = None
        for asked, some in group_events(step, events, openings):
            if asked is not None:
                event = some[0]
                break
        if event is not None or _awaited(step, transfer):
            views.append(StepView(step, network, due_at, event))
    return views


def _awaited(step: Step, transfer: Transfer) -> bool:
    overdue = f"TransferOverdue/{step.name}/"
    return step.name in transfer.deadlines or any(name.startswith(overdue) for name in transfer.raised)
