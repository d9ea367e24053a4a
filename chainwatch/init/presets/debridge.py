"""deBridge's DLN: a taker fulfils an order on the destination, and is paid on the origin."""

from __future__ import annotations

from chainwatch.init.presets.preset import About, Networks, Preset, address_table, load_table

TABLE = load_table("debridge")
FLOW = """
[flows.debridge]
contract = "debridge-source"
key = "orderId"
# The events name networks by deBridge's own numbers, which for newer networks are no chain ids.
network_by = "debridge"
# Anybody may fulfil an order that does not exist, at his own expense.
orphan_severity = "P1"

[flows.debridge.opens]
step = "create"
event = "CreatedOrder"
origin = "order.giveChainId"
destination = "order.takeChainId"
amount = "order.giveAmount"

# A taker pays out of his own pocket, within seconds of the order's finality. An order that nobody takes stays until
# its maker cancels it.
[[flows.debridge.expects]]
step = "fulfil"
contract = "debridge-destination"
event = "FulfilledOrder"
origin = "order.giveChainId"
on = "destination"
within = "1h"
severity = "P2"
amount = "order.takeAmount"
assert = "order.receiverDst == opening.order.receiverDst and order.takeTokenAddress == opening.order.takeTokenAddress"

# The taker is paid. Takers collect several orders before they claim.
[[flows.debridge.expects]]
step = "unlock"
event = "ClaimedUnlock"
on = "origin"
within = "7d"
severity = "P3"
amount = "giveAmount"
asset = "giveTokenAddress"
"""


def _contracts(networks: Networks) -> str:
    return "\n".join(
        address_table(f"debridge-{name}", f"debridge-{name}", TABLE.column(name), networks)
        for name in ("source", "destination")
    )


PRESET = Preset(
    name="debridge",
    title="deBridge (DLN)",
    about=About(
        sees="every order, its fulfilment on the destination with the order's receiver and token, and the payment of the "
        "taker on the origin.",
        blind="orders from and to Solana and Tron (they are `untracked`), orders that their makers cancel (they stay "
        "overdue: a cancellation is another event), what a maker adds to an order or takes off it, and the hooks that "
        "run after a fulfilment.",
        orphans="an order fulfilled, or a taker paid, for an order that was never created. The first costs the taker alone; "
        "the second costs deBridge. P1 as soon as the origin has been read ten minutes past it; an order's id is not "
        "indexed, so that for the first seven days of watching, older orders are shown as `unopened` instead.",
        source=f"the events from @debridge-finance/dln-client 8.3.6; {TABLE.source}.",
    ),
    abis=("debridge-source", "debridge-destination"),
    networks=tuple(TABLE.networks),
    contracts=_contracts,
    flows=lambda _networks: FLOW,
    attributes=TABLE.attributes("debridge"),
)
