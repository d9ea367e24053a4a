"""Across V3: a SpokePool on every network; relayers fill deposits. Source: V3SpokePoolInterface and its deployments."""

from __future__ import annotations

from chainwatch.init.presets.preset import About, Preset, address_table

ADDRESSES = {
    "ethereum": "0x5c7BCd6E7De5423a257D81B442095A1a6ced35C5",
    "optimism": "0x6f26Bf09B1C792e3228e5467807a900A503c0281",
    "polygon": "0x9295ee1d8C5b022Be115A2AD3c30C72E34e7F096",
    "base": "0x09aea4b2242abC8bb4BB78D537A67a245A7bEC64",
    "arbitrum": "0xe35e9842fceaCA96570B734083f4a58e8F7C5f2A",
    "linea": "0x7E63A5f1a8F0B4d0934B2f2327DAED3F6bb2ee75",
}
FLOW = """
[flows.across]
contract = "across"
# A deposit's id is unique on its origin network only.
key = ["network.chain_id", "depositId"]

[flows.across.opens]
step = "deposit"
event = "FundsDeposited"
destination = "destinationChainId"
amount = "inputAmount"
asset = "inputToken"

# A relayer pays out. A deposit that nobody fills before its fillDeadline is refunded instead, and stays overdue.
[[flows.across.expects]]
step = "fill"
event = "FilledRelay"
key = ["originChainId", "depositId"]
on = "destination"
origin = "originChainId"
within = "30m"
severity = "P2"
amount = "outputAmount"
asset = "outputToken"
# A fill must have the terms of its deposit.
assert = "inputAmount == opening.inputAmount and outputAmount == opening.outputAmount and recipient == opening.recipient"
"""


PRESET = Preset(
    name="across",
    title="Across V3",
    about=About(
        sees="every deposit into a SpokePool, and the fill of it on the destination, with the terms of the deposit.",
        blind="refunds of deposits that nobody fills before their `fillDeadline` (they stay overdue), deposits for "
        "networks that are not EVM or not configured (they are `untracked`), and the repayment of relayers.",
        orphans="a fill whose deposit does not exist on its origin. Relayers fill after seeing the deposit, so that "
        "it is P0 as soon as the origin has been read ten minutes past the fill.",
        source="the contracts' V3SpokePoolInterface and its deployments.",
    ),
    abis=("across",),
    networks=tuple(ADDRESSES),
    contracts=lambda networks: address_table("across", "across", ADDRESSES, networks),
    flows=lambda _networks: FLOW,
)
