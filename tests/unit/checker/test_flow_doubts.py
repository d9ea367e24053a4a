"""Configurations as a newcomer to a protocol writes them: what is wrong, where, and how to mend it is said before a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from chainwatch.config.errors import ConfigError
from chainwatch.plan import load_plan
from tests.support.abi_text import abi_json

ABIS = {
    "mailbox": abi_json(
        "Dispatch(address indexed sender, uint32 indexed destination, bytes32 indexed recipient, bytes message)",
        "DispatchId(bytes32 indexed messageId)",
        "Process(uint32 indexed origin, bytes32 indexed sender, address indexed recipient)",
        "ProcessId(bytes32 indexed messageId)",
    ),
    "oft": abi_json(
        "OFTSent(bytes32 indexed guid, uint32 dstEid, address indexed fromAddress, uint256 amountSentLD, "
        "uint256 amountReceivedLD)",
        "OFTReceived(bytes32 indexed guid, uint32 srcEid, address indexed toAddress, uint256 amountReceivedLD)",
    ),
    "endpoint": abi_json(
        "PacketSent(bytes encodedPayload, bytes options, address sendLibrary)",
        "PacketDelivered((uint32 srcEid, bytes32 sender, uint64 nonce) origin, address receiver)",
    ),
    "messenger": abi_json(
        "DepositForBurn(uint64 indexed nonce, address indexed burnToken, uint256 amount, address indexed depositor, "
        "bytes32 mintRecipient, uint32 destinationDomain, bytes32 destinationTokenMessenger, bytes32 destinationCaller)",
        "MintAndWithdraw(address indexed mintRecipient, uint256 amount, address indexed mintToken)",
    ),
    "transmitter": abi_json(
        "MessageReceived(address indexed caller, uint32 sourceDomain, uint64 indexed nonce, bytes32 sender, "
        "bytes messageBody)",
        "MessageSent(bytes message)",
    ),
    "core": abi_json(
        "LogMessagePublished(address indexed sender, uint64 sequence, uint32 nonce, bytes payload, "
        "uint8 consistencyLevel)"
    ),
    "token-bridge": abi_json(
        "TransferRedeemed(uint16 indexed emitterChainId, bytes32 indexed emitterAddress, uint64 indexed sequence)"
    ),
    "gateway": abi_json(
        "ContractCall(address indexed sender, string destinationChain, string destinationContractAddress, "
        "bytes32 indexed payloadHash, bytes payload)",
        "ContractCallApproved(bytes32 indexed commandId, string sourceChain, string sourceAddress, "
        "address indexed contractAddress, bytes32 indexed payloadHash, bytes32 sourceTxHash, uint256 sourceEventIndex)",
        "Labelled(string indexed label, bytes32 indexed payloadHash, string sourceChain)",
    ),
    "bridge": abi_json(
        "Sent(uint256 indexed nonce, address indexed from, uint256 to, uint256 amount, address token)",
        "Paid(uint256 indexed nonce, uint256 from, address to, uint256 amount, address token)",
    ),
}
NETWORKS = """
[networks.ethereum]
chain_id = 1
rpc = ["http://node"]
block_time = "12s"
domain = 1
eid = 30101
cctp = 0
wormhole = 2
axelar = "Ethereum"
messenger = "0xbd3fa81b58ba92a82136038b25adec7066af3155"

[networks.arbitrum]
chain_id = 42161
rpc = ["http://node"]
domain = 42161
eid = 30110
cctp = 3
wormhole = 23
axelar = "arbitrum"
messenger = "0x19330d10d9cc8751218eaf51e8885d058642e08a"

[networks.base]
chain_id = 8453
rpc = ["http://node"]
domain = 8453
eid = 30184
cctp = 6
wormhole = 30
axelar = "base"
messenger = "0x1682ae6375c4e4a97e4b583bc394c861a46d8962"

[store]
url = "sqlite:///x.db"

[receivers.console]
provider = "console"

[[routes]]
receivers = ["console"]
"""
FLOWS = {
    "hyperlane-ids": """
[flows.f]
contract = "mailbox"
network_by = "domain"
key = "messageId"

[flows.f.opens]
step = "send"
event = "DispatchId"
with.sent = { event = "Dispatch", pick = "before" }
destination = "sent.destination"

[[flows.f.expects]]
step = "process"
event = "ProcessId"
with.delivered = { event = "Process", pick = "before" }
origin = "delivered.origin"
within = "1h"
""",
    "hyperlane": """
[flows.f]
contract = "mailbox"
network_by = "domain"
key = "keccak(message)"
opens = { step = "send", event = "Dispatch", destination = "destination" }

[[flows.f.expects]]
step = "process"
event = "ProcessId"
key = "messageId"
within = "1h"
""",
    "oft": """
[flows.f]
contract = "oft"
network_by = "eid"
key = "guid"
opens = { step = "send", event = "OFTSent", destination = "dstEid", amount = "amountSentLD" }

[[flows.f.expects]]
step = "receive"
event = "OFTReceived"
origin = "srcEid"
within = "1h"
assert = "amountReceivedLD == opening.amountReceivedLD"
""",
    "endpoint": """
[flows.f]
contract = "endpoint"
network_by = "eid"
key = [
    "uint(encodedPayload[9:13])",
    "encodedPayload[13:45]",
    "uint(encodedPayload[1:9])",
    "uint(encodedPayload[45:49])",
    "address(encodedPayload[49:81])",
]
opens = { step = "send", event = "PacketSent", destination = "uint(encodedPayload[45:49])" }

[[flows.f.expects]]
step = "deliver"
event = "PacketDelivered"
origin = "origin.srcEid"
key = ["origin.srcEid", "origin.sender", "origin.nonce", "network.eid", "receiver"]
within = "1h"
""",
    "cctp": """
[flows.f]
contract = "messenger"
network_by = "cctp"
key = ["network.cctp", "nonce"]
opens = { step = "deposit", event = "DepositForBurn", destination = "destinationDomain", amount = "amount" }

[[flows.f.expects]]
step = "receive"
contract = "transmitter"
event = "MessageReceived"
key = ["sourceDomain", "nonce"]
origin = "sourceDomain"
within = "1h"
""",
    "wormhole": """
[flows.f]
contract = "core"
network_by = "wormhole"
key = ["network.wormhole", "bytes32(sender)", "sequence"]

[flows.f.opens]
step = "publish"
event = "LogMessagePublished"
where = 'sender == contract("token-bridge")'
destination = "uint(payload[99:101])"

[[flows.f.expects]]
step = "redeem"
contract = "token-bridge"
event = "TransferRedeemed"
key = ["emitterChainId", "emitterAddress", "sequence"]
origin = "emitterChainId"
within = "1h"
""",
    "axelar": """
[flows.f]
contract = "gateway"
network_by = "axelar"
key = ["transaction.hash", "payloadHash"]
opens = { step = "call", event = "ContractCall", destination = "destinationChain" }

[[flows.f.expects]]
step = "approve"
event = "ContractCallApproved"
key = ["sourceTxHash", "payloadHash"]
origin = "sourceChain"
within = "1h"
""",
    "own": """
[flows.f]
contract = "bridge"
key = ["network.chain_id", "nonce"]
opens = { step = "send", event = "Sent", destination = "event.args.to", amount = "amount", asset = "token" }

[[flows.f.expects]]
step = "pay"
event = "Paid"
key = ["event.args.from", "nonce"]
origin = "event.args.from"
within = "1h"
""",
}


def said(folder: Path, flow: str, changes: Sequence[tuple[str, str]] = ()) -> tuple[str, list[str]]:
    """What the check says of a flow: its errors as one text, and its warnings."""
    text = FLOWS[flow]
    parts = [NETWORKS]
    for number, (name, abi) in enumerate(ABIS.items(), 1):
        (folder / f"{name}.json").write_text(abi)
        addresses = [
            f'{n} = "0x{number:02x}{place:02x}{"11" * 18}"'
            for place, n in enumerate(("ethereum", "arbitrum", "base"))
        ]
        parts.append(f'[contracts.{name}]\nabi = "{name}.json"\naddress = {{ {", ".join(addresses)} }}\n')
    whole = "\n".join([*parts, text])
    for old, new in changes:
        assert old in whole
        whole = (
            whole.replace(old, new, 1)
            if old not in text
            else "\n".join([*parts, text := text.replace(old, new, 1)])
        )
    (folder / "config.toml").write_text(whole)
    try:
        return "", [w.removeprefix(str(folder)) for w in load_plan(folder / "config.toml", {}).warnings]
    except ConfigError as error:
        return str(error), []


@pytest.mark.parametrize("flow", FLOWS)
def test_what_is_right_is_doubted_nowhere(flow: str, tmp_path: Path) -> None:
    assert said(tmp_path, flow) == ("", [])


FAULTS = [
    # Keys that are never equal: errors.
    (
        "hyperlane",
        [('"keccak(message)"', '"transaction.hash"'), ('key = "messageId"\n', "")],
        "which is another transaction",
    ),
    ("axelar", [('key = ["sourceTxHash", "payloadHash"]\n', "")], "is sourceTxHash the origin's?"),
    ("endpoint", [('"encodedPayload[13:45]"', '"encodedPayload[13:46]"')], "has 32 bytes, not 33"),
    (
        "endpoint",
        [('"uint(encodedPayload[1:9])"', '"encodedPayload[1:9]"')],
        "write uint(encodedPayload[1:9])",
    ),
    ("endpoint", [('"network.eid", "receiver"', '"network.chain_id", "receiver"')], "write network.eid"),
    (
        "endpoint",
        [('"address(encodedPayload[49:81])"', '"encodedPayload[49:81]"')],
        "write address(encodedPayload[49:81])",
    ),
    ("cctp", [('["network.cctp", "nonce"]', '["network.chain_id", "nonce"]')], "write network.cctp"),
    ("cctp", [('["network.cctp", "nonce"]', '["network", "nonce"]')], "write network.cctp"),
    ("cctp", [('network_by = "cctp"\n', "")], 'or network_by = "cctp"'),
    (
        "cctp",
        [
            ('key = ["network.cctp"', 'key = ["network.messenger"'),
            ('["sourceDomain", "nonce"]', '["sender", "nonce"]'),
        ],
        "write bytes32(network.messenger)",
    ),
    (
        "cctp",
        [('within = "1h"', 'within = "1h"\nwhere = "sender == network.messenger"')],
        "write bytes32(network.messenger)",
    ),
    ("wormhole", [('"bytes32(sender)"', '"sender"')], "write address(emitterAddress)"),
    ("wormhole", [('"network.wormhole", "bytes', '"network.chain_id", "bytes')], "write network.wormhole"),
    ("wormhole", [('contract("token-bridge")', 'contract("token-brige")')], 'did you mean "token-bridge"?'),
    (
        "own",
        [
            ('["network.chain_id", "nonce"]', '["emitter", "nonce"]'),
            ('"event.args.from", "nonce"', '"emitter", "nonce"'),
        ],
        "which has other addresses",
    ),
    # Keys of several transfers, or of none: warnings.
    (
        "own",
        [
            ('key = ["network.chain_id", "nonce"]', 'key = "nonce"'),
            ('key = ["event.args.from", "nonce"]\n', ""),
        ],
        "counted by each network for itself",
    ),
    (
        "cctp",
        [('["network.cctp", "nonce"]', '"nonce"'), ('key = ["sourceDomain", "nonce"]\n', "")],
        'add the origin: "network.cctp"',
    ),
    ("cctp", [('["sourceDomain", "nonce"]', '["network.cctp", "nonce"]')], "their keys differ"),
    (
        "oft",
        [('key = "guid"', 'key = "fromAddress"'), ('"OFTReceived"\n', '"OFTReceived"\nkey = "toAddress"\n')],
        "is guid the id?",
    ),
    (
        "oft",
        [
            ('key = "guid"', 'key = "amountSentLD"'),
            ('"OFTReceived"\n', '"OFTReceived"\nkey = "amountReceivedLD"\n'),
        ],
        "is no id",
    ),
    ("oft", [('key = "guid"', 'key = ["network.eid", "guid"]')], "their keys differ"),
    (
        "cctp",
        [
            ('key = ["network.cctp", "nonce"]', 'key = ["network.cctp", "mintRecipient"]'),
            ('["sourceDomain", "nonce"]', '["sourceDomain", "sender"]'),
        ],
        "is no id",
    ),
    (
        "hyperlane",
        [('"keccak(message)"', '["block.number", "log.index"]'), ('key = "messageId"\n', "")],
        "a position in one chain",
    ),
    ("wormhole", [('"sequence"]\n\n', '"nonce"]\n\n')], "is sequence meant for both?"),
    (
        "axelar",
        [('["sourceTxHash", "payloadHash"]', '["commandId", "payloadHash"]')],
        "is sourceTxHash meant?",
    ),
    (
        "axelar",
        [('["sourceTxHash", "payloadHash"]', '["payloadHash", "sourceTxHash"]')],
        "stand in one order",
    ),
    (
        "axelar",
        [
            ('["transaction.hash", "payloadHash"]', '["destinationContractAddress", "payloadHash"]'),
            ('["sourceTxHash"', '["contractAddress"'),
        ],
        "address(unhex(destinationContractAddress))",
    ),
    (
        "hyperlane",
        [('"ProcessId"\nkey = "messageId"', '"Process"\nkey = "sender"')],
        "has an argument sender too",
    ),
    (
        "axelar",
        [
            ('["transaction.hash", "payloadHash"]', '["destinationChain", "payloadHash"]'),
            ('["sourceTxHash"', '["label"'),
            ("ContractCallApproved", "Labelled"),
        ],
        "write keccak(destinationChain)",
    ),
    # Siblings and calls.
    ("hyperlane-ids", [('origin = "delivered.origin"\n', "")], "nothing of step process reads delivered"),
    ("hyperlane-ids", [('"sent.destination"', '"arbitrum"')], "nothing of step send reads sent"),
    (
        "own",
        [('event = "Paid"', 'event = "Paid"\ncall = "function pay(uint256 nonce)"')],
        "nothing of step pay reads call",
    ),
    (
        "hyperlane-ids",
        [('with.sent = { event = "Dispatch"', 'with.sent = { contract = "oft", event = "OFTSent"')],
        "sent",
    ),
    # Networks.
    (
        "hyperlane",
        [('destination = "destination"', 'origin = "uint(message[0:1])", destination = "destination"')],
        "at most 255",
    ),
    ("oft", [('network_by = "eid"\n', "")], 'write network_by = "eid"'),
    (
        "oft",
        [('network_by = "eid"\n', ""), ("\neid = 30101", ""), ("\neid = 30110", ""), ("\neid = 30184", "")],
        "LayerZero numbers networks by endpoint ids",
    ),
    (
        "oft",
        [
            ('"OFTSent", destination = "dstEid"', '"OFTReceived", destination = "srcEid"'),
            ('"OFTReceived"\norigin = "srcEid"', '"OFTSent"\norigin = "dstEid"'),
            ("amountSentLD", "amountReceivedLD"),
        ],
        "named like the network that transfers come from",
    ),
    (
        "oft",
        [('destination = "dstEid"', 'where = "dstEid == 1", destination = "dstEid"')],
        "the eid of no network",
    ),
    (
        "oft",
        [('destination = "dstEid"', 'where = "dstEid == network.eid", destination = "dstEid"')],
        "write !=",
    ),
    ("oft", [('destination = "dstEid"', 'on = "ethereum", destination = "ethereum"')], "go there too"),
    ("oft", [('destination = "dstEid"', 'destination = "ethereum"')], "would go to that network itself"),
    ("cctp", [('origin = "sourceDomain"', 'origin = "ethereum"')], "would count as one from ethereum"),
    ("axelar", [('network_by = "axelar"\n', "")], 'network_by = "axelar"'),
    (
        "axelar",
        [
            (
                'destination = "destinationChain"',
                'where = "destinationChain == \'Arbitrum\'", destination = "destinationChain"',
            )
        ],
        'written "arbitrum"',
    ),
    ("cctp", [(f', base = "0x0502{"11" * 18}"', "")], "transfers to base are untracked"),
    # Steps and conditions.
    (
        "own",
        [
            (
                'destination = "event.args.to"',
                'where = "uint(bytes32(event.args.to)[31:32]) == 300", destination = "event.args.to"',
            )
        ],
        "is at most 255",
    ),
    (
        "hyperlane",
        [('event = "ProcessId"\nkey = "messageId"', 'event = "Dispatch"')],
        "nothing says which of the two an event is",
    ),
    (
        "oft",
        [('assert = "amountReceivedLD == opening.amountReceivedLD"', 'assert = "guid != opening.guid"')],
        "never holds",
    ),
    (
        "oft",
        [('assert = "amountReceivedLD == opening.amountReceivedLD"', 'assert = "guid == opening.guid"')],
        "says nothing",
    ),
    (
        "oft",
        [("== opening.amountReceivedLD", "== amountReceivedLD")],
        "did you mean opening.amountReceivedLD?",
    ),
    (
        "oft",
        [('assert = "amountReceivedLD == opening.amountReceivedLD"', 'assert = "srcEid == 5"')],
        "the eid of no network",
    ),
    ("own", [('asset = "token"', 'asset = "amount"')], "an address is expected"),
    ("own", [('amount = "amount"', 'amount = "token"')], "an integer is expected"),
    ("own", [('within = "1h"', 'within = "5s"')], "less than ethereum takes for one block"),
    # The two ends of a transfer.
    (
        "oft",
        [
            ('key = "guid"', 'key = ["dstEid", "guid"]'),
            ('"OFTReceived"\n', '"OFTReceived"\nkey = ["srcEid", "guid"]\n'),
        ],
        "dstEid names the destination",
    ),
    (
        "endpoint",
        [('destination = "uint(encodedPayload[45:49])"', 'destination = "uint(encodedPayload[9:13])"')],
        "uint(encodedPayload[9:13]) names the destination",
    ),
    ("oft", [('destination = "dstEid"', 'destination = "network.eid"')], "network.eid is that of the origin"),
    ("oft", [('origin = "srcEid"', 'origin = "network.eid"')], "network.eid is that of the destination"),
    # Values that never are what they must be.
    (
        "hyperlane",
        [('"Dispatch", destination', '"Dispatch", amount = "uint(message[109:150])", destination')],
        "41 bytes",
    ),
    (
        "hyperlane",
        [('"Dispatch", destination', '"Dispatch", asset = "address(message[109:150])", destination')],
        "41 bytes",
    ),
    ("hyperlane", [('"keccak(message)"', '"bytes32(message[0:40])"')], "40 bytes"),
    ("hyperlane", [('"keccak(message)"', '"message"')], "write keccak(message)"),
    (
        "endpoint",
        [('destination = "uint(encodedPayload[45:49])"', 'destination = "encodedPayload[45:49]"')],
        "write uint(encodedPayload[45:49])",
    ),
    (
        "hyperlane-ids",
        [('within = "1h"', 'within = "1h"\nassert = "delivered.sender == opening.sent.sender"')],
        "write bytes32(opening.sent.sender)",
    ),
    (
        "oft",
        [
            ('key = "guid"', 'key = ["network.eid", "guid"]'),
            ('"OFTReceived"\n', '"OFTReceived"\nkey = ["guid", "srcEid"]\n'),
        ],
        "the parts of all keys stand in one order",
    ),
]


@pytest.mark.parametrize(("flow", "changes", "words"), FAULTS)
def test_a_newcomers_mistake_is_named_with_its_place_and_how_to_mend_it(
    flow: str, changes: list[tuple[str, str]], words: str, tmp_path: Path
) -> None:
    errors, warnings = said(tmp_path, flow, changes)
    found = [errors] if errors else warnings
    assert any(words in one for one in found), found
    assert all(": flows.f." in one for one in found)


RIGHT = [
    ("oft", [('destination = "dstEid"', 'origin = "network.eid", destination = "dstEid"')]),
    (
        "oft",
        [
            ('network_by = "eid"\n', ""),
            ('destination = "dstEid"', 'origin = "network.chain_id", destination = "base"'),
            ('"OFTSent"', '"OFTSent", on = "ethereum"'),
            ('origin = "srcEid"', 'origin = "ethereum"'),
        ],
    ),
    (
        "own",
        [
            ('event = "Paid"', 'event = "Paid"\non = "origin"'),
            (
                '["event.args.from", "nonce"]\norigin = "event.args.from"',
                '["network.chain_id", "nonce"]\norigin = "network.chain_id"',
            ),
        ],
    ),
    (
        "endpoint",
        [
            ("opens = { step", 'opens = { origin = "network.eid", step'),
            ('"uint(encodedPayload[9:13])"', '"network.eid"'),
        ],
    ),
    ("hyperlane", [('"keccak(message)"', '"bytes32(message)"')]),
    (
        "own",
        [
            ('["network.chain_id", "nonce"]', '["transaction.hash", "nonce"]'),
            (
                '["event.args.from", "nonce"]\norigin = "event.args.from"',
                '["transaction.hash", "nonce"]\non = "origin"',
            ),
        ],
    ),
    ("oft", [('destination = "dstEid"', 'where = "dstEid == 30101", destination = "dstEid"')]),
    (
        "oft",
        [('destination = "dstEid"', 'where = "dstEid == 1 or amountSentLD > 5", destination = "dstEid"')],
    ),
    ("oft", [('destination = "dstEid"', 'where = "not (dstEid == 1)", destination = "dstEid"')]),
    ("oft", [('network_by = "eid"\n', 'network_by = "chain_id"\n')]),
    ("oft", [('assert = "amountReceivedLD == opening.amountReceivedLD"', 'assert = "amountReceivedLD > 0"')]),
    (
        "own",
        [
            (
                'key = ["network.chain_id", "nonce"]\nopens = { step = "send",',
                'key = "nonce"\nopens = { step = "send", on = "ethereum",',
            ),
            ('key = ["event.args.from", "nonce"]\n', ""),
        ],
    ),
    (
        "hyperlane",
        [
            ('event = "ProcessId"\nkey = "messageId"', 'event = "Dispatch"'),
            ('destination = "destination"', 'origin = "uint(message[5:9])", destination = "destination"'),
        ],
    ),
    (
        "axelar",
        [
            (
                'destination = "destinationChain"',
                'where = "lower(destinationChain) == \'arbitrum\'", destination = "destinationChain"',
            )
        ],
    ),
]


@pytest.mark.parametrize(("flow", "changes"), RIGHT)
def test_what_may_be_meant_is_not_doubted(flow: str, changes: list[tuple[str, str]], tmp_path: Path) -> None:
    assert said(tmp_path, flow, changes) == ("", [])
