"""What the language must know of a protocol's own function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chainwatch.model import AbiParam


@dataclass(frozen=True)
class ProtocolFunction:
    """``name`` is ``protocol.function``; ``parameters`` are ABI types (names count for the components of tuples only).

    ``compute`` takes values as events have them, and gives one of the ABI type ``result``, which is no tuple and no array.
    It is pure, raises ``ValueError`` where there is none, and takes at most ``cost`` microseconds on any input.
    """

    name: str
    parameters: tuple[AbiParam, ...]
    result: str
    compute: Callable[..., Any]
    cost: float
