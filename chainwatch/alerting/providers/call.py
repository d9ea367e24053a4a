"""A Python function as a receiver, for those who use chainwatch as a library."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable

import aiohttp

from chainwatch.alerting.delivery.notification import Notification
from chainwatch.alerting.providers.provider import DeliveryError
from chainwatch.alerting.providers.thread import Threads

CALL_TIMEOUT = 60.0
"""Seconds for a function to return, and for what it returns to be awaited."""

Call = Callable[[Notification], object] | Callable[[Notification], Awaitable[object]]


class CallProvider:
    """Calls ``call`` with each notification, one at a time; what it raises means "not taken", and it is called again.

    A coroutine function runs on the event loop, a plain one in a thread; where that returns a coroutine, as a ``lambda``
    around one does, it is awaited.
    """

    concurrency = 1
    allow_private = False

    def __init__(self, call: Call) -> None:
        self._call = call
        self._is_async = inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(
            getattr(call, "__call__", None)  # noqa: B004 - an object whose __call__ is a coroutine function
        )
        self._threads = Threads("the function", CALL_TIMEOUT)

    async def deliver(self, notification: Notification, session: aiohttp.ClientSession) -> None:
        """Return once the function has returned. Raises ``DeliveryError`` when it raises."""
        try:
            if self._is_async:
                result = self._call(notification)
            else:
                result = await self._threads.run(lambda: self._call(notification))
            if inspect.isawaitable(result):
                await self._awaited(result)
        except DeliveryError:
            raise
        except Exception as error:
            raise DeliveryError(f"the function raised {type(error).__name__}") from error

    async def _awaited(self, result: Awaitable[object]) -> None:
        try:
            async with asyncio.timeout(CALL_TIMEOUT) as waiting:
                await result
        except TimeoutError:
            if not waiting.expired():
                raise
            raise DeliveryError(f"the function did not answer within {CALL_TIMEOUT:g} seconds") from None
