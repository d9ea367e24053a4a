"""Connext (Amarok): one diamond contract on every network; events name networks by domain."""

from __future__ import annotations

from chainwatch.init.presets.preset import (
    About,
    Networks,
    Preset,
    address_table,
    invariant_table,
    load_table,
    pairs,
)

TABLE = load_table("connext")
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


def _invariants(networks: Networks) -> str:
    """Return what must hold of the diamond on each network: who controls it, its code, and whose messages it believes."""
    tables = []
    for network in networks:
        manager = {
            "call": "function xAppConnectionManager() view returns (address)",
            "severity": "P0",
            "message": f"Another contract says on {network} which messages are genuine (Connext's connection manager): "
            "whoever controls it can forge them.",
            "events": ["XAppConnectionManagerSet"],
        }
        tables += [
            invariant_table(
                f"connext-{network}-{name}", kind, network=network, contract="connext", every="1m", **keys
            )
            for name, kind, keys in (
                ("paused", "paused", {"events": ["Paused"]}),
                ("owner", "owner", {"events": ["OwnershipTransferred"]}),
                ("code", "facets", {"events": ["DiamondCut"]}),
                ("manager", "constant", manager),
            )
        ]
    for network, other in pairs(networks):
        domain = TABLE.networks[other]["domain"]
        remote = {
            "call": "function remote(uint32 domain) view returns (address)",
            "args": [domain],
            "severity": "P0",
            "message": f"Connext on {network} believes another contract on {other}: whoever controls that can forge "
            "transfers.",
            "events": ["RemoteAdded"],
            "where": f"domain == {domain}",
        }
        tables.append(
            invariant_table(
                f"connext-{network}-remote-{other}",
                "constant",
                network=network,
                contract="connext",
                every="1m",
                **remote,
            )
        )
    return "".join(tables)


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
        source=f"{TABLE.source}; the transfer ids of two transfers on main networks are recomputed in "
        "the tests.",
    ),
    abis=("connext",),
    networks=tuple(TABLE.networks),
    contracts=lambda networks: address_table("connext", "connext", TABLE.column("diamond"), networks),
    flows=lambda _networks: FLOW,
    invariants=_invariants,
    attributes=TABLE.attributes("domain"),
)
