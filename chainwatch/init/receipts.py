"""The transactions from which a flow is proposed: read from endpoints or files, decoded with the ABIs at hand."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from chainwatch.chain.decode.abi import Abi, AbiError, topic0
from chainwatch.chain.decode.decoder import DecodeError, EventDecoder
from chainwatch.chain.errors import ChainError
from chainwatch.chain.pool import Pool
from chainwatch.chain.receipts import Receipt, find_receipt, read_receipt
from chainwatch.chain.transport import open_session
from chainwatch.config import NetworkSettings
from chainwatch.init.answers import VARIABLE, ChosenNetwork, InitError
from chainwatch.init.evidence import SeenLog, Side
from chainwatch.model import RawLog, to_hex

PATIENCE = 30.0
"""Seconds within which a network must answer."""
FILE_MAX = 16 * 2**20
"""Bytes of a receipt's file."""


def read_file(path: Path, network: str) -> Receipt:
    """Return the receipt, as `eth_getTransactionReceipt` gives it, in the file at ``path``. Raises `InitError`."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_MAX + 1)
        if len(data) > FILE_MAX:
            raise ValueError(f"larger than {FILE_MAX // 2**20} MiB")
        return _not_reverted(read_receipt(data), network)
    except OSError as error:
        raise InitError(f"--receipt: {path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise InitError(f"--receipt: {path} is not a receipt: {error}") from error


async def fetch(network: ChosenNetwork, tx_hash: str, environ: Mapping[str, str]) -> Receipt:
    """Return the receipt of ``tx_hash`` from the endpoints of ``network``. Raises `InitError`."""
    if not re.fullmatch("0x[0-9a-fA-F]{64}", tx_hash):
        raise InitError("--transaction: a transaction's hash is 0x and 64 hex digits")
    settings = _settings(network, environ)
    try:
        async with asyncio.timeout(PATIENCE), open_session() as session, Pool(settings, session) as pool:
            found = await find_receipt(pool, bytes.fromhex(tx_hash[2:]))
    except TimeoutError as error:
        raise InitError(f"--transaction: no answer from {network.name} within {PATIENCE:g} s") from error
    except ChainError as error:
        raise InitError(f"--transaction: {network.name}: {error}") from error
    if not isinstance(found, Receipt):
        raise InitError(
            f"--transaction: {tx_hash} is {found} on {network.name}: give its receipt with --receipt"
        )
    return _not_reverted(found, network.name)


def _settings(network: ChosenNetwork, environ: Mapping[str, str]) -> NetworkSettings:
    urls = []
    for url in network.rpc:
        if VARIABLE.fullmatch(url) and url not in environ:
            raise InitError(
                f"--transaction: set {url}, the endpoint of {network.name}, or give --receipt instead"
            )
        urls.append(environ[url] if VARIABLE.fullmatch(url) else url)
    try:
        return NetworkSettings.model_validate(
            {"name": network.name, "chain_id": network.chain_id, "rpc": urls}
        )
    except ValidationError as error:
        # The message leaves out the URL, which may hold a secret.
        raise InitError(f"--rpc: the endpoints of {network.name} are no URLs of HTTP or WebSocket") from error


def _not_reverted(receipt: Receipt, network: str) -> Receipt:
    if receipt.reverted:
        raise InitError(
            f"--transaction: {to_hex(receipt.tx_hash)} on {network} was reverted: it has no events"
        )
    return receipt


def side(receipt: Receipt, network: str, abis: Mapping[str, Abi]) -> Side:
    """Return a transaction with those of its logs that one of ``abis``, by their contracts' names, decodes."""
    logs = tuple(seen for log in receipt.logs if (seen := _decoded(log, abis)) is not None)
    return Side(network, receipt.tx_hash, receipt.timestamp, logs)


def _decoded(log: RawLog, abis: Mapping[str, Abi]) -> SeenLog | None:
    for name, abi in abis.items():
        for event in abi.events:
            if topic0(event) is None or log.topics[:1] != (topic0(event),):
                continue
            try:
                args = EventDecoder(event).decode_raw(log.topics, log.data)
            except (DecodeError, AbiError):
                continue
            return SeenLog(name, to_hex(log.address), event, args)
    return None


def missing(sides: Sequence[Side]) -> str:
    """Return which transaction has no log that decodes; empty where both have some."""
    return next((f"{to_hex(one.tx_hash)} on {one.network}" for one in sides if not one.logs), "")
