"""Chainlink CCIP 1.6: one OnRamp and one OffRamp on every network, for all lanes of this version."""

from __future__ import annotations

from chainwatch.init.presets.preset import UNSEARCHED, About, Networks, Preset, address_table, load_table

TABLE = load_table("ccip")
FLOW = """
[flows.ccip]
contract = "ccip-onramp"
key = "messageId"
# The events name networks by CCIP's chain selectors.
network_by = "ccip_selector"

[flows.ccip.opens]
step = "send"
event = "CCIPMessageSent"
key = "message.header.messageId"
destination = "destChainSelector"

# The source's finality (15 minutes on Ethereum, up to 20 on its rollups), then a commit and the execution. CCIP itself gives
# up after 8 hours, and leaves the message to whoever executes it by hand.
[[flows.ccip.expects]]
step = "execute"
contract = "ccip-offramp"
event = "ExecutionStateChanged"
origin = "sourceChainSelector"
within = "2h"
severity = "P2"
# 2 is success. A message that failed (3) may be executed again, and is overdue until it succeeds.
where = "state == 2"
"""


def _contracts(networks: Networks) -> str:
    onramps = address_table("ccip-onramp", "ccip-1.6-onramp", TABLE.column("onramp"), networks)
    return (
        f"{onramps}\n{address_table('ccip-offramp', 'ccip-1.6-offramp', TABLE.column('offramp'), networks)}"
    )


PRESET = Preset(
    name="ccip",
    title="Chainlink CCIP 1.6",
    about=About(
        sees="every message between two networks whose lane is of version 1.6, from the OnRamp to its successful "
        "execution by the OffRamp.",
        blind="lanes of version 1.5, among them most of those between Ethereum, Arbitrum, Base, Optimism and Polygon when "
        "this was written (the preset `ccip-1.5` watches one), and lanes of version 2.0, which have other events. Which "
        "lane is which stands in Chainlink's CCIP Directory. Commits of roots, amounts of tokens, and why an execution "
        "failed are not shown.",
        orphans="a message executed that no OnRamp sent: P0 as soon as the origin has been read ten minutes past it. "
        f"{UNSEARCHED}",
        source=f"{TABLE.source}; events: @chainlink/contracts-ccip 2.0.0 abi/v1_6_0. The addresses were compared with no "
        "second source, and nothing was run on Chainlink's own contracts.",
    ),
    abis=("ccip-1.6-onramp", "ccip-1.6-offramp"),
    networks=tuple(TABLE.networks),
    contracts=_contracts,
    flows=lambda _networks: FLOW,
    attributes=TABLE.attributes("ccip_selector"),
)
