"""How long an endpoint usually takes for calls of a kind, and how long one may take until another is asked too."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable

WINDOW = 128
"""Answers of a kind that are remembered."""

ENOUGH = 8
"""Answers of a kind that are needed to know what is usual."""

DEFAULT_PATIENCE = 1.0
LEAST_PATIENCE = 0.25
"""Seconds that a call may take while nothing is known, and that any call may take."""


class Latencies:
    """The latencies of one endpoint, in seconds, by kind of call."""

    def __init__(self) -> None:
        self._by_kind: dict[str, deque[float]] = {}

    def note(self, kind: str, seconds: float) -> None:
        """Add that a call of ``kind`` was answered after ``seconds``."""
        self._by_kind.setdefault(kind, deque(maxlen=WINDOW)).append(seconds)

    def p99(self, kind: str) -> float | None:
        """Return the time within which 99 of 100 calls of ``kind`` were answered; None while too few are known."""
        known = self._by_kind.get(kind, ())
        if len(known) < ENOUGH:
            return None
        return sorted(known)[-(-len(known) * 99 // 100) - 1]


def patience(kind: str, own: Latencies, peers: Iterable[Latencies]) -> float:
    """Return the seconds after which a call of ``kind`` is slower than usual there, or else at the quickest of ``peers``."""
    usual = own.p99(kind)
    if usual is None:
        usual = min((p99 for peer in peers if (p99 := peer.p99(kind)) is not None), default=DEFAULT_PATIENCE)
    return max(usual, LEAST_PATIENCE)


def kind_of(body: bytes, calls: int) -> str:
    """Return the kind of a request, by which its latency is judged: the first call's method, and the order of the number."""
    method = _METHOD.search(body)
    return f"{method.group(1).decode() if method else ''} {calls.bit_length()}"


_METHOD = re.compile(rb'"method":"(\w+)"')
