"""The meaning of error answers, in dozens of wordings: ranges too wide, too many calls, unknown blocks, failed execution."""

from __future__ import annotations

import re
from typing import NamedTuple


class LimitHint(NamedTuple):
    """A refused range: ``blocks`` would work (None where not named); ``structural``: the limit holds for every range."""

    blocks: int | None
    structural: bool


def range_hint(code: int | None, message: str) -> LimitHint | None:
    """Return the limit that an error answer to `eth_getLogs` names or implies; None when the error is about something else.

    ``code`` is the JSON-RPC error code. Source of the wordings: 31 providers as collected by ponder-sh/ponder (MIT).
    """
    text = message.lower()
    named = _NAMED_RANGE.search(text)
    if named:
        first, last = (_integer(bound) for bound in named.groups())
        if first is not None and last is not None and last >= first:
            return LimitHint(last - first + 1, structural=False)
    if rate_limited(code, message):
        return None
    if _RESULTS.search(text):
        return LimitHint(None, structural=False)
    if _BLOCKS.search(text):
        # "a range of 5000 is over the maximum of 1024": the smallest number is the limit
        sizes = [(_integer(number) or 0) * (1000 if k else 1) for number, k in _NUMBER.findall(text)]
        usable = [size for size in sizes if size > 0]
        return LimitHint(min(usable), structural=True) if usable else LimitHint(None, structural=False)
    if code in _RANGE_CODES or _HEAVY.search(text):
        return LimitHint(None, structural=False)
    return None


def rate_limited(code: int | None, message: str) -> bool:
    """Return whether an error answer means "too many calls", for a second or for the rest of the day."""
    return code in _RATE_CODES or _RATE.search(message.lower()) is not None


def unknown_block(message: str) -> bool:
    """Return whether an error answer means that the node does not have the block that was named."""
    return _UNKNOWN.search(message.lower()) is not None


def unknown_state(code: int | None, message: str) -> bool:
    """Return whether an error answer means that the node does not have, or no longer has, the state of the named block."""
    return code in _UNKNOWN_STATE_CODES or _UNKNOWN_STATE.search(message.lower()) is not None


def execution_failed(code: int | None, message: str) -> bool:
    """Return whether an error answer to `eth_call` means that the EVM ended the call.

    That is a revert, no gas left, an invalid opcode, …. Source: the errors of geth (core/vm/errors.go), reth, erigon,
    Nethermind, besu, anvil and Hardhat.
    """
    return code in _EXECUTION_CODES or _EXECUTION.match(message.lower()) is not None


def _integer(text: str) -> int | None:
    """Return the number in ``text``, in decimal or 0x-hexadecimal; None when it is longer than any block number."""
    digits = re.sub("[,_]", "", text)
    if len(digits) > DIGITS:
        return None
    return int(digits, 16) if digits.startswith("0x") else int(digits)


DIGITS = 18
"""The most characters of a number that is read."""

NOT_SUPPORTED = (-32600, -32601, -32602)
"""JSON-RPC codes for "no such request, method or parameters"."""

_RANGE_CODES = (-32602, -32005)
_RATE_CODES = (429, -32029, -32097)
_BOUND = (
    r"((?>0x[0-9a-f]+|\d{1,3}(?:[,_]\d{3})+(?!\d)|\d+))"  # 1,024 is one number, not a range that begins at 1
)
_NAMED_RANGE = re.compile(rf"range\D{{0,24}}?{_BOUND}\s*(?:,|-|to)\s*{_BOUND}")
_RESULTS = re.compile(
    r"max results|more than [\d,]+ (?:results|logs)|logs matched|response size|too many (?:logs|results)"
)
_BLOCKS = re.compile(
    r"block range|blocks? distance|range is too|max(?:imum)? (?:block )?range|\brange\b.*\blimit"
    r"|limited to|at most [\d,]+ blocks|requested blocks|maximum is set to|smaller than size|up to a"
)
_NUMBER = re.compile(r"(?<![x\w.-])(\d[\d,_]*)(k)?\b")
_HEAVY = re.compile(
    r"no backend is currently healthy|query timeout|timed? ?out|took too long|too large|too heavy|exceeds? .*limit"
)
_RATE = re.compile(
    r"rate.?limit|too many requests|request count|quota|requests per|compute units|capacity|throughput|credits|daily"
)
_UNKNOWN = re.compile(
    r"unknown block|block not found|header not found|could not find block|block .*not (?:found|known|available)"
    r"|missing trie node|pruned"
)
_UNKNOWN_STATE_CODES = (-32001, -39001)
"""EIP-1474's "resource not found" and besu's "unknown block"."""
_UNKNOWN_STATE = re.compile(
    r"for hash not found|not (?:currently )?canonical|could not be found"
    r"|state .{0,100}(?:not (?:found|available)|unavailable)|no state available|pruning|archive"
)
_EXECUTION_CODES = (3, -32015)
"""A revert as geth and most others give it; "VM execution error" of Nethermind."""
_EXECUTION = re.compile(
    r"(?:err: |error: |evm error:? ?|vm exception while processing transaction: ){0,2}"
    r"(?:(?:execution )?revert|out ?of ?gas|[a-z]{0,16}oog|invalid ?(?:fe)?opcode|invalid_operation"
    r"|opcode ?not ?found|not ?activated|bad ?instruction|(?:bad|invalid) ?jump|stack ?(?:under|over)flow|stack limit"
    r"|gas uint64 overflow|write protection|return ?data out ?of|max call depth|call ?too ?deep|vm execution error"
    r"|message execution failed)"
)
