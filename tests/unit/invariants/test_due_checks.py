"""Checks at new blocks until these are read: stored together, and lost by nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from chainwatch.invariants.reads import BlockRead
from chainwatch.store import invariants, schema
from tests.unit.invariants.test_checker import FLOOR, Chains, plan_of


def floors(count: int) -> dict[str, Any]:
    return {f"floor{index:03}": FLOOR for index in range(count)}


@contextmanager
def counting_rows(connection: sa.Connection) -> Iterator[list[int]]:
    """Yield how many rows each statement is given."""
    counted: list[int] = []

    def count(_c: Any, _cursor: Any, _statement: str, parameters: Any, _x: Any, many: bool) -> None:
        counted.append(len(parameters) if many else 1)

    event.listen(connection, "before_cursor_execute", count)
    try:
        yield counted
    finally:
        event.remove(connection, "before_cursor_execute", count)


def rows_of_a_block(count: int) -> int:
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection:
        schema.metadata.create_all(connection)
        chains = Chains(connection, plan_of(**floors(count)))
        chains.step(1, 10)
        chains.step(2, 10)
        with counting_rows(connection) as counted:
            chains.mine(3)
        found = chains.checker.load_wanted(connection, "alpha", 500)
        assert found is not None
        assert len(found.blocks[0].readings) == count
    engine.dispose()
    return sum(counted)


def test_what_a_new_block_stores_does_not_grow_with_the_invariants() -> None:
    assert rows_of_a_block(3) == rows_of_a_block(300)


def answer(chains: Chains, funds: int, first: int, last: int) -> None:
    """Answer a part of the readings of the first block that is wanted."""
    found = chains.checker.load_wanted(chains.connection, "alpha", 500)
    assert found is not None
    readings = found.blocks[0].readings[first:last]
    done = tuple(one._replace(is_wanted=False, content={"funds": funds}) for one in readings)
    chains.pipeline.process(chains.connection, [BlockRead("alpha", done)], chains.now)


@pytest.mark.parametrize("restarts", [False, True])
def test_a_block_that_is_read_in_parts_is_judged_wholly(connection: sa.Connection, restarts: bool) -> None:
    plan = plan_of(**floors(5))
    chains = Chains(connection, plan)
    chains.step(1, 10)
    chains.mine(2)
    chains.mine(3)
    raised = []
    for part in [(0, 2), (0, 1), (0, 2)]:  # what is left moves up
        if restarts:
            raised += chains.alerts.signals
            chains = Chains(connection, plan)
        answer(chains, 9, *part)
    raised += chains.alerts.signals
    assert [one.labels["invariant"] for one in raised] == sorted(floors(5))
    assert {one.starts_at for one in raised} == {1_020}
    assert chains.wanted() == [3]
    answer(chains, 10, 0, 5)
    ended = [one for one in chains.alerts.signals if one.ends_at is not None]
    assert [one.labels["invariant"] for one in ended] == sorted(floors(5))
    assert chains.wanted() == []


def test_a_block_that_was_not_read_before_a_reorg_is_not_read_after_it(connection: sa.Connection) -> None:
    chains = Chains(connection, plan_of(**floors(2)))
    chains.step(1, 10)
    chains.mine(2)
    chains.mine(3)
    chains.mine(3, fork=1, back_to=2)
    assert chains.wanted() == [2, 3]
    found = chains.checker.load_wanted(connection, "alpha", 500)
    assert found is not None
    assert [block.header.hash[0] for block in found.blocks] == [0, 1]


def test_an_invariant_that_is_gone_has_nothing_due(connection: sa.Connection) -> None:
    chains = Chains(connection, plan_of(**floors(2)))
    chains.step(1, 10)
    chains.mine(2)
    left = Chains(connection, plan_of(floor000=FLOOR))
    assert invariants.known_names(connection) == {"floor000"}
    found = left.checker.load_wanted(connection, "alpha", 500)
    assert found is not None
    assert [one.name for one in found.blocks[0].readings] == ["floor000"]
