"""Functions as receivers: whatever they do, their message is taken, or not taken and tried again."""

import asyncio
from collections.abc import Callable
from functools import partial

import pytest

from chainwatch.alerting.delivery.notification import Notification
from chainwatch.alerting.providers import callback
from chainwatch.alerting.providers.callback import CallbackProvider
from chainwatch.alerting.providers.provider import DeliveryError
from chainwatch.support.supervise import failure_of
from tests.support.waiting import PATIENCE
from tests.unit.alerting.helpers import notification


async def _deliver(function: Callable[[Notification], object]) -> BaseException | None:
    provider = CallbackProvider(function)

    async def send() -> None:
        await provider.send(provider.render(notification(), None))

    async with asyncio.timeout(PATIENCE):
        return await failure_of(send)


async def test_what_a_plain_function_returns_is_awaited() -> None:
    notified: list[Notification] = []

    async def notify(one: Notification) -> None:
        await asyncio.sleep(0)
        notified.append(one)

    for function in (notify, partial(notify), lambda one: notify(one)):
        assert await _deliver(function) is None
    assert len(notified) == 3


@pytest.mark.parametrize(
    "error", [ValueError(), StopIteration(), StopAsyncIteration(), SystemExit(1), TimeoutError()], ids=repr
)
async def test_whatever_a_function_raises_its_message_is_not_taken(error: BaseException) -> None:
    def plain(_: Notification) -> None:
        raise error

    async def coroutine(_: Notification) -> None:
        raise error

    for function in (plain, coroutine, lambda one: coroutine(one)):
        assert await _deliver(function) is not None


async def test_a_coroutine_that_hangs_holds_up_its_message_for_a_time_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(callback, "CALLBACK_TIMEOUT", 0.02)

    async def hang(_: Notification) -> None:
        await asyncio.Event().wait()

    error = await _deliver(hang)
    assert isinstance(error, DeliveryError)
    assert "0.02 seconds" in str(error)
