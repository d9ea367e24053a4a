"""Every kind of invariant on real contracts: broken as it watches for, raised at that block, alone, and ended."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import pytest
from eth_utils.crypto import keccak

from chainwatch.alert_model import Alert
from chainwatch.config import read_dict
from chainwatch.config.kinds import kinds
from chainwatch.plan import Plan, make_plan
from chainwatch.store import invariants
from chainwatch.store.database import Database
from tests.integration.test_monitor import checkpoint, raised, running, until
from tests.support.anvil import Anvil
from tests.support.missing import missing
from tests.support.protocols.artifacts import ArtifactError, own_bytecodes
from tests.support.protocols.chain import Chain, call_data

pytestmark = pytest.mark.anvil

ALICE, BOB, CAROL = ("0x" + digit * 40 for digit in "123")
OWNERS = ["0x" + digit * 40 for digit in "789"]
ROLE, SECRET, WORD = bytes([10]) * 32, bytes([11]) * 32, bytes(31) + b"\5"
CLAIMED = "checkpoint_lag"
"""The kind that reads what is claimed now, which has no meaning at blocks of long ago."""
CONDITIONS = {name for name, kind in kinds().items() if kind.look_up is None} - {CLAIMED}
ETHER = 10**18
DAY = 86_400
ABI = str(Path(__file__).parents[1] / "support" / "protocols" / "watched.json")


codes = cache(own_bytecodes)


FLOW = {
    "contract": "bridge",
    "key": "id",
    "opens": {
        "step": "send",
        "event": "Sent",
        "destination": "destination",
        "asset": "token",
        "amount": "amount",
    },
    "expects": [{"step": "receive", "event": "Received", "on": "destination", "within": "30d"}],
}


def _nothing() -> None: ...


class Case(NamedTuple):
    """A kind's parameters, what breaks it, what mends it, how many seconds later each block is, and what is said of it."""

    parameters: Mapping[str, Any]
    breaks: Callable[[], Any]
    mends: Callable[[], Any] = _nothing
    seconds: int = 1
    said: str = ""


class Contract:
    """A contract on a node; what is sent to it is in the next block."""

    def __init__(self, chain: Chain, name: str, types: str = "()", *arguments: Any) -> None:
        self.chain = chain
        self.address = chain.deploy(codes()[name], types, *arguments)

    def send(self, function: str, *arguments: Any) -> Callable[[], Any]:
        """What sends a transaction when it is called."""
        return lambda: self.chain.submit(self.address, function, *arguments)

    def now(self, function: str, *arguments: Any) -> None:
        self.chain.send(self.address, function, *arguments)


class Document:
    """A JSON document on a server of its own; it ends with the process."""

    def __init__(self) -> None:
        self.content = b""
        document = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(document.content)

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/index.json"
        Thread(target=self.server.serve_forever, daemon=True).start()

    def say(self, content: Any) -> None:
        self.content = json.dumps(content).encode()


class Nodes:
    """Two nodes and cases on them. Their blocks come together, a second apart, long ago."""

    def __init__(self, alpha: Anvil, beta: Anvil) -> None:
        self.nodes = alpha, beta
        self.alpha, self.beta = Chain.at(alpha), Chain.at(beta)
        self.time = max(int(node.block()["timestamp"], 16) for node in self.nodes) // 3_600 * 3_600 + 3_600
        self.cases: dict[str, Case] = {}

    def begin(self) -> None:
        """Mine no more blocks but by `mine`."""
        for node in self.nodes:
            node.rpc("evm_setAutomine", False)
        self.mine()

    def mine(self, seconds: int = 1) -> None:
        self.time += seconds
        for node in self.nodes:
            node.set_next_timestamp(self.time)
            node.rpc("evm_mine")

    async def break_each(self, database: Database, plan: Plan) -> None:
        """Break each case, see it raised at that block and nothing else, and mend it."""
        await until(lambda: all(is_answered(plan, database, name) for name in self.cases))
        assert firing(database) == {}
        common = {one.name for one in plan.invariants.invariants if len(one.networks) > 1}
        mend, is_common = _nothing, False
        for name, case in self.cases.items():
            mend()
            case.breaks()
            self.mine(case.seconds)
            heights = {"alpha": self.nodes[0].height, "beta": self.nodes[1].height}
            was_common, is_common = is_common, name in common
            if was_common or is_common:  # networks are compared once each has a later block
                self.mine()
            await _until_only(database, name)
            noted = violated(database)[name].annotations
            where = noted.get("block_network") or noted["tx_hash_network"]
            assert int(noted["block"]) == heights[where], name
            assert case.said in noted["description"], name
            mend = case.mends
        mend()
        self.mine(3_600)
        await until(lambda: not firing(database))


class Ground(Nodes):
    """A contract for each kind."""

    def __init__(self, alpha: Anvil, beta: Anvil) -> None:
        super().__init__(alpha, beta)
        self.contracts: dict[str, dict[str, str]] = {}
        self.tables: dict[str, Any] = {}
        self.cases = self._accounts() | self._contracts() | self._safes() | self._bridges() | self._op_stack()
        self.begin()

    def plan(self, folder: Path) -> Plan:
        tables = {
            kind: {"kind": kind, "severity": "P0", **case.parameters} for kind, case in self.cases.items()
        }
        return configured(
            folder, self.nodes, tables, {"contracts": self.contracts, **self.tables}, block_time="1s"
        )

    # --- a case for each kind

    def _balance(self, address: str, wei: int) -> Callable[[], Any]:
        return lambda: self.nodes[0].rpc("anvil_setBalance", address, hex(wei))

    def _sent(self, to: str, function: str = "", *arguments: Any) -> Callable[[], Any]:
        """What lets the tenth account send a transaction."""
        data = call_data(function, *arguments) if function else b""
        sender = self.nodes[0].rpc("eth_accounts")[9]
        transaction = {"from": sender, "to": to, "input": "0x" + data.hex(), "gas": hex(200_000)}
        return lambda: self.nodes[0].rpc("eth_sendTransaction", transaction)

    def _token(self, chain: Chain, holder: str, amount: int) -> Contract:
        token = Contract(chain, "WatchedToken")
        token.now("mint(address,uint256)", holder, amount)
        return token

    def _state(self, setter: str, *arguments: Any, chain: Chain | None = None) -> Contract:
        state = Contract(chain or self.alpha, "WatchedState")
        state.now(setter, *arguments)
        return state

    def _accounts(self) -> dict[str, Case]:
        self._balance(ALICE, 10 * ETHER)()
        self._balance(BOB, 20 * ETHER)()
        usdc, stepped = self._token(self.alpha, ALICE, 2_500_000), self._token(self.alpha, ALICE, 10**6)
        supply = self._token(self.beta, ALICE, 10 * ETHER)
        work = Contract(self.alpha, "WatchedBridge")
        self.contracts["work"] = {"alpha": work.address}
        mint, burn = "mint(address,uint256)", "burn(address,uint256)"
        here = {"network": "alpha"}

        def work_rightly() -> None:
            self.mine(10)
            self._sent(work.address, "receiveTransfer(bytes32)", ROLE)()

        return {
            "balance": Case(
                {**here, "address": ALICE, "lower": 1, "upper": 10},
                self._balance(ALICE, 10 * ETHER + 1),
                self._balance(ALICE, 10 * ETHER),
            ),
            "token_balance": Case(
                {**here, "token": usdc.address, "address": ALICE, "decimals": 6, "lower": "2.5"},
                usdc.send(burn, ALICE, 1),
                usdc.send(mint, ALICE, 1),
            ),
            "runway": Case(
                {**here, "address": BOB, "period": "1s", "lasts": "2s", "every": "block"},
                self._balance(BOB, 6 * ETHER),
            ),
            "supply": Case(
                {"network": "beta", "token": supply.address, "upper": 10},
                supply.send(mint, BOB, 1),
                supply.send(burn, BOB, 1),
            ),
            "sender": Case(
                {
                    **here,
                    "address": self.nodes[0].rpc("eth_accounts")[9],
                    "contract": "work",
                    "event": "Received",
                    "within": "3s",
                },
                self._sent(ALICE),
                work_rightly,
            ),
            "supply_step": Case(
                {**here, "token": stepped.address, "decimals": 6, "most": 5, "period": "1s"},
                stepped.send(mint, BOB, 5_000_001),
            ),
        }

    def _contracts(self) -> dict[str, Case]:
        def of(contract: Contract) -> dict[str, Any]:
            return {"network": "alpha", "contract": contract.address}

        owned, paused = self._state("setOwner(address)", ALICE), self._state("setPaused(bool)", False)
        has_role = self._state("setRole(bytes32,address,bool)", ROLE, ALICE, True)
        fee, bounded = self._state("setFee(uint256)", 5), self._state("setCount(uint256)", 5)
        facets = self._state("setValidators(address[])", OWNERS)
        counted, slotted = self._state("setCount(uint256)", 5), self._state("setSlotZero(uint256)", 5)
        proxies = {
            setter: Contract(self.alpha, "WatchedProxy")
            for setter in ("upgradeTo(address)", "changeAdmin(address)", "setBeacon(address)")
        }
        for setter, proxy in proxies.items():
            proxy.now(setter, ALICE)
        upgraded, administered, beacon = proxies.values()
        coded = Contract(self.alpha, "WatchedProxy")
        code = self.nodes[0].rpc("eth_getCode", coded.address, "latest")
        safe = self._safe()
        self.contracts["safe"] = {"alpha": safe.address}
        count = {"call": "function count() view returns (uint256)"}

        def proxied(proxy: Contract, setter: str, **expected: str) -> Case:
            where = {"network": "alpha", "proxy": proxy.address, **expected}
            return Case(where, proxy.send(setter, BOB), proxy.send(setter, ALICE))

        def put(text: str) -> Callable[[], Any]:
            return lambda: self.nodes[0].rpc("anvil_setCode", coded.address, text)

        return {
            "owner": Case(
                {**of(owned), "owner": ALICE},
                owned.send("setOwner(address)", BOB),
                owned.send("setOwner(address)", ALICE),
            ),
            "role": Case(
                {**of(has_role), "role": "0x" + ROLE.hex(), "account": ALICE},
                has_role.send("setRole(bytes32,address,bool)", ROLE, ALICE, False),
                has_role.send("setRole(bytes32,address,bool)", ROLE, ALICE, True),
            ),
            "implementation": proxied(upgraded, "upgradeTo(address)", implementation=ALICE),
            "proxy_admin": proxied(administered, "changeAdmin(address)", admin=ALICE),
            "beacon": proxied(beacon, "setBeacon(address)", beacon=ALICE),
            "facets": Case(
                {**of(facets), "facets": OWNERS},
                facets.send("setValidators(address[])", OWNERS[:2]),
                facets.send("setValidators(address[])", OWNERS[::-1]),
            ),
            "code": Case(
                {**of(coded), "hash": "0x" + keccak(bytes.fromhex(code[2:])).hex()}, put("0x00"), put(code)
            ),
            "paused": Case(
                of(paused), paused.send("setPaused(bool)", True), paused.send("setPaused(bool)", False)
            ),
            "constant": Case(
                {**of(fee), "call": "function fee() view returns (uint256)"},
                fee.send("setFee(uint256)", 6),
                fee.send("setFee(uint256)", 5),
            ),
            "bounded": Case(
                {**of(bounded), **count, "lower": 5, "upper": 6},
                bounded.send("setCount(uint256)", 4),
                bounded.send("setCount(uint256)", 6),
            ),
            "steps": Case({**of(counted), **count, "most": 1}, counted.send("setCount(uint256)", 4)),
            "storage": Case(
                {**of(slotted), "slot": "0x0", "expected": "0x" + WORD.hex()},
                slotted.send("setSlotZero(uint256)", 6),
                slotted.send("setSlotZero(uint256)", 5),
            ),
            "events": Case(
                {"network": "alpha", "contract": "safe", "event": "AddedOwner", "most": 0, "within": "3s"},
                safe.send("addOwner(address)", ALICE),
                lambda: self.mine(10),
            ),
        }

    def _safe(self) -> Contract:
        return Contract(self.alpha, "WatchedSafe", "(address,address[],uint256)", CAROL, OWNERS, 2)

    def _safes(self) -> dict[str, Case]:
        safes: dict[str, Contract] = {}

        def case(kind: str, broken: tuple[Any, ...], right: tuple[Any, ...], **expected: Any) -> Case:
            safe = safes[kind] = self._safe()
            where = {"network": "alpha", "safe": safe.address, **expected}
            return Case(where, safe.send(*broken), safe.send(*right))

        live = self._state("setLiveness(address,uint256,uint256)", ALICE, self.time, 100 * DAY)
        live.now("setLiveness(address,uint256,uint256)", BOB, self.time, 100 * DAY)
        module = {"module": live.address, "guard": live.address, "owners": [ALICE, BOB]}
        guard, handler, singleton = (
            "setGuard(address)",
            "setFallbackHandler(address)",
            "setSingleton(address)",
        )
        nobody = "0x" + "0" * 40
        return {
            "safe_owners": case(
                "owners", ("addOwner(address)", ALICE), ("removeFirstOwner()",), owners=OWNERS[::-1]
            ),
            "safe_threshold": case(
                "threshold", ("changeThreshold(uint256)", 1), ("changeThreshold(uint256)", 2), threshold=2
            ),
            "safe_modules": case("modules", ("enableModule(address)", ALICE), ("disableFirstModule()",)),
            "safe_guard": case("guard", (guard, ALICE), (guard, nobody), guard=nobody),
            "safe_fallback": case("fallback", (handler, ALICE), (handler, nobody), handler=nobody),
            "safe_singleton": case("singleton", (singleton, BOB), (singleton, CAROL), singleton=CAROL),
            "safe_nonce": case("nonce", ("setNonce(uint256)", 1), ("setNonce(uint256)", 0), nonce=0),
            "safe_liveness": Case(
                {"network": "alpha", **module, "every": "block"},
                live.send("setLiveness(address,uint256,uint256)", BOB, self.time - 90 * DAY, 100 * DAY),
                live.send("setLiveness(address,uint256,uint256)", BOB, self.time, 100 * DAY),
            ),
        }

    def _bridges(self) -> dict[str, Case]:
        six, native = self._token(self.alpha, CAROL, 100 * 10**6), 5 * ETHER
        self._balance(CAROL, native)()
        minted = [self._token(self.beta, ALICE, 60 * ETHER), self._token(self.alpha, ALICE, 45 * 10**8)]
        vault = self._state("setDeposits(address,address,uint256)", ALICE, BOB, 10 * 10**6)
        wrapped = self._token(self.beta, ALICE, 10 * ETHER)
        bucket = self._state("setBucket(uint128,uint128,bool)", 50, 100, True)
        limited = Contract(self.alpha, "WatchedToken")
        limited.now("setLimits(address,uint256,uint256)", ALICE, 50, 100)
        sent, received = (self._state("setCount(uint256)", 7, chain=c) for c in (self.alpha, self.beta))
        root, relayed = (self._state("setFee(uint256)", 7, chain=c) for c in (self.alpha, self.beta))
        anchor = self._state("setAnchor(uint256)", 10**6)
        price = self._state("setPrice(int256,uint256)", 3_000 * 10**8, self.time)
        here, there = (
            self._state("setPrice(int256,uint256)", 3_000 * 10**8, self.time, chain=c)
            for c in (self.alpha, self.beta)
        )
        signers = self._state("setValidators(address[])", OWNERS)
        bridges = [Contract(chain, "WatchedBridge") for chain in (self.alpha, self.beta)]
        self.contracts["bridge"] = {"alpha": bridges[0].address, "beta": bridges[1].address}
        pair = Contract(self.alpha, "WatchedBridge")
        self.contracts["pair"] = {"alpha": pair.address}
        paid = self._token(self.beta, CAROL, 100)
        usdc = {"alpha": ALICE, "beta": paid.address}
        self.tables |= {"flows": {"bridge": FLOW}, "assets": {"usdc": {"decimals": 6, "address": usdc}}}

        def transfer(number: int, amount: int) -> Callable[[], Any]:
            return bridges[0].send(
                "send(bytes32,uint256,address,uint256)", bytes([number]) * 32, 10, ALICE, amount
            )

        def receipt(number: int) -> Callable[[], Any]:
            return bridges[1].send("receiveTransfer(bytes32)", bytes([number]) * 32)

        mint, burn = "mint(address,uint256)", "burn(address,uint256)"
        count, fee = (f"function {name}() view returns (uint256)" for name in ("count", "fee"))
        between = {"origin": "alpha", "destination": "beta"}
        alpha = {"network": "alpha"}
        return {
            "conservation": Case(
                {
                    "locked": [
                        {**alpha, "token": six.address, "holder": CAROL, "decimals": 6},
                        {**alpha, "holder": CAROL},
                    ],
                    "minted": [
                        {"network": "beta", "token": minted[0].address},
                        {**alpha, "token": minted[1].address, "decimals": 8},
                    ],
                },
                minted[0].send(mint, BOB, 1),
                minted[0].send(burn, BOB, 1),
            ),
            "wrapped_balance": Case(
                {
                    "home": "alpha",
                    "bridge": vault.address,
                    "args": [ALICE, BOB],
                    "home_decimals": 6,
                    "network": "beta",
                    "token": wrapped.address,
                },
                vault.send("setDeposits(address,address,uint256)", ALICE, BOB, 10 * 10**6 - 1),
                vault.send("setDeposits(address,address,uint256)", ALICE, BOB, 10 * 10**6),
            ),
            "rate_limit": Case(
                {**alpha, "pool": bucket.address, "selector": 2**63},
                bucket.send("setBucket(uint128,uint128,bool)", 9, 100, True),
                bucket.send("setBucket(uint128,uint128,bool)", 10, 100, True),
            ),
            "mint_limit": Case(
                {**alpha, "token": limited.address, "bridge": ALICE, "left": "0.5"},
                limited.send("setLimits(address,uint256,uint256)", ALICE, 4, 1_000),
                limited.send("setLimits(address,uint256,uint256)", ALICE, 5, 1_000),
            ),
            "nonce_gap": Case(
                {
                    **between,
                    "sender": sent.address,
                    "sent": count,
                    "receiver": received.address,
                    "received": count,
                    "most": 5,
                },
                received.send("setCount(uint256)", 8),
                sent.send("setCount(uint256)", 8),
            ),
            "relayed": Case(
                {
                    **between,
                    "sender": root.address,
                    "sent": fee,
                    "receiver": relayed.address,
                    "received": fee,
                    "period": "1s",
                    "for": "0s",
                },
                root.send("setFee(uint256)", 8),
            ),
            "lag": Case(
                {
                    **alpha,
                    "contract": anchor.address,
                    "call": "function getAnchorRoot() view returns (bytes32 root, uint256 number)",
                    "output": "number",
                    "of": "beta",
                    "most": 1,
                },
                anchor.send("setAnchor(uint256)", 0),
                anchor.send("setAnchor(uint256)", 10**6),
            ),
            "price_feed": Case(
                {**alpha, "feed": price.address, "age": "1d", "lower": 2_000, "upper": 4_000},
                price.send("setPrice(int256,uint256)", 3_000 * 10**8, self.time - 2 * DAY),
                price.send("setPrice(int256,uint256)", 3_000 * 10**8, self.time),
            ),
            "price_deviation": Case(
                {**alpha, "feed": here.address, "other": "beta", "other_feed": there.address, "percent": 1},
                there.send("setPrice(int256,uint256)", 2_969 * 10**8, self.time),
                there.send("setPrice(int256,uint256)", 2_970 * 10**8, self.time),
            ),
            "deficit": Case(
                {
                    "network": "beta",
                    "token": paid.address,
                    "holder": CAROL,
                    "decimals": 6,
                    "flow": "bridge",
                    "asset": "usdc",
                },
                transfer(1, 101),
                receipt(1),
            ),
            "backlog": Case(
                {"flow": "bridge", "most": 1},
                lambda: (transfer(2, 1)(), transfer(3, 1)()),
                receipt(2),
            ),
            "deposits": Case(
                {
                    **alpha,
                    "contract": "pair",
                    "event": "Received",
                    "deposit_contract": "pair",
                    "deposit_event": "Sent",
                },
                pair.send("receiveTransfer(bytes32)", ROLE),
                lambda: (
                    pair.send("send(bytes32,uint256,address,uint256)", ROLE, 10, ALICE, 1)(),
                    pair.send("receiveTransfer(bytes32)", ROLE)(),
                ),
            ),
            "signers": Case(
                {
                    **alpha,
                    "contract": signers.address,
                    "call": "function validatorsAndThreshold(bytes message) view returns (address[] validators, uint8 n)",
                    "args": ["0x"],
                    "output": "validators",
                    "signers": OWNERS,
                },
                signers.send("setValidators(address[])", [*OWNERS[:2], ALICE]),
                signers.send("setValidators(address[])", OWNERS[::-1]),
            ),
        }

    def _op_stack(self) -> dict[str, Case]:
        drippie = self._state("setDrip(string,uint8,uint256,uint256)", "top-up", 2, self.time, 1)
        secrets = self._state("reveal(bytes32,uint256)", bytes(32), 1)
        games = self._state("setCount(uint256)", 5)
        alpha = {"network": "alpha"}
        return {
            "drip": Case(
                {**alpha, "drippie": drippie.address, "drip": "top-up", "age": "1d"},
                drippie.send("setDrip(string,uint8,uint256,uint256)", "top-up", 1, self.time, 1),
                drippie.send("setDrip(string,uint8,uint256,uint256)", "top-up", 2, self.time, 1),
            ),
            "secret": Case(
                {**alpha, "contract": secrets.address, "hash": "0x" + SECRET.hex()},
                secrets.send("reveal(bytes32,uint256)", SECRET, 1),
                secrets.send("reveal(bytes32,uint256)", SECRET, 0),
            ),
            "rises": Case(
                {
                    **alpha,
                    "contract": games.address,
                    "call": "function count() view returns (uint256)",
                    "period": "1h",
                    "every": "block",
                },
                _nothing,
                games.send("setCount(uint256)", 6),
                3_600,
            ),
        }


def configured(
    folder: Path,
    nodes: tuple[Anvil, Anvil],
    invariants: Mapping[str, Any],
    tables: Mapping[str, Any] = {},
    **keys: Any,
) -> Plan:
    """The plan of these invariants from the nodes' heads on, with other ``tables``; ``keys`` are those of networks."""
    contracts = {
        name: where if "abi" in where else {"abi": ABI, "address": where}
        for name, where in tables.get("contracts", {}).items()
    }
    networks = {
        name: {
            "chain_id": node.chain_id,
            "rpc": [node.http_url],
            "poll_interval": "50ms",
            "start_block": node.height,
            **keys,
        }
        for name, node in zip(("alpha", "beta"), nodes, strict=True)
    }
    return make_plan(
        read_dict(
            {
                "store": {"url": f"sqlite:///{folder / 'monitor.db'}"},
                "networks": networks,
                "invariants": invariants,
                "receivers": {"ops": {"provider": "console"}},
                "routes": [{"receivers": ["ops"]}],
                **tables,
                "contracts": contracts,
            }
        )
    )


@pytest.fixture(scope="module")
def ground(anvil_binary: Path) -> Iterator[Ground]:
    begin = str(int(time.time()) - 7 * DAY)
    with ExitStack() as nodes:
        alpha, beta = (
            nodes.enter_context(Anvil(anvil_binary, chain_id=number, arguments=("--timestamp", begin)))
            for number in (1, 10)
        )
        try:
            yield Ground(alpha, beta)
        except ArtifactError as error:
            missing("solc", str(error))


def violated(database: Database) -> dict[str, Alert]:
    """The alerts by their invariants, also those that have ended."""
    return {a.labels["invariant"]: a for a in raised(database, "InvariantViolated")}


def firing(database: Database) -> dict[str, Alert]:
    return {name: alert for name, alert in violated(database).items() if alert.state == "firing"}


def answered(database: Database, name: str) -> int:
    """The newest block at which it was checked with an answer."""
    with database.reading() as connection:
        return max((c.block for c in invariants.checks(connection, name) if c.holds is not None), default=-1)


def is_answered(plan: Plan, database: Database, name: str) -> bool:
    """Whether it was checked with an answer; what is looked up at events has none."""
    return name in plan.settings.look_ups or answered(database, name) >= 0


async def test_each_is_raised_at_the_block_that_breaks_it_alone_and_ends(
    ground: Ground, tmp_path: Path
) -> None:
    assert ground.cases.keys() == CONDITIONS
    plan = ground.plan(tmp_path)
    with closing(Database.open(plan.settings.store.url.get_secret_value(), durable=False)) as database:
        async with running(plan, database):
            ground.cases["deposits"].mends()  # checked at events only
            ground.mine()
            await ground.break_each(database, plan)
        assert sorted(a.labels["invariant"] for a in raised(database, "InvariantViolated")) == sorted(
            CONDITIONS
        )
        assert raised(database, "InvariantUnread") == []


async def _until_only(database: Database, name: str) -> None:
    """Wait until it was raised, and no other fires; one that holds again at the next block may have ended."""
    try:
        await until(lambda: name in violated(database) and firing(database).keys() <= {name})
    except AssertionError:
        with database.reading() as connection:
            checks = [(c.block, c.holds, c.error) for c in invariants.checks(connection, name)[-3:]]
        pytest.fail(f"{name}: {firing(database).keys()} are firing; its last checks: {checks}")


async def test_a_mint_whose_lock_is_not_seen_yet_is_no_breach(
    anvil_factory: Callable[..., Anvil], tmp_path: Path
) -> None:
    nodes = anvil_factory(chain_id=1), anvil_factory(chain_id=10)
    home, away = (Contract(Chain.at(node), "WatchedToken") for node in nodes)
    for token, holder in ((home, CAROL), (away, ALICE)):
        token.now("mint(address,uint256)", holder, 5)
    locked = [{"network": "alpha", "token": home.address, "holder": CAROL}]
    backed = {
        "kind": "conservation",
        "locked": locked,
        "minted": [{"network": "beta", "token": away.address}],
    }
    plan = configured(tmp_path, nodes, {"backed": backed})
    with closing(Database.open(plan.settings.store.url.get_secret_value(), durable=False)) as database:
        async with running(plan, database):
            await until(lambda: answered(database, "backed") >= 0)
            home.now("mint(address,uint256)", CAROL, 10)
            nodes[0].freeze()
            try:
                away.now("mint(address,uint256)", ALICE, 10)
                await until(lambda: checkpoint(database, "beta") == nodes[1].height)
                await asyncio.sleep(3.5)  # longer than what blocks on demand are waited for
                assert raised(database, "InvariantViolated") == []
            finally:
                nodes[0].thaw()
            await until(lambda: _checked(database, "backed", "beta") == nodes[1].height)
            assert raised(database, "InvariantViolated") == []
            away.now("mint(address,uint256)", ALICE, 1)
            await until(lambda: firing(database).keys() == {"backed"})


def _checked(database: Database, name: str, network: str) -> int:
    """The newest block of a network whose values were compared."""
    with database.reading() as connection:
        found = [c.positions or {} for c in invariants.checks(connection, name) if c.holds is not None]
    return max((positions.get(network, -1) for positions in found), default=-1)


async def test_a_validator_that_lags_by_its_own_document_is_raised_and_ends(
    anvil_factory: Callable[..., Anvil], tmp_path: Path
) -> None:
    nodes = anvil_factory(chain_id=1), anvil_factory(chain_id=10)
    tree = Contract(Chain.at(nodes[0]), "WatchedState")
    tree.now("setCount(uint256)", 10)
    document = Document()
    document.say({"index": 7})
    lag = {
        "kind": CLAIMED,
        "network": "alpha",
        "hook": tree.address,
        "call": "function count() view returns (uint256)",
        "url": document.url,
        "path": "index",
        "allow_private": True,
        "most": 2,
        "every": "block",
    }
    plan = configured(tmp_path, nodes, {"lag": lag})
    with closing(Database.open(plan.settings.store.url.get_secret_value(), durable=False)) as database:
        async with running(plan, database):
            await until(lambda: answered(database, "lag") >= 0)
            assert firing(database) == {}
            tree.now("setCount(uint256)", 11)
            await until(lambda: firing(database).keys() == {"lag"})
            document.say({"index": 8})
            nodes[0].mine()
            await until(lambda: not firing(database))
