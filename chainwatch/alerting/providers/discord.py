"""A Discord channel, by webhook.

The package discord-webhook builds the message, no more: its posting follows redirects and reads answers of any size.
Limits: discord.com/developers/docs/resources/message#embed-object-embed-limits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import msgspec
from discord_webhook import DiscordEmbed, DiscordWebhook  # type: ignore[import-untyped]  # no stubs

from chainwatch.alerting.delivery.notification import LAST_TIME, Notification, NotifiedAlert
from chainwatch.alerting.providers import text
from chainwatch.alerting.providers.provider import DeliveryError, check_status, seconds
from chainwatch.alerting.providers.transport import Answer, post
from chainwatch.config import DiscordSettings
from chainwatch.support.nesting import is_too_deep
from chainwatch.support.printable import clean
from chainwatch.support.redaction import Redactor, parts_of_url

CONTENT_MAX, TITLE_MAX, DESCRIPTION_MAX, FIELDS_MAX = 2000, 256, 4096, 25
FIELD_NAME_MAX, FIELD_VALUE_MAX, FOOTER_MAX = 256, 1024, 2048
EMBEDS_MAX, TOTAL_MAX = 10, 6000
URL_MAX = 2048
SHORT_VALUE = 40
"""Values up to this length stand side by side."""

TIMEOUT = 30.0
"""Seconds for a whole message."""
ANSWER_TIMEOUT = 10.0
"""Seconds for the body of an answer, which says whether the message is in the channel."""
LONGEST_WAIT = 30.0
"""Seconds that messages wait for the rate limit that an answer told of."""

DETAIL_MAX = 200
"""Characters of what an answer says."""

COLORS = {"P0": 0xB00020, "P1": 0xE53935, "P2": 0xFB8C00, "P3": 0x1E88E5}
RESOLVED_COLOR = 0x43A047

HEADERS = {
    "Content-Type": "application/json",
    # discord.com/developers/docs/reference#user-agent
    "User-Agent": "DiscordBot (https://github.com/chainwatch/chainwatch, 0.1)",
}
_PAYLOAD = ("content", "embeds", "username", "allowed_mentions")


class DiscordProvider:
    """Sends each notification as one message, one at a time."""

    concurrency = 1

    def __init__(self, settings: DiscordSettings) -> None:
        self.allow_private = settings.allow_private
        self._settings = settings
        self._url = confirmed(settings.url.get_secret_value())
        self._redact = Redactor(parts_of_url(self._url))
        self._free_at = 0.0

    async def deliver(self, notification: Notification, session: aiohttp.ClientSession) -> None:
        """Send it and wait until Discord confirms the message. Raises ``DeliveryError``."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._free_at - loop.time()))
        content = msgspec.json.encode(payload(notification, self._settings))
        answer = await post(
            session,
            self._url,
            content,
            HEADERS,
            who="Discord",
            within=TIMEOUT,
            answer_within=ANSWER_TIMEOUT,
        )
        self._note_rate_limit(answer, loop.time())
        _check(answer, self._redact)

    def _note_rate_limit(self, answer: Answer, now: float) -> None:
        if answer.headers.get("X-RateLimit-Remaining") == "0":
            wait = seconds(answer.headers.get("X-RateLimit-Reset-After")) or 0.0
            self._free_at = now + min(LONGEST_WAIT, wait)


def confirmed(url: str) -> str:
    """A webhook's URL by which Discord answers with the message that it made of it."""
    parts = urlsplit(url)
    query = "&".join(part for part in (parts.query, "wait=true") if part)
    return urlunsplit(parts._replace(query=query))


def payload(notification: Notification, settings: DiscordSettings) -> dict[str, Any]:
    """The message within Discord's limits; alerts that do not fit are counted in its text. Nobody is mentioned."""
    message = _message(notification, settings).json
    return {key: message[key] for key in _PAYLOAD if key in message}


def _message(notification: Notification, settings: DiscordSettings) -> DiscordWebhook:
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
    return message


def fit(content: str, limit: int) -> str:
    """``content`` cut to ``limit`` as Discord counts (UTF-16 units), never within an escape."""
    if _units(content) <= limit:
        return content
    kept = content.encode("utf-16-le")[: 2 * (limit - 1)].decode("utf-16-le", "ignore")
    trailing = len(kept) - len(kept.rstrip("\\"))
    return kept[: len(kept) - trailing % 2] + "…"


def _embed(alert: NotifiedAlert, room: int) -> DiscordEmbed | None:
    """One alert in at most ``room`` characters, or None when not even its title fits."""
    firing = alert.status == "firing"
    embed = DiscordEmbed(
        title=fit(f"{alert.severity} {alert.status.upper()}: {text.markdown(alert.name)}", TITLE_MAX),
        color=COLORS.get(alert.severity, COLORS["P3"]) if firing else RESOLVED_COLOR,
        fields=[],
    )
    embed.set_footer(text=fit(f"{alert.fingerprint}", FOOTER_MAX))
    embed.set_timestamp(min(alert.starts_at, LAST_TIME))  # a chain may claim any time
    room -= _size(embed)
    if room < 0:
        return None
    runbook = alert.annotations.get("runbook_url", "")
    if runbook.startswith(("https://", "http://")) and len(runbook) <= URL_MAX and " " not in clean(runbook):
        embed.set_url(runbook)
    said = fit(_description(alert), min(DESCRIPTION_MAX, max(room, 1)))
    if said and _units(said) <= room:
        embed.set_description(said)
        room -= _units(said)
    for name, value in text.facts(alert)[:FIELDS_MAX]:
        name, value = fit(text.markdown(name), FIELD_NAME_MAX), fit(text.markdown(value), FIELD_VALUE_MAX)
        room -= _units(name) + _units(value)
        if room < 0:
            break
        embed.add_embed_field(name, value, inline=len(value) <= SHORT_VALUE)
    return embed


def _description(alert: NotifiedAlert) -> str:
    lines = [*map(text.markdown, text.summary(alert))]
    lines += [f"> {text.markdown(line)}" for line in text.continued(alert)]
    since = int(alert.starts_at)
    lines.append(f"Since <t:{since}:f> (<t:{since}:R>)")
    if alert.ends_at is not None:
        why = f" ({text.markdown(alert.reason)})" if alert.reason else ""
        lines.append(
            f"Ended <t:{int(alert.ends_at)}:f>, after {text.span(alert.ends_at - alert.starts_at)}{why}"
        )
    return "\n".join(line for line in lines if line)


def _size(embed: DiscordEmbed) -> int:
    texts: list[Any] = [embed.title, embed.description, (embed.footer or {}).get("text")]
    texts += [part for field in embed.fields for part in (field["name"], field["value"])]
    return sum(_units(part) for part in texts if part)


def _units(content: str) -> int:
    return len(content.encode("utf-16-le")) // 2


def _check(answer: Answer, redact: Redactor) -> None:
    """Raise ``DeliveryError`` unless Discord says that the message is in the channel; it names no secret (S9)."""
    if 300 <= answer.status < 400:
        raise DeliveryError(
            "Discord's URL redirects elsewhere; set the channel's own webhook URL",
            permanent=True,
            refused=True,
        )
    said = _json_object(answer.body)
    retry_after = said.get("retry_after")
    check_status(
        "Discord",
        answer.status,
        answer.headers,
        detail=_detail(said, redact),
        retry_after=seconds(str(retry_after)) if isinstance(retry_after, int | float) else None,
    )
    if answer.status == 200 and "id" not in said:
        raise DeliveryError("the URL answers, but not as Discord does: is it the channel's webhook URL?")


def _detail(said: Mapping[str, Any], redact: Redactor) -> str:
    return clean(redact(str(said.get("message", "")))[:DETAIL_MAX])


def _json_object(content: bytes) -> dict[str, Any]:
    try:
        decoded = None if is_too_deep(content) else msgspec.json.decode(content)
    except (msgspec.DecodeError, ValueError):  # whoever answers may answer anything
        return {}
    return decoded if isinstance(decoded, dict) else {}
