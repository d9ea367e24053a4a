"""Polygon PoS: what Ethereum sends arrives as a state sync; what leaves Polygon is covered by a checkpoint."""

from __future__ import annotations

from chainwatch.init.presets.preset import About, Networks, Preset

HUB, POLYGON = "ethereum", "polygon"
CONTRACTS = """\
[contracts.polygon-state-sender]
abi = "abi/polygon-state-sender.json"
address = { ethereum = "0x28e4F3a7f651294B9564800b2D01f35189A5bFbE" }

[contracts.polygon-state-receiver]
abi = "abi/polygon-state-receiver.json"
address = { polygon = "0x0000000000000000000000000000000000001001" }
"""
FLOW = """
[flows.polygon-state-sync]
contract = "polygon-state-sender"
key = "id"

[flows.polygon-state-sync.opens]
step = "send"
event = "StateSynced"
# The events name no networks: they are fixed.
on = "ethereum"
destination = "polygon"

# Validators pass it on once it is final on Ethereum: 20 to 30 minutes.
[[flows.polygon-state-sync.expects]]
step = "commit"
contract = "polygon-state-receiver"
event = "StateCommitted"
key = "stateId"
on = "polygon"
origin = "ethereum"
within = "2h"
severity = "P2"
# The receiving contract must not have failed. If it did, it can be made up for later, by another event.
assert = "success"
"""


def _contracts(_networks: Networks) -> str:
    return CONTRACTS


PRESET = Preset(
    name="polygon-pos",
    title="Polygon PoS",
    about=About(
        sees="every message from Ethereum to Polygon (deposits of tokens and of other apps), its arrival as a state sync, "
        "and whether the receiving contract accepted it.",
        blind="exits from Polygon to Ethereum, whose events on Ethereum have no key; what a message contains; and the "
        "replay of a failed one. A state sync belongs to no ordinary transaction, and many nodes leave it out of a block's "
        "bloom: keep `trust_bloom` off for polygon.",
        orphans="a state sync that Ethereum never sent, which needs a majority of Polygon's validators: P0 as soon as "
        "Ethereum has been read ten minutes past it.",
        source="addresses and StateSynced from @maticnetwork/meta 2.4.59 (network/mainnet/v1); StateCommitted and the "
        "receiver's address are those of bor's genesis contract, which no package has to compare with.",
    ),
    abis=("polygon-state-sender", "polygon-state-receiver"),
    networks=(HUB, POLYGON),
    contracts=_contracts,
    flows=lambda _networks: FLOW,
    hub=HUB,
)
