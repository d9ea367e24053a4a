"""A fake node's life as a TOML file.

port = 8545
chain_id = 1
blocks = 1000          # there at the start
block_time = 2         # seconds, of the chain and of the clock
logs_per_block = 1
address = "0x…"        # of the logs, with `topics`
topics = ["0x…"]

[[at]]                 # what happens, each `after` so many seconds
after = 10.0
reorg = 3              # or: rewind = 5, mine = 100, lag = 7, chain_id = 2, drop = 1006, silent = true, stop = 5.0 (seconds)

[[fault]]              # see tests.fakenode.node.Fault
after = 20.0
method = "eth_getLogs"
kind = "html"
times = 3
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from tests.fakenode.chain import FakeChain, FakeLog
from tests.fakenode.node import FakeNode, Fault


async def play(script: dict[str, Any]) -> None:
    """Serves the chain that ``script`` describes until it is cancelled."""
    block_time = int(script.get("block_time", 1))
    blocks = int(script.get("blocks", 0))
    start = int(time.time()) - blocks * block_time
    chain = FakeChain(int(script.get("chain_id", 1)), block_time, start=start)
    topics = [bytes.fromhex(topic[2:]) for topic in script.get("topics", ())]
    address = bytes.fromhex(script.get("address", "0x" + "aa" * 20)[2:])
    logs = [FakeLog(address, topics)] * int(script.get("logs_per_block", 0))
    for _ in range(blocks):
        chain.mine(*logs)
    async with FakeNode(chain, int(script.get("port", 8545))) as node, asyncio.TaskGroup() as life:
        print(f"{node.http_url}\n{node.ws_url}", flush=True)
        for event in script.get("at", ()):
            life.create_task(_happen(node, dict(event)))
        for fault in script.get("fault", ()):
            life.create_task(_fail(node, dict(fault)))
        while True:
            await asyncio.sleep(block_time)
            chain.mine(*logs)
            await node.announce()


async def _fail(node: FakeNode, fault: dict[str, Any]) -> None:
    await asyncio.sleep(fault.pop("after", 0))
    node.faults.append(Fault(**fault))


async def _happen(node: FakeNode, event: dict[str, Any]) -> None:
    await asyncio.sleep(event.pop("after", 0))
    for name, value in event.items():
        match name:
            case "reorg":
                node.chain.reorg(value)
            case "rewind":
                node.chain.rewind(value)
            case "mine":
                node.chain.mine(count=value)
            case "lag":
                node.lag = value
            case "silent":
                node.silent = value
            case "chain_id":
                node.chain.chain_id = value
            case "drop":
                await node.drop(value)
            case "stop":
                await node.stop()
                await asyncio.sleep(value)
                await node.start()
            case _:
                raise ValueError(f"a script cannot do {name!r}: see tests/fakenode/script.py")
    await node.announce()
