"""Connext's contracts on two real nodes, a receiver, and a chainwatch that watches them."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

from chainwatch.demo.bridge import Transfer
from tests.support import connext
from tests.support.anvil import Anvil
from tests.support.discord import discord
from tests.support.notified import NotifiedAlert, notified
from tests.support.process import ROOT, Chainwatch
from tests.support.receiver import Answer, Received, Receiver
from tests.support.waiting import PATIENCE, eventually

SECRET = "5ecret-m4rk"
"""A part of every URL that must not be shown: endpoints, webhooks."""

HOOK = f"/hook/{SECRET}"
DISCORD = f"/api/webhooks/1234/{SECRET}"

FAST = """
group_by = ["..."]
group_wait = "0s"
group_interval = "300ms"
"""
"""A route's settings with which nothing waits, and each notification reports one alert."""

BOTH = ("ws", "http")

LOOK_AGAIN = 0.2
"""Seconds from one look at the database to the next."""

CONFIG = """
[store]
url = "${{STORE}}"

[networks.ethereum]
chain_id = 1
domain = 6648936
rpc = {ethereum_rpc}
start_block = 0
{network}

[networks.optimism]
chain_id = 10
domain = 1869640809
rpc = {optimism_rpc}
start_block = 0
{network}

[contracts.connext]
abi = "{abi}"
address = {{ ethereum = "{ethereum}", optimism = "{optimism}" }}

{flow}

[receivers.hook]
provider = "webhook"
url = "${{HOOK_URL}}"
allow_private = true

[[routes]]
receivers = ["hook"]
{route}
{more}
"""


class World:
    """An async context manager: starts the receiver, ends everything, and looks for secrets in what was written.

    Chain ids 1 and 10 are Ethereum and Optimism; time is the wall's, blocks come with each transaction.
    """

    def __init__(self, folder: Path, ethereum: Anvil, optimism: Anvil) -> None:
        self.folder = folder
        self.ethereum = ethereum
        self.optimism = optimism
        self.receiver = Receiver(answer)
        self.watches: list[Chainwatch] = []
        self._nonce = 0
        self._ending = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._ending.enter_async_context(self.receiver)
        self.ethereum.set_emitter(connext.ETHEREUM.address)
        self.optimism.set_emitter(connext.OPTIMISM.address)
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            for watch in self.watches:
                watch.kill()
            self._assert_no_secret_was_sent()
        finally:
            await self._ending.aclose()

    @property
    def watch(self) -> Chainwatch:
        """The first chainwatch that was configured."""
        return self.watches[0]

    def configure(
        self,
        *,
        store: str = "sqlite:///chainwatch.db",
        within: str = "3s",
        reconcile_within: str | None = None,
        endpoints: Sequence[str] = BOTH,
        ethereum_rpc: Sequence[str] = (),
        optimism_rpc: Sequence[str] = (),
        network: str = "",
        route: str = FAST,
        more: str = "",
    ) -> Chainwatch:
        """A chainwatch of this world, not yet started. `network`, `route` are lines for their tables, `more` tables."""
        config = CONFIG.format(
            ethereum_rpc=list(ethereum_rpc) or self.urls(self.ethereum, endpoints),
            optimism_rpc=list(optimism_rpc) or self.urls(self.optimism, endpoints),
            abi=ROOT / "abi" / "connext.json",
            ethereum=connext.ETHEREUM.address,
            optimism=connext.OPTIMISM.address,
            flow=connext.flow(
                within,
                reconcile_within or within,
                'orphan_grace = "3s"\nverify = ["connext.transfer_id", "connext.message_hash"]',
            ),
            network=network,
            route=route,
            more=more,
        )
        number = len(self.watches)
        environ = {
            "STORE": store,
            "HOOK_URL": f"{self.receiver.url}{HOOK}/{number}",
            "DISCORD_URL": self.receiver.url + DISCORD,
        }
        folder = self.folder / str(number)
        folder.mkdir()
        self.watches.append(Chainwatch(folder, config, environ))
        return self.watches[-1]

    @staticmethod
    def urls(node: Anvil, endpoints: Sequence[str] = BOTH) -> list[str]:
        """The URLs of a node, of the kinds `ws` and `http`, each with a key in it."""
        by_kind = {"ws": node.ws_url, "http": node.http_url}
        return [f"{by_kind[kind]}/?key={SECRET}" for kind in endpoints]

    # --- what happens on the chains ---

    def transfer(self) -> Transfer:
        """A transfer from Ethereum to Optimism that is not on any chain yet."""
        self._nonce += 1
        return connext.transfer(connext.ETHEREUM, connext.OPTIMISM, self._nonce)

    def open(self) -> Transfer:
        """Opens a new transfer."""
        transfer = self.transfer()
        self.ethereum.emit(connext.ETHEREUM.address, *connext.xcalled(transfer))
        return transfer

    def execute(self, transfer: Transfer, *, fast: bool = False) -> None:
        """Pays it out; fast is by routers, before it was reconciled."""
        routers = [connext.ROUTER] if fast else []
        self.optimism.emit(connext.OPTIMISM.address, *connext.executed(transfer, routers=routers))

    def reconcile(self, transfer: Transfer, *, fast: bool = False) -> None:
        """Settles it."""
        routers = [connext.ROUTER] if fast else []
        self.optimism.emit(connext.OPTIMISM.address, *connext.reconciled(transfer, routers=routers))

    # --- what receivers get ---

    @property
    def notified(self) -> list[NotifiedAlert]:
        """Every alert that the webhook of the first chainwatch received, in order."""
        return self.notified_by(self.watch)

    def notified_by(self, watch: Chainwatch) -> list[NotifiedAlert]:
        """The same of any."""
        path = f"{HOOK}/{self.watches.index(watch)}"
        return notified(request for request in self.receiver.requests if request.path == path)

    def notified_of(self, name: str, status: str | None = None) -> list[NotifiedAlert]:
        """Those of this name."""
        return [t for t in self.notified if t.name == name and status in (None, t.status)]

    async def until_notified(
        self, count: int, name: str, status: str, timeout: float = PATIENCE
    ) -> list[NotifiedAlert]:
        """The alerts of this name and status, once there are `count`; AssertionError when they do not come."""
        await eventually(lambda: len(self.notified_of(name, status)) >= count, timeout)
        return self.notified_of(name, status)

    async def until_running(self, starts: int = 1, watch: Chainwatch | None = None) -> None:
        """Waits until a chainwatch runs for the so-manieth time."""
        await eventually(lambda: (watch or self.watch).log.count('"running"') >= starts)

    async def until_all_notified(self, watch: Chainwatch | None = None) -> None:
        """Waits until no notification is queued any more."""
        await self.until("queue", "list", "--status", "pending", holds=lambda found: not found, watch=watch)

    async def until(
        self,
        *command: str,
        holds: Callable[[Any], bool],
        watch: Chainwatch | None = None,
        timeout: float = PATIENCE,
    ) -> Any:
        """What a command of a chainwatch that was started prints with `--json`, once that is as it should be."""
        watch = watch or self.watch
        await self.until_running(watch=watch)
        end = time.monotonic() + timeout
        while not holds(found := await watch.look(*command)):
            assert time.monotonic() < end, f"not within {timeout} s: {command} says {found}"
            await asyncio.sleep(LOOK_AGAIN)
        return found

    # --- secrets ---

    def _assert_no_secret_was_sent(self) -> None:
        for watch in self.watches:
            assert SECRET not in watch.written
        for file in self.folder.glob("*/chainwatch.db*"):
            assert SECRET.encode() not in file.read_bytes(), f"a secret stands in {file.name}"
        for request in self.receiver.requests:
            assert SECRET.encode() not in request.body, "a secret stands in a notification"


def answer(request: Received) -> Answer:
    """What the world's receiver usually answers: as Discord does on its path, else 200."""
    return discord(request) if request.path == DISCORD else Answer()
