"""Submitted alerts of an alert manager in memory that are not stored yet: many in one transaction, and bounded (S10)."""

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
"""Characters of all waiting alerts, with ``OVERHEAD`` for each; about 100,000 short alerts."""
OVERHEAD = 500
TOGETHER_MAX = 1_000
"""Alerts of one transaction; when it has so many, further ones go into the next."""

Accept = Callable[[Callable[[], Sequence[Submission]]], Future[None]]
"""Stores the alerts that a call returns once it is made in the writing thread."""

_log = structlog.get_logger("chainwatch.embedded.library")


class Overloaded(StoreError):
    """Alerts are submitted faster than they can be stored. None of this submission was taken: submit it again later."""


class Inbox:
    """Takes submissions without waiting; may be used from any thread. ``accept`` is called in their order."""

    def __init__(self, accept: Accept) -> None:
        self._accept = accept
        self._lock = threading.RLock()  # a future that is done already calls back at once
        self._open: list[Submission] | None = None
        """The last batch that was handed over, which grows until the writing thread takes it."""
        self._waiting = 0
        self._shut = False

    def put(self, sent: Sequence[Submission]) -> None:
        """Have ``sent`` stored soon. Raises ``Overloaded`` while too much waits, ``StoreError`` once shut."""
        size = _size(sent)
        with self._lock:
            if self._shut:
                raise StoreError("the alert manager is closed")
            if self._waiting and self._waiting + size > WAITING_MAX:
                raise Overloaded(
                    "more alerts are sent than can be stored: wait a moment, then send this one again",
                    transient=True,
                )
            if self._open is None or len(self._open) >= TOGETHER_MAX:
                self._hand_over(list(sent))
            else:
                self._open.extend(sent)
            self._waiting += size

    def shut(self) -> bool:
        """Refuse further submissions, unless some still wait to be stored; return whether none do."""
        with self._lock:
            self._shut = not self._waiting
            return self._shut

    def _hand_over(self, batch: list[Submission]) -> None:
        """Hand over ``batch``, which grows until the writing thread takes it; the lock is held."""
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
            self._closed(batch)  # a database that refuses never asks for it
            self._waiting -= _size(batch)
        error = None if done.cancelled() else done.exception()
        if error is None:
            return
        if len(batch) == 1:
            _log.error("a submitted alert could not be stored", error=str(error))
            return
        for one in batch:  # each by itself, so that one that cannot be stored does not lose the others
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
