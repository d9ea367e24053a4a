"""How soon a block's alert is at a webhook, and how much of a core 50 networks take.

The first: an anvil on loopback, chainwatch as a process of its own, a transfer with a wrong id in each block; from the
call of `evm_mine` to the request at the webhook; with `--clients`, while so many poll the HTTP server,
each once a second; with `--pages`, while so many are open. The second: fake nodes in another process, each with a
block a second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from scripts.bench.peer import resident  # noqa: E402
from tests.fakenode import FakeChain, FakeLog, FakeNode  # noqa: E402  # the checkout's test parts
from tests.support import connext  # noqa: E402
from tests.support.anvil import Anvil, find_or_install  # noqa: E402
from tests.support.notified import notified  # noqa: E402
from tests.support.ports import free_port  # noqa: E402
from tests.support.process import Chainwatch  # noqa: E402
from tests.support.receiver import Receiver  # noqa: E402
from tests.support.waiting import eventually  # noqa: E402
from tests.support.world import World  # noqa: E402

MISMATCH = "TransferMismatch"
WARM_UP = 10.0
"""Seconds until the CPU time of the networks' process is measured."""
LOGS_EVERY = 5
"""Blocks from one with a log to the next on a fake chain."""
TICKS = os.sysconf("SC_CLK_TCK")

NETWORKS = """
[store]
url = "sqlite:///chainwatch.db"
{networks}
[contracts.connext]
abi = "{abi}"
address = "{address}"

{flow}
[receivers.console]
provider = "console"

[[routes]]
receivers = ["console"]
"""

NETWORK = """
[networks.net{index}]
chain_id = {chain_id}
domain = {chain_id}
rpc = {rpc}
start_block = 0
block_time = "1s"
"""


async def latency(count: int, clients: int = 0, pages: int = 0) -> dict[str, float]:
    """Milliseconds from `evm_mine` to the webhook for ``count`` blocks: the median, the 99th percentile, the longest.

    Also the share of a core that chainwatch took meanwhile, and its MiB of memory.
    """
    binary = find_or_install()
    took: list[float] = []
    async with AsyncExitStack() as stack:
        ethereum, optimism = (stack.enter_context(Anvil(binary, chain_id)) for chain_id in (1, 10))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chainwatch-live-")))
        world = await stack.enter_async_context(World(folder, ethereum, optimism))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        port = free_port()
        world.configure(within="3h", more=f'[api]\nlisten = "127.0.0.1:{port}"\n').start()
        await world.until_running()
        if clients or pages:
            asking = ["--clients", str(clients), "--pages", str(pages)]
            command = [sys.executable, str(Path(__file__)), "--poll", str(port), *asking]
            polling = subprocess.Popen(command)  # noqa: ASYNC220 - for a moment
            stack.callback(polling.kill)
        ethereum.rpc("evm_setAutomine", False)
        cpu, began_at = cpu_seconds(world.watch.pid), time.monotonic()
        for _ in range(count + 1):
            log = connext.xcalled(world.transfer())
            log.topics[1] = random.randbytes(32)
            await asyncio.to_thread(_send, ethereum, log)
            await asyncio.sleep(random.uniform(0.05, 0.15))
            arrived = len(world.receiver.requests)
            begun = time.time()
            mine = {"jsonrpc": "2.0", "id": 1, "method": "evm_mine", "params": []}
            async with session.post(ethereum.http_url, json=mine) as response:
                await response.read()
            await eventually(lambda: len(_mismatches(world.receiver, arrived)) > 0)  # noqa: B023 - asked at once
            took.append((_mismatches(world.receiver, arrived)[0] - begun) * 1000)
        cores = (cpu_seconds(world.watch.pid) - cpu) / (time.monotonic() - began_at)
        memory = resident(world.watch.pid)
    took = took[1:]  # the first waits for the start
    cuts = statistics.quantiles(took, n=100, method="inclusive")
    return {
        "p50": statistics.median(took),
        "p99": cuts[98],
        "longest": max(took),
        "cores": cores,
        "MiB": memory,
    }


async def poll(port: int, clients: int, pages: int) -> None:
    """Asks the HTTP server what pages and scrapers ask, until it is killed.

    ``clients`` ask once a second each; ``pages`` are open, each with its stream of events, and are read again at each.
    """
    url = f"http://127.0.0.1:{port}"
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout()) as session:
        asking = [_ask(session, url) for _ in range(clients)]
        await asyncio.gather(*asking, *(_open_page(session, url) for _ in range(pages)))


async def _open_page(session: aiohttp.ClientSession, url: str) -> None:
    await asyncio.sleep(random.random())
    async with session.get(f"{url}/ui/events") as events:
        assert events.status == 200, events.status
        async for line in events.content:
            if line.startswith(b"event: changed"):
                await asyncio.sleep(random.random())
                async with session.get(f"{url}/ui/") as page:
                    assert page.status == 200, page.status
                    await page.read()


async def _ask(session: aiohttp.ClientSession, url: str) -> None:
    await asyncio.sleep(random.random())
    while True:
        for path in ("/v1/status", "/v1/alerts", "/v1/transfers", "/metrics"):
            async with session.get(url + path) as answer:
                assert answer.status == 200, await answer.text()
                await answer.read()
            await asyncio.sleep(1.0)


def _send(node: Anvil, log: connext.Log) -> None:
    call = len(log.topics).to_bytes(32, "big") + b"".join(log.topics) + log.data
    sender = node.rpc("eth_accounts")[0]
    transaction = {
        "from": sender,
        "to": connext.ETHEREUM.address,
        "input": "0x" + call.hex(),
        "gas": hex(10**6),
    }
    node.rpc("eth_sendTransaction", transaction)


def _mismatches(receiver: Receiver, after: int) -> list[float]:
    return [one.arrived_at for one in notified(receiver.requests[after:]) if one.name == MISMATCH]


async def cpu_share(networks: int, seconds: float) -> dict[str, float]:
    """The share of a core that ``networks`` at a block a second take, and the blocks that were read a second."""
    command = [sys.executable, str(Path(__file__)), "--serve", str(networks)]
    with tempfile.TemporaryDirectory(prefix="chainwatch-live-") as folder:
        nodes = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: ASYNC220 - for a moment
        try:
            assert nodes.stdout is not None
            urls = json.loads(await asyncio.to_thread(nodes.stdout.readline))
            tables = [
                NETWORK.format(index=index, chain_id=1000 + index, rpc=json.dumps(rpc))
                for index, rpc in enumerate(urls)
            ]
            config = NETWORKS.format(
                networks="".join(tables),
                abi=ROOT / "abi" / "connext.json",
                address=connext.ETHEREUM.address,
                flow=connext.flow("3h"),
            )
            return await _measured(Chainwatch(Path(folder), config), seconds)
        finally:
            nodes.kill()
            nodes.wait()


async def _measured(watch: Chainwatch, seconds: float) -> dict[str, float]:
    watch.start()
    try:
        await asyncio.sleep(WARM_UP)
        assert watch.is_running, watch.log[-2000:]
        cpu, read, begun = cpu_seconds(watch.pid), await _blocks_read(watch), time.monotonic()
        await asyncio.sleep(seconds)
        took = time.monotonic() - begun
        cpu, read = cpu_seconds(watch.pid) - cpu, await _blocks_read(watch) - read
    finally:
        watch.kill()
    return {"cores": cpu / took, "blocks_per_second": read / took}


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


async def _blocks_read(watch: Chainwatch) -> int:
    status = await watch.read("status")
    return sum((network["checkpoint"] or {"number": 0})["number"] for network in status["networks"])


async def serve(count: int) -> None:
    """Serves ``count`` chains with a block a second until it is killed; prints their URLs."""
    address = bytes.fromhex(connext.ETHEREUM.address[2:])
    async with AsyncExitStack() as stack:
        nodes = [
            await stack.enter_async_context(FakeNode(FakeChain(1000 + index, start=int(time.time()))))
            for index in range(count)
        ]
        print(json.dumps([[node.ws_url, node.http_url] for node in nodes]), flush=True)
        await asyncio.gather(*(_live(node, address) for node in nodes))


async def _live(node: FakeNode, address: bytes) -> None:
    here = connext.Network("here", node.chain.chain_id, node.chain.chain_id, connext.ETHEREUM.address)
    there = here._replace(domain=1000 if here.domain != 1000 else 1001)
    await asyncio.sleep(random.random())
    while True:
        logs: list[FakeLog] = []
        if node.chain.head.number % LOGS_EVERY == 0:
            log = connext.xcalled(connext.transfer(here, there, node.chain.head.number))
            logs = [FakeLog(address, log.topics, log.data)]
        node.chain.mine(*logs)
        await node.announce()
        await asyncio.sleep(1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=200, help="blocks that are timed")
    parser.add_argument("--networks", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=30.0, help="for which the CPU time is measured")
    parser.add_argument("--clients", type=int, default=0, help="clients that poll the HTTP server meanwhile")
    parser.add_argument("--pages", type=int, default=0, help="pages that are open meanwhile")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--poll", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.poll is not None:
        asyncio.run(poll(given.poll, given.clients, given.pages))
        return
    if given.serve is not None:
        asyncio.run(serve(given.serve))
        return
    figures: dict[str, Any] = {
        "milliseconds": asyncio.run(latency(given.blocks, given.clients, given.pages)),
        f"networks_{given.networks}": asyncio.run(cpu_share(given.networks, given.seconds)),
    }
    if given.json:
        print(json.dumps(figures))
        return
    times, share = figures["milliseconds"], figures[f"networks_{given.networks}"]
    print(f"chainwatch meanwhile: {times['cores']:.2f} cores, {times['MiB']:.0f} MiB")
    print(
        f"evm_mine to webhook, ms: p50 {times['p50']:.1f}, p99 {times['p99']:.1f}, longest {times['longest']:.1f}"
    )
    print(
        f"{given.networks} networks: {share['cores']:.2f} cores, {share['blocks_per_second']:.1f} blocks/s read"
    )


if __name__ == "__main__":
    main()
