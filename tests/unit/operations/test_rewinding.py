"""`chainwatch rewind`, on an embedded chain."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from pydantic import SecretStr

from chainwatch.chain.errors import ChainError
from chainwatch.chain.transport import open_session
from chainwatch.config import LifecycleSettings, read_dict
from chainwatch.demo import scenario
from chainwatch.demo.bridge import Transfer
from chainwatch.demo.chain import DemoChain
from chainwatch.monitor.monitor import Monitor
from chainwatch.operations.errors import Conflict, NotFound
from chainwatch.operations.rewinding import rewind
from chainwatch.plan import Plan, make_plan
from chainwatch.store import blocks, transfers
from chainwatch.store.alerting import alerts
from chainwatch.store.database import Database
from tests.fakenode import FakeChain, FakeNode
from tests.support.waiting import eventually

NOW = 1_800_000_000.0


class Watched(NamedTuple):
    """A chain with a transfer to itself, and the block in which it was paid out; all of it was read."""

    chain: DemoChain
    plan: Plan
    database: Database
    opened_in: int
    paid_in: int
    sent: Transfer

    async def read(self) -> None:
        """Reads to the head and stops."""
        async with open_session() as session:
            monitor = Monitor(self.plan, self.database, session)
            await monitor.start()
            await eventually(lambda: self.last == self.chain.head.number)
            await monitor.stop()

    @property
    def last(self) -> int:
        with self.database.reading() as connection:
            found = blocks.checkpoints(connection).get("alpha")
        return found.last.number if found else -1

    @property
    def statuses(self) -> dict[str, int]:
        with self.database.reading() as connection:
            return transfers.counts(connection).get("bridge", {})


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    chain = DemoChain(900_001, "alpha")
    await chain.start()
    try:
        address = await chain.deploy_bridge(scenario.ALPHA_DOMAIN)
        config = scenario.config(chain, DemoChain(900_002, "beta"), {"alpha": address}, tmp_path / "x.db")
        del config["networks"]["beta"]
        plan = make_plan(read_dict(config))
        sent = await chain.xcall(scenario.ALPHA_DOMAIN, 5)
        opened_in = chain.head.number
        await chain.execute(sent)
        with closing(Database.open(f"sqlite:///{tmp_path / 'x.db'}", durable=False)) as database:
            watched = Watched(chain, plan, database, opened_in, chain.head.number, sent)
            await watched.read()
            assert watched.statuses == {"complete": 1}
            yield watched
    finally:
        await chain.stop()


async def test_what_was_read_after_the_block_is_forgotten_and_read_again(watched: Watched) -> None:  # S4
    header = await rewind(watched.database, watched.plan, NOW, "alpha", watched.opened_in)
    assert header.number == watched.opened_in == watched.last
    assert watched.statuses == {"open": 1}
    await watched.read()
    assert watched.statuses == {"complete": 1}


@pytest.mark.parametrize(("keeps", "state"), [("0s", "resolved"), ("1h", "firing")])
async def test_alerts_that_a_rewind_ends_follow_the_configured_policies(
    watched: Watched, keeps: str, state: str
) -> None:
    settings = watched.plan.settings
    lifecycle = [LifecycleSettings.model_validate({"keep_firing_for": keeps})]
    plan = replace(watched.plan, settings=settings.model_copy(update={"lifecycle": lifecycle}))
    watched = watched._replace(plan=plan)
    await watched.chain.execute(watched.sent)
    await watched.read()
    await rewind(watched.database, plan, NOW, "alpha", watched.paid_in)
    with watched.database.reading() as connection:
        (twice,) = [a for a in alerts.list_alerts(connection) if a.name == "TransferRepeated"]
    assert twice.state == state


async def test_rewinding_to_where_it_stands_changes_nothing(watched: Watched) -> None:
    await rewind(watched.database, watched.plan, NOW, "alpha", watched.last)
    assert watched.last == watched.paid_in
    assert watched.statuses == {"complete": 1}


async def test_a_block_that_was_never_read_is_refused(watched: Watched) -> None:
    await watched.chain.mine()
    with pytest.raises(Conflict, match=f"those read: 0 to {watched.paid_in}"):
        await rewind(watched.database, watched.plan, NOW, "alpha", watched.chain.head.number)
    assert watched.last == watched.paid_in


async def test_a_block_that_a_reorg_replaced_is_refused(watched: Watched) -> None:  # S4
    await watched.chain.reorg(2)
    with pytest.raises(Conflict, match="rewind to an earlier block"):
        await rewind(watched.database, watched.plan, NOW, "alpha", watched.opened_in)
    assert watched.statuses == {"complete": 1}
    await rewind(watched.database, watched.plan, NOW, "alpha", watched.opened_in - 1)
    assert watched.statuses == {}


async def test_a_node_that_cannot_be_asked_changes_nothing(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chainwatch.chain.history.PATIENCE", 0.1)
    await watched.chain.stop()
    with pytest.raises(ChainError):
        await rewind(watched.database, watched.plan, NOW, "alpha", watched.opened_in)
    assert watched.last == watched.paid_in


async def test_a_network_that_was_never_read_is_refused(watched: Watched, tmp_path: Path) -> None:
    with (
        closing(Database.open(f"sqlite:///{tmp_path / 'new.db'}", durable=False)) as fresh,
        pytest.raises(Conflict, match="those read: none"),
    ):
        await rewind(fresh, watched.plan, NOW, "alpha", 0)


@asynccontextmanager
async def reset(watched: Watched) -> AsyncIterator[Watched]:
    """Another chain stands in the place of the one that was read."""
    chain = FakeChain(chain_id=900_001, start=2_000_000_000)
    chain.mine(count=3)
    async with FakeNode(chain) as node:
        alpha = watched.plan.settings.networks["alpha"]
        networks = {"alpha": alpha.model_copy(update={"rpc": [SecretStr(node.http_url)]})}
        settings = watched.plan.settings.model_copy(update={"networks": networks})
        yield watched._replace(plan=replace(watched.plan, settings=settings))


@pytest.mark.parametrize(("first", "back_to"), [(0, 0), (3, 1)])
async def test_a_chain_that_was_reset_is_taken_up_from_before_what_was_read(
    watched: Watched, first: int, back_to: int
) -> None:
    with watched.database.transaction() as connection:
        blocks.begin_at(connection, "alpha", first, 1)
    async with reset(watched) as again:
        header = await rewind(again.database, again.plan, NOW, "alpha", back_to)
        assert header.timestamp >= 2_000_000_000
        assert again.last == back_to
        assert again.statuses == {}
        with again.database.reading() as connection:
            checkpoint = blocks.checkpoints(connection)["alpha"]
            assert checkpoint.first_block == min(first, back_to + 1)
            assert [h.hash for h in blocks.window(connection, "alpha")] == [header.hash]


async def test_what_was_read_is_not_forgotten_by_a_slip_while_its_chain_stands(watched: Watched) -> None:
    with watched.database.transaction() as connection:
        blocks.begin_at(connection, "alpha", 3, 1)
    with pytest.raises(Conflict, match="block 1 of alpha was not read"):
        await rewind(watched.database, watched.plan, NOW, "alpha", 1)
    assert watched.statuses == {"complete": 1}


async def test_a_network_that_is_not_watched_is_not_found_and_the_nearest_named(watched: Watched) -> None:
    with pytest.raises(NotFound, match="no network that is watched is called 'alpa'; did you mean \"alpha\""):
        await rewind(watched.database, watched.plan, NOW, "alpa", 0)
