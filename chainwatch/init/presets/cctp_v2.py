"""Circle's CCTP, version 2: the nonce of a message exists only once Circle has attested it."""

from __future__ import annotations

from chainwatch.init.presets.circle import circle_invariants
from chainwatch.init.presets.preset import (
    About,
    Networks,
    Preset,
    address_table,
    load_table,
)

TABLE = load_table("cctp-v2")
FLOW = """
[flows.cctp-v2]
contract = "cctp-v2-messenger"
# The events name networks by Circle's domains, not by chain id.
network_by = "domain"
# Circle chooses the nonce after the deposit, so that none of its events has it. What a deposit says of itself is in the
# message too: the token, the recipient, the amount, the depositor, the highest fee, and data for the recipient.
key = [
    "network.domain",
    "destinationDomain",
    "keccak(bytes32(burnToken), mintRecipient, amount, bytes32(depositor), maxFee, hookData)",
]
# Equal deposits have equal keys: the first mint is that of the first, and so on. A mint before a deposit is not that one's.
match = "nth"

[flows.cctp-v2.opens]
step = "deposit"
event = "DepositForBurn"
destination = "destinationDomain"
amount = "amount"
asset = "burnToken"

# Circle attests a fast deposit within seconds, others once they are final: 13 to 19 minutes on Ethereum and its rollups,
# hours on some, such as Linea: raise `within` for those. Anybody may then deliver it; most apps do so at once.
[[flows.cctp-v2.expects]]
step = "mint"
event = "MintAndWithdraw"
# The message comes after what it mints. Its body is that of the deposit, with a fee and an expiration block filled in.
with.message = { event = "MessageReceived", contract = "cctp-v2-transmitter", pick = "after" }
key = [
    "message.sourceDomain",
    "network.domain",
    "keccak(message.messageBody[4:164], message.messageBody[228:])",
]
origin = "message.sourceDomain"
on = "destination"
within = "2h"
severity = "P2"
amount = "amount"
asset = "mintToken"
assert = "amount + feeCollected == opening.amount and feeCollected <= opening.maxFee \
and bytes32(mintRecipient) == opening.mintRecipient"
"""


def _contracts(networks: Networks) -> str:
    return "\n".join(
        address_table(f"cctp-v2-{name}", f"cctp-v2-{abi}", TABLE.column(name), networks)
        for name, abi in (("messenger", "token-messenger"), ("transmitter", "message-transmitter"))
    )


PRESET = Preset(
    name="cctp-v2",
    title="Circle's CCTP, version 2",
    about=About(
        sees="every deposit of USDC for burning, fast or not, and what is minted for it on the destination: its "
        "recipient, and that amount and fee together are the deposit, with a fee no higher than allowed.",
        blind="transfers to and from Solana and other networks without the EVM (they are `untracked`), and which of several "
        "equal deposits was minted first: their number is exact, but the time that a single one took may be another's. The "
        "mint of a deposit that is on its way when watching begins is `unopened` and leaves equal deposits after it alone, "
        "unless one of these is made before that mint: then the first mint that finds no deposit waiting is reported "
        "instead, after seven days as an orphan. A transfer that nobody delivers stays overdue: some users deliver their "
        "own, late.",
        orphans="a mint that its origin never deposited, or more mints than equal deposits, which means a forged "
        "attestation: P0 as soon as the origin has been read ten minutes past it. Nothing of the key is indexed, so that "
        "for the first seven days of watching, mints of older deposits are shown as `unopened` instead.",
        source=f"{TABLE.source}; DepositForBurn from @hyperlane-xyz/core 9.0.10 (ITokenMessengerV2). MessageReceived and "
        "MintAndWithdraw are those of Circle's repository; no package has them to compare with.",
    ),
    abis=("cctp-v2-token-messenger", "cctp-v2-message-transmitter"),
    networks=tuple(TABLE.networks),
    contracts=_contracts,
    flows=lambda _networks: FLOW,
    invariants=lambda networks: circle_invariants("cctp-v2", TABLE, networks, proxied=True),
    attributes=TABLE.attributes("domain"),
)
