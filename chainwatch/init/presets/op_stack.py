"""Withdrawals of OP-stack networks to Ethereum. Source: the OP-stack specification, "Withdrawals"."""

from __future__ import annotations

from chainwatch.init.presets.preset import About, Networks, Preset, invariant_table

HUB = "ethereum"
MESSAGE_PASSER = "0x4200000000000000000000000000000000000016"
PORTALS = {
    "optimism": "0xbEb5Fc579115071764c7423A4f12eDde41f106Ed",
    "base": "0x49048044D57e1C92A77f79988d21Fa8fAF74E97e",
    "unichain": "0x0bd48f6B86a26D3a217d0Fa6FfE2B491B956A7a2",
    "ink": "0x5d66C1782664115999C47c9fA5cd031f495D3e4F",
    "worldchain": "0xd5ec14a83B7d95BE1E2Ac12523e2dEE12Cbeea6C",
    "soneium": "0x88e529A6ccd302c948689Cd5156C83D4614FAE92",
    "lisk": "0x26dB93F8b8b4f7016240af62F7730979d353f9A7",
    "mode": "0x8B34b14c7c7123459Cf3076b8Cb929BE097d0C07",
    "zora": "0x1a0ad011913A150f69f6A19DF447A0CfD9551054",
    "bob": "0x8AdeE124447435fE03e3CD24dF3f4cAE32E65a3E",
}
FACTORIES = {
    "optimism": "0xe5965Ab5962eDc7477C8520243A95517CD252fA9",
    "base": "0x43edB88C4B80fDD2AdFF2412A7BebF9dF42cB40e",
    "unichain": "0x2F12d621a16e2d3285929C9996f478508951dFe4",
    "ink": "0x10d7B35078d3baabB96Dd45a9143B94be65b12CD",
}
"""The factories of dispute games."""
GAMES = "function gameCount() view returns (uint256)"
CONTRACTS = """\
# Where withdrawals begin on {l2}, and where they are proven and paid out on Ethereum.
[contracts.{l2}-message-passer]
abi = "abi/l2-to-l1-message-passer.json"
address = {{ {l2} = "{passer}" }}

[contracts.{l2}-portal]
abi = "abi/optimism-portal.json"
address = {{ ethereum = "{portal}" }}
"""
FLOW = """
[flows.{l2}-withdrawals]
contract = "{l2}-message-passer"
key = "withdrawalHash"
# A step without its opening counts as an orphan only once the L2 has been read an hour past it.
orphan_grace = "1h"
# Who withdraws decides when to prove and finalize: openings may lie weeks before the first block watched.
lookback = "30d"

[flows.{l2}-withdrawals.opens]
step = "initiate"
event = "MessagePassed"
# The events name no networks: they are fixed.
on = "{l2}"
destination = "ethereum"
amount = "value"

[[flows.{l2}-withdrawals.expects]]
step = "prove"
contract = "{l2}-portal"
event = "WithdrawalProven"
on = "ethereum"
origin = "{l2}"
within = "1d"
severity = "P3"
# A withdrawal may be proven again, against another output.
repeat = "allow"

[[flows.{l2}-withdrawals.expects]]
step = "finalize"
contract = "{l2}-portal"
event = "WithdrawalFinalized"
on = "ethereum"
origin = "{l2}"
within = "8d"
severity = "P3"
# The withdrawal's call on Ethereum must not have failed.
assert = "success"
"""


def _contracts(networks: Networks) -> str:
    return "\n".join(
        CONTRACTS.format(l2=l2, passer=MESSAGE_PASSER, portal=PORTALS[l2]) for l2 in networks if l2 != HUB
    )


def _flows(networks: Networks) -> str:
    return "".join(FLOW.format(l2=l2) for l2 in networks if l2 != HUB)


def _invariants(networks: Networks) -> str:
    """Return what must hold of each network's portal, its output roots, and the withdrawals that are proven by them."""
    tables = []
    for l2 in networks:
        if l2 == HUB:
            continue
        portal = {"network": HUB}
        tables += [
            invariant_table(f"{l2}-portal-paused", "paused", contract=f"{l2}-portal", **portal),
            invariant_table(
                f"{l2}-portal-code", "implementation", proxy=f"{l2}-portal", events=["Upgraded"], **portal
            ),
            invariant_table(
                f"{l2}-portal-admin", "proxy_admin", proxy=f"{l2}-portal", events=["AdminChanged"], **portal
            ),
        ]
        if l2 in FACTORIES:
            factory = {"network": HUB, "contract": FACTORIES[l2], "call": GAMES, "period": "12h"}
            tables.append(invariant_table(f"{l2}-games", "rises", **factory))
            roots = {"network": HUB, "l2": l2, "contract": FACTORIES[l2]}
            tables.append(invariant_table(f"{l2}-roots", "output_roots", **roots))
        withdrawals = {"network": HUB, "l2": l2, "portal": PORTALS[l2], "share": 20}
        tables.append(invariant_table(f"{l2}-withdrawals-proven", "proven_withdrawals", **withdrawals))
    return "".join(tables)


PRESET = Preset(
    name="op-stack",
    title="OP-stack withdrawals",
    about=About(
        sees="every withdrawal that begins on an OP-stack network, its proof on Ethereum, and its payout there.",
        blind="deposits from Ethereum, tokens and amounts of withdrawals other than ether, and the moves of dispute games.",
        orphans="a withdrawal proven or finalized on Ethereum that the L2 never sent. An L2's blocks may be seen "
        "late, so that an orphan waits until the L2 has been read an hour past it. For the first 30 days of watching it is "
        "`unopened` instead, forged or not, as the L2 cannot be asked for one withdrawal: `lookback` in the flow says how "
        "long.",
        source='the OP-stack specification, "Withdrawals"; portals and factories of dispute games: the '
        "chain definitions of the npm package viem 2.57.20.",
    ),
    abis=("l2-to-l1-message-passer", "optimism-portal"),
    networks=(HUB, *PORTALS),
    contracts=_contracts,
    flows=_flows,
    invariants=_invariants,
    hub=HUB,
)
