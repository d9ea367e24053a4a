"""A Python function as a receiver, for programs that use chainwatch as a library."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable

from chainwatch.alerting.delivery.notification import Notification
from chainwatch.alerting.providers.provider import Capabilities, DeliveryError, Receipt, Server
from chainwatch.alerting.providers.thread import Threads

CALLBACK_TIMEOUT = 60.0
"""Seconds within which a function must return, and a coroutine that it returned must end."""

Callback = Callable[[Notification], object] | Callable[[Notification], Awaitable[object]]


class CallbackProvider:
    """Calls ``callback`` with each notification, one at a time. When it raises, the queue tries again.

    A coroutine function runs on the event loop, a plain one in a thread. When a plain function returns a coroutine, as
    a ``lambda`` around a coroutine function does, the coroutine is awaited.
    """

    capabilities = Capabilities()
    server: Server | None = None

    def __init__(self, callback: Callback) -> None:
        self._callback = callback
        self._is_async = inspect.iscoroutinefunction(callback) or inspect.iscoroutinefunction(
            getattr(callback, "__call__", None)  # noqa: B004 - an object whose __call__ is a coroutine function
        )
        self._threads = Threads("the function", CALLBACK_TIMEOUT)

    def render(self, notification: Notification, previous: Receipt | None) -> Notification:
        """Return the notification itself: functions take it as it is."""
        return notification

    async def send(self, message: Notification) -> Receipt:
        """Return once the function has returned. Raises ``DeliveryError`` when it raises."""
        try:
            if self._is_async:
                result = self._callback(message)
            else:
                result = await self._threads.run(lambda: self._callback(message))
            if inspect.isawaitable(result):
                await self._awaited(result)
        except DeliveryError:
            raise
        except Exception as error:
            raise DeliveryError(f"the function raised {type(error).__name__}") from error
        return Receipt()

    async def _awaited(self, result: Awaitable[object]) -> None:
        try:
            async with asyncio.timeout(CALLBACK_TIMEOUT) as waiting:
                await result
        except TimeoutError:
            if not waiting.expired():
                raise
            raise DeliveryError(f"the function did not answer within {CALLBACK_TIMEOUT:g} seconds") from None
