"""Stargate V2: pools and tokens whose transfers travel in messages of one app of LayerZero, alone or several together."""

from __future__ import annotations

from chainwatch.init.presets.preset import UNSEARCHED, About, Networks, Preset, address_table, load_table

TABLE = load_table("stargate")
FLOW = '''
[flows.stargate]
# Transfers travel alone (by taxi) or wait for others (by bus). Each taxi and each bus is one message of LayerZero, whose
# guid is in the packet, and in the OFTReceived of every transfer that it carries.
contract = "endpoint"
key = "guid"
# The events name networks by LayerZero's endpoint ids, not by chain id.
network_by = "eid"

[flows.stargate.opens]
step = "send"
event = "PacketSent"
# The endpoint sends the messages of all apps.
where = 'address(encodedPayload[13:45]) == contract("token-messaging")'
key = "encodedPayload[81:113]"
destination = "uint(encodedPayload[45:49])"

# The source's confirmations (15 blocks of Ethereum by default, seconds elsewhere), the verifiers, the executor: minutes.
[[flows.stargate.expects]]
step = "receive"
contract = "stargate"
event = "OFTReceived"
origin = "srcEid"
within = "1h"
severity = "P2"
amount = "amountReceivedLD"
# A bus pays out each of its passengers.
repeat = "allow"
# The guid does not bind the content. A taxi (0x01) must pay what it carries, to whom: in packets amounts have 6 decimals,
# in tokens 6 or 18.
assert = """
    opening.encodedPayload[113:114] != 0x01
    or opening.encodedPayload[116:148] == bytes32(toAddress)
    and amountReceivedLD in (
        uint(opening.encodedPayload[148:156]), uint(opening.encodedPayload[148:156]) * 10**12
    )
"""

# A passenger of a bus waits until somebody drives it: one event for all its tickets, which count per destination. Without
# other passengers that may take hours. From there on the bus is one of the messages above.
[flows.stargate-bus]
contract = "token-messaging"
key = ["network.eid", "dstEid", "ticketId"]
network_by = "eid"

[flows.stargate-bus.opens]
step = "board"
event = "BusRode"
destination = "dstEid"

[[flows.stargate-bus.expects]]
step = "depart"
event = "BusDriven"
on = "origin"
key = ["network.eid", "dstEid"]
covers = "startTicketId..startTicketId + numPassengers - 1"
within = "6h"
severity = "P3"
'''


def _contracts(networks: Networks) -> str:
    return "\n".join(
        [
            address_table("stargate", "stargate-v2-pool", TABLE.column("pools"), networks),
            address_table(
                "token-messaging", "stargate-v2-token-messaging", TABLE.column("token_messaging"), networks
            ),
            address_table("endpoint", "layerzero-endpoint", TABLE.column("endpoint"), networks),
        ]
    )


PRESET = Preset(
    name="stargate-v2",
    title="Stargate V2",
    about=About(
        sees="every message in which Stargate sends tokens, by taxi or by bus, and the first payout of it on the "
        "destination, by any pool or token of Stargate's; of a taxi also whether it paid what it carried. Every passenger "
        "of a bus, until the bus leaves.",
        blind="whether each passenger of a bus was paid what it sent. A payout that a pool could not make "
        "(UnreceivedTokenCached) stays overdue until somebody retries it. The packets of all apps of LayerZero are read, "
        "as no argument of PacketSent is indexed.",
        orphans="tokens paid out by a message that Stargate never sent: P0 as soon as the origin has been read ten minutes "
        f"past it. {UNSEARCHED}",
        source=f"{TABLE.source}; events: artifacts of the same package. Tested on Stargate's own compiled "
        "contracts (tokens; pools emit the same events).",
    ),
    abis=("stargate-v2-pool", "stargate-v2-token-messaging", "layerzero-endpoint"),
    networks=tuple(TABLE.networks),
    contracts=_contracts,
    flows=lambda _networks: FLOW,
    attributes=TABLE.attributes("eid"),
)
