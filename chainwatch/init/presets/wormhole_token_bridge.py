"""Wormhole's token bridge: guardians sign what it publishes, and anybody redeems that on the destination."""

from __future__ import annotations

from chainwatch.init.presets.preset import About, Networks, Preset, address_table, load_table

TABLE = load_table("wormhole")
FLOW = """
[flows.wormhole]
contract = "wormhole-core"
# The events name networks by Wormhole's own numbers, not by chain id.
network_by = "wormhole"
# A sequence counts the messages of one sender on one network.
key = ["network.wormhole", "bytes32(sender)", "sequence"]

[flows.wormhole.opens]
step = "publish"
event = "LogMessagePublished"
# The core contract publishes for every app: only the token bridge's transfers count (1, and 3 with a payload of the
# app's), not what it says about tokens.
where = 'sender == contract("wormhole-token-bridge") and uint(payload[0:1]) in (1, 3)'
destination = "uint(payload[99:101])"
# In at most 8 decimals, whatever the token has.
amount = "uint(payload[1:33])"

# Guardians sign within minutes of finality (about 15 minutes on Ethereum), but hold back large transfers for a day.
# Whoever receives redeems, unless an app does: late is not wrong.
[[flows.wormhole.expects]]
step = "redeem"
contract = "wormhole-token-bridge"
event = "TransferRedeemed"
key = ["emitterChainId", "emitterAddress", "sequence"]
origin = "emitterChainId"
on = "destination"
within = "25h"
severity = "P3"
"""


def _contracts(networks: Networks) -> str:
    return (
        address_table("wormhole-core", "wormhole-core", TABLE.column("core"), networks)
        + "\n"
        + address_table(
            "wormhole-token-bridge", "wormhole-token-bridge", TABLE.column("token_bridge"), networks
        )
    )


PRESET = Preset(
    name="wormhole-token-bridge",
    title="Wormhole's token bridge",
    about=About(
        sees="every transfer that the token bridge publishes, with or without a payload, and its redemption on the "
        "destination.",
        blind="transfers to and from Solana and other networks without the EVM (they are `untracked`), the amount that was "
        "paid out (the redemption's event has none), NFTs, and the messages of other apps on Wormhole. A transfer "
        "that nobody redeems stays overdue, which harms nobody else.",
        orphans="a redemption that the origin's token bridge never published: forged signatures, as in February 2022. P0 as "
        "soon as the origin has been read ten minutes past it. The sequence is not indexed, so that for the first seven "
        "days of watching, redemptions of older transfers are shown as `unopened` instead. A "
        "redemption of such a transfer later than that looks like an orphan: set `start_block` some weeks back.",
        source=f"{TABLE.source}; the events from @certusone/wormhole-sdk 0.10.18, whose contracts the tests run.",
    ),
    abis=("wormhole-core", "wormhole-token-bridge"),
    networks=tuple(TABLE.networks),
    contracts=_contracts,
    flows=lambda _networks: FLOW,
    attributes=TABLE.attributes("wormhole"),
)
