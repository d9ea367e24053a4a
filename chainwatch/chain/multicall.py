"""Many reads in one `eth_call`: the function ``aggregate3`` of the contract Multicall3.

Source: https://github.com/mds1/multicall3 and https://www.multicall3.com. Each call may fail by itself. All run on the
gas of one call, and have the contract as their sender: a call that fails here is asked for alone before it counts as failed,
and so are all where little gas was left at the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Hashable, Sequence

_AGGREGATE3 = bytes.fromhex("82ad56cb")  # aggregate3((address,bool,bytes)[])
_GET_ETH_BALANCE = bytes.fromhex("4d2301cc")  # getEthBalance(address)
_WORD = 32

LARGEST = 500
"""Calls in one: 60,000 gas for each, where a call may use 30 million."""
SMALLEST = 8
AGAIN_AFTER = 600.0
"""Seconds after which what has failed is tried again: calls that failed together, a network without the contract."""
LARGE_RESULT = 2**14
"""Bytes from which on a result is large enough to make all calls fail that are made together with its call."""


class Together:
    """What is known of calls that are made together through one endpoint."""

    def __init__(self) -> None:
        self.size = LARGEST
        """The most calls that are made together now."""
        self._apart: set[Hashable] = set()
        self._present_from: int | None = None
        self._is_absent = False
        self._again_at = 0.0
        self.probe = 0
        """Which of the probes (`chainwatch.chain.gas_probe`) is made beside them."""

    def is_possible(self, block: int) -> bool:
        """Return whether the network may have the contract at ``block``."""
        if self._now() >= self._again_at:
            self.size, self._apart, self._is_absent, self.probe = LARGEST, set(), False, 0
            self._again_at = self._now() + AGAIN_AFTER
        if not self.size:
            return False
        return self.was_present(block) or not self._is_absent

    def is_apart(self, call: Hashable) -> bool:
        """Return whether ``call`` is to be made alone."""
        return call in self._apart

    def note_present(self, block: int) -> None:
        """Note that the contract has answered at ``block``."""
        if self._present_from is None or block < self._present_from:
            self._present_from = block

    def was_present(self, block: int) -> bool:
        """Return whether the contract has answered at ``block`` or before: it is there, as it cannot destroy itself."""
        return self._present_from is not None and self._present_from <= block

    def note_absent(self) -> None:
        """Note that there is no such contract at a block at which it was not known to be."""
        self._is_absent = True

    def note_failed(self, failed: Collection[Hashable], culprits: Collection[Hashable]) -> None:
        """Note that the calls ``failed`` together, of which alone only ``culprits`` fail.

        From now on the culprits are made alone; without any, fewer are made together, at last none of these.
        """
        if culprits or self.size <= SMALLEST:
            self._apart.update(culprits or failed)
        else:
            self.size = max(SMALLEST, self.size // 2)

    def note_late(self) -> None:
        """Note that there was no answer to calls that were made together: make none together for a while."""
        self.size = 0

    def note_useless(self, probe: int) -> None:
        """Note that a probe shows nothing here, as several reads may that are made at once: the next is made instead."""
        self.probe = max(self.probe, probe + 1)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def balance_call(address: bytes) -> bytes:
    """Return the calldata that asks the contract itself for the native balance of ``address``."""
    return _GET_ETH_BALANCE + address.rjust(_WORD, b"\0")


def encode(calls: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return the calldata that makes ``calls`` (address, calldata), each of which may fail."""
    return aggregated([encode_call(*call) for call in calls], range(len(calls)))


def encode_call(address: bytes, data: bytes, *, may_fail: bool = True) -> bytes:
    """Return a call of ``address`` with ``data`` as one of those that `aggregated` takes."""
    head = _HEAD if may_fail else _MUST_SUCCEED
    return b"".join(
        (address.rjust(_WORD, b"\0"), head, len(data).to_bytes(_WORD), data, bytes(-len(data) % _WORD))
    )


def aggregated(calls: Sequence[bytes], order: Sequence[int]) -> bytes:
    """Return the calldata that makes encoded ``calls`` in ``order``: by their indexes, each as often as it stands there."""
    at: list[bytes] = []
    offset = _WORD * len(order)
    for call in calls:
        at.append(offset.to_bytes(_WORD))
        offset += len(call)
    offsets = [at[index] for index in order]
    return b"".join((_AGGREGATE3, _ARRAY_AT, len(order).to_bytes(_WORD), *offsets, *calls))


def decode(returned: bytes, count: int) -> list[tuple[bool, bytes]]:
    """Return whether each of ``count`` calls was done, and what it returned.

    Raises ``ValueError`` for anything but the one encoding that Solidity makes of the results.
    """
    if returned[: 2 * _WORD] != _ARRAY_AT + count.to_bytes(_WORD):
        raise ValueError(f"not the results of {count} calls")
    start = 2 * _WORD
    at = start + _WORD * count
    found: list[tuple[bool, bytes]] = []
    for index in range(count):
        offset = int.from_bytes(returned[start + _WORD * index : start + _WORD * (index + 1)])
        is_done = returned[at : at + _WORD]
        size = int.from_bytes(returned[at + 2 * _WORD : at + 3 * _WORD])
        end = at + 3 * _WORD + size
        is_plain = returned[at + _WORD : at + 2 * _WORD] == _RESULT_AT and is_done in (_TRUE, _FALSE)
        if start + offset != at or not is_plain or end > len(returned):
            raise ValueError(f"the result of call {index} is not where it should be")
        found.append((is_done == _TRUE, returned[at + 3 * _WORD : end]))
        at = end + -size % _WORD
    return found


_ARRAY_AT = _WORD.to_bytes(_WORD)
_RESULT_AT = (2 * _WORD).to_bytes(_WORD)
_TRUE, _FALSE = (1).to_bytes(_WORD), bytes(_WORD)
_HEAD, _MUST_SUCCEED = (may_fail + (3 * _WORD).to_bytes(_WORD) for may_fail in (_TRUE, _FALSE))
