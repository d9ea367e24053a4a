"""S3: however the networks' batches are split, mixed, repeated and grouped, the same transfers and alerts come of it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwatch.checker.coverage import Coverage as Seen
from chainwatch.checker.flow import extract, index_steps
from chainwatch.checker.judge import SEARCH
from chainwatch.checker.transfer import IN_TIME, settle, with_events
from chainwatch.model import Event, Occurrence, Signal, Transfer
from tests.property.worlds import (
    END,
    START,
    World,
    fresh,
    mixed,
    orders,
    play,
    played_twice,
    worlds,
)


@given(data=st.data(), world=worlds())
@settings(max_examples=80, deadline=None)
def test_every_reporting_of_a_world_ends_in_the_same_transfers_deadlines_and_alerts(
    engine: sa.Engine, data: st.DataObject, world: World
) -> None:
    """S3."""
    expected, found = played_twice(engine, world, data.draw(orders(world)))

    assert found.transfers == expected.transfers
    assert found.deadlines == expected.deadlines
    assert found.firing == expected.firing
    assert found.held == expected.held
    assert found.taken_back == []


@given(data=st.data(), world=worlds(max_transfers=1))
@settings(max_examples=250, deadline=None)
def test_one_transfer_judged_after_every_block_takes_nothing_back_and_ends_as_judged_at_once(
    data: st.DataObject, world: World
) -> None:
    """S3, without a database: many more ways through the rules."""
    blocks = data.draw(mixed([[(name, block) for block in chain] for name, chain in world.chains.items()]))
    first = {name: (chain[0].header.number, START) for name, chain in world.chains.items()}
    seen: dict[str, int] = {}
    current = Transfer(world.flow.name, "1")
    signals: list[Signal] = []
    for name, block in blocks:
        seen[name] = block.header.timestamp
        known = {n: first[n] for n in seen}
        current = with_events(current, occurrences(world, block.events))
        current, notified = settle(world.flow, current, Seen(seen, known), block.header.timestamp)
        signals += notified
        if any(network.startswith(SEARCH) for network, _ in current.deadlines.values()):
            searched = with_events(current, occurrences(world, world.earlier))
            searched = msgspec.structs.replace(searched, searched=True)
            current, notified = settle(world.flow, searched, Seen(seen, known), block.header.timestamp)
            signals += notified

    at_once = with_events(
        Transfer(world.flow.name, "1", searched=current.searched),
        [o for _, block in blocks for o in occurrences(world, block.events)]
        + (list(occurrences(world, world.earlier)) if current.searched else []),
    )
    assert settle(world.flow, at_once, Seen(seen, first), END).transfer == current
    assert [s for s in signals if s.reason == IN_TIME] == []


def occurrences(world: World, events: Sequence[Event]) -> list[Occurrence]:
    """The steps among ``events``."""
    found = extract(index_steps([world.flow]), events).found
    return [o for of_key in found.values() for o in of_key]


@given(data=st.data(), world=worlds())
@settings(max_examples=30, deadline=None)
def test_deadline_rows_are_those_that_the_transfers_know_of(
    engine: sa.Engine, data: st.DataObject, world: World
) -> None:
    with fresh(engine) as connection:
        found = play(connection, world, data.draw(orders(world)))

    assert found.deadlines == {
        (flow_name, key, step, network, due_at)
        for (flow_name, key), facts in found.transfers.items()
        for step, (network, due_at) in facts[-1].items()
    }
