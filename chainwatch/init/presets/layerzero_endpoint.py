"""LayerZero V2 endpoint: every message of every app, from the packet that is sent to its delivery."""

from __future__ import annotations

from chainwatch.init.presets.preset import UNSEARCHED, About, Preset, address_table, load_table

TABLE = load_table("layerzero")
FLOW = """
[flows.layerzero]
contract = "endpoint"
# The events name networks by LayerZero's endpoint ids, not by chain id.
network_by = "eid"
# PacketDelivered has no guid: a message is named by its origin, sender, nonce, destination and receiver. The packet has
# them at fixed places. Receivers are compared as bytes32: not every network has addresses of 20 bytes.
key = [
    "uint(encodedPayload[9:13])",
    "encodedPayload[13:45]",
    "uint(encodedPayload[1:9])",
    "uint(encodedPayload[45:49])",
    "encodedPayload[49:81]",
]

[flows.layerzero.opens]
step = "send"
event = "PacketSent"
destination = "uint(encodedPayload[45:49])"
# All apps of LayerZero share this contract. To follow yours alone, name its sender, the same on every network:
#where = "address(encodedPayload[13:45]) == 0x…"
# Or, where its addresses differ, give every network the attribute `oapp`:
#where = "address(encodedPayload[13:45]) == network.oapp"

# The source's confirmations (15 blocks of Ethereum by default, some seconds elsewhere), then the verifiers: minutes.
[[flows.layerzero.expects]]
step = "verify"
event = "PacketVerified"
key = ["origin.srcEid", "origin.sender", "origin.nonce", "network.eid", "bytes32(receiver)"]
origin = "origin.srcEid"
within = "1h"
severity = "P2"
# The key does not bind the content: only the hash shows that a forged message took the place of an honest one.
assert = "payloadHash == keccak(opening.encodedPayload[81:])"
# Verifiers may submit a message again before it is delivered.
repeat = "allow"

# The executor delivers within a minute. Verified but not delivered: the app refuses the message, or nobody paid for it.
[[flows.layerzero.expects]]
step = "deliver"
event = "PacketDelivered"
key = ["origin.srcEid", "origin.sender", "origin.nonce", "network.eid", "bytes32(receiver)"]
origin = "origin.srcEid"
within = "1h"
severity = "P2"
"""

PRESET = Preset(
    name="layerzero-endpoint",
    title="LayerZero endpoint",
    about=About(
        sees="every message from PacketSent on the origin to PacketVerified and PacketDelivered on the destination, in any "
        "order of nonces, and whether what was verified is what was sent.",
        blind="messages that end otherwise: one that its app skips, burns or nilifies stays overdue; one that the app "
        "clears counts as delivered. Messages to networks that are not configured, and reads (lzRead), are `untracked`. "
        "No argument of these events is indexed, so that all packets of all apps are read.",
        orphans="a message verified or delivered that no endpoint sent: the verifiers' keys, or their contract, failed. P0 "
        f"as soon as the origin has been read ten minutes past it. {UNSEARCHED}",
        source=f"{TABLE.source}; events: EventDefinitions of @layerzerolabs/lz-evm-sdk-v2. Tested on LayerZero's own "
        "compiled contracts.",
    ),
    abis=("layerzero-endpoint",),
    networks=tuple(TABLE.networks),
    contracts=lambda networks: address_table(
        "endpoint", "layerzero-endpoint", TABLE.column("endpoint"), networks
    ),
    flows=lambda _networks: FLOW,
    attributes=TABLE.attributes("eid"),
)
