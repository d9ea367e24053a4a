"""Celer's cBridge: pools of liquidity on every network, and relays signed by Celer's validators."""

from __future__ import annotations

from chainwatch.init.presets.preset import About, Preset, address_table, load_table

TABLE = load_table("cbridge")
FLOW = """
[flows.cbridge]
contract = "cbridge"
key = "transferId"

[flows.cbridge.opens]
step = "send"
event = "Send"
destination = "dstChainId"
amount = "amount"
asset = "token"

# Validators sign once the transfer is final, 5 to 20 minutes. Where the pool is empty or the price has moved, the
# sender is refunded on the origin instead.
[[flows.cbridge.expects]]
step = "relay"
event = "Relay"
key = "srcTransferId"
origin = "srcChainId"
on = "destination"
within = "1h"
severity = "P2"
amount = "amount"
asset = "token"
assert = "sender == opening.sender and receiver == opening.receiver"
"""


PRESET = Preset(
    name="cbridge",
    title="Celer's cBridge",
    about=About(
        sees="every transfer into a pool, and its relay on the destination, with the same sender and receiver.",
        blind="refunds on the origin (such a transfer stays overdue), the payout of large transfers, which the contract "
        "delays after the relay, whether the amount is within the slippage allowed (tokens differ in decimals), and the "
        "bridge of pegged tokens, which has other contracts.",
        orphans="a relay of a transfer that its origin never saw: forged signatures. P0 as soon as the origin has been read "
        "ten minutes past it. A transfer's id is not indexed, so that for the first seven days of watching, relays of "
        "older transfers are shown as `unopened` instead.",
        source="the events from the source text in sgn-v2-contracts 0.2.0 (liquidity-bridge/Bridge.sol). The addresses are "
        "those that Celer documents; no package has them to compare with.",
    ),
    abis=("cbridge",),
    networks=tuple(TABLE.networks),
    contracts=lambda networks: address_table("cbridge", "cbridge", TABLE.column("bridge"), networks),
    flows=lambda _networks: FLOW,
)
