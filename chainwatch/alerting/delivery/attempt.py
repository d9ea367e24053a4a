"""One attempt at a delivery: whatever a provider does, the outcome is a receipt or a ``DeliveryError``."""

from __future__ import annotations

import asyncio
from typing import Any

from chainwatch.alerting.delivery.notification import Notification
from chainwatch.alerting.providers import DeliveryError, Provider, Receipt
from chainwatch.support.supervise import failure_of

SEND_WITHIN = 600.0
"""Seconds after which a delivery that has not ended counts as failed. Providers have shorter time-outs of their own."""


async def attempt(
    provider: Provider[Any], notification: Notification, previous: Receipt | None
) -> Receipt | DeliveryError:
    """Render and send ``notification``. ``previous``: the receipt of the group's last message."""
    receipt = Receipt()

    async def send() -> None:
        nonlocal receipt
        message = _rendered(provider, notification, previous)
        async with asyncio.timeout(SEND_WITHIN):
            answer: object = await provider.send(message)
        if isinstance(answer, Receipt):  # else the message was taken all the same
            receipt = answer

    error = await failure_of(send)
    if error is None:
        return receipt
    if isinstance(error, DeliveryError):
        return error
    return DeliveryError(f"the provider broke: {type(error).__name__}")


def _rendered(provider: Provider[Any], notification: Notification, previous: Receipt | None) -> Any:
    try:
        return provider.render(notification, previous)
    except Exception as error:  # a provider's own code may raise anything, and would again
        raise DeliveryError(f"it cannot be rendered: {type(error).__name__}", permanent=True) from error
