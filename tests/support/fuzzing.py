"""Rounds of fuzzing: a network is read through a node that spoils its answers and an honest one.

A round fails with `AssertionError` when reading falls behind, an event is lost or made up, the log is flooded or has a
traceback, or memory is kept. All that happens follows from the round's seed, but for the order in which answers come.
"""

from __future__ import annotations

import asyncio
import time
from random import Random
from typing import Any, NamedTuple
from unittest.mock import patch

from structlog.testing import capture_logs

from chainwatch.chain import member
from chainwatch.chain.intake import INTAKE
from tests.fakenode import FakeChain, FakeNode
from tests.fakenode.spoiling import SpoilingNode
from tests.support.observing import Follower, network_settings, open_pool, ping

TARGETS: tuple[tuple[str, ...], ...] = (
    (),
    ("eth_getLogs",),
    ("eth_getBlockByNumber", "eth_getBlockByHash"),
    ("eth_chainId",),
    ("eth_getBlockReceipts", "eth_getTransactionReceipt"),
)
"""What is spoilt in a round; empty: any answer, in ways of which none hides what is there."""

BEFORE, MORE = 60, 20
"""Blocks that are there at first, the older of which are read by range, and that come one by one."""

WITHIN = 30.0
"""Seconds for all the first blocks, and for each of the others."""

OFTEN: dict[str, Any] = {
    "FIRST_PAUSE": 0.01,
    "LONGEST_PAUSE": 0.05,
    "LONGEST_PAUSE_LIMITED": 0.2,
    "REFUSED_PAUSE": 0.1,
}
"""Pauses of an endpoint that failed: so short that it is asked again and again, and spoils more."""

MOST_LINES = 30
LONGEST_LINE = 4_000
"""Lines of the log in a round, and characters of one."""


class Round(NamedTuple):
    """What happened in a round."""

    seed: int
    target: tuple[str, ...]
    kind: str
    spoilt: int
    lines: int
    seconds: float
    slowest: float


async def play_round(seed: int) -> Round:
    """One round by its seed."""
    dice = Random(seed)
    chain = FakeChain(stamped=dice.random() < 0.5)
    for number in range(1, BEFORE + 1):
        chain.mine(*([ping(number)] if number % 2 else []))
    target = dice.choice(TARGETS)
    troubles: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: troubles.append(repr(context)))
    begun = time.monotonic()
    with capture_logs() as lines, patch.multiple(member, **OFTEN):
        async with (
            SpoilingNode(chain, dice, dice.choice((0.1, 0.5, 1.0)), target) as broken,
            FakeNode(chain) as honest,
        ):
            kind = dice.choice(("http", "http", "http", "websocket"))
            broken.batches = dice.random() < 0.8
            broken.by_hash = dice.random() < 0.8
            if "eth_getBlockReceipts" in target:  # they are asked for where the logs are doubtful
                broken.fail("eth_getLogs", "result", [], times=None)
            urls = [broken.ws_url if kind == "websocket" else broken.http_url, honest.http_url]
            settings = network_settings(*urls, start_block=0, reorg_window=20, request_timeout="1s")
            async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
                slowest = 0.0
                await _caught_up(follower, BEFORE)
                for number in range(BEFORE + 1, BEFORE + MORE + 1):
                    mined = time.monotonic()
                    chain.mine(*([ping(number)] if number % 2 else []))
                    await broken.announce()
                    await _caught_up(follower, number)
                    slowest = max(slowest, time.monotonic() - mined)
                assert follower.error is None
    _judge(chain, follower, lines)
    assert troubles == [], f"nobody took notice of {troubles}"
    assert INTAKE.held == 0
    return Round(seed, target, kind, broken.spoilt, len(lines), time.monotonic() - begun, slowest)


async def _caught_up(follower: Follower, number: int) -> None:
    try:
        await follower.until(lambda: follower.at == number, WITHIN)
    except TimeoutError:
        status = follower.observer.status
        raise AssertionError(f"reading stands at {follower.at} of {number}: {status}") from None


def _judge(chain: FakeChain, follower: Follower, lines: list[Any]) -> None:
    found = [
        (event.log.block_number, event.args["n"], event.log.timestamp)
        for batch in follower.batches
        for event in batch.events
    ]
    expected = [(b.number, b.number, b.timestamp) for b in chain.blocks if b.number % 2]
    assert found == expected, "an event was lost or made up"
    assert [batch for batch in follower.batches if batch.undecoded] == []
    assert len(lines) <= MOST_LINES, f"{len(lines)} lines: {lines[-5:]}"
    for line in lines:
        text = repr(line)
        assert "exc_info" not in line, text
        assert "Traceback" not in text
        assert len(text) <= LONGEST_LINE, text
