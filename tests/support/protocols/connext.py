"""Connext's own contracts: a diamond of its facets where the preset knows it, with a stand-in for what sends messages."""

import json
from collections.abc import Mapping
from typing import NamedTuple

from eth_utils.crypto import keccak

from tests.support.protocols.artifacts import Package, bytecodes, load, own_bytecodes
from tests.support.protocols.chain import Chain, Receipt, call_data, word

FACETS = ("BridgeFacet", "DiamondCutFacet", "DiamondLoupeFacet", "ProposedOwnableFacet")
_ROOT = "artifacts/contracts/core/connext"
PACKAGE = Package(
    "@connext/smart-contracts",
    "2.4.0",
    "sha512-CttDY6jVQtQxnKzQZj+oIPrY8exmj+/EZ40wrxTL4H7lHnZ0eX0IP9mKuZjH1K/mwF9Rm1sne9gt0kHEBsz1uw==",
    (
        *(f"{_ROOT}/facets/{name}.sol/{name}.json" for name in FACETS),
        f"{_ROOT}/facets/upgrade-initializers/DiamondInit.sol/DiamondInit.json",
        f"{_ROOT}/helpers/ConnextDiamond.sol/ConnextDiamond.json",
    ),
)

ADD, REPLACE = 0, 1
Cut = tuple[str, int, list[bytes]]
"""A facet's address, what is done, and the selectors of its functions."""
CUTS = "((address,uint8,bytes4[])[],address,bytes)"
REMOTE = "enrollRemoteRouter(uint32,bytes32)"
MANAGER = "setXAppConnectionManager(address)"


class Site(NamedTuple):
    """A diamond on one network, and the facet of its owner's functions."""

    chain: Chain
    domain: int
    diamond: str
    owning: str

    def cut(self, *cuts: Cut) -> Receipt:
        """Let the owner change its facets."""
        change = (list(cuts), "0x" + "0" * 40, b"")
        self.chain.send(self.diamond, "proposeDiamondCut" + CUTS, *change)
        return self.chain.send(self.diamond, "diamondCut" + CUTS, *change)


class Connext:
    """Diamonds on several networks, by Connext's number (domain) of each, at these addresses."""

    def __init__(self, chains: Mapping[int, Chain], addresses: Mapping[int, str]) -> None:
        self.sites = {domain: _deploy(chain, domain, addresses[domain]) for domain, chain in chains.items()}
        for site in self.sites.values():
            for other in self.sites.values():
                if other is not site:
                    site.chain.send(site.diamond, REMOTE, other.domain, word(other.diamond))

    def send(self, origin: int, destination: int) -> Receipt:
        """Send a transfer of nothing: a message to the other network's account."""
        site, to = self.sites[origin], self.sites[destination].chain.account
        function = "xcall(uint32,address,address,address,uint256,uint256,bytes)"
        nothing = ("0x" + "0" * 40, to, 0, 0, b"")
        return site.chain.send(site.diamond, function, destination, to, *nothing)


def manager(chain: Chain, domain: int) -> str:
    """Deploy what says which messages are genuine."""
    return chain.deploy(own_bytecodes()["ConnectionManager"], "(uint32)", domain)


def selectors(name: str) -> list[bytes]:
    """The selectors of a facet's functions."""
    (path,) = (path for path in load(PACKAGE) if path.stem == name)
    functions = [entry for entry in json.loads(path.read_text())["abi"] if entry["type"] == "function"]
    return [keccak(text=f"{one['name']}({','.join(map(_type, one['inputs']))})")[:4] for one in functions]


def _type(argument: Mapping[str, object]) -> str:
    kind = str(argument["type"])
    parts = argument.get("components")
    if not isinstance(parts, list):
        return kind
    return f"({','.join(map(_type, parts))})" + kind.removeprefix("tuple")


def _deploy(chain: Chain, domain: int, address: str) -> Site:
    *facet_codes, init_code, diamond_code = bytecodes(PACKAGE)
    facets = [chain.deploy(code) for code in facet_codes]
    cuts = [(facet, ADD, selectors(name)) for facet, name in zip(facets, FACETS, strict=True)]
    start = call_data(
        "init(uint32,address,uint256,address)", domain, manager(chain, domain), 0, chain.account
    )
    chain.deploy_at(
        address,
        diamond_code,
        "(address,(address,uint8,bytes4[])[],(address,bytes)[])",
        *(chain.account, cuts, [(chain.deploy(init_code), start)]),
    )
    return Site(chain, domain, address, facets[-1])
