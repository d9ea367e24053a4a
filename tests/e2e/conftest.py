"""Two nodes, a receiver and chainwatch in a process of its own."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.support.anvil import Anvil
from tests.support.world import World


@pytest.fixture
async def world(anvil_factory: Callable[..., Anvil], tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path, anvil_factory(chain_id=1), anvil_factory(chain_id=10)) as world:
        yield world
