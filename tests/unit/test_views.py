"""What machines and people are shown of a transfer, and how latencies are counted."""

from typing import Any

import pytest

from chainwatch.checker import transfer as transfers
from chainwatch.checker.flow import extract, index_steps
from chainwatch.checker.transfer import World, settle
from chainwatch.model import Event, Transfer
from chainwatch.views import latency, transfer_view
from tests.support.flows import event, flow


def settled(events: list[Event], seen: int, key: str = "7") -> Transfer:
    """The transfer of ``events`` when both networks were seen until ``seen``."""
    compiled = flow()
    found = extract(index_steps([compiled]), events).occurrences[("bridge", key)]
    world = World({"alpha": seen, "beta": seen}, {"alpha": (0, 0), "beta": (0, 0)})
    return settle(compiled, transfers.with_events(Transfer("bridge", key), found), world, seen).transfer


def shown(events: list[Event], seen: int) -> dict[str, Any]:
    return transfer_view(flow(), settled(events, seen), {"alpha": seen, "beta": seen})


SENT = event("alpha", "Sent", 1000)
WITHIN = {step.name: step.within for step in flow().expected}


def test_a_transfer_in_time_is_shown_with_its_steps_and_met_deadlines() -> None:
    view = shown([SENT, event("beta", "Filled", 1010)], 1011)

    assert view["steps"]["fill"] == {
        "network": "beta",
        "block": view["steps"]["fill"]["block"],
        "timestamp": 1010,
        "tx_hash": view["steps"]["fill"]["tx_hash"],
        "late_by": 0,
    }
    assert view["steps"]["fill"]["tx_hash"].startswith("0x")
    assert view["deadlines"][0] == {"step": "fill", "due_at": 1000 + WITHIN["fill"], "state": "met"}
    assert (view["flow"], view["key"], view["opened_at"]) == ("bridge", "7", 1000)
    assert (view["origin"], view["destination"]) == ("alpha", "beta")


def test_a_late_step_is_shown_with_its_lateness() -> None:
    due_at = 1000 + WITHIN["fill"]

    view = shown([SENT, event("beta", "Filled", due_at + 5)], due_at + 6)

    assert view["steps"]["fill"]["late_by"] == 5
    assert view["deadlines"][0]["state"] == "late"


@pytest.mark.parametrize(("after", "state"), [(0, "open"), (1, "overdue")])
def test_a_missing_step_is_overdue_once_its_network_is_seen_past_the_deadline(after: int, state: str) -> None:
    view = shown([SENT], 1000 + WITHIN["fill"] + after)

    assert view["deadlines"][0]["state"] == state
    assert list(view["steps"]) == [flow().opening.name]


def test_a_step_that_nothing_asked_for_has_no_lateness() -> None:
    view = shown([event("beta", "Filled", 1010)], 1011)

    assert view["steps"]["fill"]["late_by"] is None
    assert view["deadlines"] == []


def test_a_transfer_of_a_flow_that_is_gone_is_shown_by_its_events() -> None:
    view = transfer_view(None, settled([SENT], 1001), {})

    assert view["deadlines"] == []
    assert [step["late_by"] for step in view["steps"].values()] == [None]


def test_latency_is_counted_by_route_and_step() -> None:
    """Nearest-rank percentiles: of ten, p50 is the fifth, p90 the ninth, p99 the last."""
    took = [3, 1, 4, 10, 9, 2, 6, 5, 7, 8]
    some = [
        settled([event("alpha", "Sent", 1000, id=n), event("beta", "Filled", 1000 + t, id=n)], 1011, str(n))
        for n, t in enumerate(took)
    ]

    rows = latency({"bridge": flow()}, some, {"alpha": 1011, "beta": 1011})

    assert rows[0] == {
        "flow": "bridge",
        "origin": "alpha",
        "destination": "beta",
        "step": "fill",
        "count": 10,
        "p50": 5,
        "p90": 9,
        "p99": 10,
        "max": 10,
        "overdue": 0,
    }


def test_latency_counts_late_and_missing_steps_as_overdue() -> None:
    late = 1000 + WITHIN["fill"] + 1
    some = [
        settled([event("alpha", "Sent", 1000, id=1)], late, "1"),
        settled([event("alpha", "Sent", 1000, id=2), event("beta", "Filled", late, id=2)], late, "2"),
    ]

    [row, *_] = latency({"bridge": flow()}, some, {"alpha": late, "beta": late})

    assert (row["count"], row["overdue"]) == (1, 2)
    assert latency({}, some, {}) == []


def test_a_step_is_one_row_though_the_one_before_it_is_not_awaited_everywhere() -> None:
    before = {
        "alpha": (2000, 2000),
        "beta": (2000, 2000),
    }  # found by a search: its fill lies where nobody looks
    compiled, world = flow(), World({"alpha": 3000, "beta": 3000}, before)
    found = [event("alpha", "Sent", 1000, id=2), event("beta", "Settled", 1050, id=2)]
    occurrences = extract(index_steps([compiled]), found).occurrences[("bridge", "2")]
    half = settle(compiled, transfers.with_events(Transfer("bridge", "2"), occurrences), world, 3000).transfer
    whole = [event("alpha", "Sent", 1000, id=1), event("beta", "Filled", 1001, id=1)]
    some = [half, settled([*whole, event("beta", "Settled", 1002, id=1)], 3000, "1")]

    rows = latency({"bridge": compiled}, some, {"alpha": 3000, "beta": 3000})

    assert [(row["step"], row["count"]) for row in rows] == [("fill", 1), ("settle", 2)]


def test_a_route_without_a_single_step_yet_has_no_percentiles() -> None:
    [row, *_] = latency({"bridge": flow()}, [settled([SENT], 1001)], {"alpha": 1001, "beta": 1001})

    assert (row["count"], row["p50"], row["max"], row["overdue"]) == (0, None, None, 0)
