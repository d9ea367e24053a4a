"""``Tsdb``: series of samples in memory, appended to by some threads while others evaluate queries over them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from itertools import chain

from chainwatch.promql.errors import LimitExceeded
from chainwatch.promql.series import NAME, Labels, Metadata, is_stale, passing
from chainwatch.tsdb.index import LabelIndex, Matchers, metric_of
from chainwatch.tsdb.journal import Entries, no_entries
from chainwatch.tsdb.model import SET_BACK, Appended, Batch, TsdbLimits
from chainwatch.tsdb.room import OWN, RESTORED, Room, Sender, refusal
from chainwatch.tsdb.snapshot import Selections, Snapshot
from chainwatch.tsdb.stored import SAMPLE_BYTES, StoredSeries
from chainwatch.tsdb.turns import Turns

Listener = Callable[[Sequence[Labels]], None]
_METADATA_MAX = 20_000
_FOREVER = 1 << 62
_TRIES = 5
"""How often the series of a snapshot are searched anew because some have begun or ended meanwhile."""
_SELECTED_MAX = 5_000_000
"""Series in all selections of a snapshot, each counted as often as it is selected."""


class Tsdb:
    """The database of samples of a process; the ``Source`` of its evaluations. Thread-safe.

    With ``journal``, what is appended is also kept for ``take_entries``, which somebody must call regularly.
    """

    def __init__(self, limits: TsdbLimits | None = None, *, journal: bool = False) -> None:
        self.limits = limits or TsdbLimits()
        self.room = Room()
        """The series and the memory that they take, about."""
        self.cuts = 0
        """How often what a clock that was ahead had left in a series was forgotten."""
        self._turns = Turns()
        self._lock = threading.Lock()
        self._index: LabelIndex[StoredSeries] = LabelIndex()
        self._metadata: dict[str, Metadata] = {}
        self._asked: list[tuple[Matchers, int]] | None = None
        self._needs: dict[str | None, list[tuple[Matchers, int]]] = {}
        self._listeners: list[Listener] = []
        self._journal = no_entries() if journal else None
        self._admitted = 0

    def __len__(self) -> int:
        return len(self._index)

    # What goes in

    @property
    def bytes(self) -> int:
        """The memory of all series, about."""
        return self.room.total_bytes

    def append(self, batch: Batch, now: int, sender: Sender = OWN) -> Appended:
        """Add samples of ``sender``; ``now`` (Unix ms) decides which are too old or in the future.

        Waits for evaluations that run: who reads within ``reading`` sees all of the batch or none of it. Listeners are
        called before it returns.
        """
        result = Appended()
        added = no_entries()
        with self._turns.writing(), self._lock:
            try:
                self._append(batch, now, sender, result, added)
            finally:  # what is in memory must come to disk
                if self._journal is not None:  # ``take_entries`` puts another in its place
                    self._journal.extend(added)
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
        with self._turns.writing(), self._lock:
            self._asked = list(needs)
            self._set_windows()

    def limit(self, limits: TsdbLimits) -> None:
        """Hold to other limits from now on. What is there beyond them leaves with time."""
        if limits == self.limits:
            return
        with self._turns.writing(), self._lock:
            self.limits = limits
            self._set_windows()

    def expire(self, now: int) -> list[StoredSeries]:
        """Remove the series that have had no sample for their window, and return them."""
        with self._turns.writing(), self._lock:
            gone = [series for series in self._index.all() if series.newest <= now - series.window]
            for series in gone:
                self._index.remove(series)
                self.room.remove(series.sender, series.bytes)
        return gone

    def restore(self, restored: Iterable[StoredSeries]) -> dict[StoredSeries, StoredSeries]:
        """Add series that were stored, before what was appended since the start of the process.

        Return for those that were there already what is kept in their place. Nothing of them is forgotten until ``keep``
        has said what is needed.
        """
        merged = {}
        with self._turns.writing(), self._lock:
            for series in restored:
                known = self._index.by_labels.get(series.labels)
                if known is None:
                    series.window = _FOREVER if self._asked is None else self._window_of(series.labels)
                    self._index.add(series)
                    self.room.add(series.sender, series.bytes)
                else:
                    self.room.grow(known.sender, -known.bytes)
                    known.id = series.id
                    known.restore(series.chunks, series.samples)
                    known.window = _FOREVER if self._asked is None else known.window
                    self.room.grow(known.sender, known.bytes)
                    merged[series] = known
        return merged

    def take_entries(self) -> Entries:
        """Return what was appended since the last call, in the order in which it came."""
        with self._lock:
            if self._journal is None:
                return no_entries()
            taken, self._journal = self._journal, no_entries()
        return taken

    def set_metadata(self, metric: str, metadata: Metadata) -> None:
        """Note what is known of a metric, in place of what was."""
        if metric in self._metadata or len(self._metadata) < _METADATA_MAX:
            self._metadata[metric] = metadata

    # What comes out

    def reading(self) -> AbstractContextManager[None]:
        """Return a context in which no batch is seen in part. For one evaluation: appends wait for it, a moment long."""
        return self._turns.reading()

    def select(self, matchers: Matchers) -> Sequence[StoredSeries]:
        """Return the series that pass all matchers, for an evaluation. Raises ``LimitExceeded``."""
        known = self._index.recall(matchers)
        if known is not None:
            return known
        with self._lock:
            version, candidates = self._index.version, self._index.candidates(matchers)
        found = passing(candidates, matchers)
        with self._lock:
            if version == self._index.version:
                self._index.remember(matchers, found)
        return found

    def snapshot(
        self, selections: Collection[Matchers], series_max: int, check: Callable[[], None]
    ) -> Snapshot:
        """Return the series of each selection as they are at one moment, no batch in part.

        Where series begin all the time, those of the last moments may not be among them.

        Appends wait only while series are noted, a moment long, and not for what becomes of the snapshot. A selection
        has ``series_max`` series and one more at most. ``check`` is called now and then, and may raise. Raises
        ``LimitExceeded``.
        """
        for _ in range(_TRIES):
            version = self._index.version
            found = self._find_all(selections, series_max, check)
            each = list(dict.fromkeys(chain.from_iterable(some for _, some in found.values())))
            with self.reading():
                states = [series.state() for series in each]
                is_whole = version == self._index.version
            if is_whole:
                break
        return Snapshot(found, dict(zip(each, states, strict=True)))

    def series(self, matchers: Iterable[Matchers], start: int, end: int) -> list[Labels]:
        """Return the labels of series that pass any of the matchers, with a sample from ``start`` to ``end``; sorted."""
        found = {
            series.labels: None
            for one in matchers
            for series in self._find(one)
            if series.has_sample(start, end)
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

    def _find_all(
        self, selections: Collection[Matchers], series_max: int, check: Callable[[], None]
    ) -> Selections:
        found: dict[int, tuple[Matchers, Sequence[StoredSeries]]] = {}
        left = _SELECTED_MAX
        for matchers in selections:
            if id(matchers) not in found:
                check()
                found[id(matchers)] = matchers, self._find(matchers)[: series_max + 1]
                left -= len(found[id(matchers)][1])
                if left < 0:
                    raise LimitExceeded(f"selectors find more than {_SELECTED_MAX:,} series together")
        return found

    def _find(self, matchers: Matchers) -> Sequence[StoredSeries]:
        """Return the series that pass all matchers, without remembering them: clients ask for ever other ones."""
        known = self._index.recall(matchers)
        if known is not None:
            return known
        with self._lock:
            candidates = self._index.candidates(matchers)
        return passing(candidates, matchers)

    def _append(self, batch: Batch, now: int, sender: Sender, result: Appended, added: Entries) -> None:
        """Add a batch to the series, and note in ``added`` what was taken."""
        find, ahead = self._index.by_labels.get, now + self.limits.future
        change, note_series = result.changed.append, added.series.append
        note_time, note_value = added.times.append, added.values.append
        name = sender.name
        for labels, times, values in batch:
            series = find(labels) or self._admit(labels, len(times), result, sender)
            if series is None:
                continue
            if len(times) == 1:  # as nearly always: without a call
                time, value = times[0], values[0]
                head_times, head_values = series.growing() if series.is_seen else series.samples
                if (
                    head_times
                    and head_times[-1] < time <= ahead
                    and time > now - series.window
                    and value == value
                ):
                    head_values.append(value)  # before the time, by which others read
                    head_times.append(time)
                    change(series.labels)
                    note_series(series)
                    note_time(time)
                    note_value(value)
                    if series.sender != name:
                        self._note_sender(series, name, 1)
                    if len(head_times) >= series.close_at:
                        self._close(series, now)
                    continue
            before = len(added.times)
            self._extend(series, times, values, now, ahead, result, added)
            if grown := len(added.times) - before:
                change(series.labels)
                if series.sender != name:
                    self._note_sender(series, name, grown)
        result.accepted += len(added.times)
        self.room.grow(name, len(added.times) * SAMPLE_BYTES)

    def _note_sender(self, series: StoredSeries, name: str, samples: int) -> None:
        """Note that somebody else has added samples: what was restored is theirs from now on, else they go to its sender."""
        if series.sender == RESTORED:
            self.room.remove(RESTORED, size := series.bytes - samples * SAMPLE_BYTES)
            self.room.add(name, size)
            series.sender = name
        else:
            self.room.grow(name, -samples * SAMPLE_BYTES)
            self.room.grow(series.sender, samples * SAMPLE_BYTES)

    def _admit(self, labels: Labels, samples: int, result: Appended, sender: Sender) -> StoredSeries | None:
        """Return a new series of these labels, not in the index yet, or count why there is none."""
        limits = self.limits
        reason = self.room.refusal(sender, limits) or refusal(labels, limits)
        if reason is not None:
            result.refuse(reason, labels, samples)
            return None
        return StoredSeries(labels, self._window_of(labels), stagger=self._admitted, sender=sender.name)

    def _extend(
        self,
        series: StoredSeries,
        times: Sequence[int],
        values: Sequence[float],
        now: int,
        ahead: int,
        result: Appended,
        added: Entries,
    ) -> None:
        """Add what may be added, whatever that is."""
        if series.times and series.newest > now + SET_BACK and _shows_now(times, now, series, ahead):
            self._cut(series, now)
        head_times, head_values = series.growing()
        is_new = not head_times
        oldest = now - series.window
        last = oldest if is_new else head_times[-1]
        for time, value in zip(times, values, strict=True):
            if last < time <= ahead and time > oldest:
                if value != value and is_stale(value):
                    series.ends = True
                head_values.append(value)  # before the time, by which others read
                head_times.append(time)
                last = time
                added.series.append(series)
                added.times.append(time)
                added.values.append(value)
            elif time > ahead:
                result.refuse("in the future", series.labels)
            elif time <= oldest:
                result.refuse("too old", series.labels)
            elif time == last:
                if not _same(value, head_values[-1]):
                    result.refuse("duplicate", series.labels)
                else:
                    result.accepted += 1
            else:
                result.refuse("out of order", series.labels)
        if is_new and head_times:
            self._index.add(series)
            self._admitted += 1
            self.room.add(series.sender, series.bytes - len(head_times) * SAMPLE_BYTES)
        if len(head_times) >= series.close_at:
            self._close(series, now)

    def _close(self, series: StoredSeries, now: int) -> None:
        """Put the older samples of a series in chunks, and forget what there is no room for."""
        self.room.grow(series.sender, series.close(now, self.limits.samples_per_series))
        while self.bytes > self.limits.bytes and series.chunks:
            self.room.grow(series.sender, -series.drop_oldest())

    def _cut(self, series: StoredSeries, now: int) -> None:
        """Forget what a clock that was ahead has left: it would keep all other samples out until then."""
        self.cuts += 1
        before = series.bytes
        series.cut(now)
        if series.times:
            self.room.grow(series.sender, series.bytes - before)
        else:
            self._index.remove(series)  # until it has a sample again
            self.room.remove(series.sender, before)

    def _set_windows(self) -> None:
        if self._asked is None:
            return
        longest: dict[str | None, dict[Matchers, int]] = {}
        for matchers, window in self._asked:
            if window > self.limits.window:
                known = longest.setdefault(metric_of(matchers), {})
                known[matchers] = max(window, known.get(matchers, 0))
        self._needs = {
            metric: sorted(windows.items(), key=lambda need: -need[1]) for metric, windows in longest.items()
        }
        for series in self._index.all():
            series.window = self._window_of(series.labels)

    def _window_of(self, labels: Labels) -> int:
        for metric in (labels.get(NAME), None):
            for matchers, window in self._needs.get(metric, ()):
                if all(matcher.takes(labels.get(matcher.name)) for matcher in matchers):
                    return window
        return self.limits.window


def _shows_now(times: Sequence[int], now: int, series: StoredSeries, ahead: int) -> bool:
    """Return whether these times show that what is newest in ``series`` is of a clock that was ahead.

    A sample that has this machine's time, ``now``, shows it of whatever is later; those with the time of another machine,
    which may be ahead, only of what this machine would refuse.
    """
    if series.newest <= ahead:
        return now in times
    return any(now - series.window < time <= ahead for time in times)


def _same(one: float, other: float) -> bool:
    return one == other or (one != one and other != other and is_stale(one) == is_stale(other))
