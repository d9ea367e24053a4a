"""Chains and nodes that several files read from: in memory, and a year of a bridge."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from scripts.bench.recorded_node import Recording
from tests.fakenode import FakeChain, FakeNode
from tests.support import bridge
from tests.support.bridge import Action
from tests.support.observing import ping
from tests.support.replays import Bridge


@pytest.fixture
def chain() -> FakeChain:
    """Ten blocks, the odd ones with a ping of their number."""
    chain = FakeChain()
    for number in range(1, 11):
        chain.mine(*([ping(number)] if number % 2 else []))
    return chain


@pytest.fixture
async def node(chain: FakeChain) -> AsyncIterator[FakeNode]:
    """A node that serves ``chain``."""
    async with FakeNode(chain) as node:
        yield node


@pytest.fixture(scope="module")
def year() -> list[Action]:
    """What happens on the bridge in a year."""
    return bridge.history(seed=7, transfers=1_500)


@pytest.fixture(scope="module")
def chains(year: list[Action]) -> dict[str, Recording]:
    """The chains on which it happens."""
    return bridge.recordings(year)


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Bridge]:
    """The bridge's nodes and configuration; what it opens ends with the test."""
    async with AsyncExitStack() as stack:
        yield Bridge(tmp_path, stack)
