"""When blocks are read again that could not be read, and what is read apart then. In memory: a restart forgets it."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from chainwatch.model import Header
from chainwatch.store.invariants import Reading

FIRST_WAIT, LONGEST_WAIT = 4.0, 60.0
"""Seconds until a block is read again: at first, and at most; twice as long after each failure."""
FIRST_TIMEOUT = 3.0
"""Seconds that one attempt may take at first: newer blocks wait for it."""
READINGS_A_SECOND = 500
"""Readings for which an attempt may take a second longer."""
MOST_GROUPS = 16
"""Groups into which the readings of one block are split."""


class _Failed(NamedTuple):
    attempts: int
    again_at: float


class Retries:
    """What has failed so far on all networks."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: dict[tuple[str, bytes], _Failed] = {}
        self._suspects: set[tuple[str, str]] = set()

    def is_due(self, network: str, block: Header) -> bool:
        """Return whether ``block`` is to be read now."""
        failed = self._failed.get((network, block.hash))
        return failed is None or self._clock() >= failed.again_at

    def is_first(self, network: str, block: Header) -> bool:
        """Return whether ``block`` is read for the first time."""
        return (network, block.hash) not in self._failed

    def timeout(self, network: str, block: Header, readings: int) -> float:
        """Return how many seconds ``readings`` of ``block`` may take now: longer with each failure."""
        first = FIRST_TIMEOUT + readings / READINGS_A_SECOND
        return first * 2.0 ** self._attempts(network, block)

    def groups(self, network: str, block: Header, readings: Sequence[Reading]) -> list[tuple[Reading, ...]]:
        """Return ``readings`` in groups: smaller with each failure, and apart what fails beside others that are read."""
        suspects = tuple(one for one in readings if (network, one.name) in self._suspects)
        others = tuple(one for one in readings if (network, one.name) not in self._suspects)
        groups = [group for group in (others, suspects) if group]
        for _ in range(self._attempts(network, block)):
            if len(groups) >= MOST_GROUPS:
                break
            groups = [half for group in groups for half in _halves(group)]
        return groups

    def note(self, network: str, block: Header, read: Collection[str], unread: Collection[str]) -> None:
        """Note which invariants were read at ``block`` by an attempt, and which were not."""
        place = (network, block.hash)
        if read:
            self._suspects -= {(network, name) for name in read}
            self._suspects |= {(network, name) for name in unread}
            for other in [one for one in self._failed if one[0] == network]:  # it answers again
                self._failed[other] = self._failed[other]._replace(again_at=0.0)
        if unread:
            attempts = self._attempts(network, block) + 1
            wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (attempts - 1))
            self._failed[place] = _Failed(attempts, self._clock() + wait)
        else:
            self._failed.pop(place, None)

    def keep(self, network: str, wanted: Collection[bytes]) -> None:
        """Forget the blocks of ``network`` that are not ``wanted`` any more, by their hashes."""
        for place in [one for one in self._failed if one[0] == network and one[1] not in wanted]:
            del self._failed[place]

    def _attempts(self, network: str, block: Header) -> int:
        failed = self._failed.get((network, block.hash))
        return failed.attempts if failed else 0


def _halves(group: tuple[Reading, ...]) -> list[tuple[Reading, ...]]:
    middle = (len(group) + 1) // 2
    return [half for half in (group[:middle], group[middle:]) if half]
