"""The trip of a batch: what is stored, what is raised, which deadlines open and close."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from chainwatch.checker.judge import opening_deadline
from chainwatch.flows import checker
from chainwatch.model import Batch, Deadline, Seen, UndecodedLog
from chainwatch.store import blocks, bulk, tables, transfers
from tests.support.flows import CHAIN_IDS, event, flow, header
from tests.support.pipelines import judge_transfers_again
from tests.support.runs import FILLED, SENT, Run, batch


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


def test_what_several_networks_are_seen_past_is_raised_in_the_order_of_their_names_S7(
    connection: sa.Connection,
) -> None:
    run = Run(connection)
    sent = [
        event("gamma", "Sent", 1000, id=n, from_=CHAIN_IDS["gamma"], to=CHAIN_IDS[to])
        for n, to in enumerate(("alpha", "beta"), 1)
    ]
    run(batch("gamma", 1001, *sent), batch("alpha", 1000), batch("beta", 1000))

    run(batch("beta", 1031, first=1001), batch("alpha", 1031, first=1001))

    assert [s.labels["destination"] for s in run.alerts.signals] == ["alpha", "beta"]


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
    assert run.rows() == {(opening_deadline("alpha"), "alpha", 1020)}


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
