"""The OP stack: output roots, hashes of withdrawals, and withdrawals within the calldata that proves them. Pure.

Source: the OP-stack specification, "Withdrawals" and "Proposals"; since its upgrade Isthmus a block's ``withdrawalsRoot`` is
the storage root of the message passer.
"""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

from chainwatch.checker.abi_values import parse_type
from chainwatch.support.abi.shape import tuple_of
from chainwatch.support.abi.strict import Malformed, read_data
from chainwatch.support.keccak import keccak256

OUTPUT_PROPOSED = "OutputProposed(bytes32,uint256,uint256,uint256)"
GAME_CREATED = "DisputeGameCreated(address,uint32,bytes32)"
WITHDRAWAL_PROVEN = "WithdrawalProven(bytes32,address,address)"
MESSAGE_PASSED = "MessagePassed(uint256,address,address,uint256,uint256,bytes,bytes32)"
EMPTY_TRIE = keccak256(b"\x80")
"""The ``withdrawalsRoot`` of blocks before Isthmus: the root of a trie without entries."""

_WORD = 32
_WITHDRAWAL = "(uint256,address,address,uint256,uint256,bytes)"
_OUTPUT_PROOF = "(bytes32,bytes32,bytes32,bytes32)"
_PROVE = f"proveWithdrawalTransaction({_WITHDRAWAL},uint256,{_OUTPUT_PROOF},bytes[])"
_PROVE_SELECTOR = keccak256(_PROVE.encode())[:4]
_PROVED = tuple_of(parse_type(f"({_WITHDRAWAL})").components)
_CALLS_MAX = 64
"""Calls within one transaction that are looked into."""
_READ_MAX = 1 << 20


def output_root(state_root: bytes, storage_root: bytes, block_hash: bytes) -> bytes:
    """Return the output root, version 0, of an L2 block; ``storage_root`` is that of the message passer."""
    return keccak256(bytes(_WORD) + state_root + storage_root + block_hash)


def withdrawal_hash(nonce: int, sender: str, target: str, value: int, gas_limit: int, data: bytes) -> bytes:
    """Return the hash of a withdrawal: of ``abi.encode`` of its six fields."""
    addresses = [bytes.fromhex(one[2:]).rjust(_WORD, b"\0") for one in (sender, target)]
    head = [nonce.to_bytes(_WORD), *addresses, value.to_bytes(_WORD), gas_limit.to_bytes(_WORD)]
    padded = data.ljust(-(-len(data) // _WORD) * _WORD, b"\0")
    return keccak256(b"".join([*head, (6 * _WORD).to_bytes(_WORD), len(data).to_bytes(_WORD), padded]))


def proven_value(calldata: bytes, wanted: bytes) -> int | None:
    """Return the value, in wei, of the withdrawal with the hash ``wanted`` that ``calldata`` proves; None without one.

    The call may be within others, as of a multicall or a Safe. As the hash is that of the contents, what is found is right.
    """
    at = -1
    for _ in range(_CALLS_MAX):
        at = calldata.find(_PROVE_SELECTOR, at + 1)
        if at < 0:
            return None
        try:
            (one,) = read_data(_PROVED, calldata[at + len(_PROVE_SELECTOR) :], _READ_MAX)
        except Malformed:
            continue
        fields = list(one.values()) if isinstance(one, dict) else list(one)
        if withdrawal_hash(*fields) == wanted:
            return int(fields[3])
    return None


def similarity(one: bytes, other: bytes) -> Fraction:
    """Return how similar the hex texts of two values are, from 0 to 1: the Sørensen–Dice coefficient of their bigrams."""
    first, second = (Counter(map(str.__add__, h, h[1:])) for h in (one.hex(), other.hex()))
    total = first.total() + second.total()
    return Fraction(2 * (first & second).total(), total) if total else Fraction(0)
