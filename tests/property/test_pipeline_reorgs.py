"""S4: after any reorgs, what stands is what the blocks that stayed say, as if no others had ever been seen."""

from __future__ import annotations

import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwatch.store import tables
from tests.property.worlds import (
    World,
    fresh,
    play,
    processed_at_once,
    reorganised_orders,
    worlds,
)


@given(data=st.data(), world=worlds())
@settings(max_examples=60, deadline=None)
def test_blocks_that_did_not_stay_leave_no_transfer_no_deadline_and_no_firing_alert(
    engine: sa.Engine, data: st.DataObject, world: World
) -> None:
    """S4."""
    delays = data.draw(reorganised_orders(world))

    with fresh(engine) as connection:
        expected = play(connection, world, processed_at_once(world))
        stored = read_blocks(connection)
    with fresh(engine) as connection:
        found = play(connection, world, delays)
        left = read_blocks(connection)

    assert found.transfers == expected.transfers
    assert found.deadlines == expected.deadlines
    assert found.firing == expected.firing
    assert left == stored


def read_blocks(connection: sa.Connection) -> tuple[object, ...]:
    """Networks, headers and logs as stored, by the networks' names: their ids are given as they come."""
    rows = connection.execute(sa.select(tables.networks)).all()
    names = {row.id: row.name for row in rows}
    networks = {row.name: row[2:] for row in rows}
    headers = {(names[r.network_id], *r[1:]) for r in connection.execute(sa.select(tables.headers))}
    logs = {
        (names[r.id >> 52], r.id & (2**52 - 1), *r[1:]) for r in connection.execute(sa.select(tables.logs))
    }
    return networks, headers, logs
