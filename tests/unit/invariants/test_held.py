"""The last block at which an invariant held, and the history of its breaches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import sqlalchemy as sa

from chainwatch.invariants.held import BLOCKS_MOST
from chainwatch.operations.context import Context
from chainwatch.operations.invariant_history import invariant_history
from chainwatch.store import invariant_breaches, retention
from tests.fakenode import FakeChain, FakeNode
from tests.support.observing import network_settings, open_pool
from tests.unit.invariants.test_checker import FLOOR, Chains, plan_of


class Wallet(FakeChain):
    """A chain on which the balance of `SAFE` falls to 9 at the block ``since``; before ``archive`` there is no state."""

    def __init__(self, blocks: int, since: int, archive: int = 0) -> None:
        super().__init__()
        self.since, self.archive = since, archive
        self.read: set[int] = set()
        """The blocks whose state was read."""
        self.mine(count=blocks)

    def state(self, method: str, params: list[Any], lag: int = 0) -> str:
        at = params[-1]
        number = next(b.number for b in self.blocks if b.hash == at["blockHash"])
        self.read.add(number)
        if number < self.archive:
            return None  # type: ignore[return-value]  # as nodes answer that have pruned it
        return hex(9 if number >= self.since else 10)


async def searched(connection: sa.Connection, chains: Chains, chain: Wallet) -> int:
    """Search before breaches until nothing is left; return of how many blocks the state was read.

    Not how often it was asked for: where the machine is slow, it is asked for again.
    """
    async with FakeNode(chain) as node:
        settings = network_settings(node.http_url, name="alpha", multicall="")
        async with open_pool(settings) as pool:
            for _ in range(BLOCKS_MOST):
                wanted = chains.checker.load_wanted(connection, "alpha", 500)
                if wanted is None:
                    break
                async for result in wanted.searches.read(pool):
                    chains.pipeline.process(connection, [result], chains.now)
        return len(chain.read)


def annotations_of(chains: Chains) -> Mapping[str, str]:
    return chains.alerts.signals[-1].annotations


def test_the_check_before_says_when_it_held_last(connection: sa.Connection) -> None:
    chains = Chains(connection, plan_of(floor=FLOOR))
    for number in range(1, 30):
        chains.step(number, 10)
    chains.step(30, 9)
    assert (annotations_of(chains)["held_block"], annotations_of(chains)["held_at"]) == (
        "29",
        "1970-01-01 00:21:30 UTC",
    )
    assert "it held last at block 29 of alpha" in annotations_of(chains)["description"]


@pytest.mark.parametrize("since", [501, 502, 777, 1_000])
async def test_between_checks_it_is_found_by_bisection_after_the_alert(
    connection: sa.Connection, since: int
) -> None:
    chains = Chains(connection, plan_of(floor=FLOOR))
    chains.step(500, 10)
    chains.step(1_000, 9)  # the blocks between were read at once
    assert annotations_of(chains)["held_block"] == "500"
    assert await searched(connection, chains, Wallet(1_000, since)) <= 9
    assert annotations_of(chains)["held_block"] == str(since - 1)
    assert annotations_of(chains)["description"].count("held last") == 1


async def test_with_an_archive_it_is_found_where_no_check_was_made(connection: sa.Connection) -> None:
    chains = Chains(connection, plan_of(floor=FLOOR))
    chains.step(1_000, 9)
    assert "held_block" not in annotations_of(chains)
    assert await searched(connection, chains, Wallet(1_000, since=700)) <= 20
    assert annotations_of(chains)["held_block"] == "699"
    assert [one[0::2] for one in chains.raised] == [("InvariantViolated", None)] * 2
    (breach,) = invariant_breaches.of(connection, "floor", 0, 10)
    assert (breach.block, breach.held_block) == (1_000, 699)
    assert await searched(connection, chains, Wallet(1_000, since=700)) == 0


async def test_without_the_state_nothing_is_made_up(connection: sa.Connection) -> None:
    chains = Chains(connection, plan_of(floor=FLOOR))
    chains.step(1_000, 9)
    assert await searched(connection, chains, Wallet(1_000, since=700, archive=900)) <= 10
    assert "held_block" not in annotations_of(chains)


async def test_what_has_held_never_ends_at_the_first_block(connection: sa.Connection) -> None:
    chains = Chains(connection, plan_of(floor=FLOOR))
    chains.step(1_000, 9)
    assert await searched(connection, chains, Wallet(1_000, since=0)) <= 12
    assert "held_block" not in annotations_of(chains)


def test_breaches_are_kept_with_their_ends(connection: sa.Connection) -> None:
    plan = plan_of(floor=FLOOR)
    chains = Chains(connection, plan)
    for number, funds in enumerate((10, 9, 9, 10, 10, 8), 1):
        chains.step(number, funds)
    context = Context.of(plan, connection)
    found = invariant_history(connection, context, 0.0, name="floor")
    assert [(b.starts_at, b.ends_at, b.values, b.held_block, b.reason) for b in found.breaches] == [
        (1_060, None, "funds = 8", 5, None),
        (1_020, 1_040, "funds = 9", 1, "holds again"),
    ]
    assert [(c.at, c.values) for c in found.changes] == [
        (1_060, "funds = 8"),
        (1_040, "funds = 10"),
        (1_020, "funds = 9"),
        (1_010, "funds = 10"),
    ]
    late = invariant_history(connection, context, 0.0, name="floor", since=1_050)
    assert [len(late.breaches), len(late.changes)] == [1, 1]
    chains.mine(6, fork=1, back_to=5)
    (last, *_) = invariant_history(connection, context, 0.0, name="floor").breaches
    assert (last.ends_at, last.reason) == (1_060, "reorg")
    while retention.prune(connection, 1_050, 1_050, 100):
        pass
    assert [b.starts_at for b in invariant_breaches.of(connection, "floor", 0, 10)] == [1_060]
