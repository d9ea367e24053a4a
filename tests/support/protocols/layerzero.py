"""LayerZero V2: an endpoint, an app (OmniCounter) and a token (OFT) per network, the verifier and the executor.

Packets are verified by LayerZero's `SimpleMessageLib`, which accepts every packet: a forged one is delivered like a real
one.
A packet is version uint8, nonce uint64, source eid uint32, sender bytes32, destination eid uint32, receiver bytes32,
guid bytes32, message (PacketV1Codec.sol); an eid is the endpoint's number of its network.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self

from eth_utils.crypto import keccak

from tests.support.protocols.artifacts import Package, bytecodes
from tests.support.protocols.chain import Chain, Receipt, address_of, word

SDK = Package(
    "@layerzerolabs/lz-evm-sdk-v2",
    "3.1.10",
    "sha512-52Y+O5i1UzmrbKm9z1LQ2BqRZbcrLuc3m126+vv+n0CNu3NqXFOCISc4OMAgis5lEgszH4azc0m7dM1+3HIM2A==",
    (
        "artifacts/contracts/EndpointV2.sol/EndpointV2.json",
        "artifacts/contracts/messagelib/SimpleMessageLib.sol/SimpleMessageLib.json",
        "artifacts/contracts/oapp/examples/OmniCounter.sol/OmniCounter.json",
    ),
)
OFT = Package(  # the packages of the OFT itself have it as an abstract contract, without code
    "@layerzerolabs/ovault-evm",
    "0.0.6",
    "sha512-NSkA0fOkI0smXHtz3EVMVBzLPnKUiaX4Gd1mV9v18IeG3aZ8Wq9qxd8V7gpJTPFjyT9bIf6KWBdPIdK0jy1Gxw==",
    ("artifacts/MockOFT.sol/MockOFT.json", "artifacts/MockOFT.sol/MockOFTAdapter.json"),
)

PACKET_VERSION = 1
FEE = 100
"""What `SimpleMessageLib` takes for a packet, in wei."""
SUPPLY = 10**24
VANILLA = 1
"""OmniCounter's message that counts up and does nothing else."""

SET_PEER = "setPeer(uint32,bytes32)"
PACKET_SENT = "PacketSent(bytes,bytes,address)"


class Packet(NamedTuple):
    """A packet between two networks, as the endpoint encodes it."""

    nonce: int
    origin: int
    sender: bytes
    destination: int
    receiver: bytes
    message: bytes

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        return cls(
            int.from_bytes(raw[1:9]),
            int.from_bytes(raw[9:13]),
            raw[13:45],
            int.from_bytes(raw[45:49]),
            raw[49:81],
            raw[113:],
        )

    @property
    def guid(self) -> bytes:
        return keccak(self._path)

    @property
    def _path(self) -> bytes:
        origin = self.nonce.to_bytes(8) + self.origin.to_bytes(4) + self.sender
        return origin + self.destination.to_bytes(4) + self.receiver

    def encode(self) -> bytes:
        return bytes([PACKET_VERSION]) + self._path + self.guid + self.message


class Relayed(NamedTuple):
    """A delivery's two transactions."""

    verified: Receipt
    delivered: Receipt


class Site(NamedTuple):
    """The contracts' addresses on one network."""

    chain: Chain
    eid: int
    endpoint: str
    library: str
    counter: str
    token: str


class LayerZero:
    """Endpoints on several networks, by eid, with apps and tokens that have each other as peers."""

    def __init__(self, chains: Mapping[int, Chain]) -> None:
        codes = bytecodes(SDK) + bytecodes(OFT)
        self.sites = {eid: _deploy(chain, eid, codes) for eid, chain in chains.items()}
        for site in self.sites.values():
            for other in self.sites.values():
                if other is not site:
                    _connect(site, other)

    def put_adapter(self, eid: int) -> str:
        """Let an adapter that locks one network's token take the place of that token: the token's address.

        The adapter holds what the tokens of the other networks were made with.
        """
        site = self.sites[eid]
        code = bytecodes(OFT)[1]
        types = "(address,address,address)"
        adapter = site.chain.deploy(code, types, site.token, site.endpoint, site.chain.account)
        self.sites[eid] = site._replace(token=adapter)
        for other in self.sites.values():
            if other.eid != eid:
                site.chain.send(adapter, SET_PEER, other.eid, word(other.token))
                other.chain.send(other.token, SET_PEER, eid, word(adapter))
                site.chain.send(site.token, "mint(address,uint256)", adapter, SUPPLY)
        site.chain.send(site.token, "approve(address,uint256)", adapter, SUPPLY)
        return site.token

    def increment(self, origin: int, destination: int) -> Receipt:
        """Sends a message from one app to the other."""
        site, options = self.sites[origin], b"\0\3"
        function = "increment(uint32,uint8,bytes)"
        return site.chain.send(site.counter, function, destination, VANILLA, options, value=FEE)

    def increment_all(self, origin: int, destinations: Sequence[int]) -> Receipt:
        """Sends a message to the app of each destination, all in one transaction."""
        site, count = self.sites[origin], len(destinations)
        what = (destinations, [VANILLA] * count, [b"\0\3"] * count)
        return site.chain.send(
            site.counter, "batchIncrement(uint32[],uint8[],bytes[])", *what, value=FEE * count
        )

    def transfer(self, origin: int, destination: int, amount: int) -> Receipt:
        """Sends tokens to the account of the other network; OFTs round down to 6 decimals of their 18."""
        site, account = self.sites[origin], self.sites[destination].chain.account
        what = (destination, word(account), amount, 0, b"\0\3", b"", b"")
        function = "send((uint32,bytes32,uint256,uint256,bytes,bytes,bytes),(uint256,uint256),address)"
        return site.chain.send(site.token, function, what, (FEE, 0), site.chain.account, value=FEE)

    def relay(self, sent: Receipt) -> Relayed:
        """Verifies and delivers the only packet of a transaction on the network that it is for."""
        (packet,) = packets_in(sent)
        return Relayed(self.verify(packet), self.deliver(packet))

    def verify(self, packet: Packet) -> Receipt:
        """Marks a packet, sent or forged, as verified at its destination; raises Reverted if the app has no such peer."""
        site = self.sites[packet.destination]
        return site.chain.send(site.library, "validatePacket(bytes)", packet.encode())

    def deliver(self, packet: Packet) -> Receipt:
        """Delivers a verified packet; raises Reverted for one that was delivered already."""
        site = self.sites[packet.destination]
        origin = (packet.origin, packet.sender, packet.nonce)
        function = "lzReceive((uint32,bytes32,uint64),address,bytes32,bytes,bytes)"
        receiver = address_of(packet.receiver)
        return site.chain.send(site.endpoint, function, origin, receiver, packet.guid, packet.message, b"")


def packets_in(sent: Receipt) -> list[Packet]:
    """The packets that a transaction sent."""
    return [Packet.parse(log.decode_data("(bytes,bytes,address)")[0]) for log in sent.events(PACKET_SENT)]


def _deploy(chain: Chain, eid: int, codes: list[bytes]) -> Site:
    endpoint_code, library_code, counter_code, token_code, _ = codes
    endpoint = chain.deploy(endpoint_code, "(uint32,address)", eid, chain.account)
    library = chain.deploy(library_code, "(address,address)", endpoint, chain.account)
    chain.send(endpoint, "registerLibrary(address)", library)
    counter = chain.deploy(counter_code, "(address,address)", endpoint, chain.account)
    named = ("Token", "TKN", endpoint, chain.account)
    token = chain.deploy(token_code, "(string,string,address,address)", *named)
    chain.send(token, "mint(address,uint256)", chain.account, SUPPLY)
    return Site(chain, eid, endpoint, library, counter, token)


def _connect(site: Site, other: Site) -> None:
    site.chain.send(site.endpoint, "setDefaultSendLibrary(uint32,address)", other.eid, site.library)
    site.chain.send(
        site.endpoint, "setDefaultReceiveLibrary(uint32,address,uint256)", other.eid, site.library, 0
    )
    site.chain.send(site.counter, SET_PEER, other.eid, word(other.counter))
    site.chain.send(site.token, SET_PEER, other.eid, word(other.token))
