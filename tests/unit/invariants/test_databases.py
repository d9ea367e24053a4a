"""What the checker stores, on each kind of database."""

from __future__ import annotations

from contextlib import suppress

from chainwatch.store import accepted_values, invariants
from chainwatch.store.accepted_values import Accepted
from chainwatch.store.database import Database
from tests.unit.invariants.test_checker import BACKED, BROKEN, FLOOR, Chains, plan_of
from tests.unit.store.conftest import Undo

LARGE = 2**256 - 1
LATE = 2**62


def test_breaches_reorgs_and_large_values(shared_database: Database) -> None:
    with suppress(Undo), shared_database.transaction() as connection:
        chains = Chains(connection, plan_of(floor=FLOOR, ceiling={**FLOOR, "assert": f"funds <= {LARGE}"}))
        chains.step(1, LARGE)
        for number in range(2, 25):
            chains.step(number, 9)
        assert chains.raised == [BROKEN]
        assert len(invariants.checks(connection, "floor")) <= 18
        newest = invariants.newest_answered(connection)
        assert {name: (one.block, one.holds) for name, one in newest.items()} == {
            "ceiling": (24, True),
            "floor": (24, False),
        }
        (alert,) = invariants.raised_by_name(connection)["floor"]
        assert (alert.block, alert.starts_at) == (2, 1_020)
        chains.mine(22, fork=1, back_to=21)
        chains.step(23, LARGE, fork=1)
        assert chains.raised[1:] == [("InvariantViolated", 1_020, 1_220, "holds again")]
        raise Undo


def test_what_is_accepted_takes_the_place_of_what_was_accepted_of_later_checks(
    shared_database: Database,
) -> None:
    with suppress(Undo), shared_database.transaction() as connection:
        first = Accepted("same", "alpha", LATE, LATE, b"", {"funds": LARGE}, "carol", 5.0)
        places = ((LATE, LATE + 2), (LATE + 1, LATE + 1), (7, LATE + 1), (LATE + 1, LATE))
        for block, timestamp in places:
            accepted_values.save(connection, first._replace(block=block, timestamp=timestamp))
        accepted_values.save(connection, first._replace(name="other"))
        found = accepted_values.load(connection)
        assert [(one.block, one.timestamp) for one in found["same"]] == [(LATE + 1, LATE)]
        raise Undo


def test_several_networks(shared_database: Database) -> None:
    with suppress(Undo), shared_database.transaction() as connection:
        chains = Chains(connection, plan_of(backed=BACKED))
        for network in ("alpha", "beta"):
            chains.mine(1, network)
            chains.mine(2, network)
            chains.mine(3, network)
        assert invariants.is_any_wanted(connection)
        chains.answer(lambda _, block: {"locked": 6 - block}, "alpha")
        chains.answer(lambda *_: {"minted": 5}, "beta")
        assert chains.raised == [BROKEN]
        chains.mine(2, fork=1, back_to=1)
        assert chains.raised[1:] == [("InvariantViolated", 1_020, 1_020, "reorg")]
        raise Undo
