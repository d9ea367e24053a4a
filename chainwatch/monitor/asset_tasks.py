"""Asks the assets of transfers for their symbols and decimals, so that later messages show amounts in units.

Nothing waits for these tasks: they look at what is stored, ask a few assets at a time, and store what was answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Protocol, TypeVar

import sqlalchemy as sa

from chainwatch.chain.erc20 import read_metadata
from chainwatch.chain.errors import RpcError
from chainwatch.chain.pool import Pool
from chainwatch.chain.quiet import QuietLog
from chainwatch.checker.finding import shown
from chainwatch.checker.flow import ASSET
from chainwatch.config import Settings
from chainwatch.model import Checkpoint
from chainwatch.presentation.presenter import Presenter, asset_id
from chainwatch.store import assets, blocks
from chainwatch.store import transfers as stored_transfers
from chainwatch.store.alerting import alerts
from chainwatch.store.assets import AssetId, StoredAsset

LOOK_EVERY = 5.0
"""Seconds between two looks for assets that were not asked yet."""
NEWEST_TRANSFERS, NEWEST_ALERTS = 300, 100
"""How many transfers and alerts are looked at for their assets."""
ASKED_AT_ONCE = 3
"""How many assets are asked together: few, so that a limit of calls is left to the reading of blocks."""
PAUSE = 5.0
"""Seconds between two times that assets of a network are asked."""
PAUSE_AFTER_FAILURE = 60.0
ASKED_AGAIN, FAILED_ASKED_AGAIN = 30 * 86_400.0, 21_600.0
"""Seconds after which an asset is asked again: one that said all, and one that did not."""
KEPT_FOR = 2 * ASKED_AGAIN
"""Seconds for which answers are kept: those of assets in use are renewed before."""

T = TypeVar("T")


class Database(Protocol):
    """Runs a job in a transaction; repeats it while the database refuses."""

    async def __call__(self, job: Callable[[sa.Connection], T], /) -> T: ...


class AssetTasks:
    """The tasks that ask the assets on ``networks``. ``clock`` gives Unix seconds."""

    def __init__(
        self,
        settings: Settings,
        networks: Iterable[str],
        pools: Mapping[str, Pool],
        load: Database,
        write: Database,
        clock: Callable[[], float],
    ) -> None:
        self._presenter = Presenter.of(settings)
        self._pools = pools
        self._load = load
        self._write = write
        self._clock = clock
        self._unasked: dict[str, list[bytes]] = {network: [] for network in networks}
        self._found = {network: asyncio.Event() for network in self._unasked}

    def all(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Return the tasks by name, each to be run for ever."""
        asking = {f"assets of {network}": partial(self._ask, network) for network in self._unasked}
        return {"assets": self._look, **asking}

    async def _look(self) -> None:
        """Find the assets that are to be asked; for ever."""
        while True:
            now = self._clock()
            found = await self._load(lambda c: unasked(c, self._presenter, now))  # noqa: B023 - called at once
            for network, addresses in self._unasked.items():
                addresses[:] = sorted(address for where, address in found if where == network)
                if addresses:
                    self._found[network].set()
            await asyncio.sleep(LOOK_EVERY)

    async def _ask(self, network: str) -> None:
        """Ask the assets of ``network`` that were found, a few at a time; for ever."""
        log, loop = QuietLog(network=network), asyncio.get_running_loop()
        while True:
            await self._found[network].wait()
            some = self._unasked[network][:ASKED_AT_ONCE]
            del self._unasked[network][:ASKED_AT_ONCE]
            if not some:
                self._found[network].clear()
                continue
            try:
                await self._ask_some(network, some)
                log.recovered(loop.time(), "assets are asked again")
                await asyncio.sleep(PAUSE)
            except RpcError as error:
                log.failed(loop.time(), "assets cannot be asked for their symbols and decimals", error)
                await asyncio.sleep(PAUSE_AFTER_FAILURE)

    async def _ask_some(self, network: str, addresses: list[bytes]) -> None:
        """Ask these assets at the last block that was read. Raises `RpcError`; then they are found again."""
        checkpoint: Checkpoint | None = (await self._load(blocks.checkpoints)).get(network)
        pool = self._pools.get(network)
        if checkpoint is None or pool is None:
            return
        said = await read_metadata(pool, checkpoint.last, addresses)
        now = self._clock()
        answers = [StoredAsset(network, a, one.symbol, one.decimals, now) for a, one in said.items()]

        def save(connection: sa.Connection) -> None:
            assets.save(connection, answers)
            assets.prune(connection, now - KEPT_FOR)

        await self._write(save)


def unasked(connection: sa.Connection, presenter: Presenter, now: float) -> set[AssetId]:
    """Return the assets of the newest transfers and alerts that are to be asked at ``now`` (Unix seconds)."""
    newest = stored_transfers.select(connection, stored_transfers.Filter(), NEWEST_TRANSFERS)
    named = {(o.network, shown(o.facts[ASSET])) for t in newest for o in t.occurrences if ASSET in o.facts}
    for alert in alerts.last_raised(connection, NEWEST_ALERTS):
        if alert.source == "transfer" and "asset_network" in alert.annotations:
            named.add((alert.annotations["asset_network"], alert.annotations["asset"]))
    ids = {found for network, asset in named if (found := asset_id(network, asset)) is not None}
    wanted = {one for one in ids if presenter.is_asked(one)}
    known = assets.load(connection, wanted)
    return wanted - {one for one, answer in known.items() if answer.asked_at <= now < _asked_again_at(answer)}


def _asked_again_at(answer: StoredAsset) -> float:
    is_whole = answer.symbol is not None and answer.decimals is not None
    return answer.asked_at + (ASKED_AGAIN if is_whole else FAILED_ASKED_AGAIN)
