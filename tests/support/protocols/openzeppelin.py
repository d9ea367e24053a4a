"""OpenZeppelin's own compiled contracts: a token with roles and a switch, proxies, a timelock."""

from functools import cache

from tests.support.protocols.artifacts import Package, named_bytecodes
from tests.support.protocols.chain import Chain

CONTRACTS = (
    "BeaconProxy",
    "ERC20PresetMinterPauser",
    "ProxyAdmin",
    "TimelockController",
    "TransparentUpgradeableProxy",
    "UpgradeableBeacon",
)
PACKAGE = Package(
    "@openzeppelin/contracts",
    "4.9.6",
    "sha512-xSmezSupL+y9VkHZJGDoCBpmnB2ogM13ccaYDWqJTfS3dbuHkgjuwDFUmaFauBCboQMGB/S5UqUl2y54X99BmA==",
    tuple(f"build/contracts/{name}.json" for name in CONTRACTS),
)


@cache
def codes() -> dict[str, bytes]:
    """The creation code of each contract, by name."""
    return named_bytecodes(PACKAGE)


def put_proxy(chain: Chain, address: str, implementation: str) -> str:
    """Puts a proxy at an address, over what is stored there: the address of the `ProxyAdmin` that administers it."""
    admin = chain.deploy(codes()["ProxyAdmin"])
    proxy = codes()["TransparentUpgradeableProxy"]
    chain.deploy_at(address, proxy, "(address,address,bytes)", implementation, admin, b"")
    return admin
