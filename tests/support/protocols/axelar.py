"""Axelar GMP: a gateway, the gas service and an app per network, and the validators, whose one key is ours.

An approval names what it approves (the origin's chain, sender, transaction and event) and a command id that the
validators choose; nothing on chain ties these to a call, so that a forged approval is executed like a real one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from eth_abi.abi import encode
from eth_account import Account
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from tests.support.protocols.artifacts import Package, bytecodes
from tests.support.protocols.chain import Chain, Receipt

GATEWAY = Package(
    "@axelar-network/axelar-cgp-solidity",
    "6.4.0",
    "sha512-Xnw5xi234B1cmTCzgudV8zq+DDjJ1d1U362CM0vKH1FWmZprKIdqgmOYkiRyu+QiVhnznKiBURiSEHVrNjtYpw==",
    (
        "artifacts/contracts/auth/AxelarAuthWeighted.sol/AxelarAuthWeighted.json",
        "artifacts/contracts/TokenDeployer.sol/TokenDeployer.json",
        "artifacts/contracts/AxelarGateway.sol/AxelarGateway.json",
        "artifacts/contracts/AxelarGatewayProxy.sol/AxelarGatewayProxy.json",
        "artifacts/contracts/gas-service/AxelarGasService.sol/AxelarGasService.json",
    ),
)
APP = Package(
    "@axelar-network/axelar-local-dev",
    "1.2.5",
    "sha512-tsR8muQRxokMW3xg5aCTQYj2gQZTmB8urbRub5sBOX0cPMhm4e3azVPpBIz/FCj8VIrTthOyJ014it/y8qTFSg==",
    ("src/artifacts/src/contracts/test/Executable.sol/Executable.json",),
)

VALIDATOR_KEY = keccak(text="the validator of the tests")

CONTRACT_CALL = "ContractCall(address,string,string,bytes32,bytes)"


@dataclass(frozen=True)
class Call:
    """A call between two networks, as an approval describes it; `index` is that of the event in its transaction."""

    origin: str
    sender: str
    destination: str
    contract: str
    payload: bytes
    transaction: bytes
    index: int

    @property
    def command(self) -> bytes:
        """A command id that is the same for the same event, and for no other."""
        return keccak(
            encode(["string", "bytes32", "uint256"], [self.destination, self.transaction, self.index])
        )


class Relayed(NamedTuple):
    """A delivery's two transactions."""

    approved: Receipt
    executed: Receipt


class Site(NamedTuple):
    """The contracts' addresses on one network."""

    chain: Chain
    gateway: str
    gas_service: str
    app: str


class Axelar:
    """Gateways on several networks, by Axelar's names, with apps that know each other.

    An app's `set` pays for gas and calls its like on another network, where the value sent is stored.
    """

    def __init__(self, chains: Mapping[str, Chain]) -> None:
        codes = bytecodes(GATEWAY) + bytecodes(APP)
        self.sites = {name: _deploy(chain, codes) for name, chain in chains.items()}
        for site in self.sites.values():
            for name, other in self.sites.items():
                if other is not site:
                    sibling = (name, to_checksum_address(other.app))
                    site.chain.send(site.app, "addSibling(string,string)", *sibling)

    def call(self, origin: str, destination: str, value: str, gas: int = 1) -> Receipt:
        """Sends a value from one app to the other, paying `gas` wei to the gas service; no event of it if 0."""
        site = self.sites[origin]
        return site.chain.send(site.app, "set(string,string)", destination, value, value=gas)

    def relay(self, origin: str, sent: Receipt) -> Relayed:
        """Approves and executes the only call of a transaction on the network that it is for."""
        (call,) = calls_in(origin, sent)
        return Relayed(self.approve(call.destination, [(call.command, call)]), self.execute(call))

    def approve(self, destination: str, batch: Sequence[tuple[bytes, Call]]) -> Receipt:
        """Approves calls under command ids, all in one transaction; one that was executed already is skipped."""
        site = self.sites[destination]
        commands = [command for command, _ in batch]
        parameters = [_approval(call) for _, call in batch]
        data = encode(
            ["uint256", "bytes32[]", "string[]", "bytes[]"],
            [site.chain.chain_id, commands, ["approveContractCall"] * len(batch), parameters],
        )
        signed = keccak(b"\x19Ethereum Signed Message:\n32" + keccak(data))
        signature = bytes(Account.unsafe_sign_hash(signed, VALIDATOR_KEY).signature)
        proof = encode(["address[]", "uint256[]", "uint256", "bytes[]"], [*_validators(), [signature]])
        return site.chain.send(site.gateway, "execute(bytes)", encode(["bytes", "bytes"], [data, proof]))

    def execute(self, call: Call, command: bytes | None = None) -> Receipt:
        """Executes an approved call, as any relayer may; raises Reverted if it is not approved, or no longer."""
        site = self.sites[call.destination]
        what = (command or call.command, call.origin, call.sender, call.payload)
        return site.chain.send(call.contract, "execute(bytes32,string,string,bytes)", *what)


def calls_in(origin: str, sent: Receipt) -> list[Call]:
    """The calls that a transaction sent from a network, by Axelar's name of it."""
    found = []
    transaction = bytes.fromhex(sent.transaction_hash[2:])
    for log in sent.events(CONTRACT_CALL):
        destination, contract, payload = log.decode_data("(string,string,bytes)")
        sender = to_checksum_address(log.topics[1][12:])
        found.append(Call(origin, sender, destination, contract, payload, transaction, sent.logs.index(log)))
    return found


def _validators() -> tuple[list[str], list[int], int]:
    """The validators' addresses, their weights, and the weight that a signature must reach."""
    return [Account.from_key(VALIDATOR_KEY).address], [1], 1


def _approval(call: Call) -> bytes:
    types = ["string", "string", "address", "bytes32", "bytes32", "uint256"]
    payload_hash = keccak(call.payload)
    return encode(
        types, [call.origin, call.sender, call.contract, payload_hash, call.transaction, call.index]
    )


def _deploy(chain: Chain, codes: list[bytes]) -> Site:
    auth_code, deployer_code, gateway_code, proxy_code, gas_code, app_code = codes
    operators = encode(["address[]", "uint256[]", "uint256"], _validators())
    auth = chain.deploy(auth_code, "(bytes[])", [operators])
    implementation = chain.deploy(gateway_code, "(address,address)", auth, chain.deploy(deployer_code))
    setup = encode(["address", "address", "bytes"], [chain.account, chain.account, b""])
    gateway = chain.deploy(proxy_code, "(address,bytes)", implementation, setup)
    gas_service = chain.deploy(gas_code, "(address)", chain.account)
    return Site(
        chain, gateway, gas_service, chain.deploy(app_code, "(address,address)", gateway, gas_service)
    )
