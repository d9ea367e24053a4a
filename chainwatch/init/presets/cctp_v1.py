"""Circle's CCTP, version 1: USDC is burnt on one network and minted on another, against Circle's attestation."""

from __future__ import annotations

from chainwatch.init.presets.circle import circle_invariants
from chainwatch.init.presets.preset import (
    About,
    Networks,
    Preset,
    address_table,
    load_table,
)

TABLE = load_table("cctp-v1")
FLOW = """
[flows.cctp-v1]
contract = "cctp-v1-messenger"
# The events name networks by Circle's domains, not by chain id.
network_by = "domain"
# The nonce counts the messages of one origin, to all destinations.
key = ["network.domain", "nonce"]
# A depositor may replace the recipient of a deposit that was not received yet: the deposit is then seen again.
repeat = "allow"

[flows.cctp-v1.opens]
step = "deposit"
event = "DepositForBurn"
destination = "destinationDomain"
amount = "amount"
asset = "burnToken"

# Circle attests once the deposit is final: 13 to 19 minutes on Ethereum and its rollups, seconds elsewhere.
# Anybody may then deliver it; most apps do so at once.
[[flows.cctp-v1.expects]]
step = "mint"
event = "MintAndWithdraw"
# The message comes after what it mints; those of other apps mint nothing.
with.message = { event = "MessageReceived", contract = "cctp-v1-transmitter", pick = "after" }
key = ["message.sourceDomain", "message.nonce"]
origin = "message.sourceDomain"
on = "destination"
within = "2h"
severity = "P2"
repeat = "alert"
amount = "amount"
asset = "mintToken"
# The recipient is not compared: the depositor may have replaced it.
assert = "amount == opening.amount and message.messageBody[4:36] == bytes32(opening.burnToken)"
"""


def _contracts(networks: Networks) -> str:
    return "\n".join(
        address_table(f"cctp-v1-{name}", f"cctp-v1-{abi}", TABLE.column(name), networks)
        for name, abi in (("messenger", "token-messenger"), ("transmitter", "message-transmitter"))
    )


PRESET = Preset(
    name="cctp-v1",
    title="Circle's CCTP, version 1",
    about=About(
        sees="every deposit of USDC for burning, and what is minted for it on the destination, with the amount and the "
        "token of the deposit.",
        blind="transfers to and from Solana, Noble, Sui and Aptos (they are `untracked`), a recipient that the depositor "
        "replaced, and the wait for Circle's attestation. A transfer that nobody delivers stays overdue: some users "
        "deliver their own, late.",
        orphans="a mint that its origin never deposited, which means a forged attestation: P0 as soon as the origin "
        "has been read ten minutes past it. A nonce cannot be received twice.",
        source=f"{TABLE.source}; the events from @wormhole-foundation/sdk-evm-cctp 6.1.5.",
    ),
    abis=("cctp-v1-token-messenger", "cctp-v1-message-transmitter"),
    networks=tuple(TABLE.networks),
    contracts=_contracts,
    flows=lambda _networks: FLOW,
    invariants=lambda networks: circle_invariants("cctp-v1", TABLE, networks, proxied=False),
    attributes=TABLE.attributes("domain"),
)
