"""The OP stack: output roots, hashes of withdrawals, and withdrawals within the calldata that proves them. Pure.

Source: the OP-stack specification, "Withdrawals" and "Proposals"; since its upgrade Isthmus a block's ``withdrawalsRoot`` is
the storage root of the message passer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NamedTuple

from chainwatch.checker.abi_values import parse_type
from chainwatch.checker.protocols import trie
from chainwatch.model import to_hex
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
PROVE_SELECTOR = keccak256(_PROVE.encode())[:4]
_PROVED = tuple_of(parse_type(f"({_WITHDRAWAL})").components)
_PROVED_WHOLE = tuple_of(parse_type(f"({_WITHDRAWAL},uint256,{_OUTPUT_PROOF},bytes[])").components)
_SENT = (1).to_bytes()
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


class ProveCall(NamedTuple):
    """A call that proves the withdrawal ``hash``, against the output root of a game, or an output, at ``position``.

    ``parts`` are those of the output root: version, state root, storage root of the message passer, block hash.
    """

    hash: bytes
    position: int
    parts: tuple[bytes, ...]
    nodes: tuple[bytes, ...]

    @property
    def root(self) -> bytes:
        """The output root that its parts make."""
        return keccak256(b"".join(self.parts))


def proven_value(calldata: bytes, wanted: bytes) -> int | None:
    """Return the value, in wei, of the withdrawal with the hash ``wanted`` that ``calldata`` proves; None without one.

    The call may be within others, as of a multicall or a Safe. As the hash is that of the contents, what is found is right.
    """
    for (one,) in _decoded(calldata, _PROVED):
        if withdrawal_hash(*(fields := _fields(one))) == wanted:
            return int(fields[3])
    return None


def prove_call(calldata: bytes, wanted: bytes) -> ProveCall | None:
    """Return the call within ``calldata`` that proves the withdrawal with the hash ``wanted``; None without one."""
    for one, position, parts, nodes in _decoded(calldata, _PROVED_WHOLE):
        if withdrawal_hash(*_fields(one)) == wanted:
            return ProveCall(wanted, position, tuple(_fields(parts)), tuple(nodes))
    return None


def _decoded(calldata: bytes, shape: Any) -> Iterator[Any]:
    """Yield the arguments of each call within ``calldata`` that proves a withdrawal, as far as ``shape`` says."""
    at = -1
    for _ in range(_CALLS_MAX):
        at = calldata.find(PROVE_SELECTOR, at + 1)
        if at < 0:
            return
        try:
            yield read_data(shape, calldata[at + len(PROVE_SELECTOR) :], _READ_MAX)
        except Malformed:
            continue


def _fields(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else list(value)


def proof_faults(call: ProveCall, claimed: bytes) -> list[str]:
    """Return what is wrong with a proof against the output root ``claimed``, as sentences; none where nothing is."""
    faults = []
    if call.root != claimed:
        faults.append(
            f"bad_output_root_binding: its proof is for the output root {to_hex(call.root)}, not for {to_hex(claimed)}"
        )
    slot = keccak256(call.hash + bytes(_WORD))  # sentMessages, the first variable of the message passer
    try:
        if trie.proven(call.parts[2], slot, call.nodes) != _SENT:
            faults.append("bad_withdrawal_proof: its proof shows that it was not sent")
    except trie.ProofError as error:
        faults.append(f"bad_withdrawal_proof: {error}")
    return faults


def similarity(one: bytes, other: bytes) -> Fraction:
    """Return how similar the hex texts of two values are, from 0 to 1: the Sørensen–Dice coefficient of their bigrams."""
    first, second = (Counter(map(str.__add__, h, h[1:])) for h in (one.hex(), other.hex()))
    total = first.total() + second.total()
    return Fraction(2 * (first & second).total(), total) if total else Fraction(0)
