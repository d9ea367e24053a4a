"""What was sent to an alert manager in memory and is not taken up yet: many in one transaction, and bounded (S10)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial

import structlog

from chainwatch.alerting.engine.submission import Submission
from chainwatch.store.errors import StoreError

WAITING_MAX = 64 * 1024 * 1024
"""Characters of what waits, with ``OVERHEAD`` for each alert; about 100,000 short alerts."""
OVERHEAD = 500
TOGETHER_MAX = 1_000
"""Alerts from which on what comes next waits for a transaction of its own."""

Accept = Callable[[Callable[[], Sequence[Submission]]], Future[None]]
"""Hands over the taking up of what a call, in the writer's thread, gives."""

_log = structlog.get_logger("chainwatch.embedded.library")


class Overloaded(StoreError):
    """More is sent than can be taken up: nothing of this was taken; send it again later."""


class Inbox:
    """Takes what is sent without waiting for anything; may be used from any thread. ``accept`` keeps its order."""

    def __init__(self, accept: Accept) -> None:
        self._accept = accept
        self._lock = threading.RLock()  # a future that is done already calls back at once
        self._open: list[Submission] | None = None
        """What is handed over already and may grow until its turn comes."""
        self._waiting = 0
        self._shut = False

    def put(self, sent: Sequence[Submission]) -> None:
        """Have ``sent`` taken up soon. Raises ``Overloaded`` where too much waits, ``StoreError`` once shut."""
        size = _size(sent)
        with self._lock:
            if self._shut:
                raise StoreError("the alert manager is closed")
            if self._waiting and self._waiting + size > WAITING_MAX:
                raise Overloaded(
                    "more alerts are sent than can be taken up: wait a moment, then send this one again",
                    transient=True,
                )
            if self._open is None or len(self._open) >= TOGETHER_MAX:
                self._hand_over(list(sent))
            else:
                self._open.extend(sent)
            self._waiting += size

    def shut(self) -> bool:
        """Take nothing more, unless something waits; whether nothing does."""
        with self._lock:
            self._shut = not self._waiting
            return self._shut

    def _hand_over(self, batch: list[Submission]) -> None:
        """Start ``batch``, which grows until the writer's thread takes it; the lock is held."""
        self._open = batch
        try:
            future = self._accept(lambda: self._closed(batch))
        except BaseException:
            self._open = None
            raise
        future.add_done_callback(lambda done: self._ended(batch, done))

    def _closed(self, batch: list[Submission]) -> list[Submission]:
        with self._lock:
            if self._open is batch:
                self._open = None
        return batch

    def _ended(self, batch: list[Submission], done: Future[None]) -> None:
        with self._lock:
            self._closed(batch)  # where the database refused it was never asked for
            self._waiting -= _size(batch)
        error = None if done.cancelled() else done.exception()
        if error is None:
            return
        if len(batch) == 1:
            _log.error("an alert that was sent could not be kept", error=str(error))
            return
        for one in batch:  # one that cannot be kept takes no others with it
            with self._lock, suppress(StoreError):
                self._waiting += _size([one])
                alone = [one]
                self._accept(partial(list, alone)).add_done_callback(partial(self._ended, alone))


def _size(sent: Sequence[Submission]) -> int:
    return sum(
        OVERHEAD
        + sum(map(len, one.labels))
        + sum(map(len, one.labels.values()))
        + sum(map(len, one.annotations))
        + sum(map(len, one.annotations.values()))
        for one in sent
    )
