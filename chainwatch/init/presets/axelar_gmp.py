"""Axelar's general message passing: gateways on every network, approvals signed by Axelar's validators."""

from __future__ import annotations

from chainwatch.init.presets.preset import About, Preset, address_table, load_table

TABLE = load_table("axelar")
FLOW = """
[flows.{name}]
contract = "axelar-gateway"
# The events name networks by Axelar's names, in either case.
network_by = "axelar"
# Validators choose the command's id, so that the origin does not know it. They name the origin's transaction.
key = ["transaction.hash", "payloadHash", "lower(destinationChain)"]
# Equal calls in one transaction have equal keys: the first approval is that of the first, and so on.
match = "nth"

[flows.{name}.opens]
step = "call"
event = "{call}"
destination = "lower(destinationChain)"{amount}

# Validators vote once the call is final: 15 to 20 minutes on Ethereum and its rollups, one to three minutes elsewhere.
[[flows.{name}.expects]]
step = "approve"
event = "{approved}"
key = ["sourceTxHash", "payloadHash", "lower(network.axelar)"]
origin = "lower(sourceChain)"
on = "destination"
# From here on the transfer is found by its command.
alias = "commandId"
within = "1h"
severity = "P2"{amount}

# The app executes it, whoever pays for that: late is not wrong. Calls with a token and without one have the same event.
[[flows.{name}.expects]]
step = "execute"
event = "ContractCallExecuted"
by = "approve"
key = "commandId"
on = "destination"
within = "3h"
severity = "P3"
orphan = "allow"
"""
CALLS = FLOW.format(name="axelar-calls", call="ContractCall", approved="ContractCallApproved", amount="")
CALLS_WITH_TOKEN = FLOW.format(
    name="axelar-calls-with-token",
    call="ContractCallWithToken",
    approved="ContractCallApprovedWithMint",
    amount='\namount = "amount"',
)


PRESET = Preset(
    name="axelar-gmp",
    title="Axelar GMP",
    about=About(
        sees="every contract call, with a token or without, its approval on the destination, and its execution by the app.",
        blind="calls to and from networks without the EVM or with Axelar's newer Amplifier gateway (they are `untracked`), "
        "plain transfers of tokens (`TokenSent`, whose payout names no origin), refunds of gas, express execution, and "
        "whether the gas was paid for: without it nobody executes the call, and it stays overdue. Of equal calls in one "
        "transaction, the first approval counts as that of the first.",
        orphans="an approval that its origin never called for, or a second one of the same call, which means that "
        "validators signed what did not happen: P0 as soon as the origin has been read ten minutes past it. An execution "
        "without an approval, which a gateway does not allow, is not reported. For approvals in the first seven days "
        "of watching, calls up to seven days older than the first block watched are asked for.",
        source=f"{TABLE.source}; the events from @axelar-network/axelar-cgp-solidity 6.4.0, whose contracts the tests run.",
    ),
    abis=("axelar-gateway",),
    networks=tuple(TABLE.networks),
    contracts=lambda networks: address_table(
        "axelar-gateway", "axelar-gateway", TABLE.column("gateway"), networks
    ),
    flows=lambda _networks: CALLS + CALLS_WITH_TOKEN,
    attributes=TABLE.attributes("axelar"),
)
