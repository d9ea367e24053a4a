"""Fields of accounts and blocks as nodes give them. Formats: https://ethereum.github.io/execution-apis/ and EIP-1186."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from chainwatch.chain.wire import parser, to_amount, to_word


class WireProof(msgspec.Struct, rename="camel"):
    """An answer to `eth_getProof`, without the proof itself."""

    balance: str
    code_hash: str
    nonce: str
    storage_hash: str


class WireBlock(msgspec.Struct, rename="camel"):
    """The fields of a block that conditions may read; older chains and rollups lack some."""

    hash: str
    base_fee: str | None = msgspec.field(default=None, name="baseFeePerGas")
    gas_used: str | None = None
    gas_limit: str | None = None
    state_root: str | None = None
    withdrawals_root: str | None = None


parse_proof = parser(msgspec.json.Decoder(WireProof))
parse_block = parser(msgspec.json.Decoder(WireBlock | None))

_PARSERS: dict[str, Callable[[str], int | bytes]] = {
    "balance": to_amount,
    "nonce": to_amount,
    "base_fee": to_amount,
    "gas_used": to_amount,
    "gas_limit": to_amount,
    "code_hash": to_word,
    "storage_hash": to_word,
    "state_root": to_word,
    "withdrawals_root": to_word,
}


def field_of(answer: WireProof | WireBlock, field: str) -> int | bytes:
    """Return a field as an integer or 32 bytes; no bytes where the node gives none. Raises ``ValueError``."""
    text: str | None = getattr(answer, field)
    return b"" if text is None else _PARSERS[field](text)
