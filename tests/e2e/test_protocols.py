"""Flows over the bridges' own contracts: what is in time, late, missing or forged is found on a whole mesh at once."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.anvil import Anvil
from tests.support.missing import missing
from tests.support.process import Chainwatch
from tests.support.protocols import cctp as circle
from tests.support.protocols.artifacts import ArtifactError, load, typechain_abi
from tests.support.protocols.cctp import PUBLISHED_V1, Cctp
from tests.support.protocols.chain import HOUR, Chain, advance, word
from tests.support.protocols.layerzero import OFT, LayerZero, Packet, packets_in

pytestmark = pytest.mark.anvil

NAMES, CHAIN_IDS = ("ethereum", "arbitrum", "base"), (1, 42_161, 8_453)
EIDS, DOMAINS = (30_101, 30_110, 30_184), (0, 3, 6)

FLOWS = """
[flows.oft]
contract = "oft"
key = "guid"
network_by = "eid"
opens = { step = "send", event = "OFTSent", destination = "dstEid", amount = "amountSentLD" }

[[flows.oft.expects]]
step = "receive"
event = "OFTReceived"
origin = "srcEid"
within = "1h"
assert = "amountReceivedLD == opening.amountReceivedLD"

[flows.cctp]
contract = "messenger"
key = ["network.domain", "nonce"]
network_by = "domain"
opens = { step = "deposit", event = "DepositForBurn", destination = "destinationDomain", amount = "amount" }

[[flows.cctp.expects]]
step = "receive"
contract = "transmitter"
event = "MessageReceived"
key = ["sourceDomain", "nonce"]
origin = "sourceDomain"
within = "1h"

[receivers.console]
provider = "console"

[[routes]]
receivers = ["console"]
"""


class Alert(NamedTuple):
    """What is to be found: the alert, the transfer's flow and key, and whether it ended."""

    name: str
    flow: str
    transfer: str
    ended: bool


@pytest.fixture
def chains(anvil_factory: Callable[..., Anvil]) -> list[Chain]:
    began = str(int(time.time()) - 6 * HOUR)
    nodes = [anvil_factory(chain_id=number, arguments=["--timestamp", began]) for number in CHAIN_IDS]
    return [Chain.at(node, account) for account, node in enumerate(nodes)]


async def test_transfers_of_layerzero_and_circle_are_judged_on_every_pair_of_networks(
    chains: list[Chain], tmp_path: Path
) -> None:
    try:
        layerzero = LayerZero(dict(zip(EIDS, chains, strict=True)))
        cctp = Cctp(1, dict(zip(DOMAINS, chains, strict=True)))
    except ArtifactError as error:
        missing("a protocol's contracts", str(error))
    expected = play(chains, layerzero, cctp)

    watch = Chainwatch(tmp_path, config(tmp_path, chains, layerzero, cctp))
    found = await watch.read("replay")
    assert found["transfers"] == {
        flow: {"complete": 2, "orphan": 1, "overdue": 1} for flow in ("oft", "cctp")
    }
    assert {
        Alert(
            a["labels"]["alertname"], a["labels"]["flow"], a["labels"]["transfer"], a["ends_at"] is not None
        )
        for a in found["alerts"]
    } == expected
    assert len(found["alerts"]) == len(expected)


def play(chains: Sequence[Chain], layerzero: LayerZero, cctp: Cctp) -> set[Alert]:
    """Sends a transfer in time, one late and one never delivered by each, and forges one: what is to be alerted."""
    ethereum, arbitrum, base = EIDS
    layerzero.relay(layerzero.transfer(ethereum, arbitrum, 10**18))
    cctp.relay(cctp.deposit(0, 3, 1_000))

    late_tokens, late_deposit = layerzero.transfer(arbitrum, base, 2 * 10**18), cctp.deposit(3, 6, 2_000)
    never_tokens = layerzero.transfer(base, arbitrum, 3 * 10**18)
    cctp.deposit(6, 0, 3_000)

    sender, receiver = (word(layerzero.sites[eid].token) for eid in (base, ethereum))
    message = word(layerzero.sites[ethereum].chain.account) + (10**6).to_bytes(8)
    forged = Packet(1, base, sender, ethereum, receiver, message)
    layerzero.verify(forged)
    layerzero.deliver(forged)
    (deposit,) = circle.messages_in(late_deposit)
    cctp.receive(replace(deposit, nonce=(77).to_bytes(8)))

    advance(chains, 2 * HOUR)
    layerzero.relay(late_tokens)
    cctp.relay(late_deposit)
    advance(chains, HOUR)
    for chain in chains:
        chain.anvil.mine(3)
    late, never = (packets_in(sent)[0].guid.hex() for sent in (late_tokens, never_tokens))
    return {
        Alert("TransferOverdue", "oft", f"0x{late}", ended=True),
        Alert("TransferOverdue", "oft", f"0x{never}", ended=False),
        Alert("TransferOrphan", "oft", f"0x{forged.guid.hex()}", ended=False),
        Alert("TransferOverdue", "cctp", "3/0", ended=True),
        Alert("TransferOverdue", "cctp", "6/0", ended=False),
        Alert("TransferOrphan", "cctp", "3/77", ended=False),
    }


def config(folder: Path, chains: Sequence[Chain], layerzero: LayerZero, cctp: Cctp) -> str:
    """The configuration, with the ABIs that the packages publish beside it."""
    oft, _ = load(OFT)
    transmitter, messenger = (folder / f"{name}.json" for name in ("transmitter", "messenger"))
    for published, path in zip(load(PUBLISHED_V1), (transmitter, messenger), strict=True):
        path.write_text(json.dumps(typechain_abi(published)))
    parts = [f'[store]\nurl = "sqlite:///{folder / "chainwatch.db"}"']
    for name, chain, eid, domain in zip(NAMES, chains, EIDS, DOMAINS, strict=True):
        parts += [
            f'[networks.{name}]\nchain_id = {chain.chain_id}\nrpc = ["{chain.anvil.http_url}"]',
            f'block_time = "1s"\nconfirmations = 0\nstart_block = 0\neid = {eid}\ndomain = {domain}',
        ]
    sites = [cctp.sites[domain] for domain in DOMAINS]
    for contract, abi, addresses in (
        ("oft", oft, [layerzero.sites[eid].token for eid in EIDS]),
        ("messenger", messenger, [site.messenger for site in sites]),
        ("transmitter", transmitter, [site.transmitter for site in sites]),
    ):
        named = ", ".join(f'{name} = "{address}"' for name, address in zip(NAMES, addresses, strict=True))
        parts.append(f'[contracts.{contract}]\nabi = "{abi}"\naddress = {{ {named} }}')
    return "\n".join(parts) + FLOWS
