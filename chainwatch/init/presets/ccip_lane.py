"""Chainlink CCIP 1.5: an OnRamp and an OffRamp of its own for each lane, whose events do not name the other network."""

from __future__ import annotations

from itertools import permutations

from chainwatch.init.presets.ccip import TABLE
from chainwatch.init.presets.networks import KNOWN_NETWORKS
from chainwatch.init.presets.preset import UNSEARCHED, About, Networks, Preset

FLOW = """
[flows.ccip-{origin}-to-{destination}]
contract = "ccip-lane"
key = "messageId"

[flows.ccip-{origin}-to-{destination}.opens]
step = "send"
event = "CCIPSendRequested"
key = "message.messageId"
# The events name no networks: they are those of the lane.
on = "{origin}"
destination = "{destination}"

# The source's finality (15 minutes on Ethereum, up to 20 on its rollups), then a commit and the execution. CCIP itself gives
# up after 8 hours, and leaves the message to whoever executes it by hand.
[[flows.ccip-{origin}-to-{destination}.expects]]
step = "execute"
event = "ExecutionStateChanged"
on = "{destination}"
origin = "{origin}"
within = "2h"
severity = "P2"
# 2 is success. A message that failed (3) may be executed again, and is overdue until it succeeds.
where = "state == 2"
"""


def _flows(networks: Networks) -> str:
    return "".join(FLOW.format(origin=a, destination=b) for a, b in permutations(networks, 2))


PRESET = Preset(
    name="ccip-1.5",
    title="Chainlink CCIP 1.5",
    about=About(
        sees="every message of one lane, in both directions, from the OnRamp to its successful execution by the OffRamp.",
        blind="other lanes: add their contracts and flows likewise. Commits of roots, amounts of tokens, and why an "
        "execution failed are not shown.",
        orphans="a message executed that the lane's OnRamp never sent: P0 as soon as the origin has been read ten minutes "
        f"past it. {UNSEARCHED}",
        source="@chainlink/contracts-ccip 2.0.0 abi/v1_5_0. Give both addresses of the lane on both networks, the OnRamp "
        "and the OffRamp, as Chainlink's CCIP Directory shows them. Nothing was run on Chainlink's own contracts.",
    ),
    abis=("ccip-1.5-lane",),
    networks=tuple(dict.fromkeys([*TABLE.networks, *KNOWN_NETWORKS])),
    contracts=lambda _networks: "",
    flows=_flows,
    own_contract="ccip-lane",
    most_networks=2,
)
