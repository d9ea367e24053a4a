"""The soak: two nodes that reorganise, restart and freeze, spoilt answers, and a chainwatch that is killed again and again.

At the end what is stored must be what the chains hold, exactly, and the alerts that fire, and that were sent last, must be
those that the chains imply.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, closing
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import sqlalchemy as sa

from chainwatch.demo.bridge import Transfer
from chainwatch.store import blocks
from chainwatch.store.database import Database
from tests.support import connext
from tests.support.anvil import Anvil, find_or_install
from tests.support.connext import Log
from tests.support.faulty import FaultyProxy
from tests.support.process import Chainwatch
from tests.support.waiting import PATIENCE, eventually
from tests.support.world import World

FIRST = 2
"""The block from which is read, below which nothing is replaced: a node restarted twice has another block 0."""
TICK = 0.1
"""Seconds between two blocks of a chain."""
FAULTY = 0.05
"""The share of answers that are spoilt."""
REORG, RESTART, FREEZE = 1 / 40, 1 / 400, 1 / 150
"""How likely each is at a tick."""
DEEPEST = 20
LONGEST_FREEZE = 3.0
LONGEST_LIFE = 12.0
"""Seconds for which a chainwatch lives at most."""
NETWORK = """
poll_interval = "200ms"
request_timeout = "2s"
"""
CATCH_UP = PATIENCE
"""Seconds in which all must be read, and all alerts be sent, once there is peace."""
WITHIN = 10
"""Seconds of chain time that each step may take."""


class Counts(NamedTuple):
    """What a soak has seen."""

    seed: int
    blocks: int
    logs: int
    transfers: int
    reorgs: int
    restarts: int
    freezes: int
    kills: int
    answers: int
    spoilt: int
    emptied: int
    alerts: int


class Stories:
    """Transfers and the events still to come of them, shared by both chains."""

    def __init__(self, world: World, dice: Random) -> None:
        self._world = world
        self._dice = dice
        self._lock = threading.Lock()
        self._waiting: list[Log] = []

    def on_ethereum(self) -> list[Log]:
        """What Ethereum logs in its next block."""
        with self._lock:
            transfers = [self._world.transfer() for _ in range(self._dice.choice((0, 0, 1, 1, 2)))]
            self._waiting += [log for transfer in transfers for log in self._later(transfer)]
            return [connext.xcalled(transfer) for transfer in transfers]

    def on_optimism(self) -> list[Log]:
        """What Optimism logs in its next block."""
        with self._lock:
            count = min(len(self._waiting), self._dice.choice((0, 1, 2, 4)))
            return [self._waiting.pop(self._dice.randrange(len(self._waiting))) for _ in range(count)]

    def _later(self, transfer: Transfer) -> list[Log]:
        both = [connext.executed(transfer), connext.reconciled(transfer)]
        return both if self._dice.random() < 0.9 else both[:1]


class Chain(threading.Thread):
    """A node that makes ten blocks a second, and trouble."""

    def __init__(self, node: Anvil, address: str, logs: Callable[[], list[Log]], dice: Random) -> None:
        super().__init__(daemon=True)
        self.reorgs = self.restarts = self.freezes = 0
        self.error: Exception | None = None
        self._node = node
        self._address = address
        self._logs = logs
        self._dice = dice
        self._over = threading.Event()
        self._lowest = FIRST

    def run(self) -> None:
        try:
            while not self._over.wait(TICK):
                self._tick()
        except Exception as error:  # reported by the thread that waits for this one
            self.error = error

    def end(self) -> None:
        """Makes no more trouble; raises what went wrong."""
        self._over.set()
        self.join(PATIENCE)
        if self.error is not None:
            raise self.error

    def _tick(self) -> None:
        with self._node.one_block():
            for log in self._logs():
                self._node.emit(self._address, *log)
        depth = min(self._dice.randint(1, DEEPEST), self._node.height - self._lowest)
        if self._dice.random() < REORG and depth > 0:
            self.reorgs += 1
            self._node.reorg(depth)
        if self._dice.random() < FREEZE:
            self.freezes += 1
            self._node.freeze()
            self._over.wait(self._dice.uniform(0.2, LONGEST_FREEZE))
            self._node.thaw()
        if self._dice.random() < RESTART:
            self.restarts += 1
            self._node.stop()
            self._node.start()
            self._lowest = self._node.height  # a restarted node cannot go back behind its start


async def soak(folder: Path, binary: Path, seconds: float, seed: int) -> Counts:
    """Runs for ``seconds``, then waits until all is read. Raises AssertionError when what is stored is not the truth."""
    dice = Random(seed)

    def more_dice() -> Random:
        return Random(dice.random())

    async with AsyncExitStack() as stack:
        ethereum, optimism = (stack.enter_context(Anvil(binary, chain_id)) for chain_id in (1, 10))
        world = await stack.enter_async_context(World(folder, ethereum, optimism))
        proxies = [
            await stack.enter_async_context(FaultyProxy(node.http_url, FAULTY, more_dice()))
            for node in (ethereum, optimism)
        ]
        watch = world.configure(
            within=f"{WITHIN}s",
            ethereum_rpc=[*world.urls(ethereum, ["ws"]), proxies[0].url],
            optimism_rpc=[*world.urls(optimism, ["ws"]), proxies[1].url],
            network=NETWORK,
        )
        plain = world.configure(store="sqlite:///replay.db", within=f"{WITHIN}s")
        for node in (ethereum, optimism):
            node.mine(FIRST)
        for one in (watch, plain):
            one.config.write_text(one.config.read_text().replace("start_block = 0", f"start_block = {FIRST}"))
        stories = Stories(world, more_dice())
        chains = [
            Chain(ethereum, connext.ETHEREUM.address, stories.on_ethereum, more_dice()),
            Chain(optimism, connext.OPTIMISM.address, stories.on_optimism, more_dice()),
        ]
        for chain in chains:
            chain.start()
        kills = await _kill(watch, seconds, more_dice())
        await eventually(
            lambda: sum(proxy.spoilt for proxy in proxies)
        )  # on a slow machine nobody may have asked yet
        for chain in chains:
            await asyncio.to_thread(chain.end)
        for proxy in proxies:
            proxy.faulty = 0.0
        # both see past all that may be an orphan: a replay has no clock to see further than the last block by
        latest = max(int(node.block()["timestamp"], 16) for node in (ethereum, optimism)) + 60
        for node in (ethereum, optimism):
            node.set_next_timestamp(latest)
            node.mine()
        logs = await _until_true(watch, {"ethereum": ethereum, "optimism": optimism})
        alerts = await _until_notified(world, _implied(_logs_of(ethereum), _logs_of(optimism)))
        transfers = await _compare_with_a_replay(watch, plain)
        return Counts(
            seed,
            ethereum.height + optimism.height,
            logs,
            transfers,
            sum(chain.reorgs for chain in chains),
            sum(chain.restarts for chain in chains),
            sum(chain.freezes for chain in chains),
            kills,
            sum(proxy.answers for proxy in proxies),
            sum(proxy.spoilt for proxy in proxies),
            sum(proxy.emptied for proxy in proxies),
            alerts,
        )


async def _kill(watch: Chainwatch, seconds: float, dice: Random) -> int:
    """Lets chainwatch run for ``seconds``, killed at random moments; it runs in the end. How often it was killed."""
    end = time.monotonic() + seconds
    kills = 0
    while True:
        watch.start()
        life = dice.uniform(1.0, LONGEST_LIFE)
        left = end - time.monotonic()
        if life >= left:
            await asyncio.sleep(max(0.0, left))
            return kills
        await asyncio.sleep(life)
        assert watch.is_running, watch.log[-2000:]
        watch.kill()
        kills += 1
        await asyncio.sleep(dice.uniform(0.0, 1.0))


async def _until_true(watch: Chainwatch, nodes: dict[str, Anvil]) -> int:
    """Waits until what is stored is what the chains hold; how many logs that are."""
    truth = {name: _logs_of(node) for name, node in nodes.items()}
    heads = {name: node.block()["hash"] for name, node in nodes.items()}
    await eventually(
        lambda: '"running"' in watch.log
    )  # on a slow machine no life before was long enough for that
    end = time.monotonic() + CATCH_UP
    with closing(Database.open(f"sqlite:///{watch.folder / 'chainwatch.db'}", create=False)) as database:
        while True:
            with database.reading() as connection:
                found = blocks.checkpoints(connection)
                read = {name: "0x" + found[name].last.hash.hex() for name in nodes if name in found}
                stored = {name: _stored(connection, name) for name in nodes}
            if read == heads:
                break
            assert time.monotonic() < end, f"not read to the heads within {CATCH_UP} s:\n{watch.log[-3000:]}"
            await asyncio.sleep(0.2)
    for name in nodes:
        missing, foreign = truth[name] - stored[name], stored[name] - truth[name]
        assert not missing, f"{name}: {len(missing)} logs are not stored, such as {min(missing)}"
        assert not foreign, f"{name}: {len(foreign)} logs are not in the chain, such as {min(foreign)}"
    return sum(map(len, truth.values()))


def _logs_of(node: Anvil) -> set[tuple[Any, ...]]:
    logs = node.rpc("eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest"}, timeout=60.0)
    return {
        (
            int(log["blockNumber"], 16),
            int(log["logIndex"], 16),
            int(log["blockTimestamp"], 16),
            log["transactionHash"],
            log["address"].lower(),
            "".join(topic[2:] for topic in log["topics"]),
            log["data"],
        )
        for log in logs
    }


Alert = tuple[str, str | None, str]
"""An alert's name, its step where it names one, its transfer."""


def _implied(ethereum: set[tuple[Any, ...]], optimism: set[tuple[Any, ...]]) -> set[Alert]:
    """The alerts that these logs imply once both chains are far beyond them."""
    opened, executed, reconciled = (
        {"0x" + log[5][64:128] for log in logs if log[5][:64] == topic.hex()}
        for topic, logs in (
            (connext.XCALLED, ethereum),
            (connext.EXECUTED, optimism),
            (connext.RECONCILED, optimism),
        )
    )
    late = [("execute", opened - executed), ("reconcile", opened - reconciled)]
    overdue = {("TransferOverdue", step, key) for step, keys in late for key in keys}
    early = [("execute", executed - opened), ("reconcile", reconciled - opened)]
    return overdue | {("TransferOrphan", step, key) for step, keys in early for key in keys}


async def _until_notified(world: World, implied: set[Alert]) -> int:
    """Waits until exactly these alerts fire and were sent last; how many they are."""
    end = time.monotonic() + CATCH_UP
    while True:
        shown = await world.watch.read("alerts", "list", "--firing", "--limit", "1000000")
        firing = {_alert(alert["labels"]) for alert in shown if "transfer" in alert["labels"]}
        last = {alert.fingerprint: alert for alert in world.notified if "transfer" in alert.labels}
        notified = {_alert(alert.labels) for alert in last.values() if alert.status == "firing"}
        if firing == notified == implied:
            return len(implied)
        assert time.monotonic() < end, (
            f"not within {CATCH_UP} s: firing, but not implied {list(firing - implied)[:3]}, "
            f"implied, but not firing {list(implied - firing)[:3]}, "
            f"reported, but not firing {list(notified - firing)[:3]}, not reported {list(firing - notified)[:3]}"
        )
        await asyncio.sleep(1.0)


def _alert(labels: Mapping[str, str]) -> Alert:
    return labels["alertname"], labels.get("step"), labels["transfer"]


def _stored(connection: sa.Connection, network: str) -> set[tuple[Any, ...]]:
    return {
        (
            log.block_number,
            log.log_index,
            log.timestamp,
            "0x" + log.tx_hash.hex(),
            "0x" + log.address.hex(),
            b"".join(log.topics).hex(),
            "0x" + log.data.hex(),
        )
        for _, log, _ in blocks.logs_above(connection, network, -1)
    }


async def _compare_with_a_replay(watch: Chainwatch, plain: Chainwatch) -> int:
    """The transfers must be those of a replay of the same chains, undisturbed; how many there are."""
    done = await plain.command("replay", "--database", str(plain.folder / "replay.db"), "--json")
    assert done.code == 0, done.err
    live, replayed = await _transfers(watch), await _transfers(plain)
    assert live.keys() == replayed.keys()
    differing = {key: (live[key], replayed[key]) for key in live if live[key] != replayed[key]}
    assert not differing, f"{len(differing)} transfers differ, such as {next(iter(differing.items()))}"
    return len(live)


async def _transfers(watch: Chainwatch) -> dict[str, Any]:
    found = await watch.read("transfers", "--limit", "1000000")
    return {transfer["key"]: transfer for transfer in found}


def main() -> None:
    """The command ``scripts/soak``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0, help="how long there is trouble (default: 20)")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32), help="of all that is random")
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="chainwatch-soak-") as folder:
        counts = asyncio.run(soak(Path(folder), find_or_install(), given.minutes * 60, given.seed))
    print(
        "what is stored is what the chains hold: "
        + ", ".join(f"{v} {k}" for k, v in counts._asdict().items())
    )
