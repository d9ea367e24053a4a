"""Writes samples to the database, so that a restart changes no verdict, and puts them back at a start.

What is appended goes to the database in batches, in the order in which it came: a write-ahead log. When a series has enough
samples for a chunk, or its oldest ones have been in batches for long, they are saved as a chunk. Batches of which all
samples are in chunks are deleted.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

import sqlalchemy as sa
import structlog

from chainwatch.rule_engine.own_metrics import is_own
from chainwatch.rule_engine.sample_restoring import Restored, restore
from chainwatch.rule_engine.sample_rows import Saved, chunks_of, write_labels
from chainwatch.store import samples
from chainwatch.store.database import Database
from chainwatch.store.errors import StoreError
from chainwatch.store.samples import StoredChunk
from chainwatch.tsdb.journal import SAMPLES_MAX, Entries, encode_batch, no_entries
from chainwatch.tsdb.stored import CHUNK, OPEN, StoredSeries
from chainwatch.tsdb.tsdb import Tsdb

FLUSH_EVERY = 1.0
"""Seconds after which samples are written for which nobody waits."""
GATHER = 0.005
"""Seconds until samples are written for which somebody waits: others share the commit, and alerts that follow come first."""
SAVE_EVERY = 10.0
EXPIRE_EVERY = 60.0
"""Seconds between two looks for samples to save as chunks, and for series to forget."""
BATCHES_SECONDS = 2_400.0
"""Seconds after which samples are saved as a chunk however few they are. At 15 s there are enough before."""
BATCHES_BYTES = 64_000_000
"""The most that batches may take; beyond it, the samples of the oldest ones are saved as chunks."""
_AT_ONCE = 100
"""Series that are saved or deleted in one transaction, so that no other write waits long."""
_PAUSE = 0.05
"""Seconds between two of these."""
_HERE = 1_000
"""Up to so many samples are encoded on the event loop."""

_GONE = -1
"""The number of a series that was forgotten."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Unsaved:
    """Samples of a series that are in no chunk on disk: how many, from which batch on, and how many are enough for one."""

    batch: int
    count: int
    enough: int


class _Mark(NamedTuple):
    """How far batches had come at a time: the next one's number, and the bytes of all before."""

    at: float
    batch: int
    written: int


class Persistence:
    """The samples of ``tsdb`` on disk. ``run`` is a task of each monitor; all else lasts as long as the process.

    ``loaded`` is set once the samples of the last process are back. ``clock`` gives Unix seconds, by which samples are too
    old to be kept; ``steady`` seconds that never go back.
    """

    def __init__(
        self,
        tsdb: Tsdb,
        loaded: asyncio.Event,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tsdb = tsdb
        self._clock = clock
        self._steady = steady
        self.last_own = 0
        """The time (Unix ms) of the newest sample that the last process took of its own metrics, 0 where there is none."""
        self._wake = asyncio.Event()
        self._loaded = loaded
        self._waiting: list[asyncio.Future[None]] = []
        self._unwritten = no_entries()
        self._new: list[StoredSeries] = []
        self._overflowed = False
        self._failing = False
        self._next_series = 1
        self._batch = 1
        self._written = 0
        self._marks: deque[_Mark] = deque()
        self._saved: dict[StoredSeries, Saved] = {}
        self._unsaved: dict[StoredSeries, _Unsaved] = {}  # by the number of the batch
        self._full: dict[StoredSeries, None] = {}
        self._cuts = 0
        self._cut: dict[StoredSeries, None] = {}
        """Series whose chunks on disk have samples that were cut off since."""
        self._due: list[StoredSeries] = []
        self._gone: list[int] = []
        self._flush_at = self._save_at = steady()
        self._expire_at = steady() + EXPIRE_EVERY

    async def run(self, database: Database) -> None:
        """Write what is appended, until cancelled. What the database refuses is logged, kept and written later."""
        await self.load(database)
        try:
            while True:
                with suppress(TimeoutError):
                    await asyncio.wait_for(
                        self._wake.wait(), _PAUSE if self._due or self._gone else FLUSH_EVERY
                    )
                if self._waiting:
                    await asyncio.sleep(GATHER)
                self._wake.clear()
                try:
                    await self.step(database)
                except StoreError as error:
                    self._note_failure(error)
                    await asyncio.sleep(FLUSH_EVERY)
                else:
                    self._note_success()
        finally:
            with suppress(StoreError):
                await asyncio.shield(self._flush(database))

    async def load(self, database: Database) -> None:
        """Put back what the last process stored, once. Raises ``StoreError``."""
        if self._loaded.is_set():
            return
        began = self._steady()
        restored = await database.read(restore)
        merged = await asyncio.to_thread(self._tsdb.restore, restored.series)
        self._adopt(restored, merged)
        self.last_own = max((one.newest for one in restored.series if is_own(one.labels)), default=0)
        self._loaded.set()
        _log.info(
            "stored samples are loaded", series=len(restored.series), seconds=round(self._steady() - began, 3)
        )
        if restored.damaged:
            _log.error("damaged rows of samples were skipped", rows=restored.damaged)

    async def stored(self) -> None:
        """Wait until all that was appended before is committed. Raises ``StoreError`` where it could not be.

        What could not be written is kept nevertheless, and written with what comes next.
        """
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        self._wake.set()
        await waiting

    async def step(self, database: Database) -> None:
        """Do what there is to do now, a little of it. Raises ``StoreError``, with nothing lost."""
        now = self._steady()
        if self._waiting or now >= self._flush_at:
            await self._flush(database)
            self._flush_at = now + FLUSH_EVERY
        if now >= self._expire_at:
            self._forget(await asyncio.to_thread(self._tsdb.expire, int(self._clock() * 1000)))
            self._expire_at = now + EXPIRE_EVERY
        if now >= self._save_at:
            self._due = self._find_due(now)
            self._save_at = now + SAVE_EVERY
        if self._due:
            await self._save(database, self._due[:_AT_ONCE])
            del self._due[:_AT_ONCE]
        if self._gone:
            gone = self._gone[:_AT_ONCE]
            await database.write(lambda connection: samples.delete_series(connection, gone))
            del self._gone[:_AT_ONCE]

    def _note_failure(self, error: StoreError) -> None:
        if not self._failing:
            _log.error("samples cannot be stored yet: they stay in memory", error=str(error))
        self._failing = True

    def _note_success(self) -> None:
        if self._failing:
            _log.info("samples are stored again")
        self._failing = False

    async def _flush(self, database: Database) -> None:
        """Write all that was appended, and wake those who wait for that."""
        waiting, self._waiting = self._waiting, []
        failure = StoreError("the samples were not stored: chainwatch reloads or stops")
        try:
            await self._write(database)
        except StoreError as error:
            failure = error
            raise
        else:
            for future in waiting:
                if not future.done():
                    future.set_result(None)
        finally:
            for future in waiting:
                if not future.done():
                    future.set_exception(failure)

    async def _write(self, database: Database) -> None:
        self._take()
        if self._overflowed:
            await self._save_all(database)
        elif self._unwritten.times:
            new, entries = self._new, self._unwritten
            if len(entries.times) <= _HERE:
                rows, data = _encoded(new, entries)
            else:
                rows, data = await asyncio.to_thread(_encoded, new, entries)
            number = self._batch
            self._batch += 1  # a write that was cancelled may be committed nevertheless
            await database.write(lambda connection: samples.add(connection, rows, number, data))
            self._written += len(data)
        self._unwritten = no_entries()
        self._new = []
        cut = list(self._cut)
        for start in range(0, len(cut), _AT_ONCE):  # a restart would take what was cut off for newer
            await self._save(database, cut[start : start + _AT_ONCE])

    async def _save_all(self, database: Database) -> None:
        """Save as chunks what was too much to be kept for a batch."""
        new = [(series.id, write_labels(series.labels)) for series in self._new]
        await database.write(lambda connection: samples.add_series(connection, new))
        series = list(self._unsaved)
        for start in range(0, len(series), _AT_ONCE):
            await self._save(database, series[start : start + _AT_ONCE])
        self._overflowed = False

    def _take(self) -> None:
        """Take what was appended, as far as there is room for it."""
        cuts = self._tsdb.cuts  # before the entries: those that follow a cut are taken with it, or after it
        taken = self._tsdb.take_entries()
        for series in taken.series:
            if series.id == _GONE:
                continue
            if not series.id:
                series.id = self._next_series
                self._next_series += 1
                self._new.append(series)
            unsaved = self._unsaved.get(series)
            if unsaved is None:
                unsaved = self._unsaved[series] = _Unsaved(self._batch, 0, self._enough(series))
            unsaved.count += 1
            if unsaved.count >= unsaved.enough:
                self._full[series] = None
        if self._cuts != cuts:
            self._cuts = cuts
            self._note_set_back()
        self._unwritten.extend(taken)
        if len(self._unwritten.times) > SAMPLES_MAX:  # the database refuses for long
            self._unwritten = no_entries()
            self._overflowed = True

    def _note_set_back(self) -> None:
        """Have series saved anew whose chunks have samples of a clock that was ahead."""
        for series in self._unsaved:
            saved = self._saved.get(series)
            if saved is not None and series.cut_at < saved.last:
                series.forget_cut()
                del self._saved[series]
                self._cut[series] = None

    def _enough(self, series: StoredSeries) -> int:
        """Return how many samples make a chunk; the first one of a series is smaller, so that not all are full at once."""
        return CHUNK if series in self._saved else OPEN + series.id % CHUNK

    def _find_due(self, now: float) -> list[StoredSeries]:
        """Return the series to save: those with enough samples, and those that keep batches for long."""
        self._marks.append(_Mark(now, self._batch, self._written))
        before = 0
        while self._marks and (
            self._marks[0].at <= now - BATCHES_SECONDS
            or self._written - self._marks[0].written > BATCHES_BYTES
        ):
            before = self._marks.popleft().batch
        due = dict(self._full)
        for series, unsaved in self._unsaved.items():
            if unsaved.batch >= before:
                break
            due[series] = None
        return list(due)

    async def _save(self, database: Database, due: Sequence[StoredSeries]) -> None:
        """Save samples as chunks, and delete the batches that nobody needs any more."""
        now = int(self._clock() * 1000)
        due = [series for series in due if series in self._unsaved]
        made = await asyncio.to_thread(self._chunks_of, due)
        rows = [row for new, _ in made for row in new]
        kept = [
            (series.id, now - series.window, state.last) for series, (_, state) in zip(due, made, strict=True)
        ]
        saved, anew = set(due), [series.id for series in due if series in self._cut]
        first = next(
            (unsaved.batch for series, unsaved in self._unsaved.items() if series not in saved), self._batch
        )

        def save(connection: sa.Connection) -> None:
            samples.delete_chunks(connection, anew)
            samples.save(connection, rows, kept)
            samples.delete_batches(connection, first)

        await database.write(save)
        for series, (_, state) in zip(due, made, strict=True):
            self._saved[series] = state
            del self._unsaved[series]
            self._full.pop(series, None)
            self._cut.pop(series, None)

    def _chunks_of(self, due: Sequence[StoredSeries]) -> list[tuple[list[StoredChunk], Saved]]:
        return [chunks_of(series, self._saved.get(series, Saved())) for series in due]

    def _forget(self, gone: Sequence[StoredSeries]) -> None:
        """Note that series are no longer in memory."""
        for series in gone:
            if series.id:
                self._gone.append(series.id)
            series.id = _GONE
            for known in (self._saved, self._unsaved, self._full, self._cut):
                known.pop(series, None)
        self._new = [series for series in self._new if series.id != _GONE]

    def _adopt(self, restored: Restored, merged: Mapping[StoredSeries, StoredSeries]) -> None:
        """Go on where the last process ended."""
        self._next_series = restored.next_series
        self._saved = {merged.get(series, series): saved for series, saved in restored.saved.items()}
        for series, (batch, count) in sorted(restored.unsaved.items(), key=lambda item: item[1]):
            series = merged.get(series, series)
            self._unsaved[series] = _Unsaved(batch, count, count + 1 + series.id % CHUNK)
        self._gone = sorted(restored.gone)
        self._batch = max(restored.batches, default=0) + 1
        self._marks.append(_Mark(self._steady(), self._batch, 0))  # the batches count as written after it
        self._written = sum(restored.batches.values())


def _encoded(new: Sequence[StoredSeries], entries: Entries) -> tuple[list[tuple[int, bytes]], bytes]:
    """Return the rows of new series, and a batch. Samples of series that are gone will be skipped when it is read."""
    rows = [(series.id, write_labels(series.labels)) for series in new]
    return rows, encode_batch((series.id for series in entries.series), entries.times, entries.values)
