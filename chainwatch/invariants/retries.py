"""When blocks are read again that could not be read, and what is read apart from all else; a restart forgets it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from statistics import median
from typing import NamedTuple

from chainwatch.chain.errors import ChainError
from chainwatch.model import Header

FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
"""Seconds until something is read again: at first, and at most; twice as long after each failure."""
FIRST_TIMEOUT = 3.0
"""Seconds that one attempt may take at first: newer blocks wait for it."""
READINGS_A_SECOND = 500
"""Readings for which an attempt may take a second longer."""
SLOW = 0.5
"""Seconds from which on an attempt is slow: no other reading is to wait for one like it."""
LONG = 3.0
"""How many times as long as most of the newest ``ATTEMPTS`` of its network such an attempt takes, at least."""
ATTEMPTS = 32
FORGIVE_AFTER = 600.0
"""Seconds after which a reading is made beside others again that was slow, large or failed."""


class _Failed(NamedTuple):
    attempts: int
    again_at: float


class _Suspect(NamedTuple):
    until: float
    is_slow: bool
    failed: _Failed = _Failed(0, 0.0)


class Retries:
    """What has failed so far on all networks: whole blocks, and *suspects*, the invariants that are read apart."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: dict[tuple[str, bytes], _Failed] = {}
        self._suspects: dict[tuple[str, str], _Suspect] = {}
        self._seconds: dict[str, deque[float]] = {}
        self.last_error: dict[str, ChainError] = {}
        """Why something was not read, by network."""

    # --- blocks

    def is_due(self, network: str, block: Header) -> bool:
        """Return whether ``block`` is to be read now."""
        failed = self._failed.get((network, block.hash))
        return failed is None or self._clock() >= failed.again_at

    def failures(self, network: str, block: Header) -> int:
        """Return how often in sequence nothing of ``block`` was answered."""
        failed = self._failed.get((network, block.hash))
        return 0 if failed is None else failed.attempts

    def timeout(self, network: str, block: Header, readings: int) -> float:
        """Return how many seconds ``readings`` of ``block`` may take together: longer with each failure."""
        failed = self._failed.get((network, block.hash))
        first = FIRST_TIMEOUT + readings / READINGS_A_SECOND
        return first if failed is None else first * 2.0**failed.attempts

    def note_read(self, network: str, block: Header) -> None:
        """Note that readings of ``block`` were answered: the endpoints answer again, whatever failed before."""
        self._failed.pop((network, block.hash), None)
        for place in [one for one in self._failed if one[0] == network]:
            self._failed[place] = self._failed[place]._replace(again_at=0.0)

    def note_unread(self, network: str, block: Header) -> None:
        """Note that nothing of ``block`` was answered."""
        place = (network, block.hash)
        self._failed[place] = self._once_more(self._failed.get(place))

    def keep(self, network: str, wanted: Collection[bytes]) -> None:
        """Forget the blocks of ``network`` that are not ``wanted`` any more, by their hashes."""
        for place in [one for one in self._failed if one[0] == network and one[1] not in wanted]:
            del self._failed[place]

    def note_seconds(self, network: str, seconds: float) -> None:
        """Note how long an attempt took that was answered."""
        self._seconds.setdefault(network, deque(maxlen=ATTEMPTS)).append(seconds)

    def is_long(self, network: str, seconds: float) -> bool:
        """Return whether an attempt takes longer than most: otherwise it is the endpoint or this machine that is slow."""
        known = self._seconds.get(network)
        return not known or seconds >= LONG * median(known)

    # --- suspects

    def is_suspect(self, network: str, name: str) -> bool:
        """Return whether the invariant ``name`` is to be read apart from others."""
        suspect = self._suspects.get((network, name))
        return suspect is not None and self._clock() < suspect.until

    def is_slow(self, network: str, name: str) -> bool:
        """Return whether other suspects are not to wait for ``name`` either."""
        suspect = self._suspects.get((network, name))
        return suspect is not None and suspect.is_slow

    def attempts(self, network: str, names: Iterable[str]) -> int:
        """Return how often suspects, of ``names`` that which did most often, have failed in sequence."""
        found = (self._suspects.get((network, name)) for name in names)
        return max((one.failed.attempts for one in found if one is not None), default=0)

    def is_suspect_due(self, network: str, name: str) -> bool:
        """Return whether a suspect is to be read now."""
        suspect = self._suspects.get((network, name))
        return suspect is None or self._clock() >= suspect.failed.again_at

    def suspect(
        self, network: str, names: Iterable[str], *, is_slow: bool = False, has_failed: bool = False
    ) -> None:
        """Have the invariants ``names`` read apart for a while; if they have failed, less and less often."""
        until = self._clock() + FORGIVE_AFTER
        for name in names:
            known = self._suspects.get((network, name))
            failed = self._once_more(known and known.failed) if has_failed else _Failed(0, 0.0)
            self._suspects[network, name] = _Suspect(until, is_slow, failed)

    def acquit(self, network: str, names: Iterable[str]) -> None:
        """Have the invariants ``names`` read beside others."""
        for name in names:
            self._suspects.pop((network, name), None)

    def _once_more(self, failed: _Failed | None) -> _Failed:
        if failed is not None and self._clock() < failed.again_at:
            return failed  # another attempt of the same time
        attempts = 1 if failed is None else failed.attempts + 1
        wait: float = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(attempts - 1, 10))
        return _Failed(attempts, self._clock() + wait)
