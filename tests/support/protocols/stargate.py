"""Stargate V2: a token (StargateOFT) and the messaging of it on each network, over LayerZero's endpoints.

A transfer goes alone, by taxi, or boards a bus, which leaves when somebody drives it with the passengers in the queue.
"""

from collections.abc import Sequence
from typing import NamedTuple

from tests.support.protocols.artifacts import Package, bytecodes
from tests.support.protocols.chain import Chain, Receipt, word
from tests.support.protocols.layerzero import FEE, LayerZero

SDK = Package(
    "@stargatefinance/stg-evm-sdk-v2",
    "1.1.12",
    "sha512-bV6qcdCGOHdGn1cVP7d7bHtwDGK2aeC28gcN+e/2QAxkG972czNG9TlCBbzq0e1lNqHXokDweKsZPmRpffNO8A==",
    (
        "artifacts/src/StargateOFT.sol/StargateOFT.json",
        "artifacts/src/messaging/TokenMessaging.sol/TokenMessaging.json",
        "artifacts/src/feelibs/FeeLibV1.sol/FeeLibV1.json",
        "artifacts/src/utils/OFTTokenERC20.sol/OFTTokenERC20.json",
    ),
)
SUPPLY = 10**24
ASSET, SHARED_DECIMALS, SEATS, QUEUE = 1, 6, 5, 16
FARE = 10
TAXI, BUS = b"", b"\0"

BUS_RODE = "BusRode(uint32,uint72,uint80,bytes)"
BUS_DRIVEN = "BusDriven(uint32,uint72,uint8,bytes32)"
OFT_SENT = "OFTSent(bytes32,uint32,address,uint256,uint256)"
OFT_RECEIVED = "OFTReceived(bytes32,uint32,address,uint256)"


class Site(NamedTuple):
    """The contracts' addresses on one network."""

    chain: Chain
    eid: int
    token: str
    stargate: str
    messaging: str


class Stargate:
    """A token on the networks of ``layerzero``, which every network may send to every other."""

    def __init__(self, layerzero: LayerZero) -> None:
        self.layerzero = layerzero
        codes = bytecodes(SDK)
        self.sites = {
            eid: _deploy(site.chain, eid, site.endpoint, codes) for eid, site in layerzero.sites.items()
        }
        for site in self.sites.values():
            others = [other for other in self.sites.values() if other is not site]
            for other in others:
                _connect(site, other)

    def taxi(self, origin: int, destination: int, amount: int) -> Receipt:
        """Sends tokens at once to the account of the other network."""
        return self._send(origin, destination, amount, TAXI, FEE)

    def ride(self, origin: int, destination: int, amount: int) -> Receipt:
        """Boards the next bus with tokens for the account of the other network."""
        return self._send(origin, destination, amount, BUS, FARE)

    def drive(self, rides: Sequence[Receipt]) -> Receipt:
        """Lets a bus leave with the passengers of ``rides``, in their order: one packet."""
        boarded = [ride.event(BUS_RODE).decode_data("(uint32,uint72,uint80,bytes)") for ride in rides]
        site = next(
            site for site in self.sites.values() if site.messaging == rides[0].event(BUS_RODE).address
        )
        passengers = b"".join(passenger for _, _, _, passenger in boarded)
        return site.chain.send(site.messaging, "driveBus(uint32,bytes)", boarded[0][0], passengers, value=FEE)

    def _send(self, origin: int, destination: int, amount: int, command: bytes, fee: int) -> Receipt:
        site, account = self.sites[origin], self.sites[destination].chain.account
        what = (destination, word(account), amount, 0, b"", b"", command)
        function = "sendToken((uint32,bytes32,uint256,uint256,bytes,bytes,bytes),(uint256,uint256),address)"
        return site.chain.send(site.stargate, function, what, (fee, 0), site.chain.account, value=fee)


def _deploy(chain: Chain, eid: int, endpoint: str, codes: Sequence[bytes]) -> Site:
    stargate_code, messaging_code, fee_code, token_code = codes
    token = chain.deploy(token_code, "(string,string,uint8)", "Token", "TKN", 18)
    what = (token, SHARED_DECIMALS, endpoint, chain.account)
    stargate = chain.deploy(stargate_code, "(address,uint8,address,address)", *what)
    messaging = chain.deploy(messaging_code, "(address,address,uint16)", endpoint, chain.account, QUEUE)
    fees = chain.deploy(fee_code, "(address)", stargate)
    for minter in (chain.account, stargate):
        chain.send(token, "addMinter(address)", minter)
    chain.send(token, "mint(address,uint256)", chain.account, SUPPLY)
    chain.send(token, "approve(address,uint256)", stargate, SUPPLY)
    config = (fees, chain.account, chain.account, messaging, chain.account, chain.account)
    chain.send(stargate, "setAddressConfig((address,address,address,address,address,address))", config)
    chain.send(messaging, "setMaxAssetId(uint16)", ASSET)
    chain.send(messaging, "setAssetId(address,uint16)", stargate, ASSET)
    chain.send(messaging, "setPlanner(address)", chain.account)
    return Site(chain, eid, token, stargate, messaging)


def _connect(site: Site, other: Site) -> None:
    chain = site.chain
    chain.send(site.stargate, "setOFTPath(uint32,bool)", other.eid, True)
    chain.send(site.messaging, "setPeer(uint32,bytes32)", other.eid, word(other.messaging))
    chain.send(site.messaging, "setGasLimit(uint32,uint128,uint128)", other.eid, 200_000, 50_000)
    chain.send(site.messaging, "setFares(uint32,uint80,uint80)", other.eid, FARE, FARE)
    chain.send(site.messaging, "setMaxNumPassengers(uint32,uint8)", other.eid, SEATS)
