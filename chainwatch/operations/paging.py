"""Lists in pages. A cursor is the position of a page's last row, so rows that are added meanwhile shift no page."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

import msgspec

from chainwatch.operations.errors import Invalid

LIMIT_MAX = 10**9
_NUMBER_END = 2**63

T = TypeVar("T")
R = TypeVar("R")


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Some rows of a list. ``next`` is the cursor with which the list goes on; None at its end."""

    rows: list[T]
    next: str | None = None


class Cursors(NamedTuple):
    """The cursors of one list: its name and the ``size`` whole numbers of a position, as in ``alerts.1700000000000.17``."""

    name: str
    size: int

    def parse(self, text: str | None) -> tuple[int, ...] | None:
        """Return the position after which the page begins; None for the first page. Raises ``Invalid``."""
        if text is None:
            return None
        name, *numbers = text.split(".")
        if name == self.name and len(numbers) == self.size and all(map(_NUMBER.fullmatch, numbers)):
            position = tuple(map(int, numbers))
            if all(-_NUMBER_END <= number < _NUMBER_END for number in position):
                return position
        raise Invalid(
            f"cursor: {text[:100]!r} is not a cursor of {self.name}; give one as that list returned it"
        )

    def page(
        self, found: Sequence[R], limit: int, position: Callable[[R], Sequence[int]], view: Callable[[R], T]
    ) -> Page[T]:
        """Return the page of the first ``limit`` rows ``found``, of which ``limit`` + 1 were wanted."""
        rows = found[:limit]
        following = ".".join([self.name, *map(str, position(rows[-1]))]) if len(found) > limit else None
        return Page([view(row) for row in rows], following)


def check_limit(limit: int) -> int:
    """Return ``limit`` where a list can have it. Raises ``Invalid``."""
    if not 1 <= limit <= LIMIT_MAX:
        raise Invalid(f"limit: {limit} is not between 1 and {LIMIT_MAX}")
    return limit


_NUMBER = re.compile("-?[0-9]{1,19}")
