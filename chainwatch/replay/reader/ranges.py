"""Ranges of blocks of several networks as one stream of batches, in the order of time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Coroutine, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from chainwatch.chain.history import read_range
from chainwatch.chain.pool import Pool
from chainwatch.checker.extractor import sift
from chainwatch.model import Batch, SiftedBatch
from chainwatch.plan import Plan


class Range(msgspec.Struct, frozen=True):
    """Blocks ``first``..``last`` of ``network``, both inclusive."""

    network: str
    first: int
    last: int


async def read_ranges(
    plan: Plan, pools: Mapping[str, Pool], ranges: Sequence[Range]
) -> AsyncGenerator[SiftedBatch]:
    """Yield the batches of all ``ranges``, by the time of their last block. Raises ``ChainError``."""
    sources: dict[str, AsyncGenerator[Batch]] = {}
    waiting: dict[str, SiftedBatch] = {}

    async def pull(network: str) -> None:
        if (batch := await anext(sources[network], None)) is not None:
            waiting[network] = sift(plan.extractors, batch)

    async with contextlib.AsyncExitStack() as stack:
        for r in ranges:
            batches = read_range(pools[r.network], plan.watches[r.network], r.first, r.last, first_ever=True)
            sources[r.network] = await stack.enter_async_context(contextlib.aclosing(batches))
        await _together([pull(network) for network in sources])
        while waiting:
            network = min(waiting, key=lambda name: waiting[name].batch.last.timestamp)
            yield waiting.pop(network)
            await pull(network)


async def _together(jobs: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run ``jobs`` at the same time. Raises the first error, after all others were cancelled and have ended."""
    tasks = [asyncio.create_task(job) for job in jobs]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
