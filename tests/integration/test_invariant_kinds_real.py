"""Kinds of invariants on the contracts that protocols deploy: Safe 1.3 and 1.4, OpenZeppelin 4.9, the OP stack."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from eth_utils.crypto import keccak

from chainwatch.init import presets
from chainwatch.init.presets.safe import KINDS
from chainwatch.operations.accepted_values import accept_values
from chainwatch.operations.context import Context
from chainwatch.plan import Plan
from chainwatch.store.database import Database
from tests.integration.test_invariant_kinds import ALICE, BOB, DAY, ETHER, Case, Nodes, answered, configured
from tests.integration.test_monitor import raised, running, until
from tests.support.anvil import Anvil
from tests.support.missing import missing
from tests.support.protocols import openzeppelin, optimism, safe
from tests.support.protocols.artifacts import ArtifactError, load, own_bytecodes
from tests.support.protocols.chain import Chain, call_data

pytestmark = pytest.mark.anvil

IMPLEMENTATION, ADMIN, BEACON = (
    hex(int.from_bytes(keccak(text=f"eip1967.proxy.{name}")) - 1)
    for name in ("implementation", "admin", "beacon")
)
NOBODY = safe.NOBODY
MINTER = "0x" + keccak(text="MINTER_ROLE").hex()
MINT = "mint(address,uint256)"
YEAR = 365 * DAY
ABIS = Path(presets.__file__).parent / "abi"
BLOCKS = 10**6
"""How many blocks of the second layer lie between two outputs."""


class Real(Nodes):
    """Contracts of some protocols, with a case for each kind that watches them."""

    def __init__(self, alpha: Anvil, beta: Anvil) -> None:
        super().__init__(alpha, beta)
        self.contracts: dict[str, Any] = {}
        self.quiet: dict[str, Any] = {}
        """What nothing breaks."""

    def plan(self, folder: Path) -> Plan:
        tables = {name: {"severity": "P0", **case.parameters} for name, case in self.cases.items()}
        for network in ("alpha", "beta"):  # nothing here creates ETH
            tables[f"eth-{network}"] = {"kind": "eth_conservation", "network": network}
        tables |= self.quiet
        return configured(folder, self.nodes, tables, {"contracts": self.contracts}, block_time="1s")

    def send(self, to: str, function: str, *arguments: Any, chain: Chain | None = None) -> Callable[[], Any]:
        """What sends a transaction when it is called."""
        return lambda: (chain or self.alpha).submit(to, function, *arguments)


class Safes(Real):
    """Safes of both versions; their owners sign what breaks and what mends them."""

    def __init__(self, alpha: Anvil, beta: Anvil) -> None:
        super().__init__(alpha, beta)
        for version in safe.VERSIONS:
            factory = safe.SafeFactory(self.alpha, version)
            short = version.replace(".", "-")
            self.cases |= {f"{name}-{short}": case for name, case in self._of(factory, version).items()}
        self.cases["liveness"] = self._liveness(factory)
        self.begin()

    def _of(self, factory: safe.SafeFactory, version: str) -> dict[str, Case]:
        owners = [one.address for one in safe.OWNERS]

        def case(
            kind: str, breaks: tuple[Any, ...], mends: tuple[Any, ...], signers: int = 1, **expected: Any
        ) -> Case:
            wallet = factory.make()
            return Case(
                {"kind": kind, "network": "alpha", "safe": wallet.address, **expected},
                lambda: wallet.execute_itself(*breaks, nonce=0),
                lambda: wallet.execute_itself(*mends, nonce=1, signers=signers),
            )

        threshold, guard, handler = (
            f"{name}({of})"
            for name, of in (
                ("changeThreshold", "uint256"),
                ("setGuard", "address"),
                ("setFallbackHandler", "address"),
            )
        )
        add = ("addOwnerWithThreshold(address,uint256)", ALICE, 1)
        remove = ("removeOwner(address,address,uint256)", safe.SENTINEL, ALICE, 1)
        enable = ("enableModule(address)", BOB)
        disable = ("disableModule(address,address)", safe.SENTINEL, BOB)
        watched, evented, replaced, swapped = (factory.make() for _ in range(4))
        swap = "swapOwner(address,address,address)"
        package = safe.VERSIONS[version]
        (abi,) = (path for path in load(package.package) if path.stem == package.singleton)
        contract = f"safe-{version}"
        self.contracts[contract] = {"abi": str(abi), "address": {"alpha": evented.address}}
        writer = self.alpha.deploy(
            own_bytecodes()["WatchedSafe"], "(address,address[],uint256)", NOBODY, [], 1
        )

        def replace(singleton: str, nonce: int) -> Callable[[], None]:
            """What lets the owners sign a delegated call that writes where the Safe keeps its code's address."""
            change = "setSingleton(address)"
            return lambda: replaced.execute(writer, change, singleton, operation=1, nonce=nonce)

        return {
            "owners": case("safe_owners", add, remove, owners=owners),
            "threshold": case("safe_threshold", (threshold, 2), (threshold, 1), 2, threshold=1),
            "modules": case("safe_modules", enable, disable),
            "guard": case("safe_guard", (guard, factory.guard), (guard, NOBODY), guard=NOBODY),
            "fallback": case(
                "safe_fallback", (handler, ALICE), (handler, factory.handler), handler=factory.handler
            ),
            "singleton": Case(
                {
                    "kind": "safe_singleton",
                    "network": "alpha",
                    "safe": replaced.address,
                    "singleton": factory.singleton,
                },
                replace(factory.other, 0),
                replace(factory.singleton, 1),
            ),
            "nonce": Case(
                {"kind": "safe_nonce", "network": "alpha", "safe": watched.address, "nonce": 0},
                lambda: watched.execute(ALICE, "anything()", nonce=0),
                self._put(watched.address, 5, 0),  # no nonce falls: the slot is set as it was
            ),
            "signers": Case(
                {
                    "kind": "signers",
                    "network": "alpha",
                    "contract": swapped.address,
                    "call": "function getOwners() view returns (address[])",
                    "signers": owners,
                },
                lambda: swapped.execute_itself(swap, owners[0], owners[1], ALICE, nonce=0),
                lambda: swapped.execute_itself(swap, owners[0], ALICE, owners[1], nonce=1),
            ),
            "events": Case(
                {
                    "kind": "events",
                    "network": "alpha",
                    "contract": contract,
                    "event": "AddedOwner",
                    "most": 0,
                    "within": "3s",
                },
                lambda: evented.execute_itself(*add, nonce=0),
                lambda: self.mine(10),
            ),
        }

    def _put(self, address: str, slot: int, value: int) -> Callable[[], Any]:
        parts = (f"0x{slot:064x}", f"0x{value:064x}")
        return lambda: self.nodes[0].rpc("anvil_setStorageAt", address, *parts)

    def _liveness(self, factory: safe.SafeFactory) -> Case:
        """A Safe whose module removes owners that have not acted for 100 days."""
        wallet, node = factory.make(), self.nodes[0]
        owners = [one.address for one in safe.OWNERS]
        guard = self.alpha.deploy(optimism.codes()["LivenessGuard"], "(address)", wallet.address)
        module = self.alpha.deploy(
            optimism.codes()["LivenessModule"],
            "(address,address,uint256,uint256,uint256,address)",
            *(wallet.address, guard, 100 * DAY, 1, 50, ALICE),
        )
        wallet.execute_itself("setGuard(address)", guard, nonce=0)
        node.rpc("anvil_autoImpersonateAccount", True)
        for owner in owners:
            node.rpc("anvil_setBalance", owner, hex(ETHER))

        def show() -> None:
            data = "0x" + call_data("showLiveness()").hex()
            for owner in owners:
                node.rpc(
                    "eth_sendTransaction", {"from": owner, "to": guard, "input": data, "gas": hex(10**5)}
                )

        return Case(
            {
                "kind": "safe_liveness",
                "network": "alpha",
                "module": module,
                "guard": guard,
                "owners": owners,
                "every": "block",
            },
            lambda: None,
            show,
            87 * DAY,
        )


class Contracts(Real):
    """OpenZeppelin's contracts: a token with roles, proxies of both forms, a timelock."""

    def __init__(self, alpha: Anvil, beta: Anvil) -> None:
        super().__init__(alpha, beta)
        code, me = openzeppelin.codes(), self.alpha.account
        here = {"network": "alpha"}

        def token() -> str:
            made = self.alpha.deploy(code["ERC20PresetMinterPauser"], "(string,string)", "Token", "TKN")
            self.alpha.send(made, MINT, me, 10 * ETHER)
            return made

        first, second = token(), token()
        paused, roles, held, minted, stepped = (token() for _ in range(5))
        admin = self.alpha.deploy(code["ProxyAdmin"])
        beacons = [self.alpha.deploy(code["UpgradeableBeacon"], "(address)", first) for _ in range(3)]
        followers = [self.alpha.deploy(code["BeaconProxy"], "(address,bytes)", one, b"") for one in beacons]
        upgraded, administered = (
            self.alpha.deploy(code["TransparentUpgradeableProxy"], "(address,address,bytes)", first, me, b"")
            for _ in range(2)
        )
        timelock = self.alpha.deploy(
            code["TimelockController"], "(uint256,address[],address[],address)", 60, [me], [me], me
        )
        self.nodes[0].rpc("anvil_autoImpersonateAccount", True)
        self.nodes[0].rpc("anvil_setBalance", timelock, hex(ETHER))
        role = bytes.fromhex(MINTER[2:])

        def delay(seconds: int) -> Callable[[], Any]:
            itself = Chain(self.nodes[0], timelock)
            return self.send(timelock, "updateDelay(uint256)", seconds, chain=itself)

        def follow(beacon: str) -> Callable[[], Any]:
            value = "0x" + beacon[2:].rjust(64, "0")
            return lambda: self.nodes[0].rpc("anvil_setStorageAt", followers[0], BEACON, value)

        transfer, upgrade, change = "transferOwnership(address)", "upgradeTo(address)", "changeAdmin(address)"
        self.cases = {
            # an owner that is none of this chain's accounts gives it back through impersonation
            "owner": Case(
                {"kind": "owner", **here, "contract": admin, "owner": me},
                self.send(admin, transfer, BOB),
                self.send(admin, transfer, me, chain=self._account(BOB)),
            ),
            "implementation": Case(
                {"kind": "implementation", **here, "proxy": upgraded, "implementation": first},
                self.send(upgraded, upgrade, second),
                self.send(upgraded, upgrade, first),
            ),
            "proxy_admin": Case(
                {"kind": "proxy_admin", **here, "proxy": administered, "admin": me},
                self.send(administered, change, BOB),
                self.send(administered, change, me, chain=self._account(BOB)),
            ),
            "beacon": Case(
                {"kind": "beacon", **here, "proxy": followers[0], "beacon": beacons[0]},
                follow(beacons[2]),
                follow(beacons[0]),
            ),
            "upgraded-beacon": Case(
                {
                    "kind": "beacon",
                    **here,
                    "proxy": followers[1],
                    "beacon": beacons[1],
                    "implementation": first,
                },
                self.send(beacons[1], upgrade, second),
                self.send(beacons[1], upgrade, first),
            ),
            "role": Case(
                {
                    "kind": "role",
                    **here,
                    "contract": roles,
                    "role": MINTER,
                    "account": ALICE,
                    "granted": False,
                },
                self.send(roles, "grantRole(bytes32,address)", role, ALICE),
                self.send(roles, "revokeRole(bytes32,address)", role, ALICE),
            ),
            "paused": Case(
                {"kind": "paused", **here, "contract": paused},
                self.send(paused, "pause()"),
                self.send(paused, "unpause()"),
            ),
            "constant": Case(
                {
                    "kind": "constant",
                    **here,
                    "contract": timelock,
                    "call": "function getMinDelay() view returns (uint256)",
                    "expected": 60,
                },
                delay(0),
                delay(60),
            ),
            "token_balance": Case(
                {"kind": "token_balance", **here, "token": held, "address": me, "lower": 10},
                self.send(held, "transfer(address,uint256)", BOB, 1),
                self.send(held, MINT, me, 1),
            ),
            "supply": Case(
                {"kind": "supply", **here, "token": minted, "upper": 10},
                self.send(minted, MINT, BOB, 1),
                self.send(minted, "burn(uint256)", 1),
            ),
            "supply_step": Case(
                {"kind": "supply_step", **here, "token": stepped, "most": 5, "period": "1s"},
                self.send(stepped, MINT, BOB, 5 * ETHER + 1),
            ),
        }
        self.begin()

    def _account(self, address: str) -> Chain:
        """The chain as another account uses it."""
        self.nodes[0].rpc("anvil_setBalance", address, hex(ETHER))
        return Chain(self.nodes[0], address)


class OpStack(Real):
    """The OP stack: a portal of dispute games with its bridge, an older one with an output oracle, Drippie."""

    def __init__(self, alpha: Anvil, beta: Anvil) -> None:
        super().__init__(alpha, beta)
        self.first, self.second = optimism.First(self.alpha), optimism.Second(self.beta)
        self.right = self.second.withdraw(ALICE, ETHER)
        self.forged = self.second.forge(BOB, ETHER)
        self.older, self.oracle = self.first.older(self.right.block, self.time - YEAR // 2)
        right = (self.right.root, self.right.block.to_bytes(32))
        self.alpha.send(self.first.factory, optimism.CREATE, 0, *right)
        self.alpha.send(self.oracle, optimism.PROPOSE, self.right.root, self.right.block, bytes(32), 0)
        self.cases = self._control() | self._bridges() | self._proposals() | self._claims() | self._proofs()
        for name, portal in (("proofs", self.first.portal), ("older-proofs", self.older)):
            self.quiet[name] = {"kind": "withdrawal_proofs", "network": "alpha", "portal": portal}
        self.begin()

    def _control(self) -> dict[str, Case]:
        """Who controls it, and what runs."""
        first, me, here = self.first, self.alpha.account, {"network": "alpha"}
        self.nodes[0].rpc("anvil_autoImpersonateAccount", True)
        self.nodes[0].rpc("anvil_setBalance", BOB, hex(ETHER))
        bob = Chain(self.nodes[0], BOB)
        upgraded, administered = (
            first.proxied("SuperchainConfig", "(address,bool)", me, False) for _ in range(2)
        )
        runs = self.alpha.call(upgraded, "implementation()", "address")
        other = self.alpha.deploy(optimism.codes()["SuperchainConfig"])
        signer, transfer = "setUnsafeBlockSigner(address)", "transferOwnership(address)"
        respected = "setRespectedGameType(uint32)"
        return {
            "paused": Case(
                {"kind": "paused", **here, "contract": first.portal},
                self.send(first.config, "pause(string)", "why"),
                self.send(first.config, "unpause()"),
            ),
            "implementation": Case(
                {"kind": "implementation", **here, "proxy": upgraded, "implementation": runs},
                self.send(upgraded, "upgradeTo(address)", other),
                self.send(upgraded, "upgradeTo(address)", runs),
            ),
            "proxy_admin": Case(
                {"kind": "proxy_admin", **here, "proxy": administered, "admin": me},
                self.send(administered, "changeAdmin(address)", BOB),
                self.send(administered, "changeAdmin(address)", me, chain=bob),
            ),
            "owner": Case(
                {"kind": "owner", **here, "contract": first.system, "owner": me},
                self.send(first.system, transfer, BOB),
                self.send(first.system, transfer, me, chain=bob),
            ),
            "signer": Case(
                {
                    "kind": "storage",
                    **here,
                    "contract": first.system,
                    "slot": "0x" + keccak(text="systemconfig.unsafeblocksigner").hex(),
                    "expected": "0x" + me[2:].rjust(64, "0"),
                },
                self.send(first.system, signer, BOB),
                self.send(first.system, signer, me),
            ),
            "respected": Case(
                {
                    "kind": "constant",
                    **here,
                    "contract": first.portal,
                    "call": "function respectedGameType() view returns (uint32)",
                    "expected": 0,
                },
                self.send(first.portal, respected, 1),
                self.send(first.portal, respected, 0),
            ),
        }

    def _bridges(self) -> dict[str, Case]:
        """What is minted on the second layer, by what the first one's bridge has."""
        first, me = self.first, self.alpha.account

        def tokens() -> tuple[str, str]:
            """Two that are bridged, 5 of each."""
            token = self.alpha.deploy(
                openzeppelin.codes()["ERC20PresetMinterPauser"], "(string,string)", "Token", "TKN"
            )
            made = self.beta.deploy(
                optimism.codes()["OptimismMintableERC20"],
                "(address,address,string,string,uint8)",
                *(self.beta.account, token, "Token", "TKN", 18),
            )
            self.alpha.send(token, MINT, me, 10)
            self.alpha.send(token, "approve(address,uint256)", first.bridge, 10)
            deposit = "depositERC20(address,address,uint256,uint32,bytes)"
            self.alpha.send(first.bridge, deposit, token, made, 5, 200_000, b"")
            self.beta.send(made, MINT, ALICE, 5)
            return token, made

        def forged(token: str, function: str = MINT) -> Callable[[], Any]:
            return self.send(token, function, ALICE, 1, chain=self.beta)

        (home, wrapped), (locked, minted) = tokens(), tokens()
        burn = "burn(address,uint256)"
        return {
            "wrapped_balance": Case(
                {
                    "kind": "wrapped_balance",
                    "home": "alpha",
                    "bridge": first.bridge,
                    "args": [home, wrapped],
                    "network": "beta",
                    "token": wrapped,
                },
                forged(wrapped),
                forged(wrapped, burn),
            ),
            "conservation": Case(
                {
                    "kind": "conservation",
                    "locked": [{"network": "alpha", "token": locked, "holder": first.bridge}],
                    "minted": [{"network": "beta", "token": minted}],
                },
                forged(minted),
                forged(minted, burn),
            ),
        }

    def _proposals(self) -> dict[str, Case]:
        """What is proposed, and drips."""
        first, code, here = self.first, optimism.codes(), {"network": "alpha"}
        _, oracle = first.older(BLOCKS, self.time - 10 * BLOCKS)
        propose = (optimism.PROPOSE, bytes(31) + b"\1", BLOCKS, bytes(32), 0)
        self.alpha.send(oracle, *propose)
        drippie = self.alpha.deploy(code["Drippie"], "(address)", self.alpha.account)
        check = self.alpha.deploy(code["CheckTrue"])
        secrets = self.alpha.deploy(code["CheckSecrets"])
        config: tuple[Any, ...] = (False, 1, check, b"", [])
        create = "create(string,(bool,uint256,address,bytes,(address,bytes,uint256)[]))"
        status = "status(string,uint8)"
        self.alpha.send(drippie, create, "top-up", config)
        self.alpha.send(drippie, status, "top-up", 2)
        self.alpha.send(drippie, "drip(string)", "top-up")
        secret = keccak(b"secret")
        slot = keccak(secret + bytes(32))

        def create_right() -> None:
            block = self.nodes[1].height
            first.propose(self.second.prove(self.right.withdrawal, block).root, block)

        return {
            "lag": Case(
                {
                    "kind": "lag",
                    **here,
                    "contract": oracle,
                    "call": "function latestBlockNumber() view returns (uint256)",
                    "of": "beta",
                    "most": 5,
                },
                self.send(oracle, "deleteL2Outputs(uint256)", 0),
                self.send(oracle, *propose),
            ),
            "drip": Case(
                {"kind": "drip", **here, "drippie": drippie, "drip": "top-up", "age": "1d"},
                self.send(drippie, status, "top-up", 1),
                self.send(drippie, status, "top-up", 2),
            ),
            "secret": Case(
                {"kind": "secret", **here, "contract": secrets, "hash": "0x" + secret.hex()},
                self.send(secrets, "reveal(bytes)", b"secret"),
                lambda: self.nodes[0].rpc(
                    "anvil_setStorageAt", secrets, "0x" + slot.hex(), "0x" + bytes(32).hex()
                ),
            ),
            "rises": Case(
                {
                    "kind": "rises",
                    **here,
                    "contract": first.factory,
                    "call": "function gameCount() view returns (uint256)",
                    "period": "2h",
                    "every": "block",
                },
                lambda: None,
                create_right,
                7_200,
            ),
        }

    def _claims(self) -> dict[str, Case]:
        """What events claim of the second layer: forged output roots, with which forged withdrawals are proven."""
        first, forged, layers = self.first, self.forged, {"network": "alpha", "l2": "beta"}

        def case(breaks: Callable[[], Any], kind: str, **where: Any) -> Case:
            """One whose alert ends by itself."""
            return Case({"kind": kind, **layers, **where}, breaks, lambda: self.mine(400))

        def last_game() -> int:
            count: int = self.alpha.call(first.factory, "gameCount()", "uint256")
            return count - 1

        accounts = self.nodes[0].rpc("eth_accounts")
        created = "DisputeGameCreated(address,uint32,bytes32)"
        game = "0x" + self.alpha.events(created)[0].topics[1][12:].hex()

        def send_astray() -> None:
            for to, amount in ((game, 0), (accounts[5], 2), (accounts[6], 0)):
                sent = {"from": accounts[9], "to": to, "value": hex(amount * ETHER), "gas": hex(10**6)}
                self.nodes[0].rpc("eth_sendTransaction", sent)

        return {
            "transactions": Case(
                {
                    "kind": "transactions",
                    "network": "alpha",
                    "senders": [accounts[9], accounts[8]],
                    "targets": [accounts[5]],
                    "games": first.factory,
                    "most": 2,
                },
                send_astray,
                lambda: self.mine(400),
            ),
            "roots": case(
                lambda: first.propose(forged.root, forged.block), "output_roots", contract=first.factory
            ),
            "older-roots": case(
                self.send(self.oracle, optimism.PROPOSE, forged.root, 2 * self.right.block, bytes(32), 0),
                "output_roots",
                contract=self.oracle,
            ),
            "proven": case(
                lambda: first.prove(first.portal, forged, last_game()),
                "proven_withdrawals",
                portal=first.portal,
            ),
            "older-proven": case(
                lambda: first.prove(self.older, forged, 1), "proven_withdrawals", portal=self.older
            ),
            "sent": case(
                lambda: self.beta.submit(*optimism.withdrawal(ALICE), value=2 * ETHER),
                "sent_withdrawals",
                portal=first.portal,
                share=20,
            ),
        }

    def _proofs(self) -> dict[str, Case]:
        """Portals that take any proof; a right one beside each wrong one, which no calldata shows."""
        first, right = self.first, self.right
        node = right.nodes[-1]
        tampered = right._replace(nodes=(*right.nodes[:-1], node[:-1] + bytes([node[-1] ^ 1])))
        relay = self.alpha.deploy(own_bytecodes()["WatchedRelay"])
        prove = (right.withdrawal, 0, right.parts, list(right.nodes))
        self.alpha.send(relay, "keep(bytes)", call_data(optimism.PROVE, *prove))

        def case(proof: optimism.Proof, index: int, said: str) -> Case:
            portal = self.alpha.deploy(own_bytecodes()["WatchedPortal"])
            self.alpha.send(portal, "setFactory(address)", first.factory)

            def breaks() -> None:
                self.alpha.submit(relay, "relay(address)", portal)
                first.prove(portal, proof, index)

            return Case(
                {"kind": "withdrawal_proofs", "network": "alpha", "portal": portal},
                breaks,
                lambda: self.mine(400),
                said=said,
            )

        return {
            "tampered": case(tampered, 0, "bad_withdrawal_proof: node"),
            "unbound": case(right, 1, "bad_output_root_binding: its proof is for the output root 0x"),
            "unverifiable": case(right, 10**6, "unverifiable: game_read_error"),
        }


@pytest.fixture
def nodes(anvil_binary: Path) -> Iterator[tuple[Anvil, Anvil]]:
    begin = str(int(time.time()) - YEAR)
    with ExitStack() as stack:
        alpha, beta = (
            stack.enter_context(Anvil(anvil_binary, chain_id=number, arguments=("--timestamp", begin)))
            for number in (1, 10)
        )
        yield alpha, beta


@pytest.mark.parametrize("made", [Safes, Contracts, OpStack])
async def test_real_contracts_are_raised_at_the_block_that_breaks_them_alone_and_end(
    made: type[Real], nodes: tuple[Anvil, Anvil], tmp_path: Path
) -> None:
    try:
        real = made(*nodes)
    except ArtifactError as error:
        missing("npm", str(error))
    plan = real.plan(tmp_path)
    with closing(Database.open(plan.settings.store.url.get_secret_value(), durable=False)) as database:
        async with running(plan, database):
            await real.break_each(database, plan)
        names = sorted(a.labels["invariant"] for a in raised(database, "InvariantViolated"))
        assert names == sorted(real.cases)
        assert raised(database, "InvariantUnread") == []


@pytest.mark.parametrize("version", list(safe.VERSIONS))
async def test_a_change_of_a_safe_is_one_alert_until_somebody_accepts_it_across_restarts(
    nodes: tuple[Anvil, Anvil], tmp_path: Path, version: str
) -> None:
    real = Real(*nodes)
    try:
        wallet = safe.SafeFactory(real.alpha, version).make()
    except ArtifactError as error:
        missing("npm", str(error))
    real.begin()
    contracts = {"safe": {"abi": str(ABIS / "safe.json"), "address": {"alpha": wallet.address}}}
    watched = {
        name: {"kind": kind, "network": "alpha", "safe": "safe", "every": "10m", "events": list(events)}
        for name, (kind, events) in KINDS.items()
    }
    del watched["code"]["events"]
    plan = configured(tmp_path, nodes, watched, {"contracts": contracts}, block_time="1s")
    add, remove = "addOwnerWithThreshold(address,uint256)", "removeOwner(address,address,uint256)"

    def alerts(database: Database) -> list[tuple[str, str, str]]:
        found = raised(database, "InvariantViolated")[::-1]
        return [(alert.labels["invariant"], alert.state, alert.reason) for alert in found]

    with closing(Database.open(plan.settings.store.url.get_secret_value(), durable=False)) as database:
        async with running(plan, database):
            await until(lambda: all(answered(database, name) >= 0 for name in watched))
            wallet.execute_itself(add, ALICE, 1, nonce=0)
            real.mine()
            await until(lambda: alerts(database) == [("owners", "firing", "")])
            assert raised(database, "InvariantViolated")[0].annotations["block"] == str(nodes[0].height)
        real.mine(3_600)
        async with running(plan, database):
            await until(lambda: answered(database, "owners") == nodes[0].height)
            assert alerts(database) == [("owners", "firing", "")]
            with database.transaction() as connection:
                context = Context.of(plan, connection)
                accept_values(connection, context, time.time(), name="owners", author="carol")
            real.mine()
            await until(lambda: alerts(database) == [("owners", "resolved", "accepted")])
            wallet.execute_itself(remove, safe.SENTINEL, ALICE, 1, nonce=1)
            real.mine()
            await until(lambda: len(alerts(database)) == 2)
            for threshold, nonce in ((2, 2), (1, 3)):  # put back within the block
                wallet.execute_itself("changeThreshold(uint256)", threshold, nonce=nonce, signers=nonce - 1)
            real.mine()
            await until(lambda: len(alerts(database)) == 3)
        assert alerts(database)[1:] == [("owners", "firing", ""), ("threshold", "firing", "")]
