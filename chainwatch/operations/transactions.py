"""One transaction's receipt: found on a configured network, or read from a file."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import aiohttp
import msgspec

from chainwatch.chain.errors import ChainError
from chainwatch.chain.pool import Pool
from chainwatch.chain.receipts import NoReceipt, Receipt, find_receipt, read_receipt
from chainwatch.chain.transactions import read_transactions
from chainwatch.chain.transport import open_session
from chainwatch.config import NetworkSettings
from chainwatch.model import to_hex
from chainwatch.operations.checks import check_known
from chainwatch.operations.errors import Conflict, Invalid
from chainwatch.plan import Plan

PATIENCE = 30.0
"""Seconds within which a network must answer."""
FILE_MAX = 16 * 2**20
"""Bytes of a receipt's file."""


class Transaction(NamedTuple):
    """A mined transaction that was not reverted, and the network that it is on."""

    network: str
    receipt: Receipt


class TransactionView(msgspec.Struct, frozen=True):
    """Where a transaction is. ``timestamp``: of its block, Unix seconds; None where a file does not say it."""

    network: str
    tx_hash: str
    block: int
    timestamp: int | None


async def fetch(plan: Plan, tx_hash: str, network: str | None = None) -> Transaction:
    """Return the transaction ``tx_hash``, asked of ``network``, or of every configured one until one has it.

    Its logs have the transaction itself where a flow reads any of that network.
    Raises ``Invalid`` for what is no hash, ``NotFound`` for an unknown network, ``Conflict`` where no network has a
    receipt, or where the transaction was reverted.
    """
    name = _hash(tx_hash)
    networks = plan.settings.networks
    if network is not None:
        check_known("network", network, networks)
        networks = {network: networks[network]}
    reading = frozenset(name for name, watch in plan.watches.items() if watch.reads_transactions)
    return _not_reverted(await _first_with(networks, name, reading))


def from_file(plan: Plan, file: Path, tx_hash: str | None = None, network: str | None = None) -> Transaction:
    """Return the transaction whose `eth_getTransactionReceipt` is in ``file``.

    A receipt does not say its network: without ``network`` it is the only one on which a configured contract has the
    address of one of its logs. Raises ``Invalid`` for a file that holds no receipt, or that of another transaction than
    ``tx_hash``; ``NotFound`` for an unknown network, ``Conflict`` where the transaction was reverted.
    """
    try:
        with file.open("rb") as opened:
            data = opened.read(FILE_MAX + 1)
        if len(data) > FILE_MAX:
            raise ValueError(f"larger than {FILE_MAX // 2**20} MiB")
        receipt = read_receipt(data)
    except OSError as error:
        raise Invalid(f"{file} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise Invalid(
            f"{file} is not a receipt: {error}; give the JSON that eth_getTransactionReceipt returns"
        ) from error
    if tx_hash is not None and receipt.tx_hash != _hash(tx_hash):
        raise Invalid(f"{file} is the receipt of {to_hex(receipt.tx_hash)}, not of {tx_hash}")
    if network is not None:
        check_known("network", network, plan.settings.networks)
    return _not_reverted(Transaction(network or _network_of(plan, receipt), receipt))


def view(transaction: Transaction) -> TransactionView:
    """Return where ``transaction`` is."""
    receipt = transaction.receipt
    return TransactionView(
        transaction.network, to_hex(receipt.tx_hash), receipt.block, receipt.timestamp or None
    )


def _hash(text: str) -> bytes:
    digits = text.strip().removeprefix("0x").removeprefix("0X")
    if re.fullmatch("[0-9a-fA-F]{64}", digits):
        return bytes.fromhex(digits)
    if not re.fullmatch("[0-9a-fA-F]*", digits):
        raise Invalid("this is not a transaction's hash: after 0x, all 64 characters are 0 to 9 or a to f")
    hint = "; this is as long as an address" if len(digits) == 40 else ""
    raise Invalid(f"a transaction's hash has 64 hexadecimal digits after 0x, not {len(digits)}{hint}")


def _not_reverted(transaction: Transaction) -> Transaction:
    network, receipt = transaction
    if receipt.reverted:
        raise Conflict(
            f"{to_hex(receipt.tx_hash)} was reverted in block {receipt.block} of {network}: it emitted no events, so that "
            "no flow can match; give a transaction that succeeded"
        )
    return transaction


def _network_of(plan: Plan, receipt: Receipt) -> str:
    addresses = {log.address for log in receipt.logs}
    known = [
        name for name, watch in plan.watches.items() if any(c.address in addresses for c in watch.contracts)
    ]
    if len(known) == 1:
        return known[0]
    where = f"on {' and '.join(known)}" if known else "on none of the networks"
    raise Invalid(
        f"which network the receipt is of cannot be said: its logs are of configured contracts {where}; "
        "name it with --network"
    )


async def _first_with(
    networks: Mapping[str, NetworkSettings], tx_hash: bytes, reading: frozenset[str]
) -> Transaction:
    """Return the transaction from the first of ``networks`` that has it; on those ``reading`` with what flows read of it.

    Raises ``Conflict`` when none has it.
    """
    lacking: dict[str, NoReceipt | str] = {}
    async with open_session() as session:
        tasks = [
            asyncio.create_task(_ask(network, tx_hash, session, whole=network.name in reading))
            for network in networks.values()
        ]
        try:
            for answered in asyncio.as_completed(tasks):
                network, found = await answered
                if isinstance(found, Receipt):
                    return Transaction(network, found)
                lacking[network] = found
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    raise Conflict(_nowhere(to_hex(tx_hash), {name: lacking[name] for name in networks}))


async def _ask(
    network: NetworkSettings, tx_hash: bytes, session: aiohttp.ClientSession, *, whole: bool
) -> tuple[str, Receipt | NoReceipt | str]:
    """Return the network's name, and the receipt or why there is none: `NoReceipt`, or the text of an error."""
    try:
        async with asyncio.timeout(PATIENCE), Pool(network, session) as pool:
            found = await find_receipt(pool, tx_hash)
            if whole and isinstance(found, Receipt) and found.logs:
                found = await _with_transaction(pool, found)
            return network.name, found
    except TimeoutError:
        return network.name, f"no answer within {PATIENCE:g} s"
    except ChainError as error:
        return network.name, str(error)


async def _with_transaction(pool: Pool, receipt: Receipt) -> Receipt:
    (transaction,) = await read_transactions(pool, receipt.logs[:1])
    logs = tuple(log._replace(transaction=transaction) for log in receipt.logs)
    return msgspec.structs.replace(receipt, logs=logs)


def _nowhere(tx_hash: str, lacking: Mapping[str, NoReceipt | str]) -> str:
    """Return why no network has the receipt of ``tx_hash``, and how to mend it."""
    by_reason: dict[str, list[str]] = {}
    for network, reason in lacking.items():
        by_reason.setdefault(reason, []).append(network)
    if pending := by_reason.pop("pending", None):
        where = ", ".join(pending)
        return f"{tx_hash} is pending on {where}: it is in no block yet; try again once it is mined"
    if pruned := by_reason.pop("pruned", None):
        where = ", ".join(pruned)
        return (
            f"{where} has {tx_hash}, but none of its endpoints has the receipt any more (pruned): add an archive "
            f"endpoint to networks.{pruned[0]}.rpc, or give the receipt with --receipt FILE"
        )
    unknown = by_reason.pop("unknown", None)
    said = [f"{', '.join(unknown)}: not known"] if unknown else []
    said += [f"{', '.join(some)}: {error}" for error, some in by_reason.items()]
    mend = ["check the hash, and that its network is configured"] if unknown else []
    mend += ["mend these endpoints (`chainwatch check --online` tries each)"] if by_reason else []
    return f"{tx_hash} was not found ({'; '.join(said)}): {'; '.join(mend)}"
