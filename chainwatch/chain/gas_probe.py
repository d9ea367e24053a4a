"""A call beside others that run on the same gas, made after them: it shows whether each of them had enough.

A call may burn most of the gas that is left and return nevertheless; one after it may take its lack of gas for an answer,
as a contract does that catches errors of others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

from chainwatch.chain import multicall

GAS_LEFT = 1_000_000
"""Gas that each of the calls had at least, or none of their results counts."""


class Probe(NamedTuple):
    """A call of ``address`` with ``data`` that takes `GAS_LEFT`.

    ``shows_enough`` is given whether it was done and what it returned: None where its network lacks what is called.
    """

    address: bytes
    data: bytes
    shows_enough: Callable[[bool, bytes], bool | None]


@cache
def probes(contract: bytes) -> Sequence[Probe]:
    """Return the probes for calls that are made together by ``contract``, a Multicall3: the next where one does not work."""
    return Probe(_BLAKE2F, GAS_LEFT.to_bytes(4) + bytes(209), _by_precompile), Probe(
        contract, _memory(contract), _by_memory
    )


def _by_precompile(is_done: bool, returned: bytes) -> bool | None:
    """Judge a call of the precompile BLAKE2F, which takes a unit of gas for each round (EIP-152); without it, none."""
    return is_done if returned or not is_done else None


def _memory(contract: bytes) -> bytes:
    """Return calldata with which Multicall3 copies so much to its memory that this takes the gas, and reverts at last.

    It calls itself again and again with calls whose results are large, each of which may fail: without enough gas it ends
    without any reason. All of a kind are the same bytes in the calldata. Every EVM prices memory (yellow paper, appendix H).
    """
    copies = _call(_IDENTITY, bytes(128), may_fail=True)
    few = multicall.aggregated([copies], [0] * 8)
    many = multicall.aggregated([_call(contract, few, may_fail=True)], [0] * 4)
    grows, fails = _call(contract, many, may_fail=True), _call(contract, b"", may_fail=False)
    return multicall.aggregated([grows, fails], [*[0] * 8, 1])


def _by_memory(is_done: bool, returned: bytes) -> bool:
    return not is_done and returned == _CALL_FAILED


def _call(address: bytes, data: bytes, *, may_fail: bool) -> bytes:
    return multicall.encode_call(address, data, may_fail=may_fail)


_BLAKE2F, _IDENTITY = (9).to_bytes(20), (4).to_bytes(20)
_REASON = b"Multicall3: call failed"
_CALL_FAILED = (
    bytes.fromhex("08c379a0") + (32).to_bytes(32) + len(_REASON).to_bytes(32) + _REASON.ljust(32, b"\0")
)
"""With which Multicall3 reverts where a call fails that must not: ``Error(string)``."""
