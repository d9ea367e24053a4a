"""What is stored of endpoints, and what is shown of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from chainwatch.chain.status import EndpointStatus, NetworkStatus
from chainwatch.config import read_dict
from chainwatch.monitor.endpoint_records import EndpointRecords
from chainwatch.operations.context import Access, Context
from chainwatch.operations.endpoints import EndpointView, list_endpoints
from chainwatch.operations.errors import NotFound
from chainwatch.plan import make_plan
from chainwatch.store.database import Database
from chainwatch.store.endpoints import KEPT_FOR, PERIOD

T0 = 1_767_607_200.0  # the first second of a period


def observed(state: str = "ok", reads: int = 0, errors: int = 0, index: int = 0) -> dict[str, NetworkStatus]:
    name = f"mainnet[{index}] rpc.example"
    endpoint = EndpointStatus(
        name, state, "http", reads, errors, 0.0, 0.12, T0, "boom" if errors else None, None
    )
    network = NetworkStatus(
        "mainnet", 1, "live", None, None, 0, 0, T0, None, None, "polling", endpoints=(endpoint,)
    )
    return {"mainnet": network}


class Bench:
    """Records, and the database in which they are stored."""

    def __init__(self, url: str) -> None:
        self.now = T0
        self.records = EndpointRecords()
        self.database = Database.open(url, durable=False)
        networks = {"mainnet": {"chain_id": 1, "rpc": ["https://rpc.example/key"], "block_time": "12s"}}
        plan = make_plan(read_dict({"store": {"url": url}, "networks": networks}, watches=False))
        with self.database.reading() as connection:
            self.access = Access(self.database, Context.of(plan, connection), lambda: self.now)

    def follow(self, status: dict[str, NetworkStatus], later: float = 0.0) -> bool:
        """Whether anything was stored."""
        self.now += later
        changes = self.records.follow(status, self.now)
        if changes is not None:
            with self.database.transaction() as connection:
                changes.save(connection)
        return changes is not None

    def shown(self) -> EndpointView:
        (one,) = self.access.read(list_endpoints)
        return one


@pytest.fixture
def bench(database_url: str) -> Iterator[Bench]:
    made = Bench(database_url)
    with closing(made.database):
        yield made


def test_an_endpoint_is_shown_by_its_host_with_the_worst_of_each_period(bench: Bench) -> None:
    bench.follow(observed("ok", 10))
    bench.follow(observed("down", 14, 4), later=20)
    bench.follow(observed("ok", 20, 4), later=20)
    bench.follow(observed("ok", 25, 4), later=PERIOD)
    bench.follow(observed("ok", 27, 4), later=10)
    one = bench.shown()
    assert (one.host, one.network, one.state, one.reads, one.last_error) == (
        "rpc.example",
        "mainnet",
        "ok",
        27,
        "boom",
    )
    assert [(p.at - T0, p.state, p.reads, p.errors) for p in one.history] == [
        (0, "down", 20, 4),
        (PERIOD, "ok", 2, 0),
    ]


def test_what_has_not_changed_is_stored_from_time_to_time_only(bench: Bench) -> None:
    assert bench.follow(observed("ok", 1))
    assert not bench.follow(observed("ok", 2), later=1)
    assert bench.follow(observed("frozen", 2), later=1)
    assert bench.follow(observed("frozen", 2), later=5)
    assert bench.follow(observed("frozen", 2), later=-3600)  # the clock was set


def test_an_endpoint_that_begins_to_count_anew_has_no_negative_numbers(bench: Bench) -> None:
    bench.follow(observed("ok", 100, 7))
    bench.follow(observed("ok", 3, 1), later=10)
    assert [(p.reads, p.errors) for p in bench.shown().history] == [(3, 1)]


def test_a_day_is_kept_and_endpoints_that_are_gone_are_not(bench: Bench) -> None:
    bench.follow(observed("down", 1))
    bench.follow(observed("ok", 2), later=KEPT_FOR + PERIOD)
    assert [p.state for p in bench.shown().history] == ["ok"]
    bench.follow(observed("ok", 1, index=1), later=PERIOD)
    assert bench.shown().name == "mainnet[1] rpc.example"


def test_an_endpoint_that_was_not_tried_yet_is_not_shown_as_down(bench: Bench) -> None:
    status = observed("down")
    (endpoint,) = status["mainnet"].endpoints
    untried = endpoint._replace(last_answer_at=None)
    assert not bench.follow({"mainnet": status["mainnet"]._replace(endpoints=(untried,))})
    bench.follow(observed("ok", 1), later=1)
    assert [p.state for p in bench.shown().history] == ["ok"]


def test_without_a_running_process_endpoints_are_stopped(bench: Bench) -> None:
    bench.follow(observed("ok", 1))
    bench.now += 60
    assert bench.shown().state == "stopped"
    with pytest.raises(NotFound):
        bench.access.read(list_endpoints, network="nothing")
