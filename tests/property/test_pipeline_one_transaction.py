"""S2 and S7: a transaction is whole or not there at all, and the same blocks leave the same rows everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chainwatch.alerting.engine.alert_engine import AlertEngine
from chainwatch.config import RouteSettings
from chainwatch.pipeline.pipeline import Pipeline
from chainwatch.store import schema
from tests.property.worlds import (
    Item,
    World,
    answer_searches,
    reorganised_orders,
    worlds,
)
from tests.support.flows import NETWORKS, decode
from tests.support.pipelines import flow_pipeline

FREE = {
    "notifications": ("id", "idempotency_key"),
    "alert_transitions": ("id",),
    "transfer_changes": ("seq",),
}
"""Columns that may differ from run to run: a sequence goes on after a rollback."""


class Crash(Exception):
    """What a statement is made to fail with."""


@st.composite
def histories(draw: st.DrawFn) -> tuple[World, list[list[Item]]]:
    """A world and one order of it, reorgs among it."""
    world = draw(worlds(max_transfers=2))
    return world, draw(reorganised_orders(world))


def pipeline(world: World) -> Pipeline:
    """The pipeline with the true alert manager, notifying one receiver of everything at once."""
    route = RouteSettings.model_validate({"receivers": ["ops"], "group_wait": "0s"})
    return flow_pipeline([world.flow], NETWORKS, decode, AlertEngine([route], {"ops": True}, notify_since=0))


def dump(connection: sa.Connection) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, in the order of the primary keys."""
    rows: dict[str, list[tuple[Any, ...]]] = {}
    for table in schema.metadata.sorted_tables:
        columns = [c for c in table.columns if c.name not in FREE.get(table.name, ())]
        found = connection.execute(sa.select(*columns).order_by(*table.primary_key.columns))
        rows[table.name] = [tuple(bytes(v) if isinstance(v, memoryview) else v for v in row) for row in found]
    return rows


@pytest.mark.slow
@given(history=histories(), data=st.data())
@settings(max_examples=25, deadline=None)
def test_a_transaction_that_fails_at_any_statement_changes_nothing_and_can_be_done_again(
    engine: sa.Engine, history: tuple[World, list[list[Item]]], data: st.DataObject
) -> None:
    """S2."""
    world, delays = history
    smooth = run(engine, world, delays, crash_at=[None] * len(delays))
    crashes = data.draw(st.lists(st.none() | st.integers(0, 30), min_size=len(delays), max_size=len(delays)))

    assert run(engine, world, delays, crashes) == smooth


def run(
    engine: sa.Engine, world: World, delays: list[list[Item]], crash_at: list[int | None]
) -> dict[str, list[tuple[Any, ...]]]:
    """Play ``delays``; each part first with a crash at its n-th statement, where one is given, and then again."""
    flowing = pipeline(world)
    with engine.connect() as connection, connection.begin() as whole:
        for now, (items, statement) in enumerate(zip(delays, crash_at, strict=True)):
            if statement is not None:
                before = dump(connection)
                crashed = crash(connection, statement, lambda: flowing.process(connection, items, now))  # noqa: B023
                if crashed:
                    assert dump(connection) == before
                    flowing = pipeline(world)  # as after a restart
                else:
                    continue
            flowing.process(connection, items, float(now))
        answer_searches(connection, flowing, world)
        found = dump(connection)
        whole.rollback()
    return found


def crash(connection: sa.Connection, statement: int, job: Any) -> bool:
    """Run ``job`` in a savepoint and have its n-th statement fail; False when it has fewer, and stands."""
    left = statement

    def fail(*_: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Crash

    savepoint = connection.begin_nested()
    sa.event.listen(connection, "before_cursor_execute", fail)
    try:
        job()
    except Crash:
        sa.event.remove(connection, "before_cursor_execute", fail)
        savepoint.rollback()
        return True
    sa.event.remove(connection, "before_cursor_execute", fail)
    savepoint.commit()
    return False


@given(history=histories())
@settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_the_same_blocks_leave_the_same_rows_on_sqlite_and_on_postgresql(
    engine: sa.Engine, postgres_engine: sa.Engine, history: tuple[World, list[list[Item]]]
) -> None:
    """S7."""
    world, delays = history
    smoothly: list[int | None] = [None] * len(delays)

    assert run(engine, world, delays, smoothly) == run(postgres_engine, world, delays, smoothly)


@pytest.fixture
def postgres_engine(empty_postgres_url: str) -> Iterator[sa.Engine]:
    made = sa.create_engine(empty_postgres_url.replace("postgresql://", "postgresql+psycopg://"))
    schema.metadata.create_all(made)
    yield made
    made.dispose()
