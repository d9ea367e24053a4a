"""Hyperlane v3: a mailbox and a warp route (token) per network, and the relayer.

Messages are verified by `NoopIsm`, which accepts every message: a forged one is delivered like a real one.
A message is version uint8, nonce uint32, origin uint32, sender bytes32, destination uint32, recipient bytes32, body;
its id is the hash of it all (contracts/libs/Message.sol).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self

from eth_utils.crypto import keccak

from tests.support.protocols.artifacts import Package, bytecodes
from tests.support.protocols.chain import Chain, Receipt, word
from tests.support.protocols.openzeppelin import put_proxy

CONTRACTS = [
    "Mailbox",
    "isms/NoopIsm",
    "hooks/MerkleTreeHook",
    "test/TestPostDispatchHook",
    "test/TestRecipient",
    "token/HypERC20",
]

# Its events are those of 12.1.0, which weighs 110 MB, but for the place of SentTransferRemote: there before Dispatch.
CORE = Package(
    "@hyperlane-xyz/core",
    "9.0.10",
    "sha512-AqoFMuETUy5bKkIA7qAbquESvx9qARrKc3C9Zo+lNWOMIduKrpXZEtbMM03Y+LmPsJmAr5EXcrSuTbxmGDyvng==",
    tuple(f"dist/typechain/factories/contracts/{name}__factory.js" for name in CONTRACTS),
)

VERSION = 3
SUPPLY = 10**24

DISPATCH = "Dispatch(address,uint32,bytes32,bytes)"


class Message(NamedTuple):
    """A message between two networks, as the mailbox encodes it."""

    nonce: int
    origin: int
    sender: bytes
    destination: int
    recipient: bytes
    body: bytes

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        return cls(
            int.from_bytes(raw[1:5]),
            int.from_bytes(raw[5:9]),
            raw[9:41],
            int.from_bytes(raw[41:45]),
            raw[45:77],
            raw[77:],
        )

    def encode(self) -> bytes:
        head = bytes([VERSION]) + self.nonce.to_bytes(4) + self.origin.to_bytes(4) + self.sender
        return head + self.destination.to_bytes(4) + self.recipient + self.body

    @property
    def id(self) -> bytes:
        return keccak(self.encode())


class Site(NamedTuple):
    """The contracts' addresses on one network, whose domain is its chain id."""

    chain: Chain
    mailbox: str
    recipient: str
    token: str


class Hyperlane:
    """Mailboxes on several networks, each with a recipient and a token; a token accepts transfers from all others."""

    def __init__(self, chains: Sequence[Chain], proxies: Mapping[int, str] = {}) -> None:
        """Where there are ``proxies``, by chain id, the mailboxes are behind proxies at these addresses."""
        codes = bytecodes(CORE)
        self.sites = {chain.chain_id: _deploy(chain, codes, proxies.get(chain.chain_id)) for chain in chains}
        for site in self.sites.values():
            for other in self.sites.values():
                if other is not site:
                    enroll = "enrollRemoteRouter(uint32,bytes32)"
                    site.chain.send(site.token, enroll, other.chain.chain_id, word(other.token))

    def dispatch(self, origin: Chain, destination: Chain, body: bytes) -> Receipt:
        """Sends a message to the other network's recipient."""
        recipient = word(self.sites[destination.chain_id].recipient)
        mailbox = self.sites[origin.chain_id].mailbox
        return origin.send(mailbox, "dispatch(uint32,bytes32,bytes)", destination.chain_id, recipient, body)

    def transfer(self, origin: Chain, destination: Chain, amount: int) -> Receipt:
        """Sends tokens to the account of the other network, by the warp route."""
        token, recipient = self.sites[origin.chain_id].token, word(destination.account)
        return origin.send(
            token, "transferRemote(uint32,bytes32,uint256)", destination.chain_id, recipient, amount
        )

    def relay(self, sent: Receipt) -> Receipt:
        """Delivers the only message of a transaction on the network that it is for."""
        (message,) = messages_in(sent)
        return self.process(message)

    def process(self, message: Message) -> Receipt:
        """Delivers a message, dispatched or forged; raises Reverted for one that was delivered already."""
        site = self.sites[message.destination]
        return site.chain.send(site.mailbox, "process(bytes,bytes)", b"", message.encode())


def messages_in(sent: Receipt) -> list[Message]:
    """The messages that a transaction dispatched."""
    return [Message.parse(log.decode_data("(bytes)")[0]) for log in sent.events(DISPATCH)]


def _deploy(chain: Chain, codes: list[bytes], proxy: str | None) -> Site:
    mailbox_code, ism_code, merkle_code, required_code, recipient_code, token_code = codes
    mailbox = chain.deploy(mailbox_code, "(uint32)", chain.chain_id)
    if proxy is not None:
        put_proxy(chain, proxy, mailbox)
        mailbox = proxy
    ism = chain.deploy(ism_code)
    merkle = chain.deploy(merkle_code, "(address)", mailbox)
    required = chain.deploy(required_code)
    initialize = "initialize(address,address,address,address)"
    chain.send(mailbox, initialize, chain.account, ism, merkle, required)
    recipient = chain.deploy(recipient_code)
    token = chain.deploy(token_code, "(uint8,uint256,address)", 18, 1, mailbox)
    initialize = "initialize(uint256,string,string,address,address,address)"
    zero = "0x" + "00" * 20
    chain.send(token, initialize, SUPPLY, "Token", "TKN", zero, zero, chain.account)
    return Site(chain, mailbox, recipient, token)
