"""Blocking calls of providers, in daemon threads: a call that hangs blocks no other provider and no shutdown."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from typing import NoReturn, TypeVar

from chainwatch.alerting.providers.provider import DeliveryError

T = TypeVar("T")

STUCK_MAX = 4
"""Calls of one provider that may hang at a time; further ones are refused."""


class Threads:
    """Runs the blocking calls of one provider, each in a daemon thread of its own."""

    def __init__(self, who: str, timeout: float) -> None:
        """``who`` names the provider in errors; ``timeout`` is in seconds."""
        self._who = who
        self._timeout = timeout
        self._slots = threading.BoundedSemaphore(STUCK_MAX)

    async def run(self, call: Callable[[], T]) -> T:
        """Return the result of ``call``. Raises whatever ``call`` raises, or ``DeliveryError`` after the time-out."""
        if not self._slots.acquire(blocking=False):
            raise DeliveryError(f"{self._who} hangs: {STUCK_MAX} earlier messages are still under way")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Callable[[], T]] = loop.create_future()

        def settle(outcome: Callable[[], T]) -> None:
            if not future.done():
                future.set_result(outcome)

        def work() -> None:
            outcome: Callable[[], T]
            try:
                outcome = partial(_returned, call())
            except BaseException as error:  # noqa: BLE001 - handed to the caller, who waits for it
                outcome = partial(_raised, error)  # not the error itself: a future refuses StopIteration
            finally:
                self._slots.release()
            if not loop.is_closed():
                loop.call_soon_threadsafe(settle, outcome)

        threading.Thread(target=work, name=f"chainwatch-{self._who}", daemon=True).start()
        try:
            async with asyncio.timeout(self._timeout):
                outcome = await future
        except TimeoutError:
            raise DeliveryError(f"{self._who} did not answer within {self._timeout:g} seconds") from None
        return outcome()


def _returned(result: T) -> T:
    return result


def _raised(error: BaseException) -> NoReturn:
    raise error
