"""Connext (Amarok): one diamond contract on every network; events name networks by domain."""

from __future__ import annotations

from chainwatch.init.presets.preset import About, Preset, address_table

ADDRESSES = {
    "ethereum": "0x8898B472C54c31894e3B9bb83cEA802a5d0e63C6",
    "optimism": "0x8f7492DE823025b4CfaAB1D34c58963F2af5DEDA",
    "bnb": "0xCd401c10afa37d641d2F594852DA94C700e4F2CE",
    "gnosis": "0x5bB83e95f63217CDa6aE3D181BA580Ef377D2109",
    "polygon": "0x11984dc4465481512eb5b777E44061C158CF2259",
    "arbitrum": "0xEE9deC2712cCE65174B561151701Bf54b99C24C8",
}
DOMAINS = {
    "ethereum": 6648936,
    "optimism": 1869640809,
    "bnb": 6450786,
    "gnosis": 6778479,
    "polygon": 1886350457,
    "arbitrum": 1634886255,
}
FLOW = """
[flows.connext]
contract = "connext"
key = "transferId"
# The events name networks by domain, not by chain id.
network_by = "domain"
# The transfer id must be the hash of the transfer's parameters, and the message hash that of its body.
verify = ["connext.transfer_id", "connext.message_hash"]

[flows.connext.opens]
step = "xcall"
event = "XCalled"
origin = "params.originDomain"
destination = "params.destinationDomain"
amount = "params.bridgedAmt"
asset = "local"

# The payout. A router fronts it within minutes; without one it waits for the reconciliation.
[[flows.connext.expects]]
step = "execute"
event = "Executed"
on = "destination"
origin = "args.params.originDomain"
within = "30m"
severity = "P1"
amount = "amount"
asset = "local"

# The proof that the transfer was real, through the origin network's own bridge.
[[flows.connext.expects]]
step = "reconcile"
event = "Reconciled"
on = "destination"
origin = "originDomain"
within = "3h"
severity = "P2"
amount = "amount"
asset = "local"
"""


PRESET = Preset(
    name="connext",
    title="Connext (Amarok)",
    about=About(
        sees="every `xcall`, its payout on the destination, and its reconciliation through the bridges between the "
        "networks; the transfer id and the hash of the message are recomputed from the parameters.",
        blind="transfers to networks that are not configured (they are `untracked`), and what the receiver's own "
        "contract does with the payout.",
        orphans="a payout or reconciliation whose `xcall` does not exist on its origin: P0 as soon as the origin has "
        "been read ten minutes past it.",
        source="Connext's published chain data; the transfer ids of two transfers on main networks are recomputed in "
        "the tests.",
    ),
    abis=("connext",),
    networks=tuple(ADDRESSES),
    contracts=lambda networks: address_table("connext", "connext", ADDRESSES, networks),
    flows=lambda _networks: FLOW,
    attributes={network: {"domain": domain} for network, domain in DOMAINS.items()},
)
