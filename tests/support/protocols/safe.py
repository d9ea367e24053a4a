"""Safe's own compiled contracts, of two versions: Safes whose owners sign, with their proxies, guards and handlers."""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from eth_account import Account
from eth_account.signers.local import LocalAccount

from tests.support.protocols.artifacts import Package, named_bytecodes
from tests.support.protocols.chain import Chain, call_data

SETUP = "setup(address[],uint256,address,bytes,address,address,uint256,address)"
EXECUTE = "execTransaction(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,bytes)"
HASH = "getTransactionHash(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,uint256)"
NOBODY = "0x" + "0" * 40
SENTINEL = "0x" + "1".rjust(40, "0")
OWNERS: tuple[LocalAccount, ...] = tuple(
    sorted(
        (Account.from_key(bytes([number]) * 32) for number in (1, 2, 3)), key=lambda one: int(one.address, 16)
    )
)
"""Three accounts, in the order in which a Safe wants their signatures."""


class Version(NamedTuple):
    """A version of Safe: its package, and the names of its contracts there."""

    package: Package
    singleton: str
    factory: str


def _package(name: str, version: str, integrity: str, *paths: str) -> Package:
    return Package(
        name, version, integrity, tuple(f"build/artifacts/contracts/{path}.json" for path in paths)
    )


_COMMON = (
    "examples/guards/DebugTransactionGuard.sol/DebugTransactionGuard",
    "handler/CompatibilityFallbackHandler.sol/CompatibilityFallbackHandler",
)
VERSIONS = {
    "1.3.0": Version(
        _package(
            "@gnosis.pm/safe-contracts",
            "1.3.0",
            "sha512-1p+1HwGvxGUVzVkFjNzglwHrLNA67U/axP0Ct85FzzH8yhGJb4t9jDjPYocVMzLorDoWAfKicGy1akPY9jXRVw==",
            "GnosisSafe.sol/GnosisSafe",
            "proxies/GnosisSafeProxyFactory.sol/GnosisSafeProxyFactory",
            *_COMMON,
        ),
        "GnosisSafe",
        "GnosisSafeProxyFactory",
    ),
    "1.4.1": Version(
        _package(
            "@safe-global/safe-contracts",
            "1.4.1",
            "sha512-fP1jewywSwsIniM04NsqPyVRFKPMAuirC3ftA/TA4X3Zc5EnwQp/UCJUU2PL/37/z/jMo8UUaJ+pnFNWmMU7dQ==",
            "Safe.sol/Safe",
            "proxies/SafeProxyFactory.sol/SafeProxyFactory",
            *_COMMON,
        ),
        "Safe",
        "SafeProxyFactory",
    ),
}


@cache
def codes(version: str) -> dict[str, bytes]:
    """The creation code of each contract of a version, by name."""
    return named_bytecodes(VERSIONS[version].package)


class SafeWallet:
    """A Safe of three owners, any of whom may act; what it executes is in the next block."""

    def __init__(self, chain: Chain, address: str) -> None:
        self.chain, self.address = chain, address

    def execute(
        self, to: str, function: str, *arguments: object, operation: int = 0, nonce: int, signers: int = 1
    ) -> None:
        """Send what so many owners have signed for a nonce: a call, or with ``operation`` 1 a delegated one."""
        data = call_data(function, *arguments)
        asked = (to, 0, data, operation, 0, 0, 0, NOBODY, NOBODY)
        signed = self.chain.call(self.address, HASH, "bytes32", *asked, nonce)
        signatures = b"".join(owner.unsafe_sign_hash(signed).signature for owner in OWNERS[:signers])
        self.chain.submit(self.address, EXECUTE, *asked, signatures)

    def execute_itself(self, function: str, *arguments: object, nonce: int, signers: int = 1) -> None:
        """The same of a function of its own, such as one that changes its owners."""
        self.execute(self.address, function, *arguments, nonce=nonce, signers=signers)


class SafeFactory:
    """A version's contracts on a chain."""

    def __init__(self, chain: Chain, version: str) -> None:
        names, code = VERSIONS[version], codes(version)
        self.chain = chain
        self.singleton = chain.deploy(code[names.singleton])
        self.other = chain.deploy(code[names.singleton])
        """Another copy of the same code."""
        self.handler = chain.deploy(code["CompatibilityFallbackHandler"])
        self.guard = chain.deploy(code["DebugTransactionGuard"])
        self._factory = chain.deploy(code[names.factory])
        self._made = 0

    def make(self, owners: Sequence[LocalAccount] = OWNERS) -> SafeWallet:
        """A new Safe, through its proxy factory."""
        addresses = [owner.address for owner in owners]
        setup = call_data(SETUP, addresses, 1, NOBODY, b"", self.handler, NOBODY, 0, NOBODY)
        asked = ("createProxyWithNonce(address,bytes,uint256)", self.singleton, setup, self._made)
        self._made += 1
        made = self.chain.call(self._factory, asked[0], "address", *asked[1:])
        self.chain.send(self._factory, *asked)
        return SafeWallet(self.chain, made)
