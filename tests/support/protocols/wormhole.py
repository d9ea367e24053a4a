"""Wormhole: the core bridge, the token bridge and a token per network, and the guardians, whose one key is ours.

The guardians sign what a contract published (a VAA); whoever has a VAA may redeem it once. A forged one is redeemed
like a real one. The layouts are those of Messages.sol and Bridge.sol of the token bridge.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from eth_account import Account
from eth_utils.crypto import keccak

from tests.support.protocols.artifacts import Package, bytecodes
from tests.support.protocols.chain import Chain, Receipt, call_data, word

CONTRACTS = [
    *("Implementation", "Setup", "Wormhole"),
    *("BridgeImplementation", "BridgeSetup", "TokenBridge", "TokenImplementation"),
]

SDK = Package(
    "@certusone/wormhole-sdk",
    "0.10.18",
    "sha512-VuN4AGB018ELkzTT/jN+yWgE6TWqXsHilxxCVWqGctzow2hKSFd8ADUhxhHigies436rS0vPvrgXi6m0J1+Ecw==",
    tuple(f"lib/cjs/ethers-contracts/factories/{name}__factory.js" for name in CONTRACTS),
)

GUARDIAN_KEY = keccak(text="the guardian of the tests")
GOVERNANCE_CHAIN, GOVERNANCE = 1, (4).to_bytes(32)
FINALIZED = 15
SUPPLY = 10**24
ZERO = "0x" + "00" * 20

PUBLISHED = "LogMessagePublished(address,uint64,uint32,bytes,uint8)"


@dataclass(frozen=True)
class Message:
    """What the guardians sign: a payload, its emitter (chain and address) and the emitter's sequence number."""

    chain: int
    emitter: bytes
    sequence: int
    payload: bytes
    nonce: int = 0
    consistency: int = FINALIZED
    timestamp: int = 0

    @property
    def body(self) -> bytes:
        head = self.timestamp.to_bytes(4) + self.nonce.to_bytes(4) + self.chain.to_bytes(2) + self.emitter
        return head + self.sequence.to_bytes(8) + self.consistency.to_bytes(1) + self.payload

    @property
    def vaa(self) -> bytes:
        """The message with the guardian's signature: version 1, guardian set 0, one signature, of guardian 0."""
        signed = Account.unsafe_sign_hash(keccak(keccak(self.body)), GUARDIAN_KEY)
        r, s, v = (int(part) for part in (signed.r, signed.s, signed.v))
        signature = r.to_bytes(32) + s.to_bytes(32) + bytes([v - 27])
        return bytes([1]) + bytes(4) + bytes([1, 0]) + signature + self.body


class Site(NamedTuple):
    """The contracts' addresses on one network."""

    chain: Chain
    number: int
    core: str
    bridge: str
    token: str


class Wormhole:
    """Core and token bridges on several networks, by Wormhole's numbers; each network's token is known on all."""

    def __init__(self, chains: Mapping[int, Chain]) -> None:
        codes = dict(zip(CONTRACTS, bytecodes(SDK), strict=True))
        self.sites = {number: _deploy(chain, number, codes) for number, chain in chains.items()}
        for site in self.sites.values():
            others = [other for other in self.sites.values() if other is not site]
            for other in others:
                register = _registration(site).vaa
                other.chain.send(other.bridge, "registerChain(bytes)", register)
            attested = site.chain.send(site.bridge, "attestToken(address,uint32)", site.token, 0)
            (message,) = messages_in(site.number, attested)
            for other in others:
                other.chain.send(other.bridge, "createWrapped(bytes)", message.vaa)

    def transfer(self, origin: int, destination: int, amount: int) -> Receipt:
        """Locks the origin's token for the other network's account; amounts are rounded to 8 of the 18 decimals."""
        site, recipient = self.sites[origin], word(self.sites[destination].chain.account)
        site.chain.send(site.token, "approve(address,uint256)", site.bridge, amount)
        function = "transferTokens(address,uint256,uint16,bytes32,uint256,uint32)"
        return site.chain.send(site.bridge, function, site.token, amount, destination, recipient, 0, 7)

    def relay(self, origin: int, sent: Receipt) -> Receipt:
        """Redeems the only transfer of a transaction on the network that it is for."""
        (message,) = messages_in(origin, sent)
        return self.redeem(message)

    def redeem(self, message: Message) -> Receipt:
        """Redeems a transfer, published or forged; raises Reverted for one that was redeemed already."""
        site = self.sites[int.from_bytes(message.payload[99:101])]
        return site.chain.send(site.bridge, "completeTransfer(bytes)", message.vaa)


def messages_in(chain: int, sent: Receipt) -> list[Message]:
    """The messages that a transaction published on a network, by Wormhole's number of it."""
    found = []
    for log in sent.events(PUBLISHED):
        sequence, nonce, payload, consistency = log.decode_data("(uint64,uint32,bytes,uint8)")
        emitter = log.topics[1]
        found.append(Message(chain, emitter, sequence, payload, nonce, consistency, sent.timestamp))
    return found


def _registration(site: Site) -> Message:
    """Governance's word that a network's token bridge is to be believed."""
    module, action, everywhere = b"TokenBridge".rjust(32, b"\0"), bytes([1]), bytes(2)
    payload = module + action + everywhere + site.number.to_bytes(2) + word(site.bridge)
    return Message(GOVERNANCE_CHAIN, GOVERNANCE, site.number, payload)


def _deploy(chain: Chain, number: int, codes: Mapping[str, bytes]) -> Site:
    guardians = [Account.from_key(GUARDIAN_KEY).address]
    governance = (GOVERNANCE_CHAIN, GOVERNANCE)
    setup = call_data(
        "setup(address,address[],uint16,uint16,bytes32,uint256)",
        *(chain.deploy(codes["Implementation"]), guardians, number, *governance, chain.chain_id),
    )
    core = chain.deploy(codes["Wormhole"], "(address,bytes)", chain.deploy(codes["Setup"]), setup)
    implementations = [chain.deploy(codes[name]) for name in ("BridgeImplementation", "TokenImplementation")]
    setup = call_data(
        "setup(address,uint16,address,uint16,bytes32,address,address,uint8,uint256)",
        *(implementations[0], number, core, *governance, implementations[1], ZERO, FINALIZED, chain.chain_id),
    )
    bridge = chain.deploy(codes["TokenBridge"], "(address,bytes)", chain.deploy(codes["BridgeSetup"]), setup)
    token = chain.deploy(codes["TokenImplementation"])
    initialize = "initialize(string,string,uint8,uint64,address,uint16,bytes32)"
    chain.send(token, initialize, "Token", "TKN", 18, 0, chain.account, number, bytes(32))
    chain.send(token, "mint(address,uint256)", chain.account, SUPPLY)
    return Site(chain, number, core, bridge, token)
