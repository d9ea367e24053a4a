"""Testing a receiver: queue a sample, and wait until the running process has tried it."""

from __future__ import annotations

import asyncio

from aiohttp import web

from chainwatch.api.reads import Reads
from chainwatch.api.writes import Writes, entry_of
from chainwatch.operations.receiver_test import Sample, SampleOutcome, end_sample, is_tried, queue_sample

WITHIN = 10.0
"""Seconds within which a sample is delivered, or counts as not delivered."""
LOOK_EVERY = 0.1


async def try_receiver(
    request: web.Request,
    reads: Reads,
    writes: Writes,
    *,
    receiver: str,
    severity: str = "P3",
    resolved: bool = False,
) -> SampleOutcome:
    """Send a sample to ``receiver``; ``resolved``: as one that is over. Raises ``NotFound`` and ``Invalid``."""
    sample = await writes(await entry_of(request), queue_sample, receiver, severity, resolved=resolved)
    return await outcome_of(reads, writes, sample)


async def outcome_of(reads: Reads, writes: Writes, sample: Sample) -> SampleOutcome:
    """Return what became of ``sample`` once it was tried, or when it has taken too long: then it is dropped."""
    try:
        async with asyncio.timeout(WITHIN):
            while not await reads(is_tried, sample):  # noqa: ASYNC110 - another thread writes it
                await asyncio.sleep(LOOK_EVERY)
    except TimeoutError:
        pass
    finally:
        ended = asyncio.ensure_future(writes.unrecorded(end_sample, sample))  # also where the client has gone
    return await asyncio.shield(ended)
