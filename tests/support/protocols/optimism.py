"""The OP stack's own compiled contracts, behind their proxies: portals of both kinds, dispute games, bridges, Drippie."""

from functools import cache
from typing import Any, NamedTuple

from eth_utils.crypto import keccak

from chainwatch.checker.protocols.op_stack import output_root, withdrawal_hash
from tests.support.protocols.artifacts import Package, named_bytecodes
from tests.support.protocols.chain import Chain, address_of, call_data

CONTRACTS = (
    "AnchorStateRegistry",
    "CheckSecrets",
    "CheckTrue",
    "DelayedWETH",
    "DisputeGameFactory",
    "Drippie",
    "FaultDisputeGame",
    "L1CrossDomainMessenger",
    "L1StandardBridge",
    "L2OutputOracle",
    "L2ToL1MessagePasser",
    "LivenessGuard",
    "LivenessModule",
    "OptimismMintableERC20",
    "OptimismPortal",
    "OptimismPortal2",
    "Proxy",
    "SuperchainConfig",
    "SystemConfig",
)
PACKAGE = Package(
    "@eth-optimism/contracts-bedrock",
    "0.17.3",
    "sha512-cHPO7ntWeOBDLO7ZFFSZGI1D7CDqf4loRbRVJrFIsqLEz+hysWIqA0e3dv2GnrjVeuYePBfI2NTBEG4uwz9bQQ==",
    tuple(f"forge-artifacts/{name}.sol/{name}.json" for name in CONTRACTS),
)
PASSER = "0x4200000000000000000000000000000000000016"
NOBODY = "0x" + "0" * 40
CANNON = 0
"""The type of its dispute games."""
PROVE = (
    "proveWithdrawalTransaction((uint256,address,address,uint256,uint256,bytes),uint256,"
    "(bytes32,bytes32,bytes32,bytes32),bytes[])"
)
PASSED = "MessagePassed(uint256,address,address,uint256,uint256,bytes,bytes32)"
CREATE = "create(uint32,bytes32,bytes)"
PROPOSE = "proposeL2Output(bytes32,uint256,bytes32,uint256)"
RESOURCES = (20_000_000, 10, 8, 10**9, 1_000_000, 2**128 - 1)
_ETHER = 10**18


@cache
def codes() -> dict[str, bytes]:
    """The creation code of each contract, by name."""
    return named_bytecodes(PACKAGE)


def withdrawal(target: str) -> tuple[Any, ...]:
    """The call that withdraws what it pays to ``target``."""
    return (PASSER, "initiateWithdrawal(address,uint256,bytes)", target, 100_000, b"")


class Proof(NamedTuple):
    """A withdrawal, and what proves it to a portal: the parts of an output root, and the nodes of the storage's trie."""

    withdrawal: tuple[int, str, str, int, int, bytes]
    block: int
    parts: tuple[bytes, bytes, bytes, bytes]
    nodes: tuple[bytes, ...]

    @property
    def root(self) -> bytes:
        """The output root against which it proves the withdrawal."""
        return output_root(*self.parts[1:])

    @property
    def hash(self) -> bytes:
        """The withdrawal's hash."""
        return withdrawal_hash(*self.withdrawal)


class Second:
    """The second layer: its message passer, at the address that it has everywhere."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        made = chain.deploy(codes()["L2ToL1MessagePasser"])
        chain.anvil.rpc("anvil_setCode", PASSER, chain.anvil.rpc("eth_getCode", made, "latest"))

    def withdraw(self, target: str, value: int) -> Proof:
        """Send a withdrawal, which is mined at once, and return its proof as of its block."""
        receipt = self.chain.send(*withdrawal(target), value=value)
        passed = receipt.event(PASSED)
        sent = (
            int.from_bytes(passed.topics[1]),
            address_of(passed.topics[2]),
            address_of(passed.topics[3]),
            value,
            100_000,
            b"",
        )
        return self.prove(sent, receipt.block_number)

    def forge(self, target: str, value: int) -> Proof:
        """The proof of a withdrawal that was never sent, by a chain that is thrown away."""
        node = self.chain.anvil
        state = node.rpc("evm_snapshot")
        proof = self.withdraw(target, value)
        node.rpc("evm_revert", state)
        return proof

    def prove(self, withdrawal: Any, number: int) -> Proof:
        slot = keccak(withdrawal_hash(*withdrawal) + bytes(32))
        found = self.chain.anvil.rpc("eth_getProof", PASSER, ["0x" + slot.hex()], hex(number))
        block = self.chain.anvil.block(number)
        state, storage, hash_ = (
            bytes.fromhex(text[2:]) for text in (block["stateRoot"], found["storageHash"], block["hash"])
        )
        nodes = tuple(bytes.fromhex(node[2:]) for node in found["storageProof"][0]["proof"])
        return Proof(withdrawal, number, (bytes(32), state, storage, hash_), nodes)


class First:
    """The first layer: a portal of dispute games and its bridge, and an older portal with an output oracle."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        me = chain.account
        self.config = self.proxied("SuperchainConfig", "(address,bool)", me, False)
        self.system = self.proxied(
            "SystemConfig",
            "(address,uint32,uint32,bytes32,uint64,address,(uint32,uint8,uint8,uint32,uint32,uint128),address,"
            "(address,address,address,address,address,address,address))",
            *(me, 1, 1, bytes(32), 30_000_000, me, RESOURCES, me, (NOBODY,) * 7),
        )
        self.factory = self.proxied("DisputeGameFactory", "(address)", me)
        self.anchors = self.proxied(
            "AnchorStateRegistry",
            "((uint32,(bytes32,uint256))[])",
            [(CANNON, (b"\1".rjust(32, b"\0"), 0))],
            code=("(address)", self.factory),
        )
        weth = self.proxied("DelayedWETH", "(address,address)", me, self.config, code=("(uint256)", 0))
        game = chain.deploy(
            codes()["FaultDisputeGame"],
            "(uint32,bytes32,uint256,uint256,uint64,uint64,address,address,address,uint256)",
            *(CANNON, bytes(32), 73, 30, 10_800, 302_400, NOBODY, weth, self.anchors, 10),
        )
        chain.send(self.factory, "setImplementation(uint32,address)", CANNON, game)
        self.portal = self.proxied(
            "OptimismPortal2",
            "(address,address,address,uint32)",
            *(self.factory, self.system, self.config, CANNON),
            code=("(uint256,uint256)", 604_800, 302_400),
        )
        messenger = self.proxied(
            "L1CrossDomainMessenger", "(address,address,address)", self.config, self.portal, self.system
        )
        self.bridge = self.proxied(
            "L1StandardBridge", "(address,address,address)", messenger, self.config, self.system
        )
        chain.anvil.rpc("anvil_setBalance", self.portal, hex(10 * _ETHER))

    def older(self, interval: int, begin: int) -> tuple[str, str]:
        """A portal with an output oracle: the addresses of both."""
        me = self.chain.account
        oracle = self.proxied(
            "L2OutputOracle",
            "(uint256,uint256,uint256,uint256,address,address,uint256)",
            *(interval, 1, 0, begin, me, me, 604_800),
        )
        portal = self.proxied("OptimismPortal", "(address,address,address)", oracle, self.system, self.config)
        self.chain.anvil.rpc("anvil_setBalance", portal, hex(10 * _ETHER))
        return portal, oracle

    def proxied(self, name: str, types: str, *arguments: object, code: tuple[Any, ...] = ("()",)) -> str:
        """Deploy a contract (``code``: the types and arguments of its constructor) behind a proxy, and initialize it."""
        made = self.chain.deploy(codes()[name], *code)
        proxy = self.chain.deploy(codes()["Proxy"], "(address)", self.chain.account)
        data = call_data(f"initialize{types}", *arguments)
        self.chain.send(proxy, "upgradeToAndCall(address,bytes)", made, data)
        return proxy

    def propose(self, root: bytes, block: int) -> None:
        """Create a dispute game that claims an output root, in the next block."""
        self.chain.submit(self.factory, CREATE, CANNON, root, block.to_bytes(32))

    def prove(self, portal: str, proof: Proof, index: int) -> None:
        """Prove a withdrawal against a game, or an output of the oracle, in the next block."""
        self.chain.submit(portal, PROVE, proof.withdrawal, index, proof.parts, list(proof.nodes))
