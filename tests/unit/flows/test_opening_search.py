"""Searches for openings before the first watched block."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from chainwatch.checker.judge import SEARCH
from chainwatch.model import Searched
from chainwatch.store import blocks, transfers
from tests.support.flows import event, flow
from tests.support.runs import FILLED, Run, batch


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
