"""One series of the database: its newest samples as they are, its older ones as chunks, decoded where a range needs them."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from operator import attrgetter
from typing import NamedTuple, Self

from chainwatch.promql.series import Labels, Samples, Series
from chainwatch.tsdb.chunks import decode, encode, has_end, has_marker
from chainwatch.tsdb.room import RESTORED

CHUNK = 120
"""Samples of a chunk."""
OPEN = 24
"""The newest samples, which stay as they are: most ranges need no more."""
SERIES_BYTES = 1_500
"""What a series takes beside its samples and the text of its labels, about."""
SAMPLE_BYTES = 16
"""What a sample takes until it is in a chunk."""
_CHUNK_BYTES = 80
"""What a chunk takes beside its bytes."""
_NEVER = 2**63 - 1


class Chunk(NamedTuple):
    """Samples up to the time ``last``, encoded."""

    last: int
    data: bytes


State = tuple[Samples, tuple[Chunk, ...], bool]
"""The newest samples, the older ones, and whether an end may be among them."""


class ChunkedSeries(Series):
    """A series whose older samples are in chunks."""

    __slots__ = ("chunks",)

    def __init__(self, labels: Labels) -> None:
        super().__init__(labels)
        self.chunks: tuple[Chunk, ...] = ()

    @classmethod
    def of_state(cls, labels: Labels, state: State) -> Self:
        """Return a series of a state that another one had."""
        series = cls.__new__(cls)
        series.labels = labels
        series.samples, series.chunks, series.ends = state
        return series

    def reaching(self, start: int) -> Samples:
        """Return all samples from the chunk on that has the first one later than ``start``."""
        samples = self.samples  # before the chunks: what is closed meanwhile is then in both
        chunks = self.chunks
        head = samples[0]
        first = head[0] if head else 1 << 63
        needed = [chunk for chunk in chunks if start < chunk.last < first]
        if not needed:
            return samples
        times, values = array("q"), array("d")
        for chunk in needed:
            chunk_times, chunk_values = decode(chunk.data)
            times += chunk_times
            values += chunk_values
        times += samples[0]
        values += samples[1]
        return times, values

    def has_sample(self, start: int, end: int) -> bool:
        """Return whether there is a sample from ``start`` to ``end``. Decodes one chunk at most."""
        times = self.samples[0]  # before the chunks, as above
        chunks = self.chunks
        if _any_between(times, start, end):
            return True
        index = bisect_left(chunks, start, key=attrgetter("last"))
        if index == len(chunks):
            return False
        return chunks[index].last <= end or _any_between(decode(chunks[index].data)[0], start, end)


class StoredSeries(ChunkedSeries):
    """A series that one thread adds to while others read it.

    ``window`` is for how long its samples are kept (milliseconds), ``id`` its number in the database on disk, 0 until it
    has one, ``sender`` who has begun it, ``cut_at`` the earliest time after which samples were cut off. With ``close_at``
    newest samples there are enough for a chunk. While somebody has seen the newest samples (``is_seen``), ``growing``
    returns others to add to.
    """

    __slots__ = ("close_at", "cut_at", "id", "is_seen", "sender", "window")

    def __init__(self, labels: Labels, window: int, stagger: int = CHUNK, sender: str = RESTORED) -> None:
        super().__init__(labels)
        self.sender = sender
        self.id = 0
        self.cut_at = _NEVER
        self.window = window
        self.is_seen = False
        self.close_at = OPEN + max(OPEN, stagger % (CHUNK + 1))  # not all that begin together close together

    @property
    def bytes(self) -> int:
        """The memory that it takes, about."""
        text = sum(len(name) + len(value) for name, value in self.labels.pairs)
        closed = sum(len(chunk.data) + _CHUNK_BYTES for chunk in self.chunks)
        return SERIES_BYTES + text + len(self.times) * SAMPLE_BYTES + closed

    @property
    def newest(self) -> int:
        """The time of the newest sample."""
        return self.samples[0][-1]

    def state(self) -> State:
        """Return what the series is now, which stays as it is. Needs that nothing is added meanwhile."""
        self.is_seen = True
        return self.samples, self.chunks, self.ends

    def growing(self) -> Samples:
        """Return the newest samples, to add to: not those that a state has."""
        if self.is_seen:
            times, values = self.samples
            self.samples = times[:], values[:]
            self.is_seen = False
        return self.samples

    def close(self, now: int, samples_max: int) -> int:
        """Encode all but the newest samples; return by how many bytes the series grew.

        Then forget chunks older than the window before ``now``, or beyond ``samples_max``.
        """
        times, values = self.samples
        grown, start, end = 0, 0, len(times) - OPEN
        size = -(-end // -(-end // CHUNK))  # as few chunks as there must be, of one size
        while start < end:
            stop = min(start + size, end)
            data = encode(times[start:stop], values[start:stop])
            self.chunks += (Chunk(times[stop - 1], data),)  # before the samples: no reader misses any
            grown += len(data) + _CHUNK_BYTES
            start = stop
        self.samples = times[end:], values[end:]
        self.close_at = OPEN + CHUNK
        return grown - end * SAMPLE_BYTES - self._forget(now - self.window, samples_max)

    def cut(self, last: int) -> None:
        """Forget the samples later than ``last``, of a clock that was ahead."""
        times, values = self.samples
        chunks = self.chunks
        while chunks and (not times or times[0] > last):
            times, values = decode(chunks[-1].data)
            chunks = chunks[:-1]
        end = bisect_right(times, last)
        self.chunks, self.samples = chunks, (times[:end], values[:end])
        self.cut_at = min(self.cut_at, last)

    def forget_cut(self) -> None:
        """Note that it does not matter any more what was cut off."""
        self.cut_at = _NEVER

    def drop_oldest(self) -> int:
        """Forget the oldest chunk; return how many bytes that makes free."""
        if not self.chunks:
            return 0
        freed = len(self.chunks[0].data) + _CHUNK_BYTES
        self.chunks = self.chunks[1:]
        return freed

    def restore(self, chunks: Sequence[Chunk], samples: Samples) -> None:
        """Put samples before those that are there; of these, the later ones stay."""
        times, values = array("q", samples[0]), array("d", samples[1])
        newer_times, newer_values = self.samples
        last = times[-1] if times else chunks[-1].last if chunks else 0
        later = bisect_right(newer_times, last)
        times += newer_times[later:]
        values += newer_values[later:]
        self.chunks = (*chunks, *self.chunks)
        self.samples = times, values
        self.ends = self._has_end()
        self.close_at = max(self.close_at, len(times) + 1 + self.id % CHUNK)

    def _forget(self, before: int, samples_max: int) -> int:
        freed = 0
        chunks_max = max(0, (samples_max - CHUNK - OPEN) // CHUNK)
        while self.chunks and (self.chunks[0].last <= before or len(self.chunks) > chunks_max):
            freed += self.drop_oldest()
        if self.ends:
            self.ends = self._has_end()
        return freed

    def _has_end(self) -> bool:
        return any(has_end(chunk.data) for chunk in self.chunks) or has_marker(self.samples[1])


def _any_between(times: Sequence[int], start: int, end: int) -> bool:
    index = bisect_left(times, start)
    return index < len(times) and times[index] <= end
