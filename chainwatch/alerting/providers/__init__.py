"""The kinds of channels that notifications go out on, one file each, and how to build one from its settings."""

from __future__ import annotations

from chainwatch.alerting.providers.base import DeliveryError, Provider
from chainwatch.alerting.providers.console import ConsoleProvider
from chainwatch.alerting.providers.discord import DiscordProvider
from chainwatch.alerting.providers.webhook import WebhookProvider
from chainwatch.config import ConsoleSettings, DiscordSettings, ReceiverSettings

__all__ = ["DeliveryError", "Provider", "build_provider"]


def build_provider(settings: ReceiverSettings) -> Provider:
    """The provider that a receiver's settings describe."""
    if isinstance(settings, ConsoleSettings):
        return ConsoleProvider(settings)
    if isinstance(settings, DiscordSettings):
        return DiscordProvider(settings)
    return WebhookProvider(settings)
