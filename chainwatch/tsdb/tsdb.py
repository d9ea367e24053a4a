"""``Tsdb``: series of samples in memory, appended to by some threads while others evaluate queries over them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager

from chainwatch.promql.series import Labels, Series
from chainwatch.tsdb.index import LabelIndex, Matchers, metric_of
from chainwatch.tsdb.model import Appended, Batch, Metadata, TsdbLimits
from chainwatch.tsdb.turns import Turns

Listener = Callable[[Sequence[Labels]], None]
_METADATA_MAX = 20_000


class Tsdb:
    """The database of samples of a process; the ``Source`` of its evaluations. Thread-safe."""

    def __init__(self, limits: TsdbLimits | None = None) -> None:
        self.limits = limits or TsdbLimits()
        self._turns = Turns()
        self._lock = threading.Lock()
        self._index: LabelIndex[Series] = LabelIndex()
        self._metadata: dict[str, Metadata] = {}
        self._needs: dict[str | None, list[tuple[Matchers, int]]] = {}
        self._listeners: list[Listener] = []

    def __len__(self) -> int:
        return len(self._index)

    # What goes in

    def append(self, batch: Batch, now: int) -> Appended:
        """Add samples; ``now`` (Unix ms) decides which are too old or in the future. Waits for evaluations that run.

        Who reads within ``reading`` sees all of the batch or none of it. Listeners are called before it returns.
        """
        result = Appended()
        with self._turns.writing(), self._lock:
            for labels, times, values in batch:
                self._append(labels, times, values, now, result)
        if result.changed:
            for listener in self._listeners:
                listener(result.changed)
        return result

    def listen(self, listener: Listener) -> None:
        """Call ``listener`` after each append, in its thread, with the labels of the series that grew."""
        self._listeners.append(listener)

    def keep(self, needs: Iterable[tuple[Matchers, int]]) -> None:
        """Keep series that pass the matchers for so long (milliseconds), in place of all earlier needs.

        What no need names, or for less than ``limits.window``, is kept for that.
        """
        longest: dict[str | None, dict[Matchers, int]] = {}
        for matchers, window in needs:
            if window > self.limits.window:
                known = longest.setdefault(metric_of(matchers), {})
                known[matchers] = max(window, known.get(matchers, 0))
        with self._turns.writing(), self._lock:
            self._needs = {
                metric: sorted(windows.items(), key=lambda need: -need[1])
                for metric, windows in longest.items()
            }

    def expire(self, now: int) -> int:
        """Remove the series that have had no sample for their window; return how many."""
        with self._turns.writing(), self._lock:
            gone = [
                series
                for series in self._index.all()
                if series.times[-1] < now - self._window_of(series.labels)
            ]
            for series in gone:
                self._index.remove(series)
        return len(gone)

    def set_metadata(self, metric: str, metadata: Metadata) -> None:
        """Note what is known of a metric, in place of what was."""
        if metric in self._metadata or len(self._metadata) < _METADATA_MAX:
            self._metadata[metric] = metadata

    # What comes out

    def reading(self) -> AbstractContextManager[None]:
        """Return a context in which no batch is seen in part. For one evaluation: appends wait for it, a moment long."""
        return self._turns.reading()

    def select(self, matchers: Matchers) -> Sequence[Series]:
        """Return the series that pass all matchers, for an evaluation."""
        known = self._index.recall(matchers)
        if known is not None:
            return known
        with self._lock:
            return self._index.find(matchers)

    def series(self, matchers: Iterable[Matchers], start: int, end: int) -> list[Labels]:
        """Return the labels of series that pass any of the matchers, with a sample from ``start`` to ``end``; sorted."""
        found = {
            series.labels: None
            for one in matchers
            for series in self.select(one)
            if _between(series, start, end)
        }
        return sorted(found)

    def label_names(self, matchers: Iterable[Matchers], start: int, end: int) -> list[str]:
        """Return the names of these series' labels, sorted."""
        return sorted({name for labels in self.series(matchers, start, end) for name in labels})

    def label_values(self, name: str, matchers: Iterable[Matchers], start: int, end: int) -> list[str]:
        """Return the values of one of these series' labels, sorted."""
        values = {labels.get(name) for labels in self.series(matchers, start, end)}
        return sorted(values - {""})

    def metadata(self, metric: str | None = None, limit: int | None = None) -> dict[str, Metadata]:
        """Return what is known of a metric, or of all, up to ``limit``."""
        if metric is not None:
            return {metric: self._metadata[metric]} if metric in self._metadata else {}
        names = sorted(self._metadata)[:limit]
        return {name: self._metadata[name] for name in names}

    def _append(
        self, labels: Labels, times: Sequence[int], values: Sequence[float], now: int, result: Appended
    ) -> None:
        series = self._index.get(labels)
        if series is None:
            series = Series(labels)
        window = self._window_of(labels)
        count = len(series.times)
        for time, value in zip(times, values, strict=True):
            if time > now + self.limits.future:
                result.refuse("in the future", labels)
            elif time <= now - window:
                result.refuse("too old", labels)
            elif series.times and time < series.times[-1]:
                result.refuse("out of order", labels)
            elif series.times and time == series.times[-1]:
                if value == series.values[-1] or (value != value and series.values[-1] != series.values[-1]):
                    result.accepted += 1
                else:
                    result.refuse("duplicate", labels)
            else:
                series.append(time, value)
                result.accepted += 1
        if len(series.times) == count:
            return
        if not count:
            if len(self._index) >= self.limits.series:
                result.refuse("too many series", labels, len(series.times))
                result.accepted -= len(series.times)
                return
            self._index.add(series)
        result.changed.append(labels)

    def _window_of(self, labels: Labels) -> int:
        for metric in (labels.get("__name__"), None):
            for matchers, window in self._needs.get(metric, ()):
                if all(matcher.takes(labels.get(matcher.name)) for matcher in matchers):
                    return window
        return self.limits.window


def _between(series: Series, start: int, end: int) -> bool:
    times = series.times
    return bool(times) and times[0] <= end and times[-1] >= start
