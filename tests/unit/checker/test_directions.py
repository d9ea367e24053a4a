"""What a step's ``on`` leaves out: messages of the other direction, and events that serve for both ends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import permutations
from typing import Any

import pytest
import sqlalchemy as sa

from chainwatch.checker.coverage import Coverage
from chainwatch.checker.flow import Flow, extract, index_steps
from chainwatch.checker.transfer import settle, with_events
from chainwatch.model import Event, Transfer
from chainwatch.store import transfers
from tests.support.flows import CHAIN_IDS, EVENTS, NAMES, NETWORKS, Alerts, decode, event, flow
from tests.support.pipelines import flow_pipeline, judge_transfers_again
from tests.support.runs import batch

SEEN = Coverage(dict.fromkeys(NAMES, 90_000), dict.fromkeys(NAMES, (0, 0)))
BOTH = EVENTS | {"Filled": EVENTS["Sent"]}
"""One event that opens a transfer on its origin and closes it on its destination."""


def judged(compiled: Flow, *events: Event) -> dict[str, tuple[str, list[str]]]:
    """By key the status and the alerts of each transfer that ``events`` are of, when all networks were seen long past."""
    found = extract(index_steps([compiled]), events)
    assert not found.signals
    result = {}
    for (name, key), occurrences in found.found.items():
        settled = settle(compiled, with_events(Transfer(name, key), occurrences), SEEN, 90_000)
        if settled.transfer.occurrences:
            alerts = [s.labels["alertname"] for s in settled.signals if s.ends_at is None]
            result[key] = (settled.transfer.status, alerts)
    return result


def sent(origin: str, to: str, at: int = 1000, **args: Any) -> Event:
    return event(origin, "Sent", at, from_=CHAIN_IDS[origin], to=CHAIN_IDS[to], **args)


def arrived(name: str, network: str, origin: str, at: int = 1010, **args: Any) -> Event:
    return event(network, name, at, from_=CHAIN_IDS[origin], **args)


def healthy(origin: str, to: str, key: int = 7) -> list[Event]:
    return [sent(origin, to, id=key), *(arrived(name, to, origin, id=key) for name in ("Filled", "Settled"))]


def one_way(origin: str, to: str, names: Mapping[str, Any], **changes: Any) -> Flow:
    """A flow from ``origin`` to ``to``; ``names`` are the keys of each of its expected steps."""
    return flow(opens={"on": origin, "origin": None, **changes}, fill=names, settle=names)


def ways(origin: str, to: str) -> list[Flow]:
    """The ways in which a flow of one direction can be written."""
    return [
        one_way(origin, to, {"on": to, "origin": origin}),
        one_way(origin, to, {"on": to, "origin": None}),
        one_way(origin, to, {"on": to}),
        one_way(origin, to, {"origin": origin}, destination=to),
        one_way(origin, to, {"origin": None}, destination=to),
        one_way(origin, to, {"origin": None}),
        one_way(origin, to, {"origin": origin}),
        one_way(origin, to, {}),
    ]


@pytest.mark.parametrize("way", range(8))
@pytest.mark.parametrize("same_keys", [False, True], ids=["keys of their own", "the same keys both ways"])
def test_flows_for_the_two_directions_of_a_contract_are_quiet_about_each_other(
    way: int, same_keys: bool
) -> None:
    events = healthy("alpha", "beta") + healthy("beta", "alpha", 7 if same_keys else 8)
    for origin, to, key in (("alpha", "beta", "7"), ("beta", "alpha", "7" if same_keys else "8")):
        found = judged(ways(origin, to)[way], *events)
        assert found.pop(key) == ("complete", [])
        assert [alerts for _, alerts in found.values()] == [[]] * len(found)


def test_an_event_where_a_step_is_not_expected_counts_for_nothing_at_all() -> None:
    """Not as an orphan, not as a repetition, not as a transfer."""
    steps = [arrived("Filled", network, "alpha", at) for at in (1010, 1020) for network in ("alpha", "gamma")]

    assert judged(one_way("alpha", "beta", {"on": "beta"}), *steps) == {}
    assert judged(one_way("alpha", "beta", {"on": "beta"}), *healthy("alpha", "beta"), *steps) == {
        "7": ("complete", [])
    }


@pytest.mark.parametrize("way", range(5))
def test_a_forged_payout_where_the_step_is_expected_is_an_orphan_however_the_flow_is_written(
    way: int,
) -> None:
    assert judged(ways("alpha", "beta")[way], arrived("Filled", "beta", "alpha")) == {
        "7": ("orphan", ["TransferOrphan"])
    }


def test_in_a_mesh_of_networks_every_healthy_pair_is_quiet_and_every_forged_payout_an_orphan() -> None:
    for origin, to in permutations(NAMES, 2):
        assert judged(flow(), *healthy(origin, to)) == {"7": ("complete", [])}
        forged = arrived("Filled", to, origin)
        assert judged(flow(), forged) == {"7": ("orphan", ["TransferOrphan"])}


@pytest.mark.parametrize("origin", [None, "from"])
def test_an_acknowledgement_counts_on_the_origin_only(origin: str | None) -> None:
    acknowledged = flow(settle={"on": "origin", "origin": origin})
    events = [sent("alpha", "beta"), arrived("Filled", "beta", "alpha")]

    assert judged(acknowledged, *events, arrived("Settled", "alpha", "alpha")) == {"7": ("complete", [])}
    assert judged(acknowledged, arrived("Settled", "alpha", "alpha")) == {"7": ("orphan", ["TransferOrphan"])}


def test_an_acknowledgement_that_names_another_origin_than_its_place_counts_for_nothing() -> None:
    acknowledged = flow(settle={"on": "origin"})

    assert judged(acknowledged, arrived("Settled", "gamma", "alpha")) == {}


def test_an_acknowledgement_without_opening_waits_for_its_own_network_alone() -> None:
    acknowledged = flow(settle={"on": "origin", "origin": None})
    found = extract(index_steps([acknowledged]), [arrived("Settled", "gamma", "gamma")])
    current = with_events(Transfer("bridge", "7"), found.found["bridge", "7"])

    settled = settle(acknowledged, current, Coverage({"gamma": 9_000}, {}), 9_000)

    assert [s.labels["origin"] for s in settled.signals] == ["gamma"]


def test_one_event_for_payout_and_acknowledgement_is_reported_apart_by_on() -> None:
    both = flow(settle={"event": "Filled", "on": "origin"})
    events = [
        sent("alpha", "beta"),
        arrived("Filled", "beta", "alpha"),
        arrived("Filled", "alpha", "alpha", 1020),
    ]

    for order in permutations(events):
        assert judged(both, *order) == {"7": ("complete", [])}


@pytest.mark.parametrize(
    ("opens", "fill"),
    [
        ({"on": "alpha", "origin": None}, {"on": "beta", "origin": None}),
        ({"on": "alpha"}, {"on": "beta"}),
        ({"on": "alpha", "destination": "beta"}, {"origin": "alpha"}),
        ({"on": "alpha"}, {}),
        ({"on": "alpha", "origin": None}, {"origin": None}),
        ({}, {}),
        ({}, {"on": "beta"}),
    ],
)
def test_one_event_that_opens_and_closes_a_transfer_is_reported_apart_by_on(
    opens: dict[str, Any], fill: dict[str, Any]
) -> None:
    both = flow(opens=opens, fill={"event": "Sent", **fill}, settle={"event": "Sent", **fill})
    there = event("beta", "Sent", 1010)

    assert judged(both, sent("alpha", "beta"), there) == {"7": ("complete", [])}
    assert judged(both, sent("alpha", "beta")) == {"7": ("overdue", ["TransferOverdue"] * 2)}
    assert judged(both, there)["7"][0] == "orphan"


# --- what was raised before the configuration was mended --------------------------------------------------


def read(connection: sa.Connection, compiled: Iterable[Flow], events: Iterable[Event]) -> Alerts:
    """Have all of ``events`` read, and all networks seen long past them."""
    alerts = Alerts()
    pipeline = flow_pipeline(compiled, NETWORKS, decode, alerts)
    for name in NAMES:
        here = sorted((e for e in events if e.network == name), key=lambda e: e.log.timestamp)
        pipeline.process(connection, [batch(name, 5_000, *here)], 0.0)
    return alerts


def reload(connection: sa.Connection, alerts: Alerts, *flows: Flow) -> None:
    """Judge again by other flows."""
    pipeline = flow_pipeline(flows, NETWORKS, decode, alerts)
    last: int | None = 0
    while last is not None:
        last = judge_transfers_again(pipeline, connection, last, 1, 0.0)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        (flow(fill={"origin": None}), flow(fill={"origin": None, "on": "beta"}, settle={"on": "beta"})),
        (
            flow(opens={"origin": None}),
            flow(opens={"on": "alpha"}, fill={"on": "beta"}, settle={"on": "beta"}),
        ),
    ],
)
def test_what_a_wrong_configuration_raised_ends_when_it_is_mended(
    connection: sa.Connection, wrong: Flow, right: Flow
) -> None:
    """That of complete transfers too."""
    stray = [arrived("Filled", "gamma", "alpha"), arrived("Filled", "gamma", "beta", 1015, id=9)]
    alerts = read(connection, [wrong], [*healthy("alpha", "beta"), *stray])
    assert {dict(labels)["alertname"] for labels in alerts.firing} == {"TransferOrphan"}

    reload(connection, alerts, right)

    assert alerts.firing == {}
    assert {shown.reason for shown in alerts.last.values()} == {"configuration changed"}
    assert [(t.key, t.status) for t in transfers.select(connection, transfers.Filter())] == [
        ("7", "complete")
    ]


def test_alerts_of_a_flow_that_is_configured_no_more_end(connection: sa.Connection) -> None:
    alerts = read(connection, [flow()], [arrived("Filled", "beta", "alpha")])
    assert alerts.firing

    reload(connection, alerts)

    assert alerts.firing == {}
