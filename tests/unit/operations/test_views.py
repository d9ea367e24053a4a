"""What machines and people are shown of a transfer."""

import pytest

from chainwatch.checker import transfer as transfers
from chainwatch.checker.coverage import Coverage
from chainwatch.checker.flow import extract, index_steps
from chainwatch.checker.transfer import settle
from chainwatch.model import Event, Transfer
from chainwatch.operations.views import DeadlineView, TransferView, builtins, transfer_view
from tests.support.flows import event, flow


def settled(events: list[Event], seen: int, key: str = "7") -> Transfer:
    """The transfer of ``events`` when both networks were seen until ``seen``."""
    compiled = flow()
    found = extract(index_steps([compiled]), events).found[("bridge", key)]
    world = Coverage({"alpha": seen, "beta": seen}, {"alpha": (0, 0), "beta": (0, 0)})
    return settle(compiled, transfers.with_events(Transfer("bridge", key), found), world, seen).transfer


def shown(events: list[Event], seen: int) -> TransferView:
    return transfer_view(flow(), settled(events, seen), {"alpha": seen, "beta": seen})


SENT = event("alpha", "Sent", 1000)
WITHIN = {step.name: step.within for step in flow().expected}


def test_a_transfer_in_time_is_shown_with_its_steps_and_met_deadlines() -> None:
    view = shown([SENT, event("beta", "Filled", 1010)], 1011)

    fill = view.steps["fill"]
    assert (fill.network, fill.timestamp, fill.late_by) == ("beta", 1010, 0)
    assert fill.tx_hash.startswith("0x")
    assert view.deadlines[0] == DeadlineView("fill", 1000 + WITHIN["fill"], "met")
    assert (view.flow, view.key, view.opened_at) == ("bridge", "7", 1000)
    assert (view.origin, view.destination) == ("alpha", "beta")


def test_a_late_step_is_shown_with_its_lateness() -> None:
    due_at = 1000 + WITHIN["fill"]

    view = shown([SENT, event("beta", "Filled", due_at + 5)], due_at + 6)

    assert view.steps["fill"].late_by == 5
    assert view.deadlines[0].state == "late"


@pytest.mark.parametrize(("after", "state"), [(0, "open"), (1, "overdue")])
def test_a_missing_step_is_overdue_once_its_network_is_seen_past_the_deadline(after: int, state: str) -> None:
    view = shown([SENT], 1000 + WITHIN["fill"] + after)

    assert view.deadlines[0].state == state
    assert list(view.steps) == [flow().opening.name]


def test_a_step_that_nothing_asked_for_has_no_lateness() -> None:
    view = shown([event("beta", "Filled", 1010)], 1011)

    assert view.steps["fill"].late_by is None
    assert view.deadlines == []


def test_a_transfer_of_a_flow_that_is_gone_is_shown_by_its_events() -> None:
    view = transfer_view(None, settled([SENT], 1001), {})

    assert view.deadlines == []
    assert [step.late_by for step in view.steps.values()] == [None]


def test_json_has_times_to_the_millisecond_and_whole_ones_as_integers() -> None:
    assert builtins([DeadlineView("fill", 1000.0, "met"), DeadlineView("fill", 1000.12345, "met")]) == [
        {"step": "fill", "due_at": 1000, "state": "met"},
        {"step": "fill", "due_at": 1000.123, "state": "met"},
    ]
