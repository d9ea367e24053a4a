"""The channels that notifications go out on, one file each; ``config.receivers.PROVIDERS`` is their registry."""

from __future__ import annotations

from typing import Any

from chainwatch.alerting.providers.actions import Action, Answer, Listening
from chainwatch.alerting.providers.pacing import Rate
from chainwatch.alerting.providers.provider import Capabilities, DeliveryError, Provider, Receipt, Server
from chainwatch.alerting.providers.transport import Transport
from chainwatch.config.receivers import ReceiverSettings, provider_class

__all__ = [
    "Action",
    "Answer",
    "Capabilities",
    "DeliveryError",
    "Listening",
    "Provider",
    "Rate",
    "Receipt",
    "Server",
    "Transport",
    "build_provider",
]


def build_provider(settings: ReceiverSettings, transport: Transport) -> Provider[Any]:
    """Return the provider that a receiver's settings describe; what it sends over HTTP goes through ``transport``."""
    provider: Provider[Any] = provider_class(settings.provider)(settings, transport)
    return provider
