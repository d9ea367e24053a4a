"""Runs jobs that take long in threads of its own: few at once, and each client in its turn, so that none starves others."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

AT_ONCE = 2
"""Jobs that run at once; each competes with the event loop for the interpreter."""
OF_ONE_CLIENT = 1
"""Jobs of one client that run at once."""
WAITING_MAX = 200
"""Jobs of one client that may wait."""
CLIENTS_MAX = 1_000

T = TypeVar("T")


class TooMany(Exception):
    """As many jobs wait already as may."""


class ClientTurns:
    """Runs jobs in threads: first ``wait`` for a turn, then ``run``. ``close`` must be called at the end.

    ``loaded``: whether what jobs read is there.
    """

    def __init__(self, loaded: asyncio.Event) -> None:
        self.loaded = loaded
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="query")
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._running: Counter[str] = Counter()
        self.closed = False
        """Whether jobs should end, as nobody waits for them any more."""

    def close(self) -> None:
        """End: nothing begins any more, and what runs is asked to end."""
        self.closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def wait(self, client: str) -> None:
        """Wait for a turn of ``client``, which ``run`` must take. Raises ``TooMany``."""
        waiting = self._waiting.get(client)
        if len(waiting or ()) >= WAITING_MAX or (waiting is None and len(self._waiting) >= CLIENTS_MAX):
            raise TooMany(client)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(client, deque()).append(turn)
        self._begin()
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self._release(client)
            raise

    async def run(self, client: str, work: Callable[[], T]) -> T:
        """Return what ``work`` returns, and give the turn back once it has ended, also where nobody waits for it."""
        running = asyncio.get_running_loop().run_in_executor(self._threads, work)

        def ended(done: asyncio.Future[T]) -> None:
            if not done.cancelled():
                done.exception()  # nobody may be left to take it
            self._release(client)

        running.add_done_callback(ended)
        return await asyncio.shield(running)

    def _begin(self) -> None:
        """Give free threads to the clients that have waited longest since their last turn."""
        for client in list(self._waiting):
            if self._running.total() >= AT_ONCE:
                return
            if self._running[client] >= OF_ONE_CLIENT:
                continue
            turns = self._waiting[client]
            while turns and turns[0].done():  # given up
                turns.popleft()
            if turns:
                self._running[client] += 1
                turns.popleft().set_result(None)
            if turns:
                self._waiting.move_to_end(client)
            else:
                del self._waiting[client]

    def _release(self, client: str) -> None:
        self._running[client] -= 1
        self._running += Counter()  # forget clients without work
        self._begin()
