"""Proofs that a Merkle Patricia trie holds a value at a key. Pure.

Source: the Ethereum yellow paper, appendices B (RLP) and D. The form of proofs is that of `eth_getProof`, with nodes of less
than 32 bytes, which stand within their parents, as further elements, as OP-stack portals take them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from chainwatch.support.keccak import keccak256

_HASH = 32
_BRANCH, _PAIR = 17, 2


class ProofError(ValueError):
    """A proof does not prove anything; the message says why."""


def proven(root: bytes, key: bytes, nodes: Sequence[bytes]) -> bytes:
    """Return the value at ``key`` (32 bytes) in the trie of hashed keys with this ``root``. Raises `ProofError`."""
    path = keccak256(key).hex()
    wanted = root
    for number, node in enumerate(nodes, 1):
        if keccak256(node) != wanted and (number == 1 or node != wanted or len(node) >= _HASH):
            raise ProofError(f"node {number} of its proof is not the one that leads on from the root")
        items = _items(node)
        if len(items) == _BRANCH:
            if not path:
                raise ProofError("its path ends before a leaf")
            wanted, path = items[int(path[0], 16)].reference, path[1:]
        elif len(items) == _PAIR:
            is_leaf, part = _path_of(items[0].content)
            if not path.startswith(part):
                raise ProofError("it leads to another key")
            path = path.removeprefix(part)
            if is_leaf:
                if path or number < len(nodes):
                    raise ProofError("it leads to another key")
                return items[1].content
            wanted = items[1].reference
        else:
            raise ProofError(f"node {number} of its proof has {len(items)} items")
    raise ProofError("it ends before a leaf")


class _Item(NamedTuple):
    """An item of a node: its content, and how it is encoded as a whole."""

    content: bytes
    encoded: bytes
    is_list: bool

    @property
    def reference(self) -> bytes:
        """How a node refers to another one by this item: its hash, or itself if it is small."""
        return self.encoded if self.is_list else self.content


def _items(node: bytes) -> list[_Item]:
    whole, end = _item(node, 0)
    if not whole.is_list or end != len(node):
        raise ProofError("a node of its proof is no list")
    found: list[_Item] = []
    at = 0
    while at < len(whole.content) and len(found) <= _BRANCH:
        item, at = _item(whole.content, at)
        found.append(item)
    return found


def _item(data: bytes, at: int) -> tuple[_Item, int]:
    """Return the item of RLP that begins ``at`` there, and where it ends."""
    if at >= len(data):
        raise ProofError("a node of its proof is cut off")
    first = data[at]
    is_list = first >= 0xC0
    base = first - (0xC0 if is_list else 0x80)
    if base < 0:
        return _Item(data[at : at + 1], data[at : at + 1], False), at + 1
    begin = at + 1
    length = base
    if base > 55:
        begin += base - 55
        length = int.from_bytes(data[at + 1 : begin])
    end = begin + length
    if end > len(data):
        raise ProofError("a node of its proof is cut off")
    return _Item(data[begin:end], data[at:end], is_list), end


def _path_of(encoded: bytes) -> tuple[bool, str]:
    """Return whether a node with such a path is a leaf, and the path as hex digits."""
    digits = encoded.hex()
    flag = int(digits[0], 16) if digits else 4
    if flag > 3:
        raise ProofError("a node of its proof has no path")
    return flag >= 2, digits[1 if flag % 2 else 2 :]
