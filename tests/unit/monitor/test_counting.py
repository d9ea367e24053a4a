"""What is counted of steps: each once, from the opening on, and only what is committed."""

import pytest
import sqlalchemy as sa

from chainwatch.model import Occurrence, Transfer
from chainwatch.monitor.counting import Counting, step_times
from chainwatch.pipeline.pipeline import Outcome
from chainwatch.support.counters import STEP_SECONDS, Histogram
from tests.support.flows import flow as bridge_flow

NOTHING = Transfer("bridge", "1")


def step(name: str, at: int, log_index: int = 0) -> Occurrence:
    return Occurrence(name, "alpha", at, log_index, at, b"t", {})


def transfer(*steps: Occurrence, opened_at: int | None = 100) -> Transfer:
    return Transfer("bridge", "1", 1, opened_at=opened_at, occurrences=steps)


def test_new_steps_count_from_the_opening_on_and_repetitions_do_not() -> None:
    before = transfer(step("open", 100), step("fill", 130))
    after = transfer(step("open", 100), step("fill", 130), step("fill", 140), step("settle", 190))
    assert step_times(NOTHING, before, "open") == [("bridge", "fill", 30)]
    assert step_times(before, after, "open") == [("bridge", "settle", 90)]


def test_steps_that_came_before_their_opening_count_once_it_is_there() -> None:
    orphan = transfer(step("fill", 130), opened_at=None)
    whole = transfer(step("open", 100), step("fill", 130))
    assert step_times(NOTHING, orphan, "open") == []
    assert step_times(orphan, whole, "open") == [("bridge", "fill", 30)]


def test_a_step_that_is_dated_before_the_opening_took_no_time() -> None:
    assert step_times(NOTHING, transfer(step("fill", 90), step("open", 100)), "open") == [
        ("bridge", "fill", 0)
    ]


def test_what_a_failed_transaction_found_is_not_counted() -> None:
    flow = bridge_flow()
    counting = Counting([flow], SETTINGS)
    changed = [(NOTHING, transfer(step(flow.opening.name, 100), step("x", 130)))]
    engine = sa.create_engine("sqlite://")

    def fails(connection: sa.Connection, now: float) -> Outcome:
        counting.saved(changed)
        raise ValueError

    def works(connection: sa.Connection, now: float) -> Outcome:
        counting.saved(changed)
        return Outcome({}, frozenset(), 5.0)

    with engine.connect() as connection:
        with pytest.raises(ValueError):
            counting.run(fails, connection, 0.0)
        counting.saved(changed)  # by a job that is none of the pipeline's
        (_, found), due_at = counting.run(works, connection, 0.0)
    assert (found.steps, due_at) == ([(flow.name, "x", 30)], 5.0)
    before = STEP_SECONDS.observed().get((flow.name, "x"))
    counting.count(found)
    assert STEP_SECONDS.observed()[flow.name, "x"].cumulative[-1] == 1 + (
        before.cumulative[-1] if before else 0
    )


def test_a_histogram_counts_up_to_each_bound() -> None:
    histogram = Histogram(1, 5)
    for value in (0.5, 1, 3, 9):
        histogram.observe(("x",), value)
    assert histogram.observed() == {("x",): ((2, 3, 4), 13.5)}
