"""zkSync Era: Ethereum's request has the hash of the L2 transaction that it becomes."""

from __future__ import annotations

from chainwatch.init.presets.preset import About, Networks, Preset

HUB, ERA = "ethereum", "zksync"
CONTRACTS = """\
[contracts.zksync-diamond-proxy]
abi = "abi/zksync-diamond-proxy.json"
address = { ethereum = "0x32400084C286CF3E17e7B677ea9583e60a000324" }

[contracts.zksync-asset-router]
abi = "abi/zksync-l2-asset-router.json"
address = { zksync = "0x0000000000000000000000000000000000010003" }
"""
FLOW = """
[flows.zksync-deposits]
contract = "zksync-diamond-proxy"
key = "txHash"

[flows.zksync-deposits.opens]
step = "request"
event = "NewPriorityRequest"
# The events name no networks: they are fixed.
on = "ethereum"
destination = "zksync"
# Only requests to the asset router on zkSync, which pays out deposits of tokens, must be followed by its event.
where = "address(transaction.to) == 0x0000000000000000000000000000000000010003"

# The sequencer includes it within minutes. A request that fails there has no event: its deposit can be claimed back.
[[flows.zksync-deposits.expects]]
step = "finalize"
contract = "zksync-asset-router"
event = "DepositFinalizedAssetRouter"
key = "transaction.hash"
on = "zksync"
origin = "ethereum"
within = "2h"
severity = "P2"
"""


def _contracts(_networks: Networks) -> str:
    return CONTRACTS


PRESET = Preset(
    name="zksync-era",
    title="zkSync Era",
    about=About(
        sees="every deposit of a token through the asset router, and its payout on zkSync: the request on Ethereum has the "
        "hash of the transaction on zkSync.",
        blind="deposits of ether and other calls from Ethereum, which need no event on zkSync; amounts; deposits that "
        "failed and were claimed back (they stay overdue); and withdrawals to Ethereum, whose events share no id.",
        orphans="a payout in a transaction on zkSync that Ethereum never requested: P0 as soon as Ethereum has been read "
        "ten minutes past it. The hash is not indexed on Ethereum, so that for the first seven days of watching, "
        "payouts of older requests are shown as `unopened` instead.",
        source="the events from zksync-ethers 6.21.1 (abi/), with the asset router's address on zkSync (src/utils.ts). The "
        "address on Ethereum is the one that zkSync documents; no package has it to compare with.",
    ),
    abis=("zksync-diamond-proxy", "zksync-l2-asset-router"),
    networks=(HUB, ERA),
    contracts=_contracts,
    flows=lambda _networks: FLOW,
    hub=HUB,
)
