"""Transactions that flows read: stored with the events, so that judging these again asks nothing."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from chainwatch.checker.flow import Flow, Step
from chainwatch.model import WITH_TRANSACTION, Backfilled, Batch, Event, EventSource, Occurrence, Transaction
from chainwatch.pipeline import pipeline
from chainwatch.pipeline.recompute import Recomputation
from chainwatch.store import blocks, retention, schema, transfers, watched
from chainwatch.store.tables import transactions
from tests.support.flows import NAMES, NETWORKS, Alerts, decode, event, flow, header
from tests.support.pipelines import flow_pipeline

ALICE = "0x" + "a1" * 20
PLAIN = flow()
READING = flow(opens={"where": "transaction.from == " + ALICE}, fill={"where": "transaction.value > 0"})
KEYED = flow(key=["id", "transaction.to"])


def called(made: Event, sender: str = ALICE, value: int = 1) -> Event:
    """``made`` with its transaction."""
    one = Transaction(bytes.fromhex(sender[2:]), b"\xbb" * 20, value, b"\x01\x02\x03\x04", 4)
    return made._replace(log=made.log._replace(transaction=one))


def bare(made: Event) -> Event:
    return made._replace(log=made.log._replace(transaction=None))


class Run:
    """A pipeline of one flow on a database."""

    def __init__(self, connection: sa.Connection, made: Flow, name: str = "first") -> None:
        sources = {
            (network, "bridge", step.watched_as): frozenset(self.sources_of(step))
            for network in NAMES
            for step in made.all_steps
        }
        self.connection = connection
        self.wanted = {
            n: frozenset(s for place, some in sources.items() if place[0] == n for s in some) for n in NAMES
        }
        self.alerts = Alerts()
        self.pipeline = flow_pipeline((made,), NETWORKS, decode, self.alerts, sources=sources)
        watched.follow(connection, blocks.checkpoints(connection), self.wanted)
        work = Recomputation(self.pipeline, decode, self.alerts, {made.name: (name, name)})
        while work.step(connection, 0.0):
            pass

    @staticmethod
    def sources_of(step: Step) -> list[EventSource]:
        kinds = [step.kind, *(join.kind for join in step.joins)]
        topics = [signature.encode() for _, signature in kinds]
        topics += [WITH_TRANSACTION + signature.encode() for _, signature in step.transactions]
        return [(b"\x01" * 20, topic) for topic in topics]

    def read(self, network: str, until: int, *events: Event, first: int = 1, ancestor: int = 0) -> None:
        found = Batch(
            network,
            first,
            header(until, until, fork=bool(ancestor)),
            events,
            headers=(header(until, until, fork=bool(ancestor)),),
            ancestor=header(ancestor, ancestor) if ancestor else None,
            first_timestamp=first,
        )
        self.pipeline.process(self.connection, [found], 0.0)

    def backfill(self, network: str, *events: Event) -> frozenset[EventSource]:
        gap = watched.gap(self.connection, network)
        assert gap is not None
        found = Backfilled(network, gap.first, gap.last, gap.sources, events)
        self.pipeline.process(self.connection, [found], 0.0)
        self.pipeline.judge_filled(self.connection, network, 0.0)
        return gap.sources

    @property
    def state(self) -> list[tuple[str, str, tuple[Occurrence, ...]]]:
        rows = transfers.page(self.connection, 0, 100)
        return sorted((t.key, t.status, t.occurrences) for t in rows)

    @property
    def firing(self) -> set[str]:
        return {dict(k)["alertname"] for k, shown in self.alerts.last.items() if shown.ends_at is None}


SENT = called(event("alpha", "Sent", 100))
FILLED = called(event("beta", "Filled", 110))
OTHER = called(event("alpha", "Sent", 101, id=8), sender="0x" + "c2" * 20)


def read_all(run: Run, *, whole: bool = True) -> None:
    run.read("alpha", 200, *(e if whole else bare(e) for e in (SENT, OTHER)))
    run.read("beta", 200, *(e if whole else bare(e) for e in (FILLED,)))


def test_a_flow_that_reads_no_transaction_stores_none(connection: sa.Connection) -> None:
    read_all(Run(connection, PLAIN), whole=False)
    assert connection.execute(sa.select(transactions)).all() == []


def test_transactions_are_stored_so_that_a_changed_flow_reads_them_again(connection: sa.Connection) -> None:
    run = Run(connection, READING)
    read_all(run)
    assert [key for key, *_ in run.state] == ["7", "8"]
    changed = Run(connection, KEYED, "second")
    assert [key for key, *_ in changed.state] == [
        "7/" + KEYED.opening.key[1](SENT),
        "8/" + KEYED.opening.key[1](SENT),
    ]
    assert watched.gap(connection, "alpha") is not None  # of settle's transactions, which KEYED reads
    assert "FlowEvaluationFailed" not in changed.firing


@pytest.mark.parametrize("other", [READING, KEYED])
def test_a_flow_that_begins_to_read_transactions_ends_as_a_fresh_replay(
    connection: sa.Connection, other: Flow
) -> None:
    read_all(Run(connection, PLAIN), whole=False)
    run = Run(connection, other, "second")
    assert [row for row in run.state if row[2]] == []
    assert "FlowEvaluationFailed" not in run.firing
    gap = watched.gap(connection, "alpha")
    assert gap is not None
    assert {topic[:2] for _, topic in gap.sources} == {WITH_TRANSACTION}
    run.read("alpha", 300, called(event("alpha", "Sent", 250, id=9)), first=201)
    run.backfill("alpha", SENT, OTHER)
    run.backfill("beta", FILLED)
    engine = sa.create_engine("sqlite://")
    with engine.begin() as fresh:
        schema.metadata.create_all(fresh)
        again = Run(fresh, other, "second")
        read_all(again)
        again.read("alpha", 300, called(event("alpha", "Sent", 250, id=9)), first=201)
        assert run.state == again.state
        assert run.firing == again.firing
        rows = sa.select(transactions).order_by(transactions.c.id)
        assert connection.execute(rows).all() == fresh.execute(rows).all()
    engine.dispose()


def test_a_flow_that_stopped_reading_transactions_reads_those_missed_when_it_begins_again(
    connection: sa.Connection,
) -> None:
    read_all(Run(connection, READING))
    Run(connection, PLAIN, "second").read("alpha", 300, bare(event("alpha", "Sent", 250, id=9)), first=201)
    run = Run(connection, READING, "third")
    gap = watched.gap(connection, "alpha")
    assert gap is not None
    assert (gap.first, gap.last) == (201, 300)
    run.backfill("alpha", called(event("alpha", "Sent", 250, id=9)))
    assert [row[0] for row in run.state] == ["7", "8", "9"]


def test_a_reorg_drops_transactions_and_undoes_what_they_said(connection: sa.Connection) -> None:
    run = Run(connection, KEYED)
    read_all(run)
    run.read("alpha", 210, first=100, ancestor=99)
    assert all(row[1] != "complete" for row in run.state)
    assert [o.step for row in run.state for o in row[2]] == ["fill"]
    assert connection.execute(sa.select(sa.func.count()).select_from(transactions)).scalar() == 1


def test_a_repaired_log_brings_its_transaction(connection: sa.Connection) -> None:
    run = Run(connection, KEYED)
    read_all(run)
    before = run.state
    (stored,) = [s for s in blocks.logs_above(connection, "alpha", 0) if s.log.tx_hash == SENT.log.tx_hash]
    assert stored.log.transaction == SENT.log.transaction
    wrong = [stored]
    run.pipeline.repair_logs(connection, "alpha", wrong, [], 0.0)
    assert run.state != before
    run.pipeline.repair_logs(connection, "alpha", [], [SENT], 0.0)
    assert run.state == before


def test_events_of_no_transaction_are_trouble_that_says_so(connection: sa.Connection) -> None:
    run = Run(connection, KEYED)
    lost = SENT._replace(log=SENT.log._replace(transaction=Transaction(None)))
    run.read("alpha", 200, lost)
    (signal,) = run.alerts.signals
    assert signal.labels["alertname"] == "FlowEvaluationFailed"
    assert "no transaction has the hash 0x" in signal.annotations["description"]
    again = Run(connection, KEYED, "second")
    assert again.firing == {"FlowEvaluationFailed"}


def test_transactions_go_with_the_logs_that_retention_deletes(connection: sa.Connection) -> None:
    run = Run(connection, KEYED)
    read_all(run)
    later = called(event("alpha", "Sent", 250, id=9))
    run.read("alpha", 2000, later, first=201)
    run.read("beta", 2000, first=201)
    while retention.prune(connection, 240, 0, 1000):
        pass
    left = connection.execute(sa.select(transactions.c.hash)).scalars()
    assert later.log.tx_hash in [bytes(one) for one in left]
    assert [s.log.transaction for s in blocks.logs_above(connection, "alpha", 0)] == [later.log.transaction]


@pytest.mark.parametrize("returns", [True, False])
def test_an_alert_that_fires_is_kept_until_the_transactions_of_its_events_are_read(
    connection: sa.Connection, returns: bool
) -> None:
    run = Run(connection, PLAIN)
    run.read("alpha", 200, bare(SENT))
    run.read("beta", 200)
    run.read("gamma", 200)
    assert run.firing == {"TransferOverdue"}
    run = Run(connection, READING, "second")
    assert run.alerts.signals == []
    for network in NAMES:
        run.pipeline.judge_filled(connection, network, 0.0)
    assert run.alerts.signals == []
    run.backfill("beta")
    assert run.alerts.signals == []
    run.backfill("alpha", SENT if returns else called(bare(SENT), sender="0x" + "c2" * 20))
    ended = [s for s in run.alerts.signals if s.ends_at is not None]
    assert bool(ended) is not returns
    if returns:
        assert [row[1] for row in run.state] == ["overdue"]


def test_an_event_waits_for_the_transactions_of_its_siblings(connection: sa.Connection) -> None:
    sibling = {"event": "Settled", "pick": "only"}
    plain = flow(opens={"with": {"beside": sibling}, "amount": "beside.id"})
    reading = flow(
        opens={"with": {"beside": sibling | {"where": "transaction.value == 1"}}, "amount": "beside.id"}
    )
    beside = called(event("alpha", "Settled", 100, id=70, log_index=1))
    beside = beside._replace(log=beside.log._replace(tx_hash=SENT.log.tx_hash))
    run = Run(connection, plain)
    run.read("alpha", 200, bare(SENT), bare(beside))
    before = run.state
    assert [o.facts["@amount"] for row in before for o in row[2] if o.step == "send"] == [70]
    run = Run(connection, reading, "second")
    assert [o.step for row in run.state for o in row[2]] == ["settle"]
    assert "FlowEvaluationFailed" not in run.firing
    while watched.gap(connection, "alpha") is not None:
        run.backfill("alpha", beside)
    assert run.state == before


def test_a_back_fill_looks_at_so_many_stored_events_at_once_and_goes_on(
    connection: sa.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S10: blocks with few new events may have many stored ones, which are read together with these."""
    monkeypatch.setattr(pipeline, "STORED_AT_ONCE", 3)
    sent = [event("alpha", "Sent", 100 + n, block=100 + n // 2, log_index=n % 2, id=n) for n in range(10)]
    read_first = Run(connection, flow())
    read_first.read("alpha", 200, *sent)
    read_first.read("beta", 200)

    changed = Run(connection, flow(opens={"with": {"terms": {"event": "Terms", "pick": "after"}}}), "second")
    begins = []
    while (gap := watched.gap(connection, "alpha")) is not None:
        begins.append(gap.first)
        changed.backfill("alpha")
    assert begins == [1, 101, 102, 103, 104]
    assert "FlowEvaluationFailed" in changed.firing
