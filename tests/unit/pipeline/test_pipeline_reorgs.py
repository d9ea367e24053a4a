"""Reorgs (S4): what a batch with an ancestor undoes."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from chainwatch.flows import checker
from chainwatch.model import Deadline, Seen
from chainwatch.store import blocks, transfers
from tests.support.flows import event
from tests.support.runs import FILLED, SENT, Run, batch, moved


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
