"""Axelar's Amplifier gateway, which newer networks have: the same apps and calls, approved and executed by other events.

Its command id is the hash of the origin's name and a message id, which names the origin's transaction and event.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from eth_abi.abi import encode
from eth_account import Account
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from tests.support.protocols.artifacts import Package, bytecodes
from tests.support.protocols.axelar import APP, VALIDATOR_KEY, Call, Relayed, calls_in
from tests.support.protocols.chain import Chain, Receipt

SDK = Package(
    "@axelar-network/axelar-gmp-sdk-solidity",
    "6.2.0",
    "sha512-jiDnCAffb+Xhf4r4FZoVuiS5BY37sSd0lYDVf84qklYfpf761yoncL9H0FWkEKakBH/owQ3FuyeLld6dHqTYhg==",
    tuple(
        f"artifacts/contracts/gateway/{name}.sol/{name}.json"
        for name in ("AxelarAmplifierGateway", "AxelarAmplifierGatewayProxy")
    ),
)

DOMAIN = keccak(text="the networks of the tests")
SIGNERS = "((address,uint128)[],uint128,bytes32)"
MESSAGES = "(string,string,string,address,bytes32)[]"
APPROVE_MESSAGES = 0


class Site(NamedTuple):
    """The contracts' addresses on one network."""

    chain: Chain
    gateway: str
    app: str


class Amplifier:
    """Amplifier gateways on several networks, by Axelar's names, each with an app."""

    def __init__(self, chains: Mapping[str, Chain]) -> None:
        codes = bytecodes(SDK) + bytecodes(APP)
        self.sites = {name: _deploy(chain, codes) for name, chain in chains.items()}
        for site in self.sites.values():
            for name, other in self.sites.items():
                if other is not site:
                    sibling = (name, to_checksum_address(other.app))
                    site.chain.send(site.app, "addSibling(string,string)", *sibling)

    def call(self, origin: str, destination: str, value: str) -> Receipt:
        """Sends a value from one app to the other, paying for no gas."""
        site = self.sites[origin]
        return site.chain.send(site.app, "set(string,string)", destination, value)

    def relay(self, origin: str, sent: Receipt) -> Relayed:
        """Approves and executes the only call of a transaction on the network that it is for."""
        (call,) = calls_in(origin, sent)
        return Relayed(self.approve(call.destination, [call]), self.execute(call))

    def approve(self, destination: str, calls: Sequence[Call]) -> Receipt:
        """Approves calls, sent or forged, in one transaction; one that was approved already is skipped."""
        site = self.sites[destination]
        messages = [
            (c.origin, message_id(c), c.sender, to_checksum_address(c.contract), keccak(c.payload))
            for c in calls
        ]
        data = keccak(encode(["uint8", MESSAGES], [APPROVE_MESSAGES, messages]))
        signers = keccak(encode([SIGNERS], [_signers()]))
        signed = keccak(b"\x19Ethereum Signed Message:\n96" + DOMAIN + signers + data)
        signature = bytes(Account.unsafe_sign_hash(signed, VALIDATOR_KEY).signature)
        function = f"approveMessages({MESSAGES},({SIGNERS},bytes[]))"
        return site.chain.send(site.gateway, function, messages, (_signers(), [signature]))

    def execute(self, call: Call) -> Receipt:
        """Executes an approved call, as any relayer may; raises Reverted if it is not approved, or no longer."""
        site = self.sites[call.destination]
        command = keccak(text=f"{call.origin}_{message_id(call)}")
        what = (command, call.origin, call.sender, call.payload)
        return site.chain.send(call.contract, "execute(bytes32,string,string,bytes)", *what)


def message_id(call: Call) -> str:
    """How a call is named between networks: the hash of its transaction, and the place of its event therein."""
    return f"0x{call.transaction.hex()}-{call.index}"


def _signers() -> tuple[list[tuple[str, int]], int, bytes]:
    """The validators with their weights, the weight that signatures must reach, and a nonce."""
    return [(Account.from_key(VALIDATOR_KEY).address, 1)], 1, bytes(32)


def _deploy(chain: Chain, codes: list[bytes]) -> Site:
    gateway_code, proxy_code, app_code = codes
    implementation = chain.deploy(gateway_code, "(uint256,bytes32,uint256)", 16, DOMAIN, 0)
    setup = encode(["address", f"{SIGNERS}[]"], [chain.account, [_signers()]])
    gateway = chain.deploy(proxy_code, "(address,address,bytes)", implementation, chain.account, setup)
    gas_service = chain.account  # never called, as nothing is paid
    return Site(chain, gateway, chain.deploy(app_code, "(address,address)", gateway, gas_service))
