"""An embedded chain for the demo and the tests: py-evm behind JSON-RPC on loopback, with a bridge.

    chain = DemoChain(31337, "alpha")
    await chain.start()
    address = await chain.deploy_bridge(domain=1)
    transfer = await chain.xcall(destination_domain=2, amount=10**18)
    ...
    await chain.stop()

Everything that changes the chain mines a block at once, stamped with the wall clock's second.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from chainwatch.demo import bridge
from chainwatch.demo.block import Block
from chainwatch.demo.bridge import Transfer
from chainwatch.demo.evm import Evm
from chainwatch.demo.ledger import Ledger
from chainwatch.demo.methods import Methods
from chainwatch.demo.server import Server

__all__ = ["DemoChain", "DemoChainError"]

# Genesis lies this many seconds back, so that the first blocks need not run ahead of the clock.
GENESIS_AGE = 60

RECIPIENT = "0x" + "11" * 20
ASSET = "0x" + "22" * 20

T = TypeVar("T")


class DemoChainError(Exception):
    """A transaction or a reorg failed; the message says which, and on which chain."""


class DemoChain:
    """One chain with its own id, head and clock. The machine runs on its own thread, never on the loop."""

    def __init__(self, chain_id: int, name: str) -> None:
        self.chain_id = chain_id
        self.name = name
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"evm-{name}")
        self._changing = asyncio.Lock()
        self._parts: tuple[Evm, Ledger, Server] | None = None
        self._port = 0
        self._bridge: str | None = None

    async def start(self) -> None:
        """Make the genesis block and serve it; this takes about a second, most of it the import of py-evm."""
        evm = await self._on_thread(lambda: Evm(self.chain_id, int(time.time()) - GENESIS_AGE))
        ledger = Ledger(await self._on_thread(evm.head))
        methods = Methods(self.chain_id, ledger, lambda work: self._on_thread(lambda: work(evm)))
        server = Server(methods)
        self._port = await server.start()
        self._parts = (evm, ledger, server)

    async def stop(self) -> None:
        """Close all connections; the blocks are lost."""
        if self._parts is not None:
            await self._parts[2].stop()
        self._thread.shutdown()

    @property
    def http_url(self) -> str:
        """Where JSON-RPC is served over HTTP; known once started."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def ws_url(self) -> str:
        """Where JSON-RPC is served over WebSocket, with subscriptions; known once started."""
        return f"ws://127.0.0.1:{self._port}"

    @property
    def head(self) -> Block:
        """The last block."""
        return self._started[1].head

    async def deploy_bridge(self, domain: int) -> str:
        """Deploy the bridge with `domain` as this network's domain; return its address as lower-case hex."""
        block = await self._transact(bridge.creation_code(domain), None)
        address: str = block.receipts[0]["contractAddress"]
        self._bridge = address
        return address

    async def xcall(
        self, destination_domain: int, amount: int, *, to: str = RECIPIENT, asset: str = ASSET
    ) -> Transfer:
        """Open a transfer on this chain (`XCalled`); `amount` is in the asset's smallest unit."""
        block = await self._on_bridge(bridge.xcall(Transfer.wanted(destination_domain, amount, to, asset)))
        return Transfer.opened(block.logs[0]["data"])

    async def execute(
        self, transfer: Transfer, *, amount: int | None = None, routers: Sequence[str] = ()
    ) -> str:
        """Pay a transfer out on this chain (`Executed`) and return the transaction's hash.

        The amount is the transfer's own unless given; with routers it is the fast path.
        """
        paid = transfer.params.bridged_amount if amount is None else amount
        return _sent(await self._on_bridge(bridge.execute(transfer, paid, routers)))

    async def reconcile(self, transfer: Transfer, *, routers: Sequence[str] = ()) -> str:
        """Settle a transfer on this chain (`Reconciled`) and return the transaction's hash."""
        return _sent(
            await self._on_bridge(bridge.reconcile(transfer, transfer.params.bridged_amount, routers))
        )

    async def emit_log(self, topics: Sequence[bytes], data: bytes) -> str:
        """Have the bridge emit any log, even an invalid one, and return the transaction's hash."""
        return _sent(await self._on_bridge(bridge.emit_log(topics, data)))

    async def mine(self, count: int = 1) -> None:
        """Mine empty blocks: a second apart, the last one now, as far as the head's age leaves room."""
        evm, ledger, server = self._started
        async with self._changing:
            mined = await self._on_thread(lambda: _mine(evm, count))
            ledger.extend(mined)
            server.publish([], mined)

    async def reorg(self, depth: int) -> list[Block]:
        """Replace the last `depth` blocks by empty ones, one more than there were; return the orphans.

        Their transactions are undone. Raises ValueError where the chain is not that long.
        """
        evm, ledger, server = self._started
        async with self._changing:
            base = ledger.ancestor(depth)
            mined = await self._on_thread(lambda: _mine_on(evm, base, depth + 1))
            orphans = ledger.replace(depth, mined)
            server.publish(orphans, mined)
        return orphans

    @property
    def _started(self) -> tuple[Evm, Ledger, Server]:
        if self._parts is None:
            raise DemoChainError(f"the chain {self.name} has not been started: await start() first")
        return self._parts

    async def _on_bridge(self, data: bytes) -> Block:
        if self._bridge is None:
            raise DemoChainError(f"the chain {self.name} has no bridge: await deploy_bridge() first")
        return await self._transact(data, self._bridge)

    async def _transact(self, data: bytes, to: str | None) -> Block:
        """Return one transaction, mined in a block of its own; raises DemoChainError when it reverts."""
        evm, ledger, server = self._started
        async with self._changing:
            block = await self._on_thread(lambda: evm.transact(int(time.time()), data, to))
            ledger.extend([block])
            server.publish([], [block])
        if block.receipts[0]["status"] != "0x1":
            raise DemoChainError(f"transaction {_sent(block)} reverted on {self.name}")
        return block

    async def _on_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _mine(evm: Evm, count: int) -> list[Block]:
    now = int(time.time())
    return [evm.mine(now - left) for left in reversed(range(count))]


def _mine_on(evm: Evm, base: Block, count: int) -> list[Block]:
    evm.revert(base.hash)
    return _mine(evm, count)


def _sent(block: Block) -> str:
    """Return the hash of the one transaction in a block."""
    return str(block.transactions[0]["hash"])
