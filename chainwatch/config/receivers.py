"""The ``[receivers.NAME]`` tables: the registry of providers, and what every receiver's settings have in common.

A provider's own settings are in its file, beside the code that uses them. A file is imported when a configuration names
its provider, so nobody pays for the libraries of a channel that is not used.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Annotated, Any, get_args

from pydantic import BeforeValidator, Field, SecretStr, StrictBool, ValidationInfo
from pydantic_core import PydanticCustomError

from chainwatch.config.types import AtLeastOne, PositiveDuration, Severity, Table, Text
from chainwatch.grammar.durations import parse_duration

PROVIDERS = {
    "alertmanager": "chainwatch.alerting.providers.alertmanager:AlertmanagerProvider",
    "apprise": "chainwatch.alerting.providers.apprise:AppriseProvider",
    "console": "chainwatch.alerting.providers.console:ConsoleProvider",
    "discord": "chainwatch.alerting.providers.discord:DiscordProvider",
    "email": "chainwatch.alerting.providers.email:EmailProvider",
    "exec": "chainwatch.alerting.providers.exec:ExecProvider",
    "file": "chainwatch.alerting.providers.file:FileProvider",
    "pagerduty": "chainwatch.alerting.providers.pagerduty:PagerDutyProvider",
    "slack": "chainwatch.alerting.providers.slack:SlackProvider",
    "telegram": "chainwatch.alerting.providers.telegram:TelegramProvider",
    "webhook": "chainwatch.alerting.providers.webhook:WebhookProvider",
}
"""The registry: each provider's name in the configuration → its module and class. The only list of providers."""

ALLOW_PRIVATE = "Allow loopback and private addresses, which are refused otherwise."
"""The description of the key ``allow_private``, which every provider over HTTP has."""
RATE_LIMIT = (
    "Severity → notifications about new alerts a minute, for each source of alerts. What is over comes "
    "as one summary at the end of the minute."
)
"""The description of the key ``rate_limit``, for a provider with limits of its own by default."""


class ReceiverSettings(Table):
    """The settings that every receiver has; each provider derives its own from them."""

    name: str = Field(description="The table's key.")
    provider: str = Field(description=f"The kind of channel: {', '.join(f'`{name}`' for name in PROVIDERS)}.")
    give_up_after: PositiveDuration = Field(
        default=parse_duration("24h"),
        description="How long attempts may keep failing before a notification is dead.",
    )
    send_resolved: StrictBool = Field(default=True, description="Whether to notify of resolved alerts.")
    rate_limit: dict[Severity, AtLeastOne] = Field(default={}, description=RATE_LIMIT)
    template: Text | None = Field(
        default=None, description="Name of the template of its messages. Default: chainwatch's own words."
    )


def provider_class(name: str) -> Any:
    """Return the class of the provider ``name``. Raises ``KeyError`` for a name that is not in the registry."""
    module, _, attribute = PROVIDERS[name].partition(":")
    return getattr(import_module(module), attribute)


def settings_model(provider: object) -> type[ReceiverSettings]:
    """Return the model of a provider's settings; that of every receiver's for a name that is not in the registry."""
    if not isinstance(provider, str) or provider not in PROVIDERS:
        return ReceiverSettings
    model: type[ReceiverSettings] = provider_class(provider).settings_type
    return model


def secret_keys(provider: object) -> frozenset[str]:
    """Return the keys of a receiver's table whose values are secret: those whose type holds a ``SecretStr``."""
    fields = settings_model(provider).model_fields
    return frozenset(field.alias or key for key, field in fields.items() if _holds_secret(field.annotation))


def _holds_secret(annotation: object) -> bool:
    return annotation is SecretStr or any(map(_holds_secret, get_args(annotation)))


def _by_provider(value: object, info: ValidationInfo) -> object:
    """Return a table as its provider's own model; anything but a table is left to the common model, which refuses it."""
    if not isinstance(value, Mapping):
        return value
    if "provider" not in value:
        raise PydanticCustomError("union_tag_not_found", "no provider")
    if value["provider"] not in list(PROVIDERS):
        expected = ", ".join(f"'{name}'" for name in PROVIDERS)
        raise PydanticCustomError("union_tag_invalid", "no such provider", {"expected_tags": expected})
    return settings_model(value["provider"]).model_validate(value, context=info.context)


AnyReceiver = Annotated[ReceiverSettings, BeforeValidator(_by_provider)]
"""A receiver's table, validated by its provider's own model."""
