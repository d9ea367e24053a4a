"""The trip of a batch: what is stored, what is raised, which deadlines open and close."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from chainwatch.checker.flow import Flow
from chainwatch.checker.judge import OPENING, SEARCH
from chainwatch.flows import checker
from chainwatch.model import FLOWS, Batch, Deadline, Event, Searched, Seen, Transfer, UndecodedLog
from chainwatch.store import blocks, bulk, schema, tables, transfers
from tests.support.flows import NETWORKS, Alerts, decode, event, flow, header
from tests.support.pipelines import flow_pipeline, judge_transfers_again


@pytest.fixture
def connection() -> Iterator[sa.Connection]:
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection:
        schema.metadata.create_all(connection)
        yield connection
    engine.dispose()


class Run:
    """A pipeline on a database, with what it said."""

    def __init__(self, connection: sa.Connection, *flows: Flow) -> None:
        self.connection = connection
        self.alerts = Alerts()
        self.pipeline = flow_pipeline(flows or [flow()], NETWORKS, decode, self.alerts)

    def __call__(self, *items: Batch | Seen | Searched) -> transfers.DeadlineChanges:
        outcome = self.pipeline.process(self.connection, items, 0.0)
        return outcome.deadlines.get(FLOWS, transfers.DeadlineChanges([], []))

    @property
    def transfer(self) -> Transfer:
        """The only transfer stored."""
        (found,) = transfers.select(self.connection, transfers.Filter())
        return found

    @property
    def raised(self) -> list[tuple[str, str, float | None, str]]:
        """Name, step, end and reason of every signal so far."""
        return [
            (s.labels["alertname"], s.labels.get("step", ""), s.ends_at, s.reason)
            for s in self.alerts.signals
        ]

    def rows(self) -> set[tuple[str, str, int]]:
        """Step, network and time of every deadline that is open."""
        return {
            (d.step, d.network, d.due_at) for d in transfers.due_after(self.connection, (0, 0, ""), 2**62, 99)
        }

    def checkpoint(self, network: str) -> tuple[int, int, int]:
        """Number, time and end of what was seen."""
        found = blocks.checkpoints(self.connection)[network]
        return found.last.number, found.last.timestamp, found.seen_until


def batch(
    network: str,
    until: int,
    *events: Event,
    first: int = 0,
    ancestor: int | None = None,
    fork: int = 0,
    undecoded: tuple[UndecodedLog, ...] = (),
) -> Batch:
    """A batch up to block ``until``, whose number is its time; ``ancestor`` is the number of the block that stays."""
    return Batch(
        network,
        first,
        header(until, until, fork),
        events,
        undecoded,
        (header(until, until, fork),),
        None if ancestor is None else header(ancestor, ancestor),
        first_timestamp=first,
    )


def moved(made: Event, tx: int) -> Event:
    """The same event in another transaction."""
    return made._replace(log=made.log._replace(tx_hash=tx.to_bytes(32, "big")))


SENT = event("alpha", "Sent", 1000)
FILLED = event("beta", "Filled", 1010)
SETTLED = event("beta", "Settled", 1050)


def test_a_batch_leaves_its_logs_its_transfer_its_deadlines_and_its_checkpoint(
    connection: sa.Connection,
) -> None:
    run = Run(connection)

    changes = run(batch("alpha", 1001, SENT))

    assert changes.opened == [
        Deadline(run.transfer.id, "fill", "beta", 1030),
        Deadline(run.transfer.id, "settle", "beta", 1100),
    ]
    assert changes.closed == []
    assert run.rows() == {("fill", "beta", 1030), ("settle", "beta", 1100)}
    assert run.checkpoint("alpha") == (1001, 1001, 1001)
    assert [s.log.block_number for s in blocks.logs_above(connection, "alpha", 0)] == [1000]
    assert run.alerts.signals == []


def test_a_step_closes_its_deadline_only(connection: sa.Connection) -> None:
    run = Run(connection)
    run(batch("alpha", 1001, SENT))

    changes = run(batch("beta", 1010, FILLED))

    assert (changes.opened, changes.closed) == ([], [(run.transfer.id, "fill")])
    assert run.rows() == {("settle", "beta", 1100)}


def test_a_batch_without_events_raises_what_its_network_is_now_seen_past(connection: sa.Connection) -> None:
    """S5."""
    run = Run(connection)
    run(batch("alpha", 1001, SENT), batch("beta", 1030))
    assert run.alerts.signals == []

    changes = run(batch("beta", 1031, first=1031))

    assert run.raised == [("TransferOverdue", "fill", None, "")]
    assert changes.closed == [(run.transfer.id, "fill")]
    assert run.rows() == {("settle", "beta", 1100)}


def test_other_networks_may_run_ahead_as_far_as_they_like(connection: sa.Connection) -> None:
    """S5."""
    run = Run(connection)

    run(batch("alpha", 9000, SENT), batch("gamma", 9000), batch("beta", 1000))

    assert run.alerts.signals == []


def test_a_confirmed_head_raises_what_was_due_before_it(connection: sa.Connection) -> None:
    run = Run(connection)
    run(batch("alpha", 1001, SENT), batch("beta", 1000))

    run(Seen("beta", 1031))

    assert run.raised == [("TransferOverdue", "fill", None, "")]
    assert run.checkpoint("beta") == (1000, 1000, 1031)


def test_a_head_confirmed_earlier_moves_nothing_back(connection: sa.Connection) -> None:
    run = Run(connection)
    run(batch("beta", 1000), Seen("beta", 1050))

    run(Seen("beta", 1020))
    run(batch("beta", 1040, first=1001))

    assert run.checkpoint("beta") == (1040, 1040, 1050)


def test_of_a_network_that_was_never_read_nothing_counts_as_seen(connection: sa.Connection) -> None:
    """Else an early step would be an orphan before the first block of its origin is read."""
    run = Run(connection)

    run(batch("beta", 1010, FILLED), Seen("alpha", 9999))

    assert run.alerts.signals == []
    assert run.rows() == {(OPENING, "alpha", 1020)}


def test_only_a_reorg_moves_a_checkpoint_back(connection: sa.Connection) -> None:
    run = Run(connection)
    run(batch("alpha", 9))

    run(batch("alpha", 4))
    assert run.checkpoint("alpha") == (9, 9, 9)
    run(batch("alpha", 12), batch("alpha", 11))
    assert run.checkpoint("alpha") == (12, 12, 12)
    run(batch("alpha", 4, ancestor=2))
    assert run.checkpoint("alpha") == (4, 4, 4)


def test_the_window_is_that_of_the_chain_whatever_came_in_one_transaction(connection: sa.Connection) -> None:
    run = Run(connection)
    run(batch("alpha", 1))

    run(
        batch("alpha", 2), batch("alpha", 3), batch("alpha", 3, ancestor=1, fork=1), batch("alpha", 4, fork=1)
    )

    assert blocks.window(connection, "alpha") == [header(1, 1), header(3, 3, 1), header(4, 4, 1)]


def test_what_was_stored_before_changes_nothing_when_it_comes_again(connection: sa.Connection) -> None:
    """S3."""
    run = Run(connection)
    earlier, later = batch("alpha", 1001, SENT), batch("alpha", 1005, first=1002)
    run(earlier)
    run(later)
    before = run.transfer

    changes = run(earlier)

    assert changes == transfers.DeadlineChanges([], [])
    assert run.transfer == before
    assert run.checkpoint("alpha") == (1005, 1005, 1005)


def test_the_first_blocks_time_comes_from_its_header_when_the_batch_does_not_say_it(
    connection: sa.Connection,
) -> None:
    run = Run(connection)
    run(Batch("alpha", 5, header(6, 60), headers=(header(5, 50), header(6, 60))))

    found = blocks.checkpoints(connection)["alpha"]

    assert (found.first_block, found.first_timestamp) == (5, 50)


def test_deadlines_by_the_thousands_are_raised_some_at_a_time(
    connection: sa.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checker, "AT_ONCE", 2)
    run = Run(connection)
    run(batch("alpha", 1001, *(event("alpha", "Sent", 1000, id=i, log_index=i) for i in range(7))))

    run(batch("beta", 1031))

    assert run.raised == [("TransferOverdue", "fill", None, "")] * 7
    assert [s.labels["transfer"] for s in run.alerts.signals] == [str(i) for i in range(7)]


def test_deadlines_that_no_transfer_knows_of_are_dropped(connection: sa.Connection) -> None:
    run = Run(connection)
    rows = [(99, "fill", "beta", 1000)]
    bulk.insert(connection, tables.deadlines, ("transfer_id", "step", "network", "due_at"), rows)

    run(batch("beta", 1031))

    assert run.rows() == set()


def test_a_flow_that_is_no_longer_configured_awaits_nothing(connection: sa.Connection) -> None:
    Run(connection)(batch("alpha", 1001, SENT))
    without = Run(connection, flow(name="other"))

    without(batch("beta", 1031))

    assert without.raised == []
    assert ("fill", "beta", 1030) not in without.rows()


def test_a_flow_that_was_changed_judges_unfinished_transfers_again(connection: sa.Connection) -> None:
    run = Run(connection)
    run(batch("alpha", 1001, SENT), batch("beta", 1031))
    patient = Run(connection, flow(fill={"within": "1h"}))

    last = judge_transfers_again(patient.pipeline, connection, 0, 10, 0.0)

    assert last == run.transfer.id
    assert judge_transfers_again(patient.pipeline, connection, last, 10, 0.0) is None
    assert patient.raised == [("TransferOverdue", "fill", 1031, "configuration changed")]
    assert ("fill", "beta", 4600) in patient.rows()


def test_a_log_that_does_not_decode_is_stored_with_its_error_and_reported(connection: sa.Connection) -> None:
    run = Run(connection)
    log = SENT.log._replace(data=b"\x00")

    run(batch("alpha", 1001, undecoded=(UndecodedLog("alpha", "bridge", log, "short data"),)))

    assert blocks.undecoded_count(connection) == 1
    (signal,) = run.alerts.signals
    assert signal.labels == {
        "alertname": "LogUndecodable",
        "network": "alpha",
        "contract": "bridge",
        "severity": "P2",
    }
    assert "short data" in signal.annotations["description"]


# --- reorgs (S4) --------------------------------------------------------------------------------------


def test_a_reorg_that_drops_a_step_arms_its_deadline_again(connection: sa.Connection) -> None:
    """S4."""
    run = Run(connection)
    run(batch("alpha", 1001, SENT), batch("beta", 1010, FILLED))

    changes = run(batch("beta", 1012, first=1006, ancestor=1005, fork=1))

    assert changes.opened == [Deadline(run.transfer.id, "fill", "beta", 1030)]
    assert run.checkpoint("beta") == (1012, 1012, 1012)
    run(batch("beta", 1031, first=1013, fork=1))
    assert run.raised == [("TransferOverdue", "fill", None, "")]


def test_a_reorg_that_drops_the_opening_takes_its_alert_and_its_deadlines_back(
    connection: sa.Connection,
) -> None:
    """S4."""
    run = Run(connection)
    run(batch("alpha", 1001, SENT), batch("beta", 1031))

    changes = run(batch("alpha", 1040, first=1000, ancestor=999, fork=1))

    assert run.raised[1:] == [("TransferOverdue", "fill", 1040, "reorg")]
    assert {step for _, step in changes.closed} == {"settle"}
    assert run.rows() == set()
    assert list(transfers.select(connection, transfers.Filter())) == []


def test_a_reorg_to_a_shorter_chain_moves_the_checkpoint_and_what_was_seen_back(
    connection: sa.Connection,
) -> None:
    """S4: what was seen of dropped blocks proves nothing."""
    run = Run(connection)
    run(batch("beta", 1050), Seen("beta", 1060))

    run(batch("beta", 1020, first=1011, ancestor=1010, fork=1))

    assert run.checkpoint("beta") == (1020, 1020, 1020)


def test_a_step_that_a_reorg_puts_into_another_block_counts_there(connection: sa.Connection) -> None:
    """S4."""
    run = Run(connection)
    run(batch("alpha", 1001, SENT), batch("beta", 1010, FILLED))

    run(batch("beta", 1035, event("beta", "Filled", 1033), first=1006, ancestor=1005, fork=1))

    assert [o.block for o in run.transfer.occurrences if o.step == "fill"] == [1033]
    assert run.raised == [("TransferOverdue", "fill", 1033, "late")]


def test_blocks_and_the_reorg_that_drops_them_may_come_in_one_transaction(connection: sa.Connection) -> None:
    """S4."""
    run = Run(connection)

    run(
        batch("alpha", 1001, SENT),
        batch("beta", 1010, FILLED),
        batch("beta", 1012, first=1006, ancestor=1005, fork=1),
    )

    assert run.rows() == {("fill", "beta", 1030), ("settle", "beta", 1100)}
    assert list(blocks.logs_above(connection, "beta", 0)) == []


def test_a_transfer_that_is_whole_twice_in_one_transaction_is_saved_once(
    connection: sa.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checker, "AT_ONCE", 2)
    run = Run(connection)
    steps = [event("beta", "Filled", 1002), event("beta", "Settled", 1003)]
    again = batch("beta", 1003, *steps, first=1002, ancestor=1001, fork=1)

    run(batch("alpha", 1000, SENT), batch("beta", 1003, *steps, first=1000), again)

    assert [o.step for o in run.transfer.occurrences] == ["send", "fill", "settle"]


def test_an_alert_ends_at_the_time_of_what_ended_it_not_at_one_seen_before(
    connection: sa.Connection,
) -> None:
    run = Run(connection)
    run(batch("alpha", 1000, SENT), batch("beta", 1050))
    run(batch("alpha", 1300))
    assert run.raised == [("TransferOverdue", "fill", None, "")]

    filled = event("beta", "Filled", 1020)
    run(Seen("alpha", 1100), batch("beta", 1051, filled, first=1011, ancestor=1010, fork=1))

    assert run.raised[-1] == ("TransferOverdue", "fill", 1100, "in time")


def test_two_reorgs_in_one_transaction_drop_down_to_the_deeper_one(connection: sa.Connection) -> None:
    """S4."""
    run = Run(connection)
    run(batch("alpha", 1001, SENT), batch("beta", 1010, FILLED))

    run(
        batch("beta", 1020, moved(event("beta", "Filled", 1007), 1), first=1006, ancestor=1005, fork=1),
        batch("beta", 1030, moved(event("beta", "Filled", 1025), 2), first=1021, ancestor=1020, fork=2),
    )

    assert [o.block for o in run.transfer.occurrences if o.step == "fill"] == [1007, 1025]


def test_a_reorg_of_one_network_leaves_the_others_alone(connection: sa.Connection) -> None:
    run = Run(connection)
    run(batch("alpha", 1010, SENT), batch("beta", 1010, FILLED))

    run(batch("alpha", 1012, first=1006, ancestor=1005, fork=1))

    assert [o.step for o in run.transfer.occurrences] == ["send", "fill"]


# --- searches for openings before the first watched block ---------------------------------------------


@pytest.fixture
def searching(connection: sa.Connection) -> Run:
    """A fill is known whose opening may lie before block 990 of alpha."""
    run = Run(connection, flow(lookback="1h"), flow(name="second", lookback="1h"))
    run(batch("beta", 1010, FILLED, first=990))
    run(batch("alpha", 1021, first=990))
    assert {t.key for t in transfers.waiting_on(connection, SEARCH + "alpha", 10)} == {"7"}
    assert run.alerts.signals == []
    return run


def test_an_opening_that_is_found_counts(searching: Run) -> None:
    found = event("alpha", "Sent", 985)

    searching(Searched("bridge", ("7",), (found,)))

    (transfer,) = transfers.select(searching.connection, transfers.Filter(flow="bridge"))
    assert (transfer.opened_at, transfer.searched) == (985, True)
    assert [s.log.tx_hash for s in blocks.logs_above(searching.connection, "alpha", 0)] == [found.log.tx_hash]


def test_a_search_in_vain_makes_an_orphan(searching: Run) -> None:
    searching(Searched("bridge", ("7",), ()))

    assert searching.raised == [("TransferOrphan", "fill", None, "")]


def test_openings_that_were_not_asked_for_do_not_count(searching: Run) -> None:
    """A composite key may match others; nobody watched their later steps, so nobody must wait for them."""
    others = (event("alpha", "Sent", 985, id=8), event("alpha", "Sent", 985, log_index=1))

    searching(Searched("bridge", ("7",), others))

    known = {(t.flow, t.key): t.opened_at for t in transfers.select(searching.connection, transfers.Filter())}
    assert known == {("bridge", "7"): 985, ("second", "7"): None}
    assert [s.log.log_index for s in blocks.logs_above(searching.connection, "alpha", 0)] == [1]


def test_a_search_for_a_transfer_that_a_reorg_has_taken_meanwhile_finds_nothing(searching: Run) -> None:
    """S4."""
    searching(batch("beta", 1012, first=1006, ancestor=1005, fork=1))

    searching(Searched("bridge", ("7",), (event("alpha", "Sent", 985),)))

    assert list(transfers.select(searching.connection, transfers.Filter())) == []


def test_a_search_for_a_flow_that_is_no_longer_configured_changes_nothing(searching: Run) -> None:
    other = Run(searching.connection, flow(name="other"))

    other(Searched("bridge", ("7",), (event("alpha", "Sent", 985),)))

    assert other.raised == []
