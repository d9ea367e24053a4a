"""A Python function as a receiver, for those who use chainwatch as a library."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable

import aiohttp

from chainwatch.alerting.delivery.notification import Notification
from chainwatch.alerting.providers.base import DeliveryError
from chainwatch.alerting.providers.thread import Threads

CALL_TIMEOUT = 60.0
"""Seconds for a plain function to return."""

Call = Callable[[Notification], object] | Callable[[Notification], Awaitable[object]]


class CallProvider:
    """Calls ``call`` with each notification, one at a time; what it raises means "not taken", and it is called again.

    A coroutine function runs on the event loop, a plain one in a thread.
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
                await self._call(notification)  # type: ignore[misc]  # looked at above
            else:
                await self._threads.run(lambda: self._call(notification))
        except DeliveryError:
            raise
        except Exception as error:
            raise DeliveryError(f"the function raised {type(error).__name__}") from error
