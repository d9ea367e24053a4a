"""The kinds of channels that notifications go out on, one file each, and how to build one from its settings."""

from __future__ import annotations

from chainwatch.alerting.providers.provider import DeliveryError, Provider
from chainwatch.config import ConsoleSettings, DiscordSettings, ReceiverSettings

__all__ = ["DeliveryError", "Provider", "build_provider"]


def build_provider(settings: ReceiverSettings) -> Provider:
    """The provider that a receiver's settings describe. Imports late: a channel's library is for those who use it."""
    if isinstance(settings, ConsoleSettings):
        from chainwatch.alerting.providers.console import ConsoleProvider

        return ConsoleProvider(settings)
    if isinstance(settings, DiscordSettings):
        from chainwatch.alerting.providers.discord import DiscordProvider

        return DiscordProvider(settings)
    from chainwatch.alerting.providers.webhook import WebhookProvider

    return WebhookProvider(settings)
