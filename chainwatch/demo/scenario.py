"""The demo's scenario: transfers between two chains, narrated while chainwatch watches them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

from chainwatch.demo.bridge import Transfer
from chainwatch.demo.chain import ASSET, RECIPIENT, DemoChain

ALPHA_DOMAIN = 1
BETA_DOMAIN = 2
ETHER = 10**18
WITHIN = 6
"""Seconds that a step may take in the demo."""

Narrate = Callable[[str], None]


def config(
    alpha: DemoChain, beta: DemoChain, addresses: dict[str, str], database: Path, listen: str = ""
) -> dict[str, Any]:
    """Return the demo's configuration, with the keys of the TOML file. ``listen``: where its page is, empty for none."""
    chains = {alpha.name: (alpha, ALPHA_DOMAIN), beta.name: (beta, BETA_DOMAIN)}
    return {
        "store": {"url": f"sqlite:///{database}"},
        "api": {"listen": listen},
        "networks": {
            name: {
                "chain_id": chain.chain_id,
                "domain": domain,
                "rpc": [chain.ws_url, chain.http_url],
                "start_block": 0,
            }
            for name, (chain, domain) in chains.items()
        },
        "contracts": {
            "bridge": {"abi": str(resources.files("chainwatch.demo") / "contract.json"), "address": addresses}
        },
        "flows": {
            "bridge": {
                "contract": "bridge",
                "key": "transferId",
                "network_by": "domain",
                "orphan_grace": "3s",
                "verify": ["connext.transfer_id", "connext.message_hash"],
                "opens": {
                    "step": "xcall",
                    "event": "XCalled",
                    "origin": "params.originDomain",
                    "destination": "params.destinationDomain",
                    "amount": "params.bridgedAmt",
                    "asset": "asset",
                },
                "expects": [
                    {
                        "step": "execute",
                        "event": "Executed",
                        "on": "destination",
                        "origin": "args.params.originDomain",
                        "within": f"{WITHIN}s",
                        "severity": "P1",
                    }
                ],
            }
        },
        "receivers": {"console": {"provider": "console"}},
        "routes": [
            {
                "receivers": ["console"],
                "group_by": ["alertname", "transfer"],
                "group_wait": "0s",
                "group_interval": "1s",
            }
        ],
    }


async def play(alpha: DemoChain, beta: DemoChain, narrate: Narrate) -> None:
    """Run transfers: some complete, one is stuck and recovers, one payout has no opening, a reorg undoes another."""
    narrate("two transfers from alpha to beta, paid out at once")
    for amount in (3, 5):
        await beta.execute(await alpha.xcall(BETA_DOMAIN, amount * ETHER))
    await asyncio.sleep(2)

    narrate(f"a transfer of 42 that beta does not pay out: it is due in {WITHIN} s")
    stuck = await alpha.xcall(BETA_DOMAIN, 42 * ETHER)
    await asyncio.sleep(WITHIN + 4)
    narrate("beta pays the 42 after all")
    await beta.execute(stuck)
    await asyncio.sleep(3)

    narrate("beta pays out 7 without a transfer from alpha: an orphan, once alpha has been read well past it")
    await beta.execute(_never_opened(7 * ETHER))
    await asyncio.sleep(6)

    narrate(
        "a transfer of 9, paid out, and then a reorg of beta that undoes the payout: its deadline applies again"
    )
    undone = await alpha.xcall(BETA_DOMAIN, 9 * ETHER)
    await beta.execute(undone)
    await asyncio.sleep(1)
    await beta.reorg(1)
    await asyncio.sleep(WITHIN + 4)
    narrate("beta pays the 9 again")
    await beta.execute(undone)
    await asyncio.sleep(3)

    narrate("a transfer from beta to alpha, paid out in time; the demo has no more to show")
    await alpha.execute(await beta.xcall(ALPHA_DOMAIN, 2 * ETHER))
    await asyncio.sleep(1)


def _never_opened(amount: int) -> Transfer:
    wanted = Transfer.wanted(BETA_DOMAIN, amount, RECIPIENT, ASSET)
    return Transfer(wanted.params._replace(origin_domain=ALPHA_DOMAIN, nonce=1_000_000), wanted.asset)
