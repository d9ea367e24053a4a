"""Hyperlane V3: one mailbox on every network; messages are named by the hash of their content."""

from __future__ import annotations

from chainwatch.init.presets.preset import (
    About,
    Networks,
    Preset,
    address_table,
    invariant_table,
    load_table,
)

TABLE = load_table("hyperlane")
FLOW = """
[flows.hyperlane]
contract = "mailbox"
# The hash of the whole message, in which nonce and domains are: unique over all networks.
key = "messageId"
# The events name networks by Hyperlane's domains: mostly, but not always, the chain id.
network_by = "domain"

[flows.hyperlane.opens]
step = "dispatch"
event = "DispatchId"
# DispatchId follows its Dispatch directly; one transaction may send several messages.
with.sent = { event = "Dispatch", pick = "before" }
destination = "sent.destination"
# All apps of Hyperlane share this contract. To follow yours alone, name its contract on the origin:
#where = "sent.sender == 0x…"

# Validators wait for the origin's reorgPeriod (about 20 minutes where that is finality), relayers deliver in seconds.
[[flows.hyperlane.expects]]
step = "process"
event = "ProcessId"
with.delivered = { event = "Process", pick = "before" }
origin = "delivered.origin"
within = "1h"
severity = "P2"
"""


def _invariants(networks: Networks) -> str:
    """Return what must hold of the mailbox on each network: who controls it, its code, and what decides what is genuine."""
    tables = []
    for network in networks:
        ism = {
            "call": "function defaultIsm() view returns (address)",
            "severity": "P0",
            "message": f"Another contract decides on {network} which messages are genuine (the mailbox's default ISM): "
            "whoever controls it can forge them, for every app without an ISM of its own.",
            "events": ["DefaultIsmSet"],
        }
        tables += [
            invariant_table(f"mailbox-{network}-{name}", kind, network=network, every="1m", **keys)
            for name, kind, keys in (
                ("owner", "owner", {"contract": "mailbox", "events": ["OwnershipTransferred"]}),
                ("ism", "constant", {"contract": "mailbox", **ism}),
                ("code", "implementation", {"proxy": "mailbox", "events": ["Upgraded"]}),
                ("admin", "proxy_admin", {"proxy": "mailbox", "events": ["AdminChanged"]}),
            )
        ]
    return "".join(tables)


PRESET = Preset(
    name="hyperlane",
    title="Hyperlane",
    about=About(
        sees="every message of every app, from the mailbox that dispatches it to the one that processes it; a warp "
        "route's transfers are among them.",
        blind="amounts and recipients of warp routes, which stand in the messages' bodies, and why a message is not "
        "delivered (nobody paid for its gas, its recipient reverts). Messages to networks that are not configured, or "
        "not EVM, are `untracked`. Of security modules the default ones' addresses alone: not the validators behind one "
        "that routes, nor the modules of apps that have their own (the kind `constant` watches those).",
        orphans="a message processed that no mailbox dispatched: the recipient's security module accepted a forged one. P0 "
        "as soon as the origin has been read ten minutes past it. As the id is the hash of the content, an honest id cannot "
        "stand for other content.",
        source=f"{TABLE.source}; events: @hyperlane-xyz/core 9.0.10, the same in 12.1.0. Tested on Hyperlane's own compiled "
        "contracts.",
    ),
    abis=("hyperlane-mailbox",),
    networks=tuple(TABLE.networks),
    contracts=lambda networks: address_table(
        "mailbox", "hyperlane-mailbox", TABLE.column("mailbox"), networks
    ),
    flows=lambda _networks: FLOW,
    invariants=_invariants,
    attributes=TABLE.attributes("domain"),
)
