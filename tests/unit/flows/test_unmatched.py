"""Flows whose events never come together are found in what is stored; few, mixed or old transfers say nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import pytest
import sqlalchemy as sa

from chainwatch.checker.unmatched import DAY, ENOUGH, UNMATCHED, unmatched_signals
from chainwatch.flows.unmatched import unmatched_flows
from chainwatch.model import Checkpoint, Header, Occurrence, Signal, Transfer
from chainwatch.monitor import flow_watch
from chainwatch.store import blocks, transfers
from tests.support.flows import flow
from tests.support.storing import transaction_on

T = TypeVar("T")

NOW = 10_000_000
FLOW = flow(settle={"within": "1h"})
WINDOW = DAY + 3600


@pytest.fixture
def database(database_url: str) -> Iterator[sa.Connection]:
    with transaction_on(database_url) as connection:
        last = Header(9, b"h" * 32, b"p" * 32, NOW)
        blocks.add_network(connection, 1, 1, Checkpoint("alpha", last, 1, NOW - 10 * DAY, NOW))
        yield connection


def some(number: int, status: str, *steps: str, at: int = NOW - 100, **changes: Any) -> list[Transfer]:
    """So many transfers with these steps, each at chain time ``at``."""
    occurrences = tuple(
        Occurrence(step, "alpha", 5, index, at, bytes(32), {}) for index, step in enumerate(steps)
    )
    return [
        Transfer("bridge", f"{status}{steps}{at}{n}", status=status, occurrences=occurrences, **changes)
        for n in range(number)
    ]


def store(connection: sa.Connection, *given: Sequence[Transfer]) -> None:
    transfers.save(connection, [(Transfer(t.flow, t.key), t) for part in given for t in part])


def reason(connection: sa.Connection, **options: Any) -> str:
    found = unmatched_flows(connection, [FLOW], **options)
    assert {one.flow for one in found} <= {"bridge"}
    return found[0].reason if found else ""


def severity(connection: sa.Connection) -> str:
    (signal,) = unmatched_signals(unmatched_flows(connection, [FLOW]), NOW)
    return signal.labels["severity"]


def test_events_of_others_that_a_flow_allows_say_nothing(database: sa.Connection) -> None:
    store(database, some(30, "untracked", "fill"))
    assert unmatched_flows(database, [flow(fill={"orphan": "allow"})]) == []
    assert reason(database) != ""


def test_transfers_that_all_go_elsewhere_are_named_by_their_destinations(database: sa.Connection) -> None:
    store(
        database,
        some(8, "untracked", "send", destination="?42220"),
        some(4, "untracked", "send", destination="?137", at=NOW - 5),
    )
    assert reason(database) == "12 go to networks that it does not watch: ?42220 (8), ?137 (4)"


def test_a_mesh_of_which_few_networks_are_watched_is_no_more_than_a_hint(database: sa.Connection) -> None:
    store(
        database,
        some(30, "untracked", "send", destination="?137"),
        some(30, "untracked", "fill", destination="alpha"),
    )
    assert severity(database) == "P3"


def test_an_untracked_transfer_whose_steps_were_all_watched_shows_that_its_networks_are_misnamed(
    database: sa.Connection,
) -> None:
    store(
        database,
        some(ENOUGH, "untracked", "send", destination="?30110"),
        some(1, "untracked", "send", "fill", destination="?30110"),
    )
    assert severity(database) == "P2"
    assert "a later step was seen" in reason(database)


def test_a_destination_of_any_length_is_shown_short(database: sa.Connection) -> None:
    store(database, some(ENOUGH, "untracked", "send", destination="?" + "x" * 60_000))
    assert len(reason(database)) < 200


def test_steps_that_never_meet_their_openings_are_counted_on_both_sides(database: sa.Connection) -> None:
    store(database, some(6, "overdue", "send"), some(5, "orphan", "fill"))
    assert reason(database) == (
        "6 were opened and never followed by fill or settle; 5 have a later step without an opening"
    )


@pytest.mark.parametrize(
    "matched",
    [
        some(1, "complete", "send", "fill", "settle"),
        some(1, "open", "send", "fill"),
        some(1, "overdue", "send", "settle"),
        some(1, "disputed", "send", "fill"),
        some(1, "resolved", "send", "fill"),
    ],
)
def test_one_transfer_with_two_steps_is_enough_to_trust_the_flow(
    database: sa.Connection, matched: list[Transfer]
) -> None:
    store(database, some(50, "orphan", "fill"))
    assert reason(database)
    store(database, matched)
    assert not reason(database)


@pytest.mark.parametrize("status", ["open", "unopened", "excluded", "complete"])
def test_what_is_not_judged_yet_says_nothing(database: sa.Connection, status: str) -> None:
    store(database, some(50, status, "send"), some(ENOUGH - 1, "orphan", "fill"))
    assert not reason(database)


def test_only_a_day_counts_and_the_time_that_a_step_may_take(database: sa.Connection) -> None:
    store(database, some(50, "overdue", "send", at=NOW - WINDOW - 1))
    assert not reason(database)
    assert reason(database, ever=True)
    store(database, some(ENOUGH, "overdue", "send", at=NOW - WINDOW))
    assert reason(database)
    store(database, some(1, "complete", "send", "fill", at=NOW - WINDOW - 1))
    assert reason(database)


def test_a_flow_that_is_not_configured_any_more_is_not_judged(database: sa.Connection) -> None:
    store(
        database,
        [
            Transfer("gone", str(n), status="orphan", occurrences=t.occurrences)
            for n, t in enumerate(some(50, "orphan", "fill"))
        ],
    )
    assert not reason(database)
    assert unmatched_flows(database, []) == []


async def test_the_alert_begins_goes_on_after_a_restart_and_ends_by_itself(
    database: sa.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised: list[Signal] = []
    fires: list[Signal] = []
    looks: list[Callable[[], None]] = []

    async def load(job: Callable[[sa.Connection], T]) -> T:
        return job(database)

    async def raise_signals(signals: Sequence[Signal]) -> None:
        raised.extend(signals)

    async def sleep(_: float) -> None:
        if not looks:
            raise StopAsyncIteration
        looks.pop(0)()

    monkeypatch.setattr("chainwatch.monitor.flow_watch.asyncio.sleep", sleep)
    monkeypatch.setattr(
        flow_watch, "firing", lambda _connection, names: fires if names == (UNMATCHED,) else []
    )

    async def run(*then: Callable[[], None]) -> None:
        looks.extend(then)
        with suppress(StopAsyncIteration, RuntimeError):
            await flow_watch.watch_flows([FLOW], load, raise_signals, lambda: 5_000.0)

    store(database, some(ENOUGH, "orphan", "fill"))
    await run(lambda: None)
    (begun,) = raised
    assert begun.labels == {"alertname": UNMATCHED, "flow": "bridge", "severity": "P2"}
    assert "10 have a later step without an opening" in begun.annotations["description"]

    fires, raised = [begun], raised[:0]
    await run(lambda: store(database, some(1, "complete", "send", "fill")))
    (ended,) = raised
    assert (ended.labels, ended.ends_at, ended.reason) == (begun.labels, 5_000.0, "recovered")
