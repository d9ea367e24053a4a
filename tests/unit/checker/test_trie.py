"""Proofs of a Merkle Patricia trie: right ones prove their value, and whatever is changed in one proves nothing."""

from __future__ import annotations

import random
from typing import Any

import pytest
import rlp
from hypothesis import given
from hypothesis import strategies as st

from chainwatch.checker.protocols.trie import ProofError, proven
from chainwatch.support.keccak import keccak256


def encoded(item: Any) -> bytes:
    found: bytes = rlp.encode(item)
    return found


def trie_of(leaves: dict[str, bytes], depth: int = 0) -> bytes:
    """The node, encoded, that holds ``leaves`` by the hex digits of their keys, of which ``depth`` are behind it."""
    if len(leaves) == 1:
        ((digits, value),) = leaves.items()
        return encoded([path_of(digits[depth:], leaf=True), value])
    shared = depth
    while len({digits[shared] for digits in leaves}) == 1:
        shared += 1
    if shared > depth:
        digits = next(iter(leaves))[depth:shared]
        return encoded([path_of(digits, leaf=False), reference(keep(trie_of(leaves, shared)))])
    branch: list[bytes] = []
    for digit in "0123456789abcdef":
        some = {digits: value for digits, value in leaves.items() if digits[depth] == digit}
        branch.append(reference(keep(trie_of(some, depth + 1))) if some else b"")
    return encoded([*branch, b""])


NODES: dict[bytes, bytes] = {}


def keep(node: bytes) -> bytes:
    NODES[keccak256(node)] = node
    return node


def reference(node: bytes) -> bytes:
    assert len(node) >= 32  # no path is that short
    return keccak256(node)


def path_of(digits: str, *, leaf: bool) -> bytes:
    flag = 2 * leaf + len(digits) % 2
    return bytes.fromhex(f"{flag:x}{'' if len(digits) % 2 else '0'}{digits}")


def proof_of(root: bytes, key: bytes) -> list[bytes]:
    digits, found, at = keccak256(key).hex(), [NODES[root]], 0
    while len(items := rlp.decode(found[-1])) == 17 or items[0][0] >> 4 < 2:
        if len(items) == 17:
            child, at = items[int(digits[at], 16)], at + 1
        else:
            child, at = items[1], at + len(items[0].hex()[1 if items[0][0] >> 4 == 1 else 2 :])
        if not child:
            return found
        found.append(NODES[child])
    return found


@given(st.integers(0, 2**32), st.integers(1, 200))
def test_each_value_is_proven_and_no_other(seed: int, count: int) -> None:
    choose = random.Random(seed)
    values = {choose.randbytes(32): encoded(choose.choice([1, 2, 2**200])) for _ in range(count)}
    root = keccak256(keep(trie_of({keccak256(key).hex(): value for key, value in values.items()})))
    key = choose.choice(list(values))
    proof = proof_of(root, key)
    assert proven(root, key, proof) == values[key]
    with pytest.raises(ProofError):
        proven(root, b"k" * 32, proof_of(root, b"k" * 32))
    with pytest.raises(ProofError):
        proven(root, choose.randbytes(32), proof)
    with pytest.raises(ProofError):
        proven(root, key, [*proof, proof[-1]])
    with pytest.raises(ProofError):
        proven(root, key, proof[:-1])
    index = choose.randrange(len(proof))
    changed = bytearray(proof[index])
    changed[choose.randrange(len(changed))] ^= 1 << choose.randrange(8)
    with pytest.raises(ProofError):
        proven(root, key, [*proof[:index], bytes(changed), *proof[index + 1 :]])


@given(st.lists(st.binary(max_size=80), max_size=4))
def test_any_bytes_are_refused_alone(nodes: list[bytes]) -> None:
    for root in (bytes(32), keccak256(nodes[0]) if nodes else b""):
        with pytest.raises(ProofError):
            proven(root, bytes(32), nodes)


def test_a_small_node_stands_in_its_parent_and_behind_it() -> None:
    digits = keccak256(bytes(32)).hex()
    leaf = encoded([path_of(digits[60:], leaf=True), b"\1"])
    assert len(leaf) < 32
    items = rlp.decode(leaf)
    parent = encoded([path_of(digits[:60], leaf=False), items])
    assert proven(keccak256(parent), bytes(32), [parent, leaf]) == b"\1"
