"""The window of recent headers of one network: continuity by parent hash, common ancestor, trimming. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from chainwatch.model import Header


class HeaderWindow:
    """The newest ``size`` headers that were read, ascending by number; far behind the head it may have gaps."""

    def __init__(self, size: int, headers: Iterable[Header] = ()) -> None:
        self._size = size
        self._by_number: dict[int, Header] = {}
        self.extend(sorted(headers, key=lambda header: header.number))

    def __len__(self) -> int:
        return len(self._by_number)

    @property
    def newest(self) -> Header | None:
        """The header with the highest number."""
        return next(reversed(self._by_number.values()), None)

    @property
    def oldest(self) -> Header | None:
        """The header with the lowest number."""
        return next(iter(self._by_number.values()), None)

    def at(self, number: int) -> Header | None:
        """Return the header that is held for block ``number``."""
        return self._by_number.get(number)

    def extend(self, headers: Sequence[Header]) -> None:
        """Append ``headers`` (ascending, above those held) and drop the oldest beyond the window's size."""
        self._by_number.update((header.number, header) for header in headers)
        newest = self.newest
        while (
            newest is not None
            and (oldest := self.oldest) is not None
            and oldest.number <= newest.number - self._size
        ):
            del self._by_number[oldest.number]

    def rewind(self, ancestor: Header) -> None:
        """Drop everything above ``ancestor``."""
        self._by_number = {n: header for n, header in self._by_number.items() if n <= ancestor.number}

    def newest_first(self, below: int) -> list[Header]:
        """Return the headers with numbers up to ``below``, from the newest to the oldest."""
        return [header for number, header in reversed(self._by_number.items()) if number <= below]


def links(parent: Header | None, headers: Sequence[Header]) -> bool:
    """Return whether each header is the child of the one before it, and the first that of ``parent`` (if one is given)."""
    chain = headers if parent is None else [parent, *headers]
    return all(
        child.number == header.number + 1 and child.parent_hash == header.hash
        for header, child in itertools.pairwise(chain)
    )


def common_ancestor(ours: Sequence[Header], theirs: Sequence[Header]) -> Header | None:
    """Return the newest of ``ours`` that is also in ``theirs``."""
    hashes = {header.hash for header in theirs}
    return max(
        (header for header in ours if header.hash in hashes), key=lambda header: header.number, default=None
    )
