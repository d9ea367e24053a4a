"""Across: a SpokePool on every network; relayers fill deposits."""

from __future__ import annotations

from chainwatch.init.presets.preset import About, Preset, address_table, load_table

TABLE = load_table("across")
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

# The same for blocks before the contracts' upgrade of spring 2025: deposit ids had 32 bits, and tokens were addresses.
# A replay of that time needs it; new blocks have none of these events.
[flows.across-v3]
contract = "across"
key = ["network.chain_id", "depositId"]

[flows.across-v3.opens]
step = "deposit"
event = "V3FundsDeposited"
destination = "destinationChainId"
amount = "inputAmount"
asset = "inputToken"

[[flows.across-v3.expects]]
step = "fill"
event = "FilledV3Relay"
key = ["originChainId", "depositId"]
on = "destination"
origin = "originChainId"
within = "30m"
severity = "P2"
amount = "outputAmount"
asset = "outputToken"
assert = "inputAmount == opening.inputAmount and outputAmount == opening.outputAmount and recipient == opening.recipient"
"""

PRESET = Preset(
    name="across",
    title="Across",
    about=About(
        sees="every deposit into a SpokePool, and the fill of it on the destination with the terms of the deposit: by the "
        "events of today, and by those before the contracts' upgrade of spring 2025 (`across-v3`).",
        blind="refunds of deposits that nobody fills before their `fillDeadline` (they stay overdue), deposits for "
        "networks that are not EVM or not configured (they are `untracked`), and the repayment of relayers. A deposit "
        "before the upgrade that was filled after it is an orphan of one flow and overdue in the other.",
        orphans="a fill whose deposit does not exist on its origin. Relayers may fill before the deposit is final, and pay "
        "with their own money: P0 as soon as the origin has been read ten minutes past the fill.",
        source=f"{TABLE.source}; events: V3SpokePoolInterface of the same package, compared with 3.0.17.",
    ),
    abis=("across",),
    networks=tuple(TABLE.networks),
    contracts=lambda networks: address_table("across", "across", TABLE.column("spoke_pool"), networks),
    flows=lambda _networks: FLOW,
)
