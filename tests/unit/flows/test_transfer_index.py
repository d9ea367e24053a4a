"""The index of transfers: what they are found by, how long their steps took, and that it follows every change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import sqlalchemy as sa

from chainwatch.config import read_dict
from chainwatch.flows.transfer_index import prepare
from chainwatch.model import Event, Occurrence, Transfer, event_id
from chainwatch.operations import queries, transfer_details, transfer_reports
from chainwatch.operations.context import Access, Context
from chainwatch.operations.errors import Invalid, NotFound
from chainwatch.plan import make_plan
from chainwatch.store import blocks, retention, schema, transfer_index, transfers
from chainwatch.store.database import Database
from chainwatch.store.transfer_index import rounded
from chainwatch.store.transfers import Filter
from tests.support.flows import event, flow
from tests.support.runs import Run, batch

T0 = 1_700_002_800  # the first second of an hour
ANNA, BEN, CAROL = (bytes([n]) * 20 for n in (0xA1, 0xB2, 0xC3))
FLOW = flow()


def sent(number: int, at: int, *people: bytes) -> Event:
    """A transfer is sent, with these addresses among the arguments of its event."""
    made = event("alpha", "Sent", at, id=number, log_index=number % 1000)
    return made._replace(log=made.log._replace(topics=(b"\2" * 32, *(bytes(12) + one for one in people))))


def settled(number: int, at: int) -> list[Event]:
    return [event("beta", name, at, id=number, log_index=i) for i, name in enumerate(("Filled", "Settled"))]


class Bench:
    """A pipeline on a database, and its index."""

    def __init__(self, connection: sa.Connection) -> None:
        self.connection = connection
        self.run = Run(connection)

    def play(self, *batches: Any) -> None:
        self.run(*batches)
        self.index()

    def index(self, limit: int = 2) -> None:
        """Index what has changed, in parts as small as they may be."""
        while (update := prepare(self.connection, {FLOW.name: FLOW}, limit)) is not None:
            update.save(self.connection)

    def found(self, **wanted: Any) -> list[str]:
        return [one.key for one in transfers.select(self.connection, Filter(**wanted), 100)]

    def counts(self) -> dict[tuple[str, int], tuple[int, int]]:
        """How many took how long, and how many of these were late, by step and seconds."""
        rows = transfer_index.counts(self.connection, T0, T0 + 7200, 3600)
        return {(one.step, one.seconds): (one.number, one.late) for one in rows if one.number}


@pytest.fixture
def bench() -> Iterator[Bench]:
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection:
        schema.metadata.create_all(connection)
        yield Bench(connection)
    engine.dispose()


def test_a_transfer_is_found_by_an_address_in_its_events(bench: Bench) -> None:
    bench.play(batch("alpha", T0 + 9, sent(1, T0, ANNA, BEN), sent(2, T0 + 1, BEN)))
    assert bench.found(address=ANNA) == ["1"]
    assert bench.found(address=BEN) == ["2", "1"]
    assert bench.found(address=BEN, before_id=2) == ["1"]
    assert bench.found(address=BEN, statuses=("complete",)) == []
    assert bench.found(address=CAROL) == []


def test_addresses_in_the_data_count_and_numbers_do_not(bench: Bench) -> None:
    made = sent(1, T0)
    words = (bytes(12) + CAROL, (10**27).to_bytes(32, "big"), CAROL + bytes(12), b"odd")
    bench.play(batch("alpha", T0 + 9, made._replace(log=made.log._replace(data=b"".join(words)))))
    assert bench.found(address=CAROL) == ["1"]
    terms = transfer_index.entries(bench.connection, [1])[1].terms
    assert sum(term.startswith(b"a") for term in terms) == 1


def test_a_transfer_is_found_by_who_sent_a_transaction_of_its(bench: Bench) -> None:
    made = sent(1, T0)
    bench.run(batch("alpha", T0 + 9, made))
    number = blocks.network_id(bench.connection, "alpha")
    position = event_id(0, made.log.block_number, 0)
    row = (position, made.log.tx_hash, ANNA, None, b"", b"", 0)
    blocks.save_transactions(bench.connection, number or 0, [row])
    bench.index()
    assert bench.found(address=ANNA) == ["1"]


def test_hashes_and_beginnings_of_keys_are_found_before_and_after_they_are_indexed(bench: Bench) -> None:
    one = sent(123_456, T0)
    bench.run(batch("alpha", T0 + 9, one, sent(123_999, T0 + 1)))
    for _ in range(2):
        assert bench.found(key="0x" + one.log.tx_hash.hex()) == ["123456"]
        assert bench.found(key="123") == ["123999", "123456"]
        assert bench.found(key="1234") == ["123456"]
        assert bench.found(key="9") == []
        bench.index()


def test_times_of_steps_are_counted_once_however_often_a_transfer_changes(bench: Bench) -> None:
    bench.play(batch("alpha", T0 + 300, sent(1, T0), sent(2, T0 + 1)))
    assert bench.counts() == {}
    bench.play(batch("beta", T0 + 20, event("beta", "Filled", T0 + 10, id=1)))
    assert bench.counts() == {("fill", 10): (1, 0)}
    late = event("beta", "Filled", T0 + 41, id=2)
    done = event("beta", "Settled", T0 + 41, id=1, log_index=1)
    bench.play(batch("beta", T0 + 50, late, done, first=T0 + 21))
    assert bench.counts() == {
        ("fill", 10): (1, 0),
        ("fill", 40): (1, 1),
        ("settle", 41): (1, 0),
        ("", 41): (1, 0),
    }


def test_what_a_reorg_takes_back_is_neither_found_nor_counted(bench: Bench) -> None:
    bench.play(batch("alpha", T0 + 9, sent(1, T0, ANNA)), batch("beta", T0 + 20, *settled(1, T0 + 10)))
    bench.play(batch("beta", T0 + 30, first=T0 + 5, ancestor=T0 + 4))
    assert bench.counts() == {}
    bench.play(batch("alpha", T0 + 30, first=T0 - 1, ancestor=T0 - 2))
    assert bench.found(address=ANNA) == []
    assert transfer_index.waiting(bench.connection) == 0


def test_a_transfer_that_is_deleted_for_its_age_is_not_found_but_stays_counted(bench: Bench) -> None:
    bench.play(batch("alpha", T0 + 9, sent(1, T0, ANNA)), batch("beta", T0 + 20, *settled(1, T0 + 10)))
    retention.prune(bench.connection, T0 + 1000, 0, 1000)
    assert bench.found() == []
    assert transfer_index.ids_with(bench.connection, transfer_index.address_term(ANNA), None, 10) == []
    assert bench.counts()[("", 10)] == (1, 0)
    while retention.prune(bench.connection, T0 + 8000, 0, 1000):
        pass
    assert bench.counts() == {}


def test_a_transfer_that_is_deleted_while_it_is_indexed_leaves_nothing_and_counts_once(bench: Bench) -> None:
    bench.play(batch("alpha", T0 + 9, sent(1, T0, ANNA)), batch("beta", T0 + 20, *settled(1, T0 + 10)))
    transfers.save(bench.connection, [(one, one) for one in transfers.load_ids(bench.connection, [1])])
    update = prepare(bench.connection, {FLOW.name: FLOW}, 10)
    retention.prune(bench.connection, T0 + 1000, 0, 1000)
    assert update is not None
    update.save(bench.connection)
    assert transfer_index.ids_with(bench.connection, transfer_index.address_term(ANNA), None, 10) == []
    assert transfer_index.entries(bench.connection, [1]) == {}
    assert bench.counts()[("", 10)] == (1, 0)


@pytest.mark.parametrize("seconds", [0, 1, 63, 64, 65, 1000, 86_400, 10**9, 2**63 - 1, -5, -1000])
def test_counted_times_are_exact_when_short_and_near_when_long(seconds: int) -> None:
    near = rounded(seconds)
    assert abs(near - seconds) <= (0 if abs(seconds) < 64 else abs(seconds) // 64 + 1)
    assert rounded(near) == near


# --- what operations make of it ------------------------------------------------------------------------


@pytest.fixture
def access(database_url: str) -> Iterator[Access]:
    networks: dict[str, Any] = {
        n: {"chain_id": i, "rpc": [f"http://{n}"]} for i, n in enumerate(("alpha", "beta", "gamma"), 1)
    }
    networks["alpha"]["explorer"] = "https://scan.example"
    plan = make_plan(read_dict({"store": {"url": database_url}, "networks": networks}, watches=False))
    with closing(Database.open(database_url, durable=False)) as database:
        with database.reading() as connection:
            context = Context.of(plan, connection)
        object.__setattr__(context, "flows", {FLOW.name: FLOW})
        yield Access(database, context, lambda: T0 + 3600.0)


def test_routes_say_what_is_in_flight_and_how_long_it_takes(access: Access) -> None:
    with access.database.transaction() as connection:
        bench = Bench(connection)
        bench.play(
            batch("alpha", T0 + 500, *(sent(n, T0 + n) for n in range(10))),
            batch("beta", T0 + 200, *(e for n in range(1, 9) for e in settled(n, T0 + 20 + 2 * n))),
        )
    found = access.read(transfer_reports.routes)
    (route,) = found.routes
    assert (route.flow, route.origin, route.destination) == ("bridge", "alpha", "beta")
    assert (route.in_flight, route.overdue, route.oldest_at) == (2, 2, T0)
    assert (route.complete, route.p50, route.p95) == (8, 24, 28)
    assert found.waiting == 0
    report = access.read(transfer_reports.latency_over_time, flow="bridge")
    assert [one.step for one in report.series] == [None, "fill", "settle"]
    assert report.series[0].window.p50 == 24
    assert [(p.at, p.count) for p in report.series[0].periods] == [(T0, 8)]
    assert access.read(transfer_reports.routes, since=T0 + 3600 - 1).routes[0].complete == 8  # whole hours
    with pytest.raises(Invalid):
        access.read(transfer_reports.latency_over_time, since=1.0, until=T0)
    with pytest.raises(NotFound):
        access.read(transfer_reports.latency_over_time, flow="nothing")


def test_one_transfer_is_shown_with_its_events_and_what_it_waits_for(access: Access) -> None:
    with access.database.transaction() as connection:
        Bench(connection).play(
            batch("alpha", T0 + 9, sent(7, T0, ANNA)),
            batch("beta", T0 + 200, event("beta", "Filled", T0 + 40, id=7)),
        )
    one = access.read(transfer_details.show_transfer, "bridge", "7")
    assert (one.status, one.origin, one.destination, one.took) == ("overdue", "alpha", "beta", None)
    opening, fill = one.events
    assert (opening.step, opening.after, opening.contract) == ("send", 0, "bridge")
    assert opening.tx_url == f"https://scan.example/tx/{opening.tx_hash}"
    assert (fill.after, fill.late_by, fill.due_at) == (40, 10, T0 + 30)
    (awaited,) = one.awaited
    assert (awaited.step, awaited.due_at, awaited.late_by) == ("settle", T0 + 100, 100)
    with pytest.raises(NotFound):
        access.read(transfer_details.show_transfer, "bridge", "8")
    searches: list[dict[str, Any]] = [
        {"address": "0x" + ANNA.hex()},
        {"key": "7"},
        {"key": opening.tx_hash},
    ]
    for wanted in searches:
        assert [t.key for t in access.read(queries.list_transfers, **wanted).rows] == ["7"]


def test_many_changes_are_noted_and_indexed_at_once(access: Access) -> None:
    many = [
        Transfer(
            "bridge",
            f"{number}",
            opened_at=T0,
            occurrences=(Occurrence("send", "alpha", 5, number, T0, b"t" * 32, {}),),
        )
        for number in range(600)
    ]
    with access.database.transaction() as connection:
        transfers.save(connection, [(Transfer(one.flow, one.key), one) for one in many])
        assert transfer_index.waiting(connection) == 600
        update = prepare(connection, {FLOW.name: FLOW}, 1000)
        assert update is not None
        update.save(connection)
        term = transfer_index.transaction_term(b"t" * 32)
        assert len(transfer_index.ids_with(connection, term, None, 1000)) == 600
        assert transfer_index.waiting(connection) == 0


def test_what_is_no_address_is_refused(access: Access) -> None:
    for wrong in ("", "0x12", "0x" + "g" * 40, "1" * 42):
        with pytest.raises(Invalid, match="not an address"):
            access.read(queries.list_transfers, address=wrong)
