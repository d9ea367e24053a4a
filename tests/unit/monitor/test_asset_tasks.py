"""Which assets are asked for their symbols and decimals, and how often."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import pytest
import sqlalchemy as sa

from chainwatch.chain.erc20 import AssetMetadata
from chainwatch.chain.errors import Unavailable
from chainwatch.chain.pool import Pool
from chainwatch.config import from_dict
from chainwatch.model import Batch, Checkpoint, Header, Occurrence, Transfer
from chainwatch.monitor import asset_tasks
from chainwatch.monitor.asset_tasks import ASKED_AGAIN, FAILED_ASKED_AGAIN, AssetTasks, unasked
from chainwatch.presentation.presenter import Presenter
from chainwatch.store import assets, transfers
from chainwatch.store.assets import StoredAsset
from chainwatch.store.database import Database
from tests.support.flows import header
from tests.support.storing import store_batch
from tests.support.waiting import PATIENCE

NOW = 1_700_000_000.0
TOKEN, ADDRESS = "0x" + "11" * 20, b"\x11" * 20
NETWORKS = {"networks": {"alpha": {"chain_id": 1, "rpc": ["http://a.example"]}}}


def store(connection: sa.Connection, key: str, asset: object, network: str = "alpha") -> None:
    event = Occurrence("send", network, 5, 1, 50, b"t" * 32, {"@amount": 1, "@asset": asset})
    transfers.save(connection, [(Transfer("bridge", key), Transfer("bridge", key, occurrences=(event,)))])


def asked(connection: sa.Connection, now: float = NOW, **config: object) -> set[tuple[str, bytes]]:
    return unasked(connection, Presenter.of(from_dict(NETWORKS | config)), now)


def test_assets_of_transfers_are_asked_once_each(connection: sa.Connection) -> None:
    for key in "123":
        store(connection, key, TOKEN)
    store(connection, "4", b"\x22" * 20)
    store(connection, "5", "0x" + "00" * 20)  # the network's own currency
    store(connection, "6", b"no address")
    store(connection, "7", 7)
    assert asked(connection) == {("alpha", ADDRESS), ("alpha", b"\x22" * 20)}


def test_what_is_configured_is_not_asked(connection: sa.Connection) -> None:
    store(connection, "1", TOKEN)
    assert asked(connection, assets={"X": {"decimals": 6, "address": TOKEN}}) == set()


@pytest.mark.parametrize(
    ("symbol", "decimals", "after"),
    [("USDC", 6, ASKED_AGAIN), (None, None, FAILED_ASKED_AGAIN), ("X", None, FAILED_ASKED_AGAIN)],
)
def test_an_answer_is_asked_for_again_after_long(
    connection: sa.Connection, symbol: str | None, decimals: int | None, after: float
) -> None:
    store(connection, "1", TOKEN)
    assets.save(connection, [StoredAsset("alpha", ADDRESS, symbol, decimals, NOW)])
    assert asked(connection, NOW + after - 1) == set()
    assert asked(connection, NOW + after) == {("alpha", ADDRESS)}
    assert asked(connection, NOW - 1) == {
        ("alpha", ADDRESS)
    }  # asked in the future: the host's clock was set back


def test_answers_are_replaced_and_pruned(connection: sa.Connection) -> None:
    assets.save(connection, [StoredAsset("alpha", ADDRESS, None, None, NOW)])
    again = StoredAsset("alpha", ADDRESS, "POL", 18, NOW + 1)
    assets.save(connection, [again])
    assert assets.load(connection, [("alpha", ADDRESS), ("beta", ADDRESS)]) == {("alpha", ADDRESS): again}
    assets.prune(connection, NOW + 2)
    assert assets.load(connection, [("alpha", ADDRESS)]) == {}


async def test_a_network_that_cannot_be_asked_delays_no_other_and_is_asked_later(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:  # S8
    for name in ("LOOK_EVERY", "PAUSE", "PAUSE_AFTER_FAILURE"):
        monkeypatch.setattr(asset_tasks, name, 0.01)
    down, calls = True, 0

    async def read_metadata(
        pool: Pool, block: Header, addresses: Sequence[bytes]
    ) -> dict[bytes, AssetMetadata]:
        nonlocal calls
        calls += 1
        assert len(addresses) <= asset_tasks.ASKED_AT_ONCE
        if pool is pools["alpha"] and down:
            raise Unavailable("alpha", "no endpoint answers")
        return {address: AssetMetadata("USDC", 6) for address in addresses}

    monkeypatch.setattr(asset_tasks, "read_metadata", read_metadata)
    pools: dict[str, Any] = {"alpha": object(), "beta": object()}
    with closing(Database.open(sqlite_url, durable=False)) as database:
        with database.transaction() as connection:
            for network in pools:
                last = header(9, 50)
                batch = Batch(network, 9, last, headers=(last,))
                store_batch(connection, batch, Checkpoint(network, last, 5, 40, 50))
                for number in range(5):
                    store(connection, f"{network}{number}", bytes([number + 1]) * 20, network)

        async def stored(network: str) -> int:
            ids = [(network, bytes([number + 1]) * 20) for number in range(5)]
            return len(await database.read(lambda c: assets.load(c, ids)))

        settings = from_dict(
            {"networks": {n: {"chain_id": i + 1, "rpc": ["http://a"]} for i, n in enumerate(pools)}}
        )
        tasks = AssetTasks(settings, pools, pools, database.read, database.write, lambda: NOW)
        async with asyncio.timeout(PATIENCE):
            running = [asyncio.ensure_future(task()) for task in tasks.all().values()]
            while await stored("beta") < 5:
                await asyncio.sleep(0.01)
            assert await stored("alpha") == 0
            down = False
            while await stored("alpha") < 5:
                await asyncio.sleep(0.01)
            before = -1
            while calls != before:  # what was stored is not asked for ever: the asking ends
                before = calls
                await asyncio.sleep(0.2)
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
