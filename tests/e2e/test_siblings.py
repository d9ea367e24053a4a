"""Flows that read two events of a transaction together, over the bridges' own contracts on three networks.

Hyperlane's ids and networks are in different events, and so are what CCTP 2 mints and the message that it mints for.
"""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.anvil import Anvil
from tests.support.missing import missing
from tests.support.process import Chainwatch
from tests.support.protocols import cctp as circle
from tests.support.protocols import hyperlane as mailboxes
from tests.support.protocols.artifacts import ArtifactError, load, typechain_abi
from tests.support.protocols.cctp import FAST, Cctp
from tests.support.protocols.chain import HOUR, Chain, Receipt, advance, call_data, word
from tests.support.protocols.hyperlane import Hyperlane
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.anvil

NAMES, CHAIN_IDS = ("ethereum", "arbitrum", "base"), (1, 42_161, 8_453)
DOMAINS = (0, 3, 6)

FLOWS = """
[flows.hyperlane]
contract = "mailbox"
key = "messageId"

[flows.hyperlane.opens]
step = "dispatch"
event = "DispatchId"
with.sent = { event = "Dispatch", pick = "before" }
destination = "sent.destination"

[[flows.hyperlane.expects]]
step = "process"
event = "ProcessId"
with.process = { event = "Process", pick = "before" }
origin = "process.origin"
within = "1h"
assert = "process.sender == bytes32(opening.sent.sender) and bytes32(process.recipient) == opening.sent.recipient"
"""

CCTP = """
[flows.cctp]
contract = "messenger"
network_by = "domain"
key = ["network.domain", "destinationDomain", "mintRecipient", "amount"]

[flows.cctp.opens]
step = "deposit"
event = "DepositForBurn"
destination = "destinationDomain"
amount = "amount"

[[flows.cctp.expects]]
step = "mint"
event = "MintAndWithdraw"
with.message = { event = "MessageReceived", contract = "transmitter", pick = "after", where = "len(messageBody) >= 228" }
origin = "message.sourceDomain"
key = ["message.sourceDomain", "network.domain", "message.messageBody[36:68]", "uint(message.messageBody[68:100])"]
within = "1h"
assert = "amount + feeCollected == opening.amount and feeCollected <= opening.maxFee"
"""

RECEIVERS = """
[receivers.console]
provider = "console"

[[routes]]
receivers = ["console"]
"""

ABIS = {
    "messenger": {
        "DepositForBurn": "address *burnToken, uint256 amount, address *depositor, bytes32 mintRecipient, "
        "uint32 destinationDomain, bytes32 destinationTokenMessenger, bytes32 destinationCaller, uint256 maxFee, "
        "uint32 *minFinalityThreshold, bytes hookData",
        "MintAndWithdraw": "address *mintRecipient, uint256 amount, address *mintToken, uint256 feeCollected",
    },
    "transmitter": {
        "MessageReceived": "address *caller, uint32 sourceDomain, bytes32 *nonce, bytes32 sender, "
        "uint32 *finalityThresholdExecuted, bytes messageBody"
    },
}
"""Circle's events of version 2; ``*`` marks indexed arguments."""


@pytest.fixture
def chains(anvil_factory: Callable[..., Anvil]) -> list[Chain]:
    began = str(int(time.time()) - 6 * HOUR)
    nodes = [anvil_factory(chain_id=number, arguments=["--timestamp", began]) for number in CHAIN_IDS]
    return [Chain.at(node, account) for account, node in enumerate(nodes)]


@pytest.fixture
def hyperlane(chains: list[Chain]) -> Hyperlane:
    try:
        return Hyperlane(chains)
    except ArtifactError as error:
        missing("a protocol's contracts", str(error))


@pytest.fixture
def cctp(chains: list[Chain]) -> Cctp:
    try:
        return Cctp(2, dict(zip(DOMAINS, chains, strict=True)))
    except ArtifactError as error:
        missing("a protocol's contracts", str(error))


async def test_one_flow_of_a_mesh_reads_ids_and_networks_of_two_events_also_in_batches(
    chains: list[Chain], hyperlane: Hyperlane, tmp_path: Path
) -> None:
    ethereum, arbitrum, base = chains
    hyperlane.relay(hyperlane.dispatch(ethereum, arbitrum, b"one"))
    hyperlane.relay(hyperlane.dispatch(base, ethereum, b"another direction"))

    batch = dispatch_together(hyperlane, ethereum, [arbitrum, base, arbitrum])
    first, second, third = mailboxes.messages_in(batch)
    late = mailboxes.messages_in(hyperlane.dispatch(base, arbitrum, b"late"))[0]
    never = mailboxes.messages_in(hyperlane.dispatch(arbitrum, base, b"never"))[0]
    forged = never._replace(nonce=99, sender=word(hyperlane.sites[base.chain_id].token))
    process_together(hyperlane, [first, third])
    process_together(hyperlane, [second, forged])
    advance(chains, 2 * HOUR)
    hyperlane.process(late)
    advance(chains, HOUR)
    for chain in chains:
        chain.anvil.mine(400)  # so many that another process reads them

    watch = Chainwatch(tmp_path, config(tmp_path, chains, hyperlane))
    found = await watch.read("replay")
    assert found["transfers"] == {"hyperlane": {"complete": 6, "orphan": 1, "overdue": 1}}
    alerts = {
        (a["labels"]["alertname"], a["labels"]["transfer"], a["ends_at"] is None) for a in found["alerts"]
    }
    assert alerts == {
        ("TransferOverdue", f"0x{late.id.hex()}", False),
        ("TransferOverdue", f"0x{never.id.hex()}", True),
        ("TransferOrphan", f"0x{forged.id.hex()}", True),
    }

    tested = await watch.read("flows", "test", batch.transaction_hash)
    steps = [step for step in tested["flows"][0]["steps"] if step["outcome"] == "matched"]
    assert [step["destination"] for step in steps] == ["arbitrum", "base", "arbitrum"]
    assert [step["siblings"] for step in steps] == [{"sent": step["log_index"] - 1} for step in steps]


async def test_what_is_minted_is_joined_with_the_message_that_follows(
    chains: list[Chain], cctp: Cctp, tmp_path: Path
) -> None:
    cctp.relay(cctp.deposit(0, 3, 1_000))
    cctp.relay(cctp.deposit(3, 6, 2_000, finality=FAST), fee=50)
    together = [cctp.deposit(6, 0, amount) for amount in (3_000, 4_000, 5_000)]
    messages = [circle.messages_in(sent)[0].attested(cctp.fresh_nonce()) for sent in together]
    calls = [cctp.attested_call(message) for message in messages]
    cctp.sites[0].chain.send_together([(cctp.sites[0].transmitter, call) for call in calls])
    cctp.deposit(0, 6, 6_000)
    advance(chains, 3 * HOUR)
    for chain in chains:
        chain.anvil.mine(3)

    found = await Chainwatch(tmp_path, config(tmp_path, chains, None, cctp)).read("replay")
    assert found["transfers"] == {"cctp": {"complete": 5, "overdue": 1}}
    assert [a["labels"]["alertname"] for a in found["alerts"]] == ["TransferOverdue"]


async def test_live_an_opening_before_the_first_block_is_found_with_its_sibling(
    chains: list[Chain], hyperlane: Hyperlane, tmp_path: Path
) -> None:
    ethereum, arbitrum, base = chains
    early = dispatch_together(hyperlane, ethereum, [base, arbitrum])
    first, second = mailboxes.messages_in(early)
    ethereum.anvil.mine(3)
    began = int(ethereum.anvil.rpc("eth_blockNumber"), 16)
    orphan = first._replace(nonce=99)
    process_together(hyperlane, [second])
    process_together(hyperlane, [first, orphan])
    advance(chains, HOUR)
    for chain in chains:
        chain.anvil.mine(3)
    text = config(tmp_path, chains, hyperlane, begin={"ethereum": began})
    watch = Chainwatch(tmp_path, text.replace('key = "messageId"', 'key = "messageId"\norphan_grace = "1m"'))
    watch.start()
    try:
        wanted = {
            f"0x{first.id.hex()}": "complete",
            f"0x{second.id.hex()}": "complete",
            f"0x{orphan.id.hex()}": "orphan",
        }
        found = await until(watch, wanted, chains)
        assert found[f"0x{first.id.hex()}"]["destination"] == "base"

        on_the_tip = dispatch_together(hyperlane, base, [ethereum, arbitrum, ethereum])
        messages = mailboxes.messages_in(on_the_tip)
        process_together(hyperlane, [messages[0], messages[2]])
        process_together(hyperlane, [messages[1]])
        wanted |= {f"0x{message.id.hex()}": "complete" for message in messages}
        await until(watch, wanted, chains)
        names = [alert["labels"]["alertname"] for alert in await watch.read("alerts")]
        assert "FlowEvaluationFailed" not in names
    finally:
        watch.kill()


async def until(watch: Chainwatch, wanted: dict[str, str], chains: Sequence[Chain]) -> dict[str, Any]:
    """The transfers by key, once their statuses are ``wanted``; meanwhile the chains grow."""
    found: dict[str, Any] = {}
    statuses: dict[str, str] = {}
    end = time.monotonic() + PATIENCE
    while statuses != wanted and time.monotonic() < end:
        for chain in chains:
            chain.anvil.mine(1)
        await asyncio.sleep(0.3)
        shown = await watch.command("transfers", "--json")  # fails until there is a database
        found = {t["key"]: t for t in json.loads(shown.out)} if shown.code == 0 else {}
        statuses = {key: t["status"] for key, t in found.items()}
    assert statuses == wanted, watch.log
    return found


def dispatch_together(hyperlane: Hyperlane, origin: Chain, destinations: Sequence[Chain]) -> Receipt:
    """Sends a message to the recipient of each of ``destinations`` in one transaction."""
    mailbox = hyperlane.sites[origin.chain_id].mailbox
    calls = []
    for number, destination in enumerate(destinations):
        recipient = word(hyperlane.sites[destination.chain_id].recipient)
        arguments = (destination.chain_id, recipient, b"message %d" % number)
        calls.append((mailbox, call_data("dispatch(uint32,bytes32,bytes)", *arguments)))
    return origin.send_together(calls)


def process_together(hyperlane: Hyperlane, messages: Sequence[mailboxes.Message]) -> Receipt:
    """Delivers messages, which are for one network, in one transaction."""
    site = hyperlane.sites[messages[0].destination]
    calls = [call_data("process(bytes,bytes)", b"", message.encode()) for message in messages]
    return site.chain.send_together([(site.mailbox, call) for call in calls])


def config(
    folder: Path,
    chains: Sequence[Chain],
    hyperlane: Hyperlane | None,
    cctp: Cctp | None = None,
    begin: dict[str, int] | None = None,
) -> str:
    """The configuration of one of the protocols, with its ABIs beside it."""
    abis: dict[str, Any] = {name: [event(*one) for one in events.items()] for name, events in ABIS.items()}
    abis["mailbox"] = typechain_abi(load(mailboxes.CORE)[0])
    addresses = {}
    if hyperlane is not None:
        addresses["mailbox"] = [hyperlane.sites[chain.chain_id].mailbox for chain in chains]
    if cctp is not None:
        addresses["messenger"] = [cctp.sites[domain].messenger for domain in DOMAINS]
        addresses["transmitter"] = [cctp.sites[domain].transmitter for domain in DOMAINS]
    parts = [f'[store]\nurl = "sqlite:///{folder / "chainwatch.db"}"']
    for name, chain, domain in zip(NAMES, chains, DOMAINS, strict=True):
        start = (begin or {}).get(name, 0)
        parts += [
            f'[networks.{name}]\nchain_id = {chain.chain_id}\nrpc = ["{chain.anvil.http_url}"]',
            f'block_time = "1s"\nconfirmations = 0\nstart_block = {start}\ndomain = {domain}',
        ]
    for contract, places in addresses.items():
        (folder / f"{contract}.json").write_text(json.dumps(abis[contract]))
        named = ", ".join(f'{name} = "{address}"' for name, address in zip(NAMES, places, strict=True))
        parts.append(f'[contracts.{contract}]\nabi = "{contract}.json"\naddress = {{ {named} }}')
    flows = FLOWS if cctp is None else CCTP
    return "\n".join(parts) + flows + RECEIVERS


def event(name: str, arguments: str) -> dict[str, Any]:
    """An event's entry in the JSON ABI."""
    inputs = []
    for argument in arguments.split(", "):
        kind, named = argument.split(" ")
        inputs.append({"name": named.lstrip("*"), "type": kind, "indexed": named.startswith("*")})
    return {"type": "event", "name": name, "anonymous": False, "inputs": inputs}
