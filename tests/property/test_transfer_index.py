"""The index of transfers follows every change, whenever it is written: in the end it is what reading all gives."""

from __future__ import annotations

import sqlalchemy as sa
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from chainwatch.flows.transfer_index import prepare
from tests.property.worlds import World, answer_searches, fresh, reorganised_orders, worlds
from tests.support.counting import assert_index_is_right, assert_totals_are_right
from tests.support.flows import NETWORKS, Alerts, decode
from tests.support.pipelines import flow_pipeline


@given(data=st.data(), world=worlds())
@settings(max_examples=30, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
def test_the_index_is_what_the_transfers_are_however_late_and_often_it_is_written(
    engine: sa.Engine, data: st.DataObject, world: World
) -> None:
    flows = {world.flow.name: world.flow}
    with fresh(engine) as connection:
        pipeline = flow_pipeline([world.flow], NETWORKS, decode, Alerts())
        update = None
        for items in data.draw(reorganised_orders(world)):
            pipeline.process(connection, items, 0.0)
            if update is not None:  # of before this change
                for _ in range(
                    data.draw(st.integers(1, 2))
                ):  # as after a commit of which the answer was lost
                    update.save(connection)
            update = (
                prepare(connection, flows, data.draw(st.integers(1, 5))) if data.draw(st.booleans()) else None
            )
        answer_searches(connection, pipeline, world)
        while (update := prepare(connection, flows, 3)) is not None:
            update.save(connection)

        assert_totals_are_right(connection)
        assert_index_is_right(connection, flows)
