"""A Discord channel, by webhook.

The package discord-webhook only builds the message: its own client follows redirects and reads answers of any size.
Limits: discord.com/developers/docs/resources/message#embed-object-embed-limits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import msgspec
from pydantic import Field, StrictBool

from chainwatch.alerting.delivery.notification import LAST_TIME, Notification, NotifiedAlert
from chainwatch.alerting.providers import text
from chainwatch.alerting.providers.provider import (
    Capabilities,
    DeliveryError,
    Receipt,
    Server,
    check_status,
    seconds,
)
from chainwatch.alerting.providers.transport import Answer, Transport
from chainwatch.config.receivers import ALLOW_PRIVATE, RATE_LIMIT, ReceiverSettings
from chainwatch.config.types import AtLeastOne, HttpUrl, Severity
from chainwatch.config.types import Text as DisplayName
from chainwatch.support.printable import clean
from chainwatch.support.redaction import Redactor, parts_of_url

if TYPE_CHECKING:
    from discord_webhook import DiscordEmbed  # type: ignore[import-untyped]  # no stubs

CONTENT_MAX, TITLE_MAX, DESCRIPTION_MAX, FIELDS_MAX = 2000, 256, 4096, 25
FIELD_NAME_MAX, FIELD_VALUE_MAX, FOOTER_MAX = 256, 1024, 2048
EMBEDS_MAX, TOTAL_MAX = 10, 6000
URL_MAX = 2048
SHORT_VALUE = 40
"""Characters up to which the value of a field is short, so that Discord shows several side by side."""

TIMEOUT = 30.0
"""Seconds for a whole message."""
ANSWER_TIMEOUT = 10.0
"""Seconds for the body of an answer, which confirms that the message is in the channel."""
LONGEST_WAIT = 30.0
"""The most seconds that a message waits for the reset of a rate limit that an earlier answer announced."""

DETAIL_MAX = 200
"""Characters of an answer's text that an error repeats."""
ID_MAX = 100
"""Characters of a message's id that are kept; Discord's have 20."""

COLORS = {"P0": 0xB00020, "P1": 0xE53935, "P2": 0xFB8C00, "P3": 0x1E88E5}
RESOLVED_COLOR = 0x43A047

HEADERS = {
    "Content-Type": "application/json",
    # discord.com/developers/docs/reference#user-agent
    "User-Agent": "DiscordBot (https://github.com/chainwatch/chainwatch, 0.1)",
}
_BODY = ("content", "embeds", "username", "allowed_mentions")


class DiscordSettings(ReceiverSettings):
    """A channel on Discord."""

    url: HttpUrl = Field(
        description="The channel's webhook URL (secret).", examples=["${DISCORD_WEBHOOK_URL}"]
    )
    username: DisplayName | None = Field(
        default=None, description="Sender's name. Default: as set on Discord."
    )
    allow_private: StrictBool = Field(default=False, description=ALLOW_PRIVATE)
    rate_limit: dict[Severity, AtLeastOne] = Field(
        default={"P0": 10, "P1": 5, "P2": 3, "P3": 1}, description=RATE_LIMIT
    )


class DiscordProvider:
    """Sends each notification as one message, one at a time; its receipts hold the message's id as ``message``."""

    settings_type = DiscordSettings
    capabilities = Capabilities(keeps_receipts=True)

    def __init__(self, settings: DiscordSettings, transport: Transport) -> None:
        self.server = Server(confirmed(settings.url.get_secret_value()), settings.allow_private)
        self._settings = settings
        self._transport = transport
        self._redact = Redactor(parts_of_url(self.server.url))
        self._free_at = 0.0

    def render(self, notification: Notification, previous: Receipt | None) -> dict[str, Any]:
        """Return the body of Discord's "Execute Webhook": every notification is a message of its own."""
        return payload(notification, self._settings)

    async def send(self, message: dict[str, Any]) -> Receipt:
        """Post it and wait until Discord confirms the message. Raises ``DeliveryError``."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._free_at - loop.time()))
        answer = await self._transport.post(
            self.server,
            msgspec.json.encode(message),
            HEADERS,
            who="Discord",
            within=TIMEOUT,
            answer_within=ANSWER_TIMEOUT,
        )
        self._note_rate_limit(answer, loop.time())
        return _receipt(answer, self._redact)

    def _note_rate_limit(self, answer: Answer, now: float) -> None:
        if answer.headers.get("X-RateLimit-Remaining") == "0":
            wait = seconds(answer.headers.get("X-RateLimit-Reset-After")) or 0.0
            self._free_at = now + min(LONGEST_WAIT, wait)


def confirmed(url: str) -> str:
    """Return a webhook's URL with ``wait=true``: Discord then answers with the message that it has created."""
    parts = urlsplit(url)
    query = "&".join(part for part in (parts.query, "wait=true") if part)
    return urlunsplit(parts._replace(query=query))


def payload(notification: Notification, settings: DiscordSettings) -> dict[str, Any]:
    """Return the message within Discord's limits; alerts that do not fit are counted in its text. Nobody is mentioned."""
    from discord_webhook import DiscordWebhook  # late: slow to import

    embeds: list[DiscordEmbed] = []
    room = TOTAL_MAX
    alerts = text.by_urgency(notification)
    for alert in alerts[:EMBEDS_MAX]:
        embed = _embed(alert, room)
        if embed is None:
            break
        embeds.append(embed)
        room -= _size(embed)
    content = "\n".join(
        [
            f"**{text.markdown(text.headline(notification))}**",
            *map(text.markdown, text.overview(notification)),
        ]
    )
    if len(embeds) < len(alerts):
        content += f"\n… and {len(alerts) - len(embeds)} more, not shown here."
    message = DiscordWebhook(
        url=settings.url.get_secret_value(),
        content=fit(content, CONTENT_MAX),
        username=settings.username,
        allowed_mentions={"parse": []},
    )
    for embed in embeds:
        message.add_embed(embed)
    body = message.json
    return {key: body[key] for key in _BODY if key in body}


def fit(content: str, limit: int) -> str:
    """Return ``content`` cut to ``limit`` as Discord counts (UTF-16 units), never within an escape."""
    if _units(content) <= limit:
        return content
    kept = content.encode("utf-16-le")[: 2 * (limit - 1)].decode("utf-16-le", "ignore")
    trailing = len(kept) - len(kept.rstrip("\\"))
    return kept[: len(kept) - trailing % 2] + "…"


def _embed(alert: NotifiedAlert, room: int) -> DiscordEmbed | None:
    """Return one alert in at most ``room`` characters, or None when not even its title fits."""
    from discord_webhook import DiscordEmbed

    firing = alert.status == "firing"
    embed = DiscordEmbed(
        title=fit(
            f"{alert.severity} {alert.status.upper()}: {text.markdown(text.name_of(alert))}", TITLE_MAX
        ),
        color=COLORS.get(alert.severity, COLORS["P3"]) if firing else RESOLVED_COLOR,
        fields=[],
    )
    embed.set_footer(text=fit(f"{alert.fingerprint}", FOOTER_MAX))
    embed.set_timestamp(min(alert.starts_at, LAST_TIME))  # a chain may claim any time
    room -= _size(embed)
    if room < 0:
        return None
    runbook = text.runbook(alert)
    if runbook and len(runbook) <= URL_MAX:
        embed.set_url(runbook)
    description = fit(_description(alert), min(DESCRIPTION_MAX, max(room, 1)))
    if description and _units(description) <= room:
        embed.set_description(description)
        room -= _units(description)
    for fact in text.facts(alert)[:FIELDS_MAX]:
        name, value = fit(text.markdown(fact.name), FIELD_NAME_MAX), text.markdown(fact.value)
        inline = len(value) <= SHORT_VALUE
        linked = _linked(value, fact.links)
        most = min(FIELD_VALUE_MAX, room - _units(name))
        value = linked if _units(linked) <= most else fit(value, FIELD_VALUE_MAX)
        room -= _units(name) + _units(value)
        if room < 0:
            break
        embed.add_embed_field(name, value, inline=inline)
    return embed


def _linked(value: str, links: Mapping[str, str]) -> str:
    """Return ``value``, in Markdown, with its hashes and addresses as links; Markdown changes neither those nor the URLs."""
    for one, url in links.items():
        value = value.replace(one, f"[{one}]({url})")
    return value


def _description(alert: NotifiedAlert) -> str:
    lines = [*map(text.markdown, text.summary(alert))]
    lines += [f"> {text.markdown(line)}" for line in text.continued(alert)]
    since = int(alert.starts_at)
    lines.append(f"Since <t:{since}:f> (<t:{since}:R>)")
    if alert.ends_at is not None:
        reason = f" ({text.markdown(alert.reason)})" if alert.reason else ""
        lines.append(
            f"Ended <t:{int(alert.ends_at)}:f>, after {text.span(alert.ends_at - alert.starts_at)}{reason}"
        )
    return "\n".join(line for line in lines if line)


def _size(embed: DiscordEmbed) -> int:
    texts: list[Any] = [embed.title, embed.description, (embed.footer or {}).get("text")]
    texts += [part for field in embed.fields for part in (field["name"], field["value"])]
    return sum(_units(part) for part in texts if part)


def _units(content: str) -> int:
    return len(content.encode("utf-16-le")) // 2


def _receipt(answer: Answer, redact: Redactor) -> Receipt:
    """Return the id of the message in the channel. Raises ``DeliveryError``, without secrets (S9), for any other answer."""
    if 300 <= answer.status < 400:
        raise DeliveryError(
            "Discord's URL redirects elsewhere; set the channel's own webhook URL",
            permanent=True,
            refused=True,
        )
    fields = answer.json_object()
    retry_after = fields.get("retry_after")
    check_status(
        "Discord",
        answer.status,
        answer.headers,
        detail=_detail(fields, redact),
        retry_after=seconds(str(retry_after)) if isinstance(retry_after, int | float) else None,
    )
    if "id" in fields:
        return Receipt({"message": str(fields["id"])[:ID_MAX]})
    if answer.status == 200:
        raise DeliveryError("the URL answers, but not as Discord does: is it the channel's webhook URL?")
    return Receipt()


def _detail(fields: Mapping[str, Any], redact: Redactor) -> str:
    return clean(redact(str(fields.get("message", "")))[:DETAIL_MAX])
