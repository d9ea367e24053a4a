"""What an asset's contract says of itself: its symbol and decimals. Nothing that it answers is trusted.

Formats: https://eips.ethereum.org/EIPS/eip-20. Some early assets, such as MKR, give their symbol as ``bytes32``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from chainwatch.chain.errors import AnswerTooBig, NodeError
from chainwatch.chain.pool import Pool
from chainwatch.chain.state import ContractCall, Unread, read_state
from chainwatch.model import Header
from chainwatch.support.asset_units import DECIMALS_MAX, SYMBOL_MAX, is_symbol
from chainwatch.support.keccak import keccak256

DECIMALS, SYMBOL = keccak256(b"decimals()")[:4], keccak256(b"symbol()")[:4]
METADATA_GAS = 1_000_000
"""Gas that each of the two calls may use: proxies need some ten thousands. It bounds what a call returns to 700 kB."""

_WORD = 32
_SYMBOL_BYTES_MAX = 4 * SYMBOL_MAX
"""The most bytes of UTF-8 of a symbol that can be shown."""


class AssetMetadata(NamedTuple):
    """What a contract says of itself; None for what it does not say, or what cannot be used."""

    symbol: str | None
    decimals: int | None


async def read_metadata(pool: Pool, block: Header, addresses: Sequence[bytes]) -> dict[bytes, AssetMetadata]:
    """Read what the contracts at ``addresses`` say at ``block``; nothing of one at which every endpoint fails.

    Raises `RpcError` where that is not the contracts' doing; see `read_state`.
    """
    calls = [ContractCall(a, data, METADATA_GAS) for a in addresses for data in (SYMBOL, DECIMALS)]
    try:
        outcomes = await read_state(pool, block, calls)
    except (NodeError, AnswerTooBig) as error:  # of every call
        outcomes = [Unread(error)] * len(calls)
    return {
        address: AssetMetadata(
            parse_symbol(symbol) if isinstance(symbol, bytes) else None,
            parse_decimals(decimals) if isinstance(decimals, bytes) else None,
        )
        for address, symbol, decimals in zip(addresses, outcomes[::2], outcomes[1::2], strict=True)
    }


def parse_decimals(returned: bytes) -> int | None:
    """Parse the decimals in what ``decimals()`` returned; None for anything but a number of decimals that can be shown."""
    if len(returned) < _WORD:
        return None
    decimals = int.from_bytes(returned[:_WORD], "big")
    return decimals if decimals <= DECIMALS_MAX else None


def parse_symbol(returned: bytes) -> str | None:
    """Parse the symbol in what ``symbol()`` returned, a string or ``bytes32``; None for what cannot be shown."""
    data = returned.rstrip(b"\0") if len(returned) == _WORD else _string(returned)
    if data is None or len(data) > _SYMBOL_BYTES_MAX:
        return None
    try:
        symbol = data.decode()
    except UnicodeDecodeError:
        return None
    return symbol if is_symbol(symbol) else None


def _string(returned: bytes) -> bytes | None:
    """Return the ABI-encoded string; None where there is none, or one of more bytes than a symbol has."""
    start = int.from_bytes(returned[:_WORD], "big")
    length = int.from_bytes(returned[start : start + _WORD], "big")
    end = start + _WORD + length
    is_whole = start >= _WORD and length <= _SYMBOL_BYTES_MAX and end <= len(returned)
    return returned[start + _WORD : end] if is_whole else None
