"""Blocks of a network at given times."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Awaitable, Callable
from itertools import accumulate
from types import SimpleNamespace
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from chainwatch.chain.pool import Pool
from chainwatch.invariants.blocks_by_time import BlocksByTime
from chainwatch.model import Checkpoint, Header


class Chain:
    """A network of which only headers are asked for; ``asked`` are those that were."""

    def __init__(self, times: list[int], block_time: float | None = 1.0) -> None:
        self.headers_of = [Header(number, b"", b"", time) for number, time in enumerate(times)]
        self.network = SimpleNamespace(block_time=block_time)
        self.asked: list[int] = []

    async def ask(self, question: Callable[[Any], Awaitable[Any]], _patience: float) -> Any:
        return await question(self)

    async def headers(self, numbers: list[int]) -> list[Header]:
        self.asked += numbers
        return [self.headers_of[number] for number in numbers]

    def find(self, times: list[list[int]]) -> dict[int, int]:
        """Return the numbers of the last blocks up to times, which are asked for in parts."""
        first, last = self.headers_of[0], self.headers_of[-1]
        checkpoint = Checkpoint("alpha", last, first.number, first.timestamp, last.timestamp)
        blocks = BlocksByTime(checkpoint)

        async def run() -> dict[int, int]:
            found: dict[int, Header] = {}
            for some in times:
                found |= await blocks.last_until(cast("Pool", self), some)
            return {time: header.number for time, header in found.items()}

        return asyncio.run(run())


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=60),
    st.lists(st.integers(0, 900), max_size=40),
    st.sampled_from([0.25, 1.0, None]),
)
def test_the_last_block_up_to_each_time(apart: list[int], asked: list[int], block_time: float | None) -> None:
    times = list(accumulate(apart, initial=100))
    ends = times[-1] if block_time == 1.0 else times[-1] - 1  # where more blocks of the time may follow
    asked.sort()
    found = Chain(times, block_time).find([asked[:20], asked[20:]])
    assert found == {time: bisect_right(times, time) - 1 for time in asked if times[0] <= time <= ends}


def test_few_blocks_are_read_where_their_distances_are_alike() -> None:
    chain = Chain([1_000 + 12 * number + number % 3 for number in range(1_000_000)])
    chain.find([[2_000_000 + 7_001 * number for number in range(128)]])
    assert len(chain.asked) < 4 * 128
