"""Replays of the made-up bridge in `tests.support.bridge` from recorded nodes."""

import random
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from aiohttp.test_utils import TestServer

from chainwatch.plan import Plan, load_plan
from chainwatch.replay import session
from chainwatch.replay.session import Wanted
from scripts.bench.recorded_node import Faults, RecordedNode, Recording, serve
from tests.support import bridge
from tests.support.bridge import DAY

Report = dict[str, Any]
WHOLE = Wanted((), (), ())
YEAR = 365 * DAY
BARE = frozenset({"eth_chainId", "eth_blockNumber", "eth_getLogs", "eth_getBlockByNumber"})


class Bridge:
    """The recorded nodes of a bridge and a configuration that watches it."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self.folder = folder
        self.nodes: dict[str, RecordedNode] = {}
        self._stack = stack

    async def serve(self, chains: Mapping[str, Recording], faults: Faults | None = None) -> None:
        self.nodes = {name: RecordedNode(chain, faults) for name, chain in chains.items()}
        server = TestServer(serve({f"/{name}": node for name, node in self.nodes.items()}))
        await self._stack.enter_async_context(server)
        self._urls = {name: str(server.make_url(f"/{name}")) for name in self.nodes}

    def plan(self, *, searchable: bool = True, **config: str) -> Plan:
        bridge.write_abi(self.folder, searchable=searchable)
        path = self.folder / "config.toml"
        path.write_text(bridge.config(self._urls, **config))
        return load_plan(path, {})

    async def replay(self, url: str | None = None, wanted: Wanted = WHOLE, **config: Any) -> Report:
        url = url or f"sqlite:///{self.folder / f'replay-{random.random()}.db'}"
        plan = self.plan(**config)
        return await session.replay(plan, wanted, url, durable=False, show_progress=False)
