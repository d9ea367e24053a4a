"""What `chainwatch init --preset` writes, unchanged, on the protocols' own contracts: silent until something is broken."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner

from chainwatch.cli import main
from chainwatch.init.presets import cctp_v1, cctp_v2, connext, hyperlane
from chainwatch.operations.accepted_values import accept_values
from chainwatch.operations.context import Context
from chainwatch.plan import Plan, load_plan
from chainwatch.store.alerting import alerts
from chainwatch.store.database import Database
from tests.integration.protocols.conftest import deployed
from tests.integration.test_invariant_kinds import answered, firing
from tests.integration.test_invariant_kinds_real import ADMIN
from tests.integration.test_monitor import running, until
from tests.support.anvil import Anvil
from tests.support.protocols import openzeppelin
from tests.support.protocols.artifacts import bytecodes
from tests.support.protocols.chain import Chain, Chains, Receipt, address_of, word
from tests.support.protocols.circle import Circle, Site
from tests.support.protocols.connext import MANAGER, REMOTE, REPLACE, Connext, manager, selectors
from tests.support.protocols.hyperlane import CORE, Hyperlane
from tests.support.protocols.layerzero import SET_PEER, LayerZero

pytestmark = pytest.mark.anvil

NAMES = ("ethereum", "optimism", "base")
ALICE = "0x" + "1" * 40
MINT = "mint(address,uint256)"
TRANSFER_OWNER = "transferOwnership(address)"


class Break(NamedTuple):
    """What breaks an invariant, in one transaction, and what its alert must say."""

    name: str
    does: Callable[[], Receipt]
    said: str
    severity: str = "P0"
    mends: Callable[[], Receipt] | None = None
    """What ends its alert; without it, somebody accepts the change."""


@pytest.fixture(scope="module")
def chains(anvil_binary: Path) -> Iterator[Chains]:
    """Networks of yesterday: time can pass on them, as no block is believed that is of the future.

    Their blocks come in seconds: faster networks count as seen by the clock, which is not that of yesterday.
    """
    begin = str(int(time.time()) - 86_400)
    with ExitStack() as nodes:
        started = [
            nodes.enter_context(Anvil(anvil_binary, chain_id=number, arguments=("--timestamp", begin)))
            for number in (1, 10, 8_453)
        ]
        yield Chains(*(Chain.at(node, account) for account, node in enumerate(started)))


def written(folder: Path, preset: str, chains: Sequence[Chain], *options: str) -> Plan:
    """The plan of what is written for these networks."""
    config = folder / "config.toml"
    arguments = ["--config", str(config), "init", "--preset", preset, "--yes", *options]
    for name, chain in zip(NAMES, chains, strict=True):
        arguments += ["--network", name, "--rpc", f"{name}={chain.anvil.ws_url}"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    return load_plan(config, {})


def later(chains: Sequence[Chain], seconds: int) -> None:
    """Mine a block on each network, so much later than the latest of all."""
    latest = max(int(chain.anvil.block()["timestamp"], 16) for chain in chains)
    for chain in chains:
        chain.anvil.set_next_timestamp(latest + seconds)
        chain.anvil.mine()


def every_alert(database: Database) -> list[tuple[str, str]]:
    with database.reading() as connection:
        found = [(a.name, a.labels.get("invariant", "")) for a in alerts.list_alerts(connection)]
    return [one for one in found if one[0] not in ("Watchdog", "NetworkStalled")]


async def check(plan: Plan, chains: Sequence[Chain], go: Callable[[], None], breaks: Sequence[Break]) -> None:
    """Let transfers ``go``, then break each; all that is raised are the invariants broken, each at its block."""
    alone = {one.name: one.networks[0] for one in plan.invariants.invariants if len(one.networks) == 1}
    common = {one.name for one in plan.invariants.invariants} - alone.keys()
    later(chains, 1)  # what was deployed is there at the first moment that is compared
    with closing(Database.open(plan.settings.store.url.get_secret_value(), durable=False)) as database:
        async with running(plan, database):
            await until(lambda: all(answered(database, name) >= 0 for name in alone))
            for _ in range(2):
                later(chains, 1)  # networks are compared once each has a later block
            await until(lambda: all(answered(database, name) >= 0 for name in common))
            go()
            later(chains, 61)
            heads = {name: chain.anvil.height for name, chain in zip(NAMES, chains, strict=True)}
            await until(
                lambda: all(answered(database, name) == heads[where] for name, where in alone.items())
            )
            assert every_alert(database) == []
            broken: list[str] = []
            for one in breaks:
                block = one.does().block_number
                broken.append(one.name)
                await until(lambda: firing(database).keys() >= set(broken))
                assert firing(database).keys() == set(broken)
                alert = firing(database)[one.name]
                assert (alert.annotations["block"], alert.severity) == (str(block), one.severity), one.name
                assert one.said in alert.annotations["description"], alert.annotations["description"]
            with database.transaction() as connection:
                context = Context.of(plan, connection)
                for one in breaks:
                    if one.mends is None:
                        accept_values(connection, context, time.time(), name=one.name, author="carol")
            for one in breaks:
                if one.mends is not None:
                    one.mends()
            later(chains, 361)  # each event counts for 5 minutes
            await until(lambda: not firing(database))
            assert sorted(every_alert(database)) == [("InvariantViolated", name) for name in sorted(broken)]


async def test_hyperlanes_mailbox_behind_its_proxy(chains: Chains, tmp_path: Path) -> None:
    boxes = {c.chain_id: hyperlane.TABLE.networks[n]["mailbox"] for n, c in zip(NAMES, chains, strict=True)}
    bridge = deployed(lambda: Hyperlane(chains, boxes))
    first, second, third = chains
    plan = written(tmp_path, "hyperlane", chains)

    def go() -> None:
        bridge.relay(bridge.transfer(first, second, 5))
        bridge.relay(bridge.transfer(second, first, 5))
        bridge.transfer(first, third, 5)
        bridge.transfer(third, first, 5)

    def admin(chain: Chain) -> str:
        return address_of(
            bytes.fromhex(chain.anvil.rpc("eth_getStorageAt", boxes[chain.chain_id], ADMIN, "latest")[2:])
        )

    codes = bytecodes(CORE)
    upgraded = second.deploy(codes[0], "(uint32)", second.chain_id)
    other = second.deploy(openzeppelin.codes()["ProxyAdmin"])
    await check(
        plan,
        chains,
        go,
        [
            Break(
                "mailbox-ethereum-ism",
                lambda: first.send(boxes[1], "setDefaultIsm(address)", first.deploy(codes[1])),
                "Another contract decides on ethereum which messages are genuine",
            ),
            Break(
                "mailbox-optimism-code",
                lambda: second.send(admin(second), "upgrade(address,address)", boxes[10], upgraded),
                "runs other code than was accepted",
            ),
            Break(
                "mailbox-optimism-admin",
                lambda: second.send(admin(second), "changeProxyAdmin(address,address)", boxes[10], other),
                "The admin of the proxy mailbox on optimism has changed",
            ),
            Break(
                "mailbox-base-owner",
                lambda: third.send(boxes[8_453], TRANSFER_OWNER, ALICE),
                "The owner of mailbox on base has changed",
            ),
        ],
    )


async def test_layerzeros_oft_with_an_adapter(chains: Chains, tmp_path: Path) -> None:
    eids = (30_101, 30_111, 30_184)
    bridge = deployed(lambda: LayerZero(dict(zip(eids, chains, strict=True))))
    locked = bridge.put_adapter(eids[0])
    first, second, third = sites = [bridge.sites[eid] for eid in eids]
    options = []
    for name, site in zip(NAMES, sites, strict=True):
        options += ["--address", f"{name}={site.token}"]
    written(tmp_path, "layerzero-oft", chains, *options)
    config = tmp_path / "config.toml"
    before, mark, commented = config.read_text().partition("#[invariants.oft-backed]\n")
    filled = commented.replace('"0x…"', f'"{first.token}"', 1).replace('"0x…"', f'"{locked}"', 1)
    config.write_text(before + mark[1:] + filled.replace("#", "", 3))
    plan = load_plan(config, {})

    def go() -> None:
        sent = [bridge.transfer(eids[here], eids[there], 10**18) for here, there in ((0, 1), (1, 0))]
        later(chains, 1)  # nodes of their own clocks
        for one in sent:
            bridge.relay(one)
        for here, there in ((0, 2), (2, 0)):
            bridge.transfer(eids[here], eids[there], 10**18)

    def mint() -> Receipt:
        """What nothing backs, at a time of its own; networks are compared once each has a later block."""
        second.chain.anvil.increase_time(2)
        made = second.chain.send(second.token, MINT, ALICE, 2 * 10**18 + 1)  # 2 are locked for nobody
        later(chains, 1)
        return made

    await check(
        plan,
        chains,
        go,
        [
            Break(
                "oft-backed",
                mint,
                "More is minted than what is locked",
                mends=lambda: first.chain.send(locked, MINT, first.token, 1),
            ),
            Break(
                "oft-ethereum-peer-base",
                lambda: first.chain.send(first.token, SET_PEER, third.eid, word(ALICE)),
                "The token on ethereum has another peer on base",
            ),
            Break(
                "oft-optimism-owner",
                lambda: second.chain.send(second.token, TRANSFER_OWNER, ALICE),
                "The owner of oft on optimism has changed",
            ),
        ],
    )


@pytest.mark.parametrize("version", [1, 2])
async def test_circles_transmitter_and_messenger(chains: Chains, tmp_path: Path, version: int) -> None:
    rows = [(cctp_v1 if version == 1 else cctp_v2).TABLE.networks[name] for name in NAMES]
    domains = [row["domain"] for row in rows]
    addresses = {row["domain"]: (row["transmitter"], row["messenger"]) for row in rows}
    bridge = deployed(lambda: Circle(dict(zip(domains, chains, strict=True)), addresses))
    if version == 2:
        bridge.with_proxies()
    first, second, third = (bridge.sites[domain] for domain in domains)
    plan = written(tmp_path, f"cctp-v{version}", chains)

    def go() -> None:
        if version == 2:
            return
        for origin, destination in ((0, 1), (1, 0)):
            bridge.relay(bridge.deposit(domains[origin], domains[destination], 10**6))
        for origin, destination in ((0, 2), (2, 0)):
            bridge.deposit(domains[origin], domains[destination], 10**6)

    def send(site: Site, contract: str, function: str, *arguments: object) -> Callable[[], Receipt]:
        return lambda: site.chain.send(contract, function, *arguments)

    def give(site: Site, contract: str) -> Callable[[], Receipt]:
        def accept() -> Receipt:
            heir = site.chain.anvil.rpc("eth_accounts")[9]
            site.chain.send(contract, TRANSFER_OWNER, heir)
            return Chain(site.chain.anvil, heir).send(contract, "acceptOwnership()")

        return accept

    box, name = f"cctp-v{version}-transmitter", f"cctp-v{version}-messenger"
    proxied = [
        Break(
            f"{box}-base-code",
            lambda: third.chain.send(
                third.admins[0], "upgrade(address,address)", third.transmitter, third.minter
            ),
            "runs other code than was accepted",
        ),
        Break(
            f"{name}-base-admin",
            lambda: third.chain.send(
                third.admins[1], "changeProxyAdmin(address,address)", third.messenger, third.minter
            ),
            f"The admin of the proxy {name} on base has changed",
        ),
    ]
    breaks = [
        Break(
            f"{box}-ethereum-paused",
            send(first, first.transmitter, "pause()"),
            f"{box} on ethereum was paused",
            "P1",
            send(first, first.transmitter, "unpause()"),
        ),
        Break(
            f"{box}-ethereum-attesters",
            send(first, first.transmitter, "enableAttester(address)", ALICE),
            "CCTP on ethereum has other attesters",
        ),
        Break(
            f"{box}-ethereum-threshold",
            send(first, first.transmitter, "setSignatureThreshold(uint256)", 2),
            "CCTP on ethereum takes another number of attesters' signatures",
        ),
        Break(
            f"{box}-optimism-manager",
            send(second, second.transmitter, "updateAttesterManager(address)", ALICE),
            "CCTP on optimism has another manager of its attesters",
        ),
        Break(f"{box}-optimism-owner", give(second, second.transmitter), f"The owner of {box} on optimism"),
        Break(
            f"{name}-ethereum-minter",
            send(first, first.messenger, "removeLocalMinter()"),
            "CCTP on ethereum mints and burns by another contract",
        ),
        Break(
            f"{name}-optimism-remote-base",
            send(second, second.messenger, "removeRemoteTokenMessenger(uint32)", third.domain),
            "CCTP on optimism believes another messenger on base",
        ),
        Break(f"{name}-base-owner", give(third, third.messenger), f"The owner of {name} on base"),
    ]
    await check(plan, chains, go, [*breaks, *(proxied if version == 2 else ())])


async def test_connexts_diamonds(chains: Chains, tmp_path: Path) -> None:
    rows = [connext.TABLE.networks[name] for name in NAMES]
    domains = [row["domain"] for row in rows]
    bridge = deployed(
        lambda: Connext(dict(zip(domains, chains, strict=True)), {r["domain"]: r["diamond"] for r in rows})
    )
    first, second, third = (bridge.sites[domain] for domain in domains)
    plan = written(tmp_path, "connext", chains)

    def go() -> None:
        for origin, destination in ((0, 1), (1, 0), (2, 0)):
            bridge.send(domains[origin], domains[destination])

    def cut() -> Receipt:
        facet = second.chain.deploy(openzeppelin.codes()["ProxyAdmin"])
        return second.cut((facet, REPLACE, selectors("ProposedOwnableFacet")[:1]))

    def give() -> Receipt:
        third.chain.send(third.diamond, "proposeNewOwner(address)", first.chain.account)
        third.chain.anvil.increase_time(1)
        bob = Chain(third.chain.anvil, first.chain.account)
        return bob.send(third.diamond, "acceptProposedOwner()")

    await check(
        plan,
        chains,
        go,
        [
            Break(
                "connext-ethereum-paused",
                lambda: first.chain.send(first.diamond, "pause()"),
                "connext on ethereum was paused",
                "P1",
                lambda: first.chain.send(first.diamond, "unpause()"),
            ),
            Break(
                "connext-optimism-code",
                cut,
                "The diamond connext on optimism runs other code than was accepted",
            ),
            Break(
                "connext-ethereum-manager",
                lambda: first.chain.send(first.diamond, MANAGER, manager(first.chain, first.domain)),
                "Another contract says on ethereum which messages are genuine",
            ),
            Break(
                "connext-ethereum-remote-base",
                lambda: first.chain.send(first.diamond, REMOTE, third.domain, word(ALICE)),
                "Connext on ethereum believes another contract on base",
            ),
            Break("connext-base-owner", give, "The owner of connext on base has changed"),
        ],
    )
