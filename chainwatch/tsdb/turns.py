"""Who may read and who may write: many readers, or one writer that waits for them a moment, but not for slow ones."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """Lets readers see each write whole, unless a reader takes longer than ``patience`` (seconds)."""

    def __init__(self, patience: float = 0.05) -> None:
        self._patience = patience
        self._writer = threading.Lock()
        self._changed = threading.Condition()
        self._readers = 0
        self._writing = False

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Let nothing be written meanwhile."""
        with self._changed:
            while self._writing:
                self._changed.wait()
            self._readers += 1
        try:
            yield
        finally:
            with self._changed:
                self._readers -= 1
                if not self._readers:
                    self._changed.notify_all()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Let nobody else write meanwhile, and nobody begin to read."""
        with self._writer:
            with self._changed:
                self._writing = True
                self._changed.wait_for(lambda: not self._readers, self._patience)
            try:
                yield
            finally:
                with self._changed:
                    self._writing = False
                    self._changed.notify_all()
