"""Flows with computed keys over the bridges' own contracts: ids, packets and payloads that no event names.

Three protocols on three networks, each one flow for all directions: what is in time, missing or forged is found.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from eth_utils.address import to_checksum_address

from tests.support.anvil import Anvil
from tests.support.missing import missing
from tests.support.process import Chainwatch
from tests.support.protocols import hyperlane as mailboxes
from tests.support.protocols import wormhole as guardians
from tests.support.protocols.artifacts import ArtifactError, load, typechain_abi
from tests.support.protocols.chain import HOUR, Chain, advance, word
from tests.support.protocols.hyperlane import Hyperlane
from tests.support.protocols.layerzero import SDK as ENDPOINTS
from tests.support.protocols.layerzero import LayerZero, Packet, packets_in
from tests.support.protocols.wormhole import Wormhole

pytestmark = pytest.mark.anvil

NAMES, CHAIN_IDS = ("ethereum", "arbitrum", "base"), (1, 42_161, 8_453)
EIDS, NUMBERS = (30_101, 30_110, 30_184), (2, 23, 30)

FLOWS = """
[flows.hyperlane]
contract = "mailbox"
key = "keccak(message)"

[flows.hyperlane.opens]
step = "dispatch"
event = "Dispatch"
origin = "uint(message[5:9])"
destination = "destination"
amount = "uint(message[109:141])"

[[flows.hyperlane.expects]]
step = "process"
event = "ProcessId"
key = "messageId"
within = "1h"

[flows.layerzero]
contract = "endpoint"
network_by = "eid"
key = [
    "uint(encodedPayload[9:13])",
    "encodedPayload[13:45]",
    "uint(encodedPayload[1:9])",
    "uint(encodedPayload[45:49])",
    "address(encodedPayload[49:81])",
]

[flows.layerzero.opens]
step = "send"
event = "PacketSent"
destination = "uint(encodedPayload[45:49])"

[[flows.layerzero.expects]]
step = "verify"
event = "PacketVerified"
key = ["origin.srcEid", "origin.sender", "origin.nonce", "network.eid", "receiver"]
origin = "origin.srcEid"
within = "1h"
assert = "payloadHash == keccak(opening.encodedPayload[81:])"

[[flows.layerzero.expects]]
step = "deliver"
event = "PacketDelivered"
key = ["origin.srcEid", "origin.sender", "origin.nonce", "network.eid", "receiver"]
origin = "origin.srcEid"
within = "1h"

[flows.wormhole]
contract = "core"
network_by = "wormhole"
key = ["network.wormhole", "bytes32(sender)", "sequence"]

[flows.wormhole.opens]
step = "publish"
event = "LogMessagePublished"
where = 'sender == contract("token-bridge") and uint(payload[0:1]) in (1, 3)'
destination = "uint(payload[99:101])"
amount = "uint(payload[1:33])"

[[flows.wormhole.expects]]
step = "redeem"
contract = "token-bridge"
event = "TransferRedeemed"
key = ["emitterChainId", "emitterAddress", "sequence"]
origin = "emitterChainId"
within = "1h"

[receivers.console]
provider = "console"

[[routes]]
receivers = ["console"]
"""


@pytest.fixture
def chains(anvil_factory: Callable[..., Anvil]) -> list[Chain]:
    began = str(int(time.time()) - 6 * HOUR)
    nodes = [anvil_factory(chain_id=number, arguments=["--timestamp", began]) for number in CHAIN_IDS]
    return [Chain.at(node, account) for account, node in enumerate(nodes)]


async def test_transfers_are_joined_by_what_is_computed_of_their_events(
    chains: list[Chain], tmp_path: Path
) -> None:
    try:
        hyperlane = Hyperlane(chains)
        layerzero = LayerZero(dict(zip(EIDS, chains, strict=True)))
        wormhole = Wormhole(dict(zip(NUMBERS, chains, strict=True)))
        text = config(tmp_path, chains, hyperlane, layerzero, wormhole)
    except ArtifactError as error:
        missing("a protocol's contracts", str(error))
    expected = (
        play_hyperlane(chains, hyperlane)
        | play_layerzero(layerzero, chains)
        | play_wormhole(wormhole, chains)
    )
    advance(chains, 3 * HOUR)
    for chain in chains:
        chain.anvil.mine(3)

    found = await Chainwatch(tmp_path, text).read("replay")
    assert found["transfers"] == {
        flow: {"complete": 1, "overdue": 1, "orphan": 1} for flow in ("hyperlane", "layerzero", "wormhole")
    }
    alerts = [alert["labels"] for alert in found["alerts"]]
    assert {(a["alertname"], a["flow"], a["transfer"]) for a in alerts} == expected


Found = set[tuple[str, str, str]]
"""Alert, flow and transfer."""


def play_hyperlane(chains: Sequence[Chain], hyperlane: Hyperlane) -> Found:
    """One in time, one never delivered, one forged: what is to be alerted."""
    ethereum, arbitrum, base = chains
    hyperlane.relay(hyperlane.transfer(ethereum, arbitrum, 10**18))
    (never,) = mailboxes.messages_in(hyperlane.transfer(arbitrum, base, 5))
    forged = never._replace(nonce=99, destination=ethereum.chain_id, origin=base.chain_id)
    forged = forged._replace(
        sender=word(hyperlane.sites[base.chain_id].token),
        recipient=word(hyperlane.sites[ethereum.chain_id].token),
    )
    hyperlane.process(forged)
    return {
        ("TransferOverdue", "hyperlane", f"0x{never.id.hex()}"),
        ("TransferOrphan", "hyperlane", f"0x{forged.id.hex()}"),
    }


def play_layerzero(layerzero: LayerZero, chains: Sequence[Chain]) -> Found:
    """The same by LayerZero."""
    ethereum, arbitrum, base = EIDS
    layerzero.relay(layerzero.transfer(ethereum, arbitrum, 10**18))
    (never,) = packets_in(layerzero.transfer(arbitrum, base, 10**18))
    sender, receiver = (word(layerzero.sites[eid].token) for eid in (base, ethereum))
    forged = Packet(1, base, sender, ethereum, receiver, word(chains[0].account) + (10**6).to_bytes(8))
    layerzero.verify(forged)
    layerzero.deliver(forged)
    return {
        ("TransferOverdue", "layerzero", _packet_key(layerzero, never)),
        ("TransferOrphan", "layerzero", _packet_key(layerzero, forged)),
    }


def _packet_key(layerzero: LayerZero, packet: Packet) -> str:
    receiver = to_checksum_address(layerzero.sites[packet.destination].token)
    return f"{packet.origin}/0x{packet.sender.hex()}/{packet.nonce}/{packet.destination}/{receiver}"


def play_wormhole(wormhole: Wormhole, chains: Sequence[Chain]) -> Found:
    """The same by Wormhole, whose core has published the tokens' attestations too."""
    ethereum, arbitrum, base = NUMBERS
    wormhole.relay(ethereum, wormhole.transfer(ethereum, arbitrum, 10**18))
    (never,) = guardians.messages_in(arbitrum, wormhole.transfer(arbitrum, base, 10**18))
    forged = replace(never, sequence=99)
    wormhole.redeem(forged)
    return {
        ("TransferOverdue", "wormhole", _message_key(never)),
        ("TransferOrphan", "wormhole", _message_key(forged)),
    }


def _message_key(message: guardians.Message) -> str:
    return f"{message.chain}/0x{message.emitter.hex()}/{message.sequence}"


def config(
    folder: Path, chains: Sequence[Chain], hyperlane: Hyperlane, layerzero: LayerZero, wormhole: Wormhole
) -> str:
    """The configuration, with the ABIs that the packages publish beside it."""
    abis = {"endpoint": load(ENDPOINTS)[0]}
    core, bridge = (load(guardians.SDK)[index] for index in (0, 3))
    for name, published in (("mailbox", load(mailboxes.CORE)[0]), ("core", core), ("token-bridge", bridge)):
        abis[name] = folder / f"{name}.json"
        abis[name].write_text(json.dumps(typechain_abi(published)))
    parts = [f'[store]\nurl = "sqlite:///{folder / "chainwatch.db"}"']
    for name, chain, eid, number in zip(NAMES, chains, EIDS, NUMBERS, strict=True):
        parts += [
            f'[networks.{name}]\nchain_id = {chain.chain_id}\nrpc = ["{chain.anvil.http_url}"]',
            f'block_time = "1s"\nconfirmations = 0\nstart_block = 0\neid = {eid}\nwormhole = {number}',
        ]
    for contract, addresses in (
        ("mailbox", [hyperlane.sites[chain.chain_id].mailbox for chain in chains]),
        ("endpoint", [layerzero.sites[eid].endpoint for eid in EIDS]),
        ("core", [wormhole.sites[number].core for number in NUMBERS]),
        ("token-bridge", [wormhole.sites[number].bridge for number in NUMBERS]),
    ):
        named = ", ".join(f'{name} = "{address}"' for name, address in zip(NAMES, addresses, strict=True))
        parts.append(f'[contracts.{contract}]\nabi = "{abis[contract]}"\naddress = {{ {named} }}')
    return "\n".join(parts) + FLOWS
