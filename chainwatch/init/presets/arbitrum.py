"""Arbitrum's own bridge: retryable tickets from Ethereum, and messages to Ethereum.

Source: the npm package @arbitrum/sdk 4.1.0, dist/lib/abi and dist/lib/dataEntities/networks.js.
"""

from __future__ import annotations

from dataclasses import dataclass

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
    return "".join(TO_ETHEREUM.format(l2=l2) for l2 in _rollups(networks))


PRESET = Preset(
    name="arbitrum",
    title="Arbitrum's bridge (One, Nova)",
    about=About(
        sees="every message from Arbitrum to Ethereum, and its execution there with the same sender and receiver.",
        blind="tokens and their amounts, which the gateways' own events have; and messages from before the Nitro upgrade of "
        "August 2022, which other contracts execute.",
        orphans="an execution on Ethereum of a message that Arbitrum never sent, by position and sender: P0 as soon as the "
        "L2 has been read an hour past it. Openings up to 30 days older than the first block watched are asked for.",
        source="@arbitrum/sdk 4.1.0 (dist/lib/abi, dist/lib/dataEntities/networks.js).",
    ),
    abis=("arbitrum-arbsys", "arbitrum-outbox"),
    networks=(HUB, *ROLLUPS),
    contracts=_contracts,
    flows=_flows,
    hub=HUB,
)
