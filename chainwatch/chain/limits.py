"""How providers say that an `eth_getLogs` range is too much, in dozens of wordings, or that one asks too often."""

from __future__ import annotations

import re
from typing import NamedTuple


class LimitHint(NamedTuple):
    """A range refusal: ``blocks`` would work (None: not named); ``structural``: it holds for every range."""

    blocks: int | None
    structural: bool


def range_hint(code: int | None, message: str) -> LimitHint | None:
    """What an error answer to `eth_getLogs` says about the range; None when it is about something else.

    ``code`` is the JSON-RPC error code. Source of the wordings: 31 providers as collected by ponder-sh/ponder (MIT).
    """
    text = message.lower()
    named = _NAMED_RANGE.search(text)
    if named:
        first, last = (int(bound, 0) for bound in named.groups())
        if last >= first:
            return LimitHint(last - first + 1, structural=False)
    if rate_limited(code, message):
        return None
    if _RESULTS.search(text):
        return LimitHint(None, structural=False)
    if _BLOCKS.search(text):
        # "a range of 5000 is over the maximum of 1024": the smallest number is the limit
        sizes = [int(re.sub("[,_]", "", n)) * (1000 if k else 1) for n, k in _NUMBER.findall(text)]
        usable = [size for size in sizes if size > 0]
        return LimitHint(min(usable), structural=True) if usable else LimitHint(None, structural=False)
    if code in _RANGE_CODES or _HEAVY.search(text):
        return LimitHint(None, structural=False)
    return None


def rate_limited(code: int | None, message: str) -> bool:
    """Whether an error answer means "too many questions", for a second or for the rest of the day."""
    return code in _RATE_CODES or _RATE.search(message.lower()) is not None


def unknown_block(message: str) -> bool:
    """Whether an error answer means that the node does not have the block that was named."""
    return _UNKNOWN.search(message.lower()) is not None


NOT_SUPPORTED = (-32600, -32601, -32602)
"""JSON-RPC codes for "no such request, method or parameters"."""

_RANGE_CODES = (-32602, -32005)
_RATE_CODES = (429, -32029, -32097)
_NAMED_RANGE = re.compile(r"range\D{0,24}?(0x[0-9a-f]+|\d+)\s*(?:,|-|to)\s*(0x[0-9a-f]+|\d+)")
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
