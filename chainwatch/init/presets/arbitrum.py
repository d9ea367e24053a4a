"""Arbitrum's own bridge: retryable tickets from Ethereum, and messages to Ethereum.

Source: the npm package @arbitrum/sdk 4.1.0, dist/lib/abi and dist/lib/dataEntities/networks.js.
"""

from __future__ import annotations

from dataclasses import dataclass

from chainwatch.init.presets.networks import KNOWN_NETWORKS
from chainwatch.init.presets.preset import About, Networks, Preset

HUB = "ethereum"


@dataclass(frozen=True)
class _Rollup:
    """The addresses of a rollup's contracts on Ethereum."""

    bridge: str
    inbox: str
    outbox: str


ROLLUPS = {
    "arbitrum": _Rollup(
        bridge="0x8315177aB297bA92A06054cE80a67Ed4DBd7ed3a",
        inbox="0x4Dbd4fc535Ac27206064B68FfCf827b0A60BAB3f",
        outbox="0x0B9857ae2D4A3DBe74ffE1d7DF045bb7F96E4840",
    ),
    "arbitrum-nova": _Rollup(
        bridge="0xC1Ebd02f738644983b6C4B2d440b8e77DdE276Bd",
        inbox="0xc4448b71118c9071Bcb9734A0EAc55D18A153949",
        outbox="0xD4B80C3D7240325D18E645B49e6535A3Bf95cc58",
    ),
}
CONTRACTS = """\
# Where messages leave {l2}, and where they are executed on Ethereum.
[contracts.{l2}-arbsys]
abi = "abi/arbitrum-arbsys.json"
address = {{ {l2} = "0x0000000000000000000000000000000000000064" }}

[contracts.{l2}-outbox]
abi = "abi/arbitrum-outbox.json"
address = {{ ethereum = "{rollup.outbox}" }}

# Where messages enter {l2} on Ethereum, and where they become tickets on {l2}.
[contracts.{l2}-inbox]
abi = "abi/arbitrum-inbox.json"
address = {{ ethereum = "{rollup.inbox}" }}

[contracts.{l2}-bridge]
abi = "abi/arbitrum-bridge.json"
address = {{ ethereum = "{rollup.bridge}" }}

[contracts.{l2}-retryables]
abi = "abi/arbitrum-retryable.json"
address = {{ {l2} = "0x000000000000000000000000000000000000006E" }}
"""
FROM_ETHEREUM = """
[flows.{l2}-from-ethereum]
contract = "{l2}-inbox"
# A ticket's id is the hash of the transaction that the message becomes on {l2}.
key = "arbitrum.ticket_id(uint256({chain_id}), messageNum, delivered.sender, delivered.baseFeeL1, data)"

[flows.{l2}-from-ethereum.opens]
step = "request"
event = "InboxMessageDelivered"
# The bridge's event comes before the inbox's, and has the sender and the base fee.
with.delivered = {{ event = "MessageDelivered", contract = "{l2}-bridge", pick = "before" }}
# The events name no networks: they are fixed.
on = "ethereum"
destination = "{l2}"
# Only retryable tickets; a deposit of ether alone (12) and other messages emit nothing on {l2}.
where = "delivered.kind == 9"
amount = "uint(data[32:64])"

# The sequencer waits for Ethereum's finality: 10 to 20 minutes. After a day anybody can force it.
[[flows.{l2}-from-ethereum.expects]]
step = "create"
contract = "{l2}-retryables"
event = "TicketCreated"
key = "ticketId"
on = "{l2}"
origin = "ethereum"
within = "2h"
severity = "P2"

# At once, if gas was paid for. If that fails, anybody can redeem the ticket for a week, and each try is seen.
[[flows.{l2}-from-ethereum.expects]]
step = "redeem"
contract = "{l2}-retryables"
event = "RedeemScheduled"
key = "ticketId"
on = "{l2}"
origin = "ethereum"
within = "1d"
severity = "P3"
repeat = "allow"
"""
TO_ETHEREUM = """
[flows.{l2}-to-ethereum]
contract = "{l2}-arbsys"
key = "position"
# An L2's blocks may be seen late: an execution without its message is an orphan once the L2 was read an hour past it.
orphan_grace = "1h"
# Whoever receives decides when to execute: messages may be weeks older than the first block watched.
lookback = "30d"

[flows.{l2}-to-ethereum.opens]
step = "send"
event = "L2ToL1Tx"
# The events name no networks: they are fixed.
on = "{l2}"
destination = "ethereum"
amount = "callvalue"

# It can be executed once its assertion is confirmed, after about 6.4 days. Whoever receives must see to that: late is
# not wrong.
[[flows.{l2}-to-ethereum.expects]]
step = "execute"
contract = "{l2}-outbox"
event = "OutBoxTransactionExecuted"
key = "transactionIndex"
on = "ethereum"
origin = "{l2}"
within = "9d"
severity = "P3"
assert = "to == opening.destination and l2Sender == opening.caller"
"""


def _rollups(networks: Networks) -> list[str]:
    return [network for network in networks if network in ROLLUPS]


def _contracts(networks: Networks) -> str:
    return "\n".join(CONTRACTS.format(l2=l2, rollup=ROLLUPS[l2]) for l2 in _rollups(networks))


def _flows(networks: Networks) -> str:
    return "".join(
        FROM_ETHEREUM.format(l2=l2, chain_id=KNOWN_NETWORKS[l2].chain_id) + TO_ETHEREUM.format(l2=l2)
        for l2 in _rollups(networks)
    )


PRESET = Preset(
    name="arbitrum",
    title="Arbitrum's bridge (One, Nova)",
    about=About(
        sees="every retryable ticket from Ethereum, by its id, with its creation and the first try to redeem it; and every "
        "message from Arbitrum to Ethereum, and its execution there with the same sender and receiver.",
        blind="whether a try to redeem succeeded, and tickets that lapse after a week; deposits of ether alone, which emit "
        "nothing on Arbitrum; tokens and their amounts, which the gateways' own events have; and messages to Ethereum "
        "from before the Nitro upgrade of August 2022, which other contracts execute.",
        orphans="a ticket that Ethereum never requested, ten minutes after; or an execution on Ethereum of a message that "
        "Arbitrum never sent, once the L2 has been read an hour past it. Both are P0. Messages to Ethereum up to 30 "
        "days older than the first block watched are asked for; older tickets are shown as `unopened` for seven days. "
        "Whoever executes an older message later looks like an orphan: set `start_block` of the L2 some weeks back.",
        source="@arbitrum/sdk 4.1.0 (dist/lib/abi, dist/lib/dataEntities/networks.js). The tests compare ids of "
        "tickets with those that it computes.",
    ),
    abis=(
        "arbitrum-arbsys",
        "arbitrum-outbox",
        "arbitrum-inbox",
        "arbitrum-bridge",
        "arbitrum-retryable",
    ),
    networks=(HUB, *ROLLUPS),
    contracts=_contracts,
    flows=_flows,
    hub=HUB,
)
