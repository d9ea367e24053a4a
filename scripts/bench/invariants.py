"""What invariants cost: requests for each block, the share of a core, and how soon a breach is at a webhook.

Fake nodes in a process of their own, with Multicall3; chainwatch as a process of its own with as many invariants, of one
value each; beside it a loop in web3.py that reads the same values one by one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from scripts.bench.live import cpu_seconds  # noqa: E402
from scripts.bench.peer import resident  # noqa: E402
from tests.fakenode import FakeChain, FakeNode  # noqa: E402  # the checkout's test parts
from tests.support.notified import notified  # noqa: E402
from tests.support.process import Chainwatch  # noqa: E402
from tests.support.receiver import Receiver  # noqa: E402

STATE = ("eth_call", "eth_getBalance", "eth_getStorageAt", "eth_getCode")
TOKEN = "0x" + "70" * 20
BROKEN_EVERY = 4
"""Blocks from one breach to the next; each lasts for half of them."""

CONFIG = """
[store]
url = "sqlite:///chainwatch.db"
{networks}
{invariants}
[receivers.hook]
provider = "webhook"
url = "{hook}"
allow_private = true

[[routes]]
receivers = ["hook"]
group_wait = "0s"
group_interval = "10ms"
"""
NETWORK = """
[networks.net{index}]
chain_id = {chain_id}
rpc = {rpc}
block_time = "{block_time}s"
"""
BALANCE = """
[invariants.i{number}]
values.funds = {{ network = "{network}", address = "{address}", balance = true }}
assert = "funds >= 10"
every = "{every}"
"""
HELD = """
[invariants.i{number}.values.held]
network = "{network}"
address = "{token}"
call = "function balanceOf(address a) view returns (uint256)"
args = ["{address}"]
[invariants.i{number}]
assert = "held >= 10"
every = "{every}"
"""


class Scene(NamedTuple):
    """So many values over so many networks, with a block every so many seconds."""

    values: int
    networks: int
    block_time: float
    is_rare: bool = False
    """Whether invariants are checked once only: what is left is the cost of following the networks."""

    def address(self, number: int) -> str:
        """Return the account that a value is of."""
        return f"0x{number + 1:040x}"

    def config(self, urls: list[list[str]], hook: str) -> str:
        """Return the configuration."""
        networks = [
            NETWORK.format(index=i, chain_id=1000 + i, rpc=json.dumps(rpc), block_time=self.block_time)
            for i, rpc in enumerate(urls)
        ]
        invariants = [
            (HELD if number % 2 else BALANCE).format(
                number=number,
                network=f"net{number % self.networks}",
                address=self.address(number),
                token=TOKEN,
                every="10000h" if self.is_rare else "block",
            )
            for number in range(self.values)
        ]
        return CONFIG.format(networks="".join(networks), invariants="".join(invariants), hook=hook)


class Serving:
    """The nodes' process; ``seen`` is what it counted so far, ``broken_at`` when it mined blocks with a breach."""

    def __init__(self, scene: Scene) -> None:
        command = [sys.executable, str(Path(__file__)), "--serve", json.dumps(scene)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.urls: list[list[str]] = json.loads(self._process.stdout.readline())
        self.seen: Counter[str] = Counter()
        self.broken_at: list[float] = []

    async def follow(self) -> None:
        """Read what it writes until it ends."""
        assert self._process.stdout is not None
        while line := await asyncio.to_thread(self._process.stdout.readline):
            message = json.loads(line)
            if "broken_at" in message:
                self.broken_at.append(message["broken_at"])
            else:
                self.seen = Counter(message)

    def end(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


async def measure(scene: Scene, seconds: float, warm_up: float) -> dict[str, float]:
    """Return what chainwatch takes for ``scene``, for so many seconds after it has begun."""
    async with AsyncExitStack() as stack:
        serving = Serving(scene)
        stack.callback(serving.end)
        following = asyncio.create_task(serving.follow())
        receiver = await stack.enter_async_context(Receiver())
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="chainwatch-invariants-"))
        watch = Chainwatch(Path(folder), scene.config(serving.urls, receiver.url))
        watch.start()
        stack.callback(watch.kill)
        await asyncio.sleep(warm_up)
        assert watch.is_running, watch.log[-2000:]
        before, cpu, began = Counter(serving.seen), cpu_seconds(watch.pid), time.time()
        await asyncio.sleep(seconds)
        cpu, after, took = cpu_seconds(watch.pid) - cpu, Counter(serving.seen), time.time() - began
        await asyncio.sleep(min(3.0, scene.block_time))
        arrived = [
            one.arrived_at
            for one in notified(receiver.requests)
            if one.name == "InvariantViolated" and one.status == "firing"
        ]
        found = _shares(before, after, cpu / took)
        found |= _latencies([at for at in serving.broken_at if began <= at <= began + took], arrived)
        found["MiB"] = resident(watch.pid)
        found["lag"] = await _lag(watch)
        watch.kill()
        following.cancel()
    return found


async def _lag(watch: Chainwatch) -> float:
    """Return how many blocks the newest answered check of any invariant is behind its network's checkpoint."""
    status = await watch.read("status")
    heads = {network["name"]: network["checkpoint"]["number"] for network in status["networks"]}
    rows = await watch.read("invariants", "list")
    return max(0.0, *(float(heads[row["networks"][0]] - (row["block"] or 0)) for row in rows))


async def measure_web3(scene: Scene, seconds: float, warm_up: float) -> dict[str, float]:
    """Return what a loop in web3.py takes that reads each value of each block by itself."""
    serving = Serving(scene)
    following = asyncio.create_task(serving.follow())
    command = [sys.executable, str(Path(__file__)), "--web3", json.dumps([scene, serving.urls])]
    reading = await asyncio.create_subprocess_exec(*command)
    try:
        await asyncio.sleep(warm_up)
        before, cpu, began = Counter(serving.seen), cpu_seconds(reading.pid), time.monotonic()
        await asyncio.sleep(seconds)
        cpu, took = cpu_seconds(reading.pid) - cpu, time.monotonic() - began
        return _shares(before, Counter(serving.seen), cpu / took)
    finally:
        reading.kill()
        await reading.wait()
        serving.end()
        following.cancel()


def _shares(before: Counter[str], after: Counter[str], cores: float) -> dict[str, float]:
    blocks = max(1, after["blocks"] - before["blocks"])
    calls = sum(after[method] - before[method] for method in STATE)
    posts = after["posts"] - before["posts"]
    return {"cores": cores, "state_calls_a_block": calls / blocks, "requests_a_block": posts / blocks}


def _latencies(broken_at: list[float], arrived: list[float]) -> dict[str, float]:
    took = [(min(later) - at) * 1000 for at in broken_at if (later := [one for one in arrived if one >= at])]
    missing = {"unseen": float(len(broken_at) - len(took))}
    if not took:
        return missing
    return {"p50_ms": statistics.median(took), "longest_ms": max(took), **missing}


# --- the other processes


async def serve(scene: Scene) -> None:
    """Serve the chains until it is killed; print their URLs, then what was asked and when a breach was mined."""
    async with AsyncExitStack() as stack:
        nodes = []
        for index in range(scene.networks):
            chain = FakeChain(1000 + index, block_time=max(1, int(scene.block_time)), start=int(time.time()))
            chain.has_multicall = True
            nodes.append(await stack.enter_async_context(FakeNode(chain)))
        print(json.dumps([[node.ws_url, node.http_url] for node in nodes]), flush=True)
        await asyncio.gather(_report(nodes), *(_mine(node, scene) for node in nodes))


async def _mine(node: FakeNode, scene: Scene) -> None:
    """Mine blocks; on the first network each account falls below its floor once, for a few blocks."""
    await asyncio.sleep(random.random() * scene.block_time)
    chain, number = node.chain, 0
    while True:
        phase = (chain.head.number + 1) % BROKEN_EVERY
        account, is_first = scene.address(number), chain.chain_id == 1000
        if phase == 0:
            chain.balances[account] = 9 if is_first else 10
        elif phase == BROKEN_EVERY // 2:
            chain.balances[account] = 10
            number += 2 * scene.networks
        chain.mine()
        if phase == 0 and is_first:
            print(json.dumps({"broken_at": time.time()}), flush=True)
        await node.announce()
        await asyncio.sleep(scene.block_time)


async def _report(nodes: list[FakeNode]) -> None:
    while True:
        counted: Counter[str] = Counter()
        for node in nodes:
            counted.update(node.asked)
            counted.update(posts=node.posts, blocks=node.chain.head.number)
        print(json.dumps(counted), flush=True)
        await asyncio.sleep(0.5)


async def read_by_web3(scene: Scene, urls: list[list[str]]) -> None:
    """Read the values of each new block until it is killed, as a script of a few lines does."""
    from web3 import AsyncHTTPProvider, AsyncWeb3

    abi = [
        {
            "type": "function",
            "name": "balanceOf",
            "stateMutability": "view",
            "inputs": [{"name": "a", "type": "address"}],
            "outputs": [{"name": "", "type": "uint256"}],
        }
    ]

    async def follow(index: int) -> None:
        w3 = AsyncWeb3(AsyncHTTPProvider(urls[index][1]))
        token = w3.eth.contract(address=w3.to_checksum_address(TOKEN), abi=abi)
        accounts = [
            (number, w3.to_checksum_address(scene.address(number)))
            for number in range(index, scene.values, scene.networks)
        ]
        known = -1
        while True:
            head = await w3.eth.get_block("latest")
            if head["number"] > known:
                known = at = head["number"]
                for number, account in accounts:
                    if number % 2:
                        value = await token.functions.balanceOf(account).call(block_identifier=at)
                    else:
                        value = await w3.eth.get_balance(account, block_identifier=at)
                    assert value >= 9
            await asyncio.sleep(min(1.0, scene.block_time / 2))

    await asyncio.gather(*map(follow, range(scene.networks)))


SCENES = {
    "200 values, 6 networks, a block a second": (Scene(200, 6, 1.0), 10.0, 0.05, 2.0),
    "10,000 values, 1 network, a block every 12 s": (Scene(10_000, 1, 12.0), 45.0, 0.25, 0.0),
}
"""Scenes with the seconds to warm up, and the most that they are to take: share of a core, state calls a block."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--seconds", type=float, default=30.0, help="for which is measured; the second scene: twice"
    )
    parser.add_argument("--only", type=int, help="one scene: 1 or 2")
    parser.add_argument("--no-web3", action="store_true", help="leave web3.py out")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--web3", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve is not None:
        asyncio.run(serve(Scene(*json.loads(given.serve))))
        return
    if given.web3 is not None:
        scene, urls = json.loads(given.web3)
        asyncio.run(read_by_web3(Scene(*scene), urls))
        return
    for index, (name, (scene, warm_up, cores, calls)) in enumerate(SCENES.items(), 1):
        if given.only not in (None, index):
            continue
        seconds = given.seconds * index
        print(name)
        idle = asyncio.run(measure(scene._replace(is_rare=True), seconds, warm_up))
        print(f"  chainwatch, following the networks alone: {idle['cores']:.3f} cores")
        found = asyncio.run(measure(scene, seconds, warm_up))
        _show("chainwatch, beyond that", found | {"cores": found["cores"] - idle["cores"]}, cores, calls)
        if not given.no_web3:
            _show("web3.py", asyncio.run(measure_web3(scene, seconds, warm_up)), cores, calls)


def _show(what: str, found: dict[str, Any], cores: float, calls: float) -> None:
    mark = f" (mark {calls:g})" if calls else ""
    line = [
        f"{found['cores']:.3f} cores (mark {cores:g})",
        f"{found['state_calls_a_block']:.1f} state calls a block{mark}",
        f"{found['requests_a_block']:.1f} requests a block",
    ]
    if "p50_ms" in found:
        line.append(f"breach to webhook p50 {found['p50_ms']:.0f} ms, longest {found['longest_ms']:.0f} ms")
    if found.get("unseen"):
        line.append(f"{found['unseen']:.0f} breaches without an alert")
    if "MiB" in found:
        line.append(f"{found['MiB']:.0f} MiB, at most {found['lag']:.0f} blocks behind")
    print(f"  {what}: {'; '.join(line)}")


if __name__ == "__main__":
    main()
