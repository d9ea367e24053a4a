"""Flows over bridges' own contracts whose events have no unique key, or name a transfer by an alias that is given later."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from tests.support.anvil import Anvil
from tests.support.missing import missing
from tests.support.process import Chainwatch
from tests.support.protocols.artifacts import ArtifactError
from tests.support.protocols.axelar import Axelar, calls_in
from tests.support.protocols.cctp import FAST, FINALIZED, Cctp, messages_in
from tests.support.protocols.chain import HOUR, Chain, advance, call_data

pytestmark = pytest.mark.anvil

NAMES, CHAIN_IDS = ("ethereum", "arbitrum", "base"), (1, 42_161, 8_453)
AXELAR, DOMAINS = ("Ethereum", "arbitrum", "base"), (0, 3, 6)

APPROVAL = "ContractCallApproved(bytes32,string,string,address,bytes32,bytes32,uint256)"
RECEIVED = "MessageReceived(address,uint32,bytes32,bytes32,uint32,bytes)"

AXELAR_FLOW = """
[flows.axelar]
contract = "gateway"
match = "nth"
network_by = "axelar"
key = ["transaction.hash", "lower(destinationChain)", "payloadHash"]
opens = { step = "call", event = "ContractCall", destination = "lower(destinationChain)" }

[[flows.axelar.expects]]
step = "approve"
event = "ContractCallApproved"
key = ["sourceTxHash", "network.axelar", "payloadHash"]
origin = "lower(sourceChain)"
alias = "commandId"
within = "1h"

[[flows.axelar.expects]]
step = "execute"
event = "ContractCallExecuted"
by = "approve"
within = "2h"
"""

CCTP_FLOW = """
[flows.cctp]
contract = "messenger"
match = "nth"
network_by = "domain"
key = ["network.domain", "destinationDomain", "burnToken", "mintRecipient", "amount", "depositor"]
opens = { step = "deposit", event = "DepositForBurn", destination = "destinationDomain", amount = "amount" }

[[flows.cctp.expects]]
step = "receive"
contract = "transmitter"
event = "MessageReceived"
origin = "sourceDomain"
key = [
    "sourceDomain",
    "network.domain",
    "address(messageBody[4:36])",
    "messageBody[36:68]",
    "uint(messageBody[68:100])",
    "address(messageBody[100:132])",
]
within = "1h"
"""

END = """
[receivers.console]
provider = "console"

[[routes]]
receivers = ["console"]
"""


def event(name: str, **arguments: str) -> dict[str, Any]:
    """An event of an ABI; the types of indexed arguments begin with a ``*``."""
    inputs = [
        {"name": argument.rstrip("_"), "type": kind.lstrip("*"), "indexed": kind.startswith("*")}
        for argument, kind in arguments.items()
    ]
    return {"type": "event", "name": name, "anonymous": False, "inputs": inputs}


GATEWAY = [
    event(
        "ContractCall",
        sender="*address",
        destinationChain="string",
        destinationContractAddress="string",
        payloadHash="*bytes32",
        payload="bytes",
    ),
    event(
        "ContractCallApproved",
        commandId="*bytes32",
        sourceChain="string",
        sourceAddress="string",
        contractAddress="*address",
        payloadHash="*bytes32",
        sourceTxHash="bytes32",
        sourceEventIndex="uint256",
    ),
    event("ContractCallExecuted", commandId="*bytes32"),
]
MESSENGER = [
    event(
        "DepositForBurn",
        burnToken="*address",
        amount="uint256",
        depositor="*address",
        mintRecipient="bytes32",
        destinationDomain="uint32",
        destinationTokenMessenger="bytes32",
        destinationCaller="bytes32",
        maxFee="uint256",
        minFinalityThreshold="*uint32",
        hookData="bytes",
    )
]
TRANSMITTER = [
    event(
        "MessageReceived",
        caller="*address",
        sourceDomain="uint32",
        nonce="*bytes32",
        sender="bytes32",
        finalityThresholdExecuted="*uint32",
        messageBody="bytes",
    )
]


@pytest.fixture
def chains(anvil_factory: Callable[..., Anvil]) -> list[Chain]:
    began = str(int(time.time()) - 6 * HOUR)
    nodes = [anvil_factory(chain_id=number, arguments=["--timestamp", began]) for number in CHAIN_IDS]
    return [Chain.at(node, account) for account, node in enumerate(nodes)]


async def test_equal_calls_of_axelar_are_each_followed_to_their_execution(
    chains: list[Chain], tmp_path: Path
) -> None:
    try:
        axelar = Axelar(dict(zip(AXELAR, chains, strict=True)))
    except ArtifactError as error:
        missing("a protocol's contracts", str(error))
    base = chains[2]
    axelar.relay("Ethereum", axelar.call("Ethereum", "arbitrum", "in time"))

    # Calls of one transaction that differ in nothing, and one to another network. One of the equal ones is executed.
    def call(destination: str) -> tuple[str, bytes]:
        payload = encode(["string"], ["the same"])
        arguments = (destination, to_checksum_address(axelar.sites[destination].app), payload)
        return axelar.sites["base"].gateway, call_data("callContract(string,string,bytes)", *arguments)

    sent = base.send_together([call("Ethereum"), call("arbitrum"), call("Ethereum")])
    first, elsewhere, second = calls_in("base", sent)
    axelar.approve("Ethereum", [(first.command, first), (second.command, second)])
    axelar.execute(first)
    axelar.approve("arbitrum", [(elsewhere.command, elsewhere)])
    axelar.execute(elsewhere)

    # One call is approved under two commands, and so executed twice; another was never made.
    (again,) = calls_in("arbitrum", axelar.call("arbitrum", "base", "again"))
    for command in (again.command, keccak(text="another command")):
        approved = axelar.approve("base", [(command, again)])
        axelar.execute(again, command)
    forged = replace(again, transaction=keccak(text="no transaction"))
    forging = axelar.approve("base", [(forged.command, forged)])
    axelar.execute(forged)

    pass_time(chains)
    gateways = [axelar.sites[name].gateway for name in AXELAR]
    found = await replay(tmp_path, chains, AXELAR_FLOW, {"gateway": (GATEWAY, gateways)})
    assert found["transfers"]["axelar"] == {"complete": 4, "orphan": 2, "overdue": 1}
    equal = f"0x{sent.transaction_hash[2:]}/ethereum/0x{keccak(first.payload).hex()}"
    twice, never = (
        f"0x{call.transaction.hex()}/base/0x{keccak(call.payload).hex()}#base:{receipt.place(APPROVAL)}"
        for call, receipt in ((again, approved), (forged, forging))
    )
    assert alerts(found) == {
        ("TransferOverdue", "execute", f"{equal}#2"),
        ("TransferOrphan", "approve", twice),
        ("TransferOrphan", "execute", twice),
        ("TransferOrphan", "approve", never),
        ("TransferOrphan", "execute", never),
    }


async def test_equal_deposits_of_cctp_2_are_counted_one_by_one(chains: list[Chain], tmp_path: Path) -> None:
    try:
        cctp = Cctp(2, dict(zip(DOMAINS, chains, strict=True)))
    except ArtifactError as error:
        missing("a protocol's contracts", str(error))
    slow, fast = cctp.deposit(0, 3, 1_000), cctp.deposit(0, 3, 1_000, FAST)
    cctp.deposit(0, 3, 1_000)  # never minted
    cctp.relay(fast, fee=10)
    cctp.relay(slow)
    cctp.relay(cctp.deposit(0, 6, 1_000))  # as much, to another network

    twice = cctp.deposit(6, 0, 2_000)
    cctp.relay(twice)
    (message,) = messages_in(twice)
    second = cctp.receive(message.attested(cctp.fresh_nonce(), FINALIZED))  # a second mint of one deposit

    pass_time(chains)
    sites = [cctp.sites[domain] for domain in DOMAINS]
    found = await replay(
        tmp_path,
        chains,
        CCTP_FLOW,
        {
            "messenger": (MESSENGER, [site.messenger for site in sites]),
            "transmitter": (TRANSMITTER, [site.transmitter for site in sites]),
        },
    )
    assert found["transfers"]["cctp"] == {"complete": 4, "orphan": 1, "overdue": 1}
    assert {(name, step, key[:4], key.rpartition("#")[2]) for name, step, key in alerts(found)} == {
        ("TransferOverdue", "receive", "0/3/", "3"),
        ("TransferOrphan", "receive", "6/0/", f"ethereum:{second.place(RECEIVED)}"),
    }


def pass_time(chains: Sequence[Chain]) -> None:
    """Lets all deadlines pass on every chain."""
    advance(chains, 3 * HOUR)
    for chain in chains:
        chain.anvil.mine(3)


def alerts(found: Mapping[str, Any]) -> set[tuple[str, str, str]]:
    """Name, step and transfer of each alert, all of which still hold."""
    assert all(alert["ends_at"] is None for alert in found["alerts"])
    every = [alert["labels"] for alert in found["alerts"]]
    return {(labels["alertname"], labels["step"], labels["transfer"]) for labels in every}


async def replay(
    folder: Path,
    chains: Sequence[Chain],
    flow: str,
    contracts: Mapping[str, tuple[list[dict[str, Any]], Sequence[str]]],
) -> dict[str, Any]:
    """What a replay of all blocks finds; ``contracts`` are ABI and address on each network."""
    parts = [f'[store]\nurl = "sqlite:///{folder / "chainwatch.db"}"']
    for name, chain, domain in zip(NAMES, chains, DOMAINS, strict=True):
        parts += [
            f'[networks.{name}]\nchain_id = {chain.chain_id}\nrpc = ["{chain.anvil.http_url}"]',
            f'block_time = "1s"\nconfirmations = 0\nstart_block = 0\naxelar = "{name}"\ndomain = {domain}',
        ]
    for contract, (abi, addresses) in contracts.items():
        path = folder / f"{contract}.json"
        path.write_text(json.dumps(abi))
        named = ", ".join(f'{name} = "{address}"' for name, address in zip(NAMES, addresses, strict=True))
        parts.append(f'[contracts.{contract}]\nabi = "{path}"\naddress = {{ {named} }}')
    found: dict[str, Any] = await Chainwatch(folder, "\n".join(parts) + flow + END).read("replay")
    return found
