"""What is counted of steps: each once, from the opening on, and only what is committed."""

import msgspec
import pytest
import sqlalchemy as sa

from chainwatch.checker.flow import AMOUNT, ASSET
from chainwatch.model import Occurrence, Transfer
from chainwatch.monitor.counting import Counting, step_times
from chainwatch.pipeline.pipeline import Outcome
from chainwatch.presentation.presenter import Asset, Presenter
from chainwatch.support.counters import AMOUNTS, OPENED, REACHED, STEP_SECONDS, TRANSFER_SECONDS, Histogram
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
    counting = Counting([flow], Presenter())
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


def test_a_transfer_counts_once_when_it_is_opened_and_with_each_status_that_it_reaches() -> None:
    facts = {AMOUNT: 7, ASSET: "0x" + "00" * 20}
    opening = Occurrence("open", "alpha", 100, 0, 100, b"t", facts)
    route = ("counted", "alpha", "?")
    opened = Transfer(
        "counted", "1", 1, origin="alpha", destination="?gone", opened_at=100, occurrences=(opening,)
    )
    complete = msgspec.structs.replace(
        opened, status="complete", occurrences=(opening, step("fill", 130)), origin="alpha"
    )
    presenter = Presenter(currencies={"alpha": Asset("ETH", 18)})
    counting = Counting([bridge_flow()], presenter)
    engine = sa.create_engine("sqlite://")

    def job(connection: sa.Connection, now: float) -> Outcome:
        counting.saved([(Transfer("counted", "1"), opened), (opened, complete), (complete, complete)])
        counting.saved([(Transfer("counted", "2"), msgspec.structs.replace(opened, id=2, status="excluded"))])
        return Outcome({}, frozenset(), None)

    with engine.connect() as connection:
        (_, news), _ = counting.run(job, connection, 0.0)
    counting.count(news)
    assert OPENED[route] == 1
    assert AMOUNTS[*route, "alpha", bytes(20)] == 7
    assert TRANSFER_SECONDS.observed()[route].total == 30
    assert (REACHED[*route, "open"], REACHED[*route, "complete"], REACHED[*route, "excluded"]) == (1, 1, 0)


def test_a_histogram_counts_up_to_each_bound() -> None:
    histogram = Histogram(1, 5)
    for value in (0.5, 1, 3, 9):
        histogram.observe(("x",), value)
    assert histogram.observed() == {("x",): ((2, 3, 4), 13.5)}
