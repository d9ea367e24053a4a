"""How transfers are counted, and how long their steps took."""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from chainwatch.checker import transfer as transfers
from chainwatch.checker.coverage import Coverage
from chainwatch.checker.flow import Flow, extract, index_steps
from chainwatch.checker.transfer import settle
from chainwatch.flows.transfer_stats import Tally
from chainwatch.model import EXCLUDED, Event, Transfer
from tests.support.flows import event, flow


def settled(events: list[Event], seen: int, key: str = "7") -> Transfer:
    """The transfer of ``events`` when both networks were seen until ``seen``."""
    compiled = flow()
    found = extract(index_steps([compiled]), events).found[("bridge", key)]
    world = Coverage({"alpha": seen, "beta": seen}, {"alpha": (0, 0), "beta": (0, 0)})
    return settle(compiled, transfers.with_events(Transfer("bridge", key), found), world, seen).transfer


def latency(
    flows: Mapping[str, Flow], some: Iterable[Transfer], seen: Mapping[str, int]
) -> list[dict[str, Any]]:
    """The latencies of ``some`` transfers."""
    tally = Tally(flows)
    tally.add(some)
    return tally.latency(seen)


SENT = event("alpha", "Sent", 1000)
WITHIN = {step.name: step.within for step in flow().expected}


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
    compiled, world = flow(), Coverage({"alpha": 3000, "beta": 3000}, before)
    found = [event("alpha", "Sent", 1000, id=2), event("beta", "Settled", 1050, id=2)]
    occurrences = extract(index_steps([compiled]), found).found[("bridge", "2")]
    half = settle(compiled, transfers.with_events(Transfer("bridge", "2"), occurrences), world, 3000).transfer
    whole = [event("alpha", "Sent", 1000, id=1), event("beta", "Filled", 1001, id=1)]
    some = [half, settled([*whole, event("beta", "Settled", 1002, id=1)], 3000, "1")]

    rows = latency({"bridge": compiled}, some, {"alpha": 3000, "beta": 3000})

    assert [(row["step"], row["count"]) for row in rows] == [("fill", 1), ("settle", 2)]


def test_a_route_without_a_single_step_yet_has_no_percentiles() -> None:
    [row, *_] = latency({"bridge": flow()}, [settled([SENT], 1001)], {"alpha": 1001, "beta": 1001})

    assert (row["count"], row["p50"], row["max"], row["overdue"]) == (0, None, None, 0)


def test_a_transfer_that_changes_counts_as_it_is_now() -> None:
    """Saved first without an id, then under another status, at last without any event."""
    tally = Tally({"bridge": flow()})
    new, due_at = Transfer("bridge", "7"), 1000 + WITHIN["fill"]
    opened = settled([SENT], 1001)
    filled = settled([SENT, event("beta", "Filled", due_at + 1)], due_at + 2)

    tally.change([(new, opened)])
    assert tally.statuses() == {"bridge": {"open": 1}}

    tally.change([(replace(opened, id=1), filled)])
    assert tally.statuses() == {"bridge": {filled.status: 1}}
    assert [(row["step"], row["count"], row["overdue"]) for row in tally.latency({"beta": due_at + 2})] == [
        ("fill", 1, 1),
        ("settle", 0, 0),
    ]

    tally.change([(replace(filled, id=1), replace(filled, id=1, occurrences=(), raised={}))])
    assert tally.statuses() == {}
    assert tally.latency({"beta": due_at + 2}) == []


def test_flows_that_are_not_configured_and_transfers_left_out_do_not_count() -> None:
    tally = Tally({"bridge": flow()})

    tally.add([replace(settled([SENT], 1001), flow="gone"), replace(settled([SENT], 1001), status=EXCLUDED)])

    assert (tally.statuses(), tally.latency({})) == ({}, [])
