"""Labels, series of samples, and where an evaluation gets series from. Times are Unix milliseconds, values floats."""

from __future__ import annotations

import math
import struct
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from time import thread_time
from typing import NamedTuple, Protocol, TypeVar

from chainwatch.promql.errors import LimitExceeded
from chainwatch.promql.syntax import Matcher

NAME = "__name__"
METADATA = (NAME, "__type__", "__unit__")
"""Labels that say what a metric is; results of computations do not have them."""
STALE_BITS = 0x7FF0000000000002
STALE: float = struct.unpack("<d", struct.pack("<Q", STALE_BITS))[0]
"""The NaN by which Prometheus marks that a series has ended (model/value)."""
_DERIVED_MAX = 16
_SELECTIONS_MAX = 50_000
PATTERN_SECONDS = 2.0
"""How long the patterns of one selector may take."""

Times = Sequence[int]
Values = Sequence[float]
Samples = tuple["array[int]", "array[float]"]
"""Times and as many values."""


def is_stale(value: float) -> bool:
    """Return whether ``value`` is the staleness marker, which is not any NaN."""
    return value != value and struct.unpack("<Q", struct.pack("<d", value))[0] == STALE_BITS


class Metadata(NamedTuple):
    """What is known of a metric: its type (``counter``, ``gauge``, …), what it means, its unit."""

    type: str = "unknown"
    help: str = ""
    unit: str = ""


class Labels(Mapping[str, str]):
    """The labels of a series, sorted by name, none of them empty; ``__name__`` holds the metric's name."""

    __slots__ = ("_derived", "_hash", "_values", "pairs")

    def __init__(self, labels: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> None:
        self.pairs = tuple(sorted(pair for pair in dict(labels).items() if pair[1]))
        self._values = dict(self.pairs)
        self._hash = hash(self.pairs)
        self._derived: dict[tuple[bool, tuple[str, ...]], Labels] = {}

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def get(self, name: str, default: str = "") -> str:  # type: ignore[override]
        """Return the label's value, empty for one that is not there."""
        return self._values.get(name, default)

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(self._values)

    def __len__(self) -> int:
        return len(self.pairs)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Labels):
            return self is other or (self._hash == other._hash and self.pairs == other.pairs)
        return Mapping.__eq__(self, other)

    def __lt__(self, other: Labels) -> bool:
        return self.pairs < other.pairs

    def __repr__(self) -> str:
        name = self.get(NAME)
        rest = ", ".join(f'{label}="{value}"' for label, value in self.pairs if label != NAME)
        return f"{name}{{{rest}}}" if rest or not name else name

    def keep(self, names: tuple[str, ...]) -> Labels:
        """Return the labels of these names."""
        return self._derive(True, names)

    def drop(self, names: tuple[str, ...]) -> Labels:
        """Return all labels but those of these names."""
        return self._derive(False, names)

    def put(self, changes: Mapping[str, str]) -> Labels:
        """Return the labels with ``changes``; an empty value removes one."""
        return Labels({**self._values, **changes})

    def _derive(self, kept: bool, names: tuple[str, ...]) -> Labels:
        found = self._derived.get((kept, names))
        if found is None:
            found = Labels(pair for pair in self.pairs if (pair[0] in names) is kept)
            if len(self._derived) < _DERIVED_MAX:
                self._derived[kept, names] = found
        return found


class Series:
    """Samples by rising time. ``ends`` says whether a staleness marker may be among them.

    ``samples`` are the times and values, which are only ever added to, or replaced together; so that other threads may
    read them meanwhile, by the times that they have seen.
    """

    __slots__ = ("ends", "labels", "samples")

    def __init__(self, labels: Labels, times: Iterable[int] = (), values: Iterable[float] = ()) -> None:
        self.labels = labels
        self.samples = array("q", times), array("d", values)
        self.ends = any(map(is_stale, self.values))

    @property
    def times(self) -> array[int]:
        return self.samples[0]

    @property
    def values(self) -> array[float]:
        return self.samples[1]

    def reaching(self, start: int) -> Samples:
        """Return the samples with those that lie between ``start`` and the first of ``samples``, where there are any."""
        return self.samples

    def append(self, time: int, value: float) -> None:
        """Add a sample, which replaces one of the same time. Raises ``ValueError`` for an earlier one."""
        times, values = self.samples
        if times and time <= times[-1]:
            if time < times[-1]:
                raise ValueError(f"out of order: {time} after {times[-1]}")
            values[-1] = value
        else:
            values.append(value)
            times.append(time)
        self.ends = self.ends or is_stale(value)

    def extend(self, times: bytes, values: bytes) -> None:
        """Add samples that are later, none of which is a staleness marker: arrays of 64-bit integers and floats."""
        self.samples[1].frombytes(values)
        self.samples[0].frombytes(times)


class Labelled(Protocol):
    """Anything with labels."""

    labels: Labels


S = TypeVar("S", bound=Labelled)


def passing(
    series: Iterable[S], matchers: tuple[Matcher, ...], clock: Callable[[], float] = thread_time
) -> list[S]:
    """Return the series that pass all matchers. A pattern is asked once for each value of its label.

    Raises ``LimitExceeded`` where patterns take more than ``PATTERN_SECONDS`` of processor time: RE2 bounds their memory,
    not their time.
    """
    until = clock() + PATTERN_SECONDS
    simple = [matcher for matcher in matchers if not matcher.size]
    found = [one for one in series if all(m.takes(one.labels.get(m.name)) for m in simple)]
    for matcher in matchers:
        if matcher.size:
            taken: dict[str, bool] = {}
            kept = []
            for one in found:
                value = one.labels.get(matcher.name)
                takes = taken.get(value)
                if takes is None:
                    if clock() > until:
                        raise LimitExceeded(
                            f"the patterns of a selector take more than {PATTERN_SECONDS:g} seconds of processor time"
                        )
                    takes = taken[value] = matcher.takes(value)
                if takes:
                    kept.append(one)
            found = kept
    return found


class Source(Protocol):
    """Where an evaluation gets series from."""

    def select(self, matchers: tuple[Matcher, ...]) -> Sequence[Series]:
        """Return the series that pass all matchers, each once."""


class MemorySource:
    """Series in memory, found by an index of label values; selections are remembered until a series is added."""

    def __init__(self, series: Iterable[Series] = ()) -> None:
        self._series: dict[Labels, Series] = {}
        self._index: dict[tuple[str, str], list[Series]] = {}
        self._selections: dict[int, tuple[tuple[Matcher, ...], list[Series]]] = {}
        for one in series:
            self.add(one)

    def __len__(self) -> int:
        return len(self._series)

    def add(self, series: Series) -> None:
        """Add a series, in place of one with the same labels."""
        if series.labels in self._series:
            known = self._series[series.labels]
            known.samples, known.ends = series.samples, series.ends
            return
        self._series[series.labels] = series
        for pair in series.labels.pairs:
            self._index.setdefault(pair, []).append(series)
        self._selections.clear()

    def append(self, labels: Labels, time: int, value: float) -> None:
        """Add a sample to the series of these labels. Raises ``ValueError`` for one out of order."""
        series = self._series.get(labels)
        if series is None:
            series = Series(labels)
            self.add(series)
        series.append(time, value)

    def select(self, matchers: tuple[Matcher, ...]) -> Sequence[Series]:
        """Return the series that pass all matchers."""
        known = self._selections.get(id(matchers))
        if known is not None and known[0] is matchers:  # matchers are hashed slowly
            return known[1]
        if len(self._selections) >= _SELECTIONS_MAX:
            self._selections.clear()
        found = self._find(matchers)
        self._selections[id(matchers)] = matchers, found
        return found

    def _find(self, matchers: tuple[Matcher, ...]) -> list[Series]:
        fewest: Iterable[Series] = self._series.values()
        size = math.inf
        for matcher in matchers:
            if matcher.operator == "=" and matcher.value:
                listed = self._index.get((matcher.name, matcher.value), [])
                if len(listed) < size:
                    fewest, size = listed, len(listed)
        return passing(fewest, matchers)
