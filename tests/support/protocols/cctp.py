"""Circle's CCTP, versions 1 and 2: a token, its messenger and a transmitter per network, and the attester.

The contracts are a stand-in (cctp.sol). The attester's one key is ours: it signs what was sent, or a forged message.
Version 2's messages leave the origin without a nonce: the attester fills in nonce, finality, fee and expiration block.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, Self

from eth_account import Account
from eth_utils.crypto import keccak

from tests.support.protocols.artifacts import Package, load, own_bytecodes, typechain_abi
from tests.support.protocols.chain import Chain, Receipt, call_data, word
from tests.support.protocols.hyperlane import CORE

PUBLISHED_V1 = Package(
    "@wormhole-foundation/sdk-evm-cctp",
    "6.1.5",
    "sha512-p8bpijEDiMUSPCVfuVtLLd+D2JFRjGcCeC5QAW8zjFxHK4Mh6FBghVyvyd3xjxo1BZiMQn2pU64qjy2gIkDxuQ==",
    tuple(
        f"dist/esm/ethers-contracts/factories/{name}__factory.js"
        for name in ("MessageTransmitter", "TokenMessenger")
    ),
)
PUBLISHED_V2 = CORE._replace(
    files=("dist/typechain/factories/contracts/interfaces/cctp/ITokenMessengerV2__factory.js",)
)

ATTESTER_KEY = keccak(text="the attester of the tests")
SUPPLY = 10**18

FINALIZED, FAST = 2000, 1000
"""The finality at which a message may be attested: of the finalized block, or sooner, for a fee."""

MESSAGE_SENT = "MessageSent(bytes)"
RECEIVE = "receiveMessage(bytes,bytes)"

Version = Literal[1, 2]


@dataclass(frozen=True)
class Message:
    """A message of either version, its body left encoded; version 1 has a nonce of 8 bytes and no finality."""

    version: Version
    origin: int
    destination: int
    nonce: bytes
    sender: bytes
    recipient: bytes
    body: bytes
    finality: int = 0
    finality_executed: int = 0
    caller: bytes = bytes(32)

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Takes apart a message by the version in its head: 0 for CCTP 1, 1 for CCTP 2."""
        version: Version = 2 if raw[3] else 1
        origin, destination = int.from_bytes(raw[4:8]), int.from_bytes(raw[8:12])
        sender = 44 if version == 2 else 20
        nonce, rest = raw[12:sender], raw[sender:]
        parties = nonce, rest[:32], rest[32:64]
        if version == 1:
            return cls(1, origin, destination, *parties, rest[96:], caller=rest[64:96])
        finality, executed = int.from_bytes(rest[96:100]), int.from_bytes(rest[100:104])
        return cls(2, origin, destination, *parties, rest[104:], finality, executed, rest[64:96])

    def encode(self) -> bytes:
        head = (self.version - 1).to_bytes(4) + self.origin.to_bytes(4) + self.destination.to_bytes(4)
        head += self.nonce + self.sender + self.recipient + self.caller
        if self.version == 2:
            head += self.finality.to_bytes(4) + self.finality_executed.to_bytes(4)
        return head + self.body

    def attested(self, nonce: bytes, finality: int = FINALIZED, fee: int = 0, expires: int = 0) -> Self:
        """Version 2's message with what the attester fills in; `expires` is a block of the destination."""
        body = self.body[:164] + fee.to_bytes(32) + expires.to_bytes(32) + self.body[228:]
        return replace(self, nonce=nonce, finality_executed=finality, body=body)


class Site(NamedTuple):
    """The contracts' addresses on one network."""

    chain: Chain
    domain: int
    transmitter: str
    messenger: str
    token: str


class Cctp:
    """CCTP of one version on several networks, by Circle's number (domain) of each."""

    def __init__(self, version: Version, chains: Mapping[int, Chain]) -> None:
        self.version = version
        self._attested = 0
        codes = own_bytecodes()
        self.sites = {domain: _deploy(version, chain, domain, codes) for domain, chain in chains.items()}
        for site in self.sites.values():
            for other in self.sites.values():
                if other is not site:
                    added = (other.domain, word(other.messenger))
                    site.chain.send(site.messenger, "addRemote(uint32,bytes32)", *added)

    def deposit(self, origin: int, destination: int, amount: int, finality: int = FINALIZED) -> Receipt:
        """Burns tokens to be minted for the other network's account; a fast one pays up to a tenth."""
        site, recipient = self.sites[origin], word(self.sites[destination].chain.account)
        if self.version == 1:
            function = "depositForBurn(uint256,uint32,bytes32)"
            return site.chain.send(site.messenger, function, amount, destination, recipient)
        function = "depositForBurn(uint256,uint32,bytes32,uint256,uint32)"
        fee = amount // 10 if finality < FINALIZED else 0
        return site.chain.send(site.messenger, function, amount, destination, recipient, fee, finality)

    def relay(self, sent: Receipt, fee: int = 0) -> Receipt:
        """Lets the only message of a transaction be attested and received; `fee` is taken of a fast deposit."""
        (message,) = messages_in(sent)
        if self.version == 2:
            message = message.attested(self.fresh_nonce(), message.finality, fee)
        return self.receive(message)

    def receive(self, message: Message) -> Receipt:
        """Attests and receives a message, sent or forged; raises Reverted for a nonce that was used already."""
        site = self.sites[message.destination]
        return site.chain.send(site.transmitter, RECEIVE, *_attested(message))

    def attested_call(self, message: Message) -> bytes:
        """The call data by which a message is received, with others in one transaction."""
        return call_data(RECEIVE, *_attested(message))

    def fresh_nonce(self) -> bytes:
        """A nonce as the attester of version 2 picks it."""
        self._attested += 1
        return keccak(text=f"nonce {self._attested}")


def published_events(version: Version) -> dict[str, list[str]]:
    """The signatures of Circle's own events, and the names of their indexed arguments, as other bridges publish them."""
    package = PUBLISHED_V1 if version == 1 else PUBLISHED_V2
    events = [entry for path in load(package) for entry in typechain_abi(path) if entry["type"] == "event"]
    return {
        f"{event['name']}({','.join(i['type'] for i in event['inputs'])})": [
            i["name"] for i in event["inputs"] if i["indexed"]
        ]
        for event in events
    }


def attester_address() -> str:
    """Whose signature the transmitters accept."""
    return str(Account.from_key(ATTESTER_KEY).address).lower()


def messages_in(sent: Receipt) -> list[Message]:
    """The messages that a transaction sent; those of version 2 without nonces."""
    return [Message.parse(log.decode_data("(bytes)")[0]) for log in sent.events(MESSAGE_SENT)]


def _attested(message: Message) -> tuple[bytes, bytes]:
    raw = message.encode()
    return raw, bytes(Account.unsafe_sign_hash(keccak(raw), ATTESTER_KEY).signature)


def _deploy(version: Version, chain: Chain, domain: int, codes: Mapping[str, bytes]) -> Site:
    token = chain.deploy(codes["Token"])
    settings = (domain, attester_address())
    transmitter = chain.deploy(codes[f"TransmitterV{version}"], "(uint32,address)", *settings)
    messenger = chain.deploy(codes[f"MessengerV{version}"], "(address,address)", transmitter, token)
    chain.send(token, "mint(address,uint256)", chain.account, SUPPLY)
    return Site(chain, domain, transmitter, messenger, token)
