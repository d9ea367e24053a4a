"""S3, S4: where a key alone does not name a transfer, the same pairs come of every order, repetition, delay and reorg."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
import sqlalchemy as sa
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from chainwatch.checker.flow import Flow, extract, index_steps
from chainwatch.checker.step_events import chain_order
from chainwatch.checker.transfer_keys import event_key
from chainwatch.flows import checker
from chainwatch.model import Occurrence
from chainwatch.store import retention
from chainwatch.store.transfers import Filter, select
from tests.property.worlds import (
    END,
    World,
    fresh,
    mixed,
    orders,
    play,
    played_twice,
    reorganised_orders,
    split,
    worlds,
)
from tests.support.flows import NETWORKS, Alerts, decode, flow
from tests.support.pipelines import flow_pipeline

ENDS = {"key": ["from", "network.chain_id", "id"]}
"""What names both ends of a transfer in later steps."""

NUMBERED = tuple(
    flow(match="nth", key=["from", "to", "id"], fill=ENDS, settle=ENDS, lookback=lookback, clock_skew=skew)
    for lookback, skew in (("0s", "2m"), ("30s", "2m"), ("0s", "5s"), ("0s", "0s"))
)
MIXED = (
    flow(match="nth"),
    flow(match="nth", lookback="30s"),
    flow(match="nth", repeat="allow", fill={"origin": None}, settle={"on": "origin", "origin": None}),
    flow(match="nth", clock_skew="5s", fill={"event": "Sent"}, settle={"event": "Sent", "on": "origin"}),
)
"""Flows whose keys name no ends: openings on two networks get the same numbers, so that alerts may be taken back."""
ALIASED = (
    flow(fill={"alias": "amount"}, settle={"by": "fill", "key": "amount"}),
    flow(fill={"alias": ["from", "amount"]}, settle={"by": "fill", "on": "gamma"}, clock_skew="5s"),
    flow(match="nth", fill={"alias": "amount"}, settle={"by": "fill", "key": "amount"}, clock_skew="30s"),
    flow(match="nth", lookback="30s", fill={"alias": "id"}, settle={"by": "fill"}, orphan_grace="30s"),
)
COVERED = (
    flow(settle={"covers": "id..id + 1"}),
    flow(key=["from", "id"], settle={"covers": "1..id", "key": "from"}, clock_skew="5s"),
    flow(key=["from", "id"], settle={"covers": "id - 1..id + 2", "repeat": "allow"}, lookback="30s"),
)
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
"""Without making failing examples smaller, which takes minutes."""


@pytest.fixture(autouse=True, params=[1, 1_000])
def at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checker, "AT_ONCE", request.param)


@given(
    data=st.data(),
    world=worlds(max_transfers=6, max_keys=2, variants=NUMBERED) | worlds(variants=COVERED + ALIASED[:2]),
)
@settings(max_examples=80, deadline=None, phases=PHASES)
def test_every_reporting_of_a_world_ends_in_the_same_pairs(
    engine: sa.Engine, data: st.DataObject, world: World
) -> None:
    """S3."""
    expected, found = played_twice(engine, world, data.draw(orders(world)))

    assert found.transfers == expected.transfers
    assert found.deadlines == expected.deadlines
    assert found.firing == expected.firing
    if world.flow.numbered and world.flow.lookback:
        return  # an opening that a search finds for one step moves the numbers of those that follow
    assert found.held == expected.held
    assert found.taken_back == []


@pytest.mark.slow
@given(
    data=st.data(), world=worlds(max_transfers=6, max_keys=2, variants=NUMBERED + MIXED + ALIASED + COVERED)
)
@settings(max_examples=80, deadline=None, phases=PHASES)
def test_pairs_after_reorgs_are_those_of_the_blocks_that_stayed(
    engine: sa.Engine, data: st.DataObject, world: World
) -> None:
    """S4."""
    expected, found = played_twice(engine, world, data.draw(reorganised_orders(world)))

    assert found.transfers == expected.transfers
    assert found.deadlines == expected.deadlines
    assert found.firing == expected.firing


@given(data=st.data(), world=worlds(max_transfers=8, max_keys=2, variants=NUMBERED + MIXED))
@settings(max_examples=60, deadline=None, phases=PHASES)
def test_each_step_takes_the_next_opening_that_can_have_led_to_it(
    engine: sa.Engine, data: st.DataObject, world: World
) -> None:
    """S3, S4: early and forged steps at any position take none, and shift nothing."""
    with fresh(engine) as connection:
        found = play(connection, world, data.draw(reorganised_orders(world)))

    events = [e for chain in world.chains.values() for block in chain for e in block.events]
    watched = numbered(world.flow, extract(index_steps([world.flow]), events).found)
    searched = {event_key(key) for _, key in found.transfers} if world.flow.lookback else set()
    assert {
        key: set(map(place, occurrences))
        for (_, key), (*_, occurrences, _, _, _) in found.transfers.items()
        if event_key(key) not in searched and occurrences
    } == {key: places for key, places in watched.items() if event_key(key) not in searched}


@given(data=st.data(), world=worlds(max_transfers=8, max_keys=2, variants=(NUMBERED[0], *NUMBERED[2:])))
@settings(max_examples=60, deadline=None, phases=PHASES)
def test_retention_in_between_changes_no_pair(engine: sa.Engine, data: st.DataObject, world: World) -> None:
    streams = [data.draw(split(name, blocks)) for name, blocks in world.chains.items()]
    with fresh(engine) as connection:
        pipeline = flow_pipeline([world.flow], NETWORKS, decode, Alerts())
        for item in data.draw(mixed(streams)):
            pipeline.process(connection, [item], 0.0)
            while data.draw(st.booleans()) and retention.prune(connection, END, 0.0, 3):
                pass
        kept = [set(map(place, t.occurrences)) for t in select(connection, Filter())]

    events = [e for chain in world.chains.values() for block in chain for e in block.events]
    expected = numbered(world.flow, extract(index_steps([world.flow]), events).found)
    assert [places for places in kept if places not in expected.values()] == []


def numbered(compiled: Flow, found: Mapping[tuple[str, str], Sequence[Occurrence]]) -> dict[str, set[object]]:
    """The events of each transfer, by walking through all events of each lane at the end."""
    transfers: dict[str, set[object]] = {}
    for (_, key), occurrences in found.items():
        lanes: dict[tuple[str, str], list[Occurrence]] = {}
        for one in sorted(occurrences, key=chain_order):
            lanes.setdefault((one.step, one.network), []).append(one)
        opened: dict[int, int] = {}
        for (step, _), lane in lanes.items():
            for number, one in enumerate(lane if step == compiled.opening.name else (), 1):
                opened[number] = min(one.timestamp, opened.get(number, one.timestamp))
                transfers.setdefault(nth(key, number), set()).add(place(one))
        for (step, network), lane in lanes.items():
            taken = 0
            for one in lane if step != compiled.opening.name else ():
                if opened.get(taken + 1, END + 1_000) <= one.timestamp + compiled.clock_skew:
                    taken += 1
                    transfers.setdefault(nth(key, taken), set()).add(place(one))
                else:
                    alone = f"{key}#{network}:{one.block}:{one.log_index}"
                    transfers.setdefault(alone, set()).add(place(one))
    return transfers


def nth(key: str, number: int) -> str:
    return f"{key}#{number}" if number > 1 else key


def place(one: Occurrence) -> object:
    return one.step, one.network, one.block, one.log_index
