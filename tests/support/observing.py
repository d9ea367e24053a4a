"""Following a network in tests: an event to watch, an observer whose items are applied to a store in memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from chainwatch.chain.chain_time import ChainTime
from chainwatch.chain.decode.decoder import ContractDecoder
from chainwatch.chain.observer import Observer
from chainwatch.chain.pool import Pool
from chainwatch.chain.transport import open_session
from chainwatch.chain.watch import NetworkWatch, WatchedContract
from chainwatch.config import NetworkSettings
from chainwatch.model import AbiEvent, AbiParam, Batch, Checkpoint, Header, Seen
from chainwatch.support.keccak import keccak256
from tests.fakenode import FakeLog
from tests.support.waiting import PATIENCE

ADDRESS = bytes.fromhex("aa" * 20)
PING = AbiEvent("Ping", (AbiParam("n", "uint256", indexed=True),))
PING_TOPIC = keccak256(PING.signature.encode())


def ping(n: int) -> FakeLog:
    """A log that decodes to ``Ping(n)``."""
    return FakeLog(ADDRESS, (PING_TOPIC, n.to_bytes(32, "big")))


def watch_pings(network: str = "net") -> NetworkWatch:
    """The `Ping` events of `ADDRESS`."""
    return NetworkWatch(network, [WatchedContract("pinger", ADDRESS, ContractDecoder([PING]))])


def network_settings(*urls: str, **settings: Any) -> NetworkSettings:
    """A network named ``net`` that is polled often."""
    return NetworkSettings.model_validate(
        {"name": "net", "chain_id": 1, "rpc": list(urls), "poll_interval": "50ms", "request_timeout": "1m"}
        | settings
    )


@asynccontextmanager
async def open_pool(settings: NetworkSettings, clock: Callable[[], float] = time.time) -> AsyncIterator[Pool]:
    """A started pool with a session of its own."""
    async with open_session() as session, Pool(settings, session, clock) as pool:
        yield pool


class Follower:
    """Stores what an observer yields, as the real store would: ``pings`` are those of blocks that count, in order."""

    def __init__(
        self,
        settings: NetworkSettings,
        pool: Pool,
        clock: Callable[[], float] = time.time,
        since: int | None = None,
        chain_time: ChainTime | None = None,
        watch: NetworkWatch | None = None,
    ) -> None:
        """``since`` is the time from which on a network that was never read is to be read."""
        self.watch = watch or watch_pings()
        self.settings = settings
        self.since = since
        self.checkpoint: Checkpoint | None = None
        self.headers: dict[int, Header] = {}
        self.items: list[Batch | Seen] = []
        self.error: BaseException | None = None
        self._by_position: dict[tuple[int, int], int] = {}
        self._pool = pool
        self._clock = clock
        self._chain_time = chain_time
        self._changed = asyncio.Event()
        self._new_observer()

    def _new_observer(self) -> None:
        async def reach_back() -> int | None:
            return self.since

        self.observer = Observer(
            self.settings, self.watch, self._pool, self._clock, self._chain_time, reach_back
        )

    @property
    def pings(self) -> list[int]:
        return [n for _, n in sorted(self._by_position.items())]

    @property
    def batches(self) -> list[Batch]:
        return [item for item in self.items if isinstance(item, Batch)]

    @property
    def at(self) -> int:
        """The checkpoint's block number, -1 without one."""
        return self.checkpoint.last.number if self.checkpoint else -1

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Follower]:
        """Follows until the end of the block; a second time it resumes from the checkpoint with a new observer."""
        if self.items:
            self._new_observer()
        task = asyncio.create_task(self._follow())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def until(self, condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """Waits until ``condition`` holds; looks whenever something has come, and every 20 ms."""
        async with asyncio.timeout(seconds):
            while not condition():
                if self.error is not None:
                    raise self.error
                self._changed.clear()
                try:
                    await asyncio.wait_for(self._changed.wait(), 0.02)
                except TimeoutError:
                    continue

    async def _follow(self) -> None:
        try:
            async for item in self.observer.batches(self.checkpoint, list(self.headers.values())):
                self._store(item)
                self._changed.set()
        except Exception as error:
            self.error = error
            self._changed.set()

    def _store(self, item: Batch | Seen) -> None:
        self.items.append(item)
        if isinstance(item, Seen):
            assert self.checkpoint is not None
            assert item.until > self.checkpoint.seen_until, "Seen never goes back"
            self.checkpoint = Checkpoint("net", self.checkpoint.last, 0, 0, item.until)
            return
        if item.ancestor is not None:
            assert item.first == item.ancestor.number + 1
            self._by_position = {
                at: n for at, n in self._by_position.items() if at[0] <= item.ancestor.number
            }
            self.headers = {number: h for number, h in self.headers.items() if number <= item.ancestor.number}
        elif self.checkpoint is not None:
            assert item.first == self.checkpoint.last.number + 1, "no block is skipped (S1)"
        hashes = {header.number: header.hash for header in item.headers}
        for event in item.events:
            assert hashes.get(event.log.block_number, event.log.block_hash) == event.log.block_hash
            position = (event.log.block_number, event.log.log_index)
            assert position not in self._by_position, "no event twice"
            self._by_position[position] = event.args["n"]
        self.headers |= {header.number: header for header in item.headers}
        seen_until = max(item.last.timestamp, self.checkpoint.seen_until if self.checkpoint else 0)
        self.checkpoint = Checkpoint("net", item.last, 0, 0, seen_until)
