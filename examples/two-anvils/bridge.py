#!/usr/bin/env python3
"""A toy bridge on two local anvils, for docs/tutorial.md: deploy it, send, pay out, forge a payout.

Usage: bridge.py deploy | send | pay TX_HASH | forge        ($LEFT and $RIGHT name the nodes' URLs)
The contract is that of the demo, chainwatch/demo/Bridge.sol: it moves nothing and only emits events.
"""

from __future__ import annotations

import os
import sys

from eth_typing import HexStr
from web3 import HTTPProvider, Web3
from web3.types import TxParams

from chainwatch.demo import bridge
from chainwatch.demo.bridge import Transfer

LEFT = os.environ.get("LEFT", "http://127.0.0.1:8545")
RIGHT = os.environ.get("RIGHT", "http://127.0.0.1:8546")
DOMAINS = {LEFT: 1, RIGHT: 2}
CONTRACT = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
"""Where the first contract of anvil's first account always is."""
TOKEN = "0x" + "70" * 20
RECIPIENT = "0x" + "71" * 20


def main() -> None:
    match sys.argv[1:]:
        case ["deploy"]:
            for url, domain in DOMAINS.items():
                transact(url, None, bridge.creation_code(domain))
            print(f"the bridge is at {CONTRACT} on both networks")
        case ["send"]:
            print(send())
        case ["pay", tx_hash]:
            log = Web3(HTTPProvider(LEFT)).eth.get_transaction_receipt(HexStr(tx_hash))["logs"][0]
            print(pay(Transfer.opened(log["data"].to_0x_hex())))
        case ["forge"]:
            print(pay(wanted(10**21)))
        case _:
            sys.exit(__doc__)


def wanted(amount: int) -> Transfer:
    """Return a transfer of ``amount`` to the network on the right."""
    return Transfer.wanted(DOMAINS[RIGHT], amount, RECIPIENT, TOKEN)


def send() -> str:
    """Open a transfer on the left; the transaction's hash."""
    return transact(LEFT, CONTRACT, bridge.xcall(wanted(42)))


def pay(transfer: Transfer) -> str:
    """Pay ``transfer`` out on the right; the transaction's hash."""
    params = transfer.params
    if params.origin_domain == 0:  # nobody sent it: a forger claims that it comes from the left
        transfer = Transfer(params._replace(origin_domain=DOMAINS[LEFT]), transfer.asset)
    return transact(RIGHT, CONTRACT, bridge.execute(transfer, transfer.params.bridged_amount, []))


def transact(url: str, to: str | None, data: bytes) -> str:
    """Send a transaction from the node's first account and wait until it is in a block; its hash."""
    eth = Web3(HTTPProvider(url)).eth
    transaction: TxParams = {"from": eth.accounts[0], "data": data}
    if to is not None:
        transaction["to"] = to
    sent = eth.send_transaction(transaction)
    eth.wait_for_transaction_receipt(sent)
    return sent.to_0x_hex()


if __name__ == "__main__":
    main()
