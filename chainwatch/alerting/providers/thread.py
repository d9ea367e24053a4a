"""Blocking calls of providers, in threads that can neither hold up the others nor the end of the process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from chainwatch.alerting.providers.base import DeliveryError

T = TypeVar("T")

STUCK_MAX = 4
"""Calls of one provider that may be stuck at a time; more are refused."""


class Threads:
    """Runs one provider's blocking calls, each in a daemon thread of its own."""

    def __init__(self, who: str, timeout: float) -> None:
        """``who`` names the provider in errors; ``timeout`` is in seconds."""
        self._who = who
        self._timeout = timeout
        self._slots = threading.BoundedSemaphore(STUCK_MAX)

    async def run(self, call: Callable[[], T]) -> T:
        """The result of ``call``. Raises what it raises, or ``DeliveryError`` once it takes too long."""
        if not self._slots.acquire(blocking=False):
            raise DeliveryError(f"{self._who} hangs: {STUCK_MAX} earlier messages are still under way")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def settle(result: T | None, error: BaseException | None) -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)  # type: ignore[arg-type]  # None only where T is

        def work() -> None:
            result, failure = None, None
            try:
                result = call()
            except BaseException as error:  # noqa: BLE001 - handed to the one who waits
                failure = error
            finally:
                self._slots.release()
            if not loop.is_closed():
                loop.call_soon_threadsafe(settle, result, failure)

        threading.Thread(target=work, name=f"chainwatch-{self._who}", daemon=True).start()
        try:
            async with asyncio.timeout(self._timeout):
                return await future
        except TimeoutError:
            raise DeliveryError(f"{self._who} did not answer within {self._timeout:g} seconds") from None
