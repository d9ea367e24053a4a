"""What was counted of transfers while they changed is what stands in the end."""

from __future__ import annotations

import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwatch.flows.transfer_stats import Tally
from chainwatch.store import blocks, transfers
from tests.property.worlds import World, fresh, play, reorganised_orders, worlds


@given(data=st.data(), world=worlds())
@settings(max_examples=60, deadline=None)
def test_counting_changes_comes_to_what_counting_at_the_end_does(
    engine: sa.Engine, data: st.DataObject, world: World
) -> None:
    delays = data.draw(reorganised_orders(world))
    flows = {world.flow.name: world.flow}
    kept, counted = Tally(flows), Tally(flows)

    with fresh(engine) as connection:
        play(connection, world, delays, saved=kept.change)
        counted.add(transfers.select(connection, transfers.Filter()))
        seen = {name: c.seen_until for name, c in blocks.checkpoints(connection).items()}

    assert kept.statuses() == counted.statuses()
    assert kept.latency(seen) == counted.latency(seen)
