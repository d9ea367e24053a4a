"""Where notifications go: one model per provider."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, StrictBool, ValidationInfo, field_validator

from chainwatch.config.types import (
    AtLeastOne,
    Expected,
    HeaderName,
    HeaderValue,
    HttpUrl,
    PositiveDuration,
    Severity,
    SigningKey,
    Table,
    Text,
)
from chainwatch.grammar.durations import parse_duration

_ALLOW_PRIVATE = "Allow loopback and private addresses, which are refused otherwise."
_PROVIDER = "The kind of channel: `console`, `discord` or `webhook`."


class _Receiver(Table):
    """The settings of every receiver."""

    name: str = Field(description="The table's key.")
    give_up_after: PositiveDuration = Field(
        default=parse_duration("24h"),
        description="How long attempts may keep failing before a notification is dead.",
    )
    send_resolved: StrictBool = Field(default=True, description="Whether to notify of resolved alerts.")
    rate_limit: dict[Severity, AtLeastOne] = Field(
        default={},
        description="Severity → notifications about new alerts a minute, for each source of alerts. What is over comes "
        "as one summary at the end of the minute.",
    )


class ConsoleSettings(_Receiver):
    """Alerts as readable lines on standard output."""

    provider: Literal["console"] = Field(description=_PROVIDER)
    color: Literal["auto", "always", "never"] = Field(
        default="auto", description="Colours; `auto`: on a terminal."
    )


class DiscordSettings(_Receiver):
    """A channel on Discord."""

    provider: Literal["discord"] = Field(description=_PROVIDER)
    url: HttpUrl = Field(description="The channel's webhook URL (secret).")
    username: Text | None = Field(default=None, description="Sender's name. Default: as set on Discord.")
    allow_private: StrictBool = Field(default=False, description=_ALLOW_PRIVATE)
    rate_limit: dict[Severity, AtLeastOne] = Field(
        default={"P0": 10, "P1": 5, "P2": 3, "P3": 1},
        description="Severity → notifications about new alerts a minute, for each source of alerts. What is over comes "
        "as one summary at the end of the minute.",
    )


class WebhookSettings(_Receiver):
    """Any HTTP server: Alertmanager's webhook body, version 4."""

    provider: Literal["webhook"] = Field(description=_PROVIDER)
    url: HttpUrl = Field(description="Where to POST (secret).")
    secret: SigningKey | None = Field(
        default=None,
        description="Key of the HMAC-SHA256 signature, four characters or more. Default: not signed.",
    )
    headers: dict[HeaderName, HeaderValue] = Field(
        default={},
        description="Further HTTP headers (secret); none may be empty. Not `Authorization` where `url` has a user.",
    )
    allow_private: StrictBool = Field(default=False, description=_ALLOW_PRIVATE)
    timeout: PositiveDuration = Field(
        default=parse_duration("10s"), description="Time to wait for an answer."
    )

    @field_validator("headers")
    @classmethod
    def _one_authorization(cls, headers: dict[str, SecretStr], info: ValidationInfo) -> dict[str, SecretStr]:
        url = info.data.get("url")
        has_user = url is not None and "@" in urlsplit(url.get_secret_value()).netloc
        if has_user and any(name.lower() == "authorization" for name in headers):
            raise Expected(
                "no Authorization beside a url with a user", "a request has one of both: take the other away"
            )
        return headers


ReceiverSettings = Annotated[
    ConsoleSettings | DiscordSettings | WebhookSettings, Field(discriminator="provider")
]

RECEIVER_MODELS: Mapping[str, type[_Receiver]] = {
    "console": ConsoleSettings,
    "discord": DiscordSettings,
    "webhook": WebhookSettings,
}
"""Provider → the model of its settings."""
