"""LayerZero V2 OFT: a token with one contract on every network; LayerZero's messages burn it here and mint it there."""

from __future__ import annotations

from chainwatch.init.presets.preset import About, Networks, Preset, invariant_table, load_table, pairs

TABLE = load_table("layerzero")
FLOW = """
[flows.oft]
contract = "oft"
key = "guid"
# The events name networks by LayerZero's endpoint ids, not by chain id.
network_by = "eid"

[flows.oft.opens]
step = "send"
event = "OFTSent"
destination = "dstEid"
# In the decimals of the origin's token.
amount = "amountSentLD"

# The source's confirmations (15 blocks of Ethereum by default, seconds elsewhere), the verifiers, the executor: minutes.
[[flows.oft.expects]]
step = "receive"
event = "OFTReceived"
origin = "srcEid"
within = "1h"
severity = "P2"
amount = "amountReceivedLD"
# The guid does not bind the amount. Where the token has other decimals on some network, compare in shared decimals:
# amountReceivedLD // 10**12 for 18 decimals, amountReceivedLD for 6.
assert = "amountReceivedLD == opening.amountReceivedLD"
"""


def _invariants(networks: Networks) -> str:
    """Return what must hold of the token's contract on each network: who owns it, and whom it believes on each other."""
    oft = {"contract": "oft", "every": "1m"}
    owners = [
        invariant_table(
            f"oft-{network}-owner", "owner", network=network, **oft, events=["OwnershipTransferred"]
        )
        for network in networks
    ]
    peers = []
    for network, other in pairs(networks):
        eid = TABLE.networks[other]["eid"]
        keys = {
            "call": "function peers(uint32 eid) view returns (bytes32)",
            "args": [eid],
            "severity": "P0",
            "message": f"The token on {network} has another peer on {other}: whoever controls that can mint or release "
            f"tokens on {network}.",
            "events": ["PeerSet"],
            "where": f"eid == {eid}",
        }
        peers.append(
            invariant_table(f"oft-{network}-peer-{other}", "constant", network=network, **oft, **keys)
        )
    return "".join([*owners, *peers, _backed(networks)])


def _backed(networks: Networks) -> str:
    """Return, to be filled in, that what an adapter holds backs what is minted on all other networks."""
    home, *others = networks
    minted = ", ".join(f'{{ network = "{network}", token = "oft" }}' for network in others)
    return f"""
# Where the contract on one network is an adapter, which locks an existing token, what it holds backs all that the others
# have minted: fill in the adapter and its token (none for the native currency), `decimals` where they are not 18, and
# take away the "#".
#[invariants.oft-backed]
#kind = "conservation"
#locked = [{{ network = "{home}", holder = "0x…", token = "0x…" }}]
#minted = [{minted}]
"""


PRESET = Preset(
    name="layerzero-oft",
    title="LayerZero OFT",
    about=About(
        sees="every transfer of one token: OFTSent on the origin, OFTReceived with the same guid and amount on the "
        "destination. Adapters (OFTAdapter, NativeOFTAdapter) emit the same events.",
        blind="tokens other than the one whose addresses are given by `--address` (of its OFT, or OFT adapter), composed "
        "calls after the receipt, and why a delivery fails: the preset `layerzero-endpoint` shows whether a message was "
        "verified. Nor peers on networks that are not configured, the verifiers that the token chose at the endpoint, and "
        "the code of a token behind a proxy: the kinds `constant` and `implementation` watch those.",
        orphans="tokens that were minted or released without an OFTSent, as after a forged message: P0 as soon as the "
        "origin has been read ten minutes past it. A forged message may take the guid of the next honest one, and looks "
        "funded once that is sent: then the amounts differ, or the transfer is disputed, as it was paid before it was sent.",
        source=f"{TABLE.source}; events: @layerzerolabs/oft-evm. Tested on LayerZero's own compiled contracts.",
    ),
    abis=("layerzero-oft",),
    networks=tuple(TABLE.networks),
    contracts=lambda _networks: "",
    flows=lambda _networks: FLOW,
    invariants=_invariants,
    attributes=TABLE.attributes("eid"),
    own_contract="oft",
)
