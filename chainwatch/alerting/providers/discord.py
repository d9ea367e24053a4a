"""A Discord channel, by webhook.

The first message about a group is edited as the group changes; each notification after it is a short message of its own,
since an edit notifies nobody.
The package discord-webhook only builds the message: its own client follows redirects and reads answers of any size.
Limits: discord.com/developers/docs/resources/message#embed-object-embed-limits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote, urlsplit, urlunsplit

import msgspec
from pydantic import AfterValidator, Field, StrictBool

from chainwatch.alerting.delivery.notification import LAST_TIME, Notification, NotifiedAlert
from chainwatch.alerting.providers import text
from chainwatch.alerting.providers.edits import EditedMessage, compose, receipt
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
from chainwatch.config.types import AtLeastOne, Expected, HttpUrl, Severity
from chainwatch.config.types import Text as DisplayName
from chainwatch.grammar.durations import span
from chainwatch.support.printable import clean
from chainwatch.support.redaction import Redactor, parts_of_url

if TYPE_CHECKING:
    from discord_webhook import DiscordEmbed  # type: ignore[import-untyped]  # no stubs

WHO = "Discord"
TOO_MANY = 429

CONTENT_MAX, TITLE_MAX, DESCRIPTION_MAX, FIELDS_MAX = 2000, 256, 4096, 25
FIELD_NAME_MAX, FIELD_VALUE_MAX, FOOTER_MAX = 256, 1024, 2048
EMBEDS_MAX, TOTAL_MAX = 10, 6000
URL_MAX = 2048
SHORT_MAX = 300
"""Characters of an alert's summary in a message after the first."""
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
CANNOT_EDIT = frozenset({403, 404, 405})
"""Statuses of an edit after which a message of its own is sent: the first one was deleted, or is another webhook's."""
TOO_MANY_EDITS, THREAD_ARCHIVED = 30046, 50083
"""Codes with the same consequence: the limit for messages older than an hour; a new message opens the thread again."""

_MENTION = re.compile("@everyone|@here|<@(?P<user>[0-9]{1,20})>|<@&(?P<role>[0-9]{1,20})>")


def _mention(text: str) -> str:
    if not _MENTION.fullmatch(text):
        raise Expected("@everyone, @here, a role as <@&123> or a user as <@123>")
    return text


Mention = Annotated[str, AfterValidator(_mention)]


class DiscordSettings(ReceiverSettings):
    """A channel on Discord."""

    url: HttpUrl = Field(
        description="The channel's webhook URL (secret).", examples=["${DISCORD_WEBHOOK_URL}"]
    )
    username: DisplayName | None = Field(
        default=None, description="Sender's name. Default: as set on Discord."
    )
    mentions: dict[Severity, list[Mention]] = Field(
        default={},
        description="Severity → whom to mention when such alerts fire: `@everyone`, `@here`, a role as `<@&123>`, a user as "
        "`<@123>`. Default: nobody.",
    )
    allow_private: StrictBool = Field(default=False, description=ALLOW_PRIVATE)
    rate_limit: dict[Severity, AtLeastOne] = Field(
        default={"P0": 10, "P1": 5, "P2": 3, "P3": 1}, description=RATE_LIMIT
    )


class DiscordProvider:
    """Sends one message at a time; its receipts hold the first message's id as ``message``."""

    settings_type = DiscordSettings
    capabilities = Capabilities(keeps_receipts=True, edits=True)

    def __init__(self, settings: DiscordSettings, transport: Transport) -> None:
        url = settings.url.get_secret_value()
        self.server = Server(confirmed(url), settings.allow_private)
        self._settings = settings
        self._to = urlsplit(url).path.rpartition("/")[0]  # without the token, which a receipt must not hold
        self._transport = transport
        self._redact = Redactor(parts_of_url(self.server.url))
        self._turns = transport.pace((WHO, self.server.url), self.capabilities)

    def render(self, notification: Notification, previous: Receipt | None) -> EditedMessage:
        """Return the message; it replaces the one of ``previous`` unless all of that was over and something fires again."""
        return compose(
            notification,
            previous,
            self._to,
            whole=payload(notification, self._settings),
            follow_up=partial(follow_up, settings=self._settings),
        )

    async def send(self, message: EditedMessage) -> Receipt:
        """Post the message, or edit the first one and post a short one after it. Raises ``DeliveryError``."""
        if message.first is not None and await self._edited(message, message.first["message"]):
            if message.follow_up is not None:
                await self._post(message.follow_up)
            return self._receipt(message, message.first["message"])
        if message.follow_up is None:
            return Receipt()  # an update, of a message that is gone
        return self._receipt(message, await self._post(message.whole))

    def end_pause(self) -> None:
        """Send again, though Discord has asked for a pause."""
        self._turns.end_pause()

    def _receipt(self, message: EditedMessage, message_id: str | None) -> Receipt:
        if message_id is None:
            return Receipt()
        return receipt(self._to, is_over=message.is_over, message=message_id)

    async def _post(self, body: Mapping[str, Any]) -> str | None:
        """Return the id of a new message, once Discord confirms it; None where it gives none."""
        return _message_id(await self._request("POST", self.server, body), self._redact)

    async def _edited(self, message: EditedMessage, message_id: str) -> bool:
        """Edit the first message; False where it cannot be edited any more."""
        server = Server(
            edited(self._settings.url.get_secret_value(), message_id), self._settings.allow_private
        )
        body = {key: value for key, value in message.whole.items() if key != "username"}
        answer = await self._request("PATCH", server, body)
        if answer.status in CANNOT_EDIT or _code(answer) in (TOO_MANY_EDITS, THREAD_ARCHIVED):
            return False
        try:
            _check(answer, self._redact)
        except DeliveryError as error:
            if error.permanent and message.follow_up is not None:
                return False  # people must be notified: a message of its own does so
            raise
        return True

    async def _request(self, method: str, server: Server, body: Mapping[str, Any]) -> Answer:
        """Return the answer, once the channel may be called; receivers that share the webhook share its rate limit."""
        return await self._turns.call(WHO, partial(self._exchange, method, server, body))

    async def _exchange(self, method: str, server: Server, body: Mapping[str, Any]) -> Answer:
        answer = await self._transport.request(
            method,
            server,
            msgspec.json.encode(body),
            HEADERS,
            who=WHO,
            within=TIMEOUT,
            answer_within=ANSWER_TIMEOUT,
        )
        if answer.status == TOO_MANY and _code(answer) != TOO_MANY_EDITS:
            _check(answer, self._redact)  # so that nothing is sent for as long as that asks
        if answer.headers.get("X-RateLimit-Remaining") == "0":
            wait = seconds(answer.headers.get("X-RateLimit-Reset-After")) or 0.0
            self._turns.pause(min(LONGEST_WAIT, wait))
        return answer


def confirmed(url: str) -> str:
    """Return a webhook's URL with ``wait=true``: Discord then answers with the message that it has created."""
    parts = urlsplit(url)
    query = "&".join(part for part in (parts.query, "wait=true") if part)
    return urlunsplit(parts._replace(query=query))


def edited(url: str, message_id: str) -> str:
    """Return the URL at which a webhook's own message is edited (Discord's "Edit Webhook Message")."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/messages/{quote(message_id, safe='')}"))


def payload(notification: Notification, settings: DiscordSettings) -> dict[str, Any]:
    """Return the message within Discord's limits; alerts that do not fit are counted in its text."""
    embeds: list[DiscordEmbed] = []
    room = TOTAL_MAX
    alerts = text.by_urgency(notification)
    for alert in alerts[:EMBEDS_MAX]:
        embed = _embed(alert, room)
        if embed is None:
            break
        embeds.append(embed)
        room -= _size(embed)
    return _body(notification, settings, embeds, len(alerts) - len(embeds))


def follow_up(notification: Notification, settings: DiscordSettings) -> dict[str, Any]:
    """Return the message after the first one: of each alert what it is, without its facts."""
    alerts = text.by_urgency(notification)
    embeds = [_short_embed(alert) for alert in alerts[:EMBEDS_MAX]]
    return _body(notification, settings, embeds, len(alerts) - len(embeds))


def _body(
    notification: Notification, settings: DiscordSettings, embeds: list[DiscordEmbed], left: int
) -> dict[str, Any]:
    from discord_webhook import DiscordWebhook  # late: slow to import

    mentions = _mentions(notification, settings)
    content = "\n".join(
        [
            *([" ".join(mentions)] if mentions else []),
            f"**{text.markdown(text.headline(notification))}**",
            *map(text.markdown, text.overview(notification)),
        ]
    )
    if left:
        content += f"\n… and {left} more, not shown here."
    message = DiscordWebhook(
        url=settings.url.get_secret_value(),
        content=fit(content, CONTENT_MAX),
        username=settings.username,
        allowed_mentions=_allowed(mentions),
    )
    for embed in embeds:
        message.add_embed(embed)
    body = message.json
    return {key: body[key] for key in _BODY if key in body}


def _mentions(notification: Notification, settings: DiscordSettings) -> list[str]:
    """Return whom the configuration has mentioned for what fires."""
    severities = sorted({alert.severity for alert in notification.firing})
    return list(dict.fromkeys(one for severity in severities for one in settings.mentions.get(severity, ())))


def _allowed(mentions: list[str]) -> dict[str, list[str]]:
    """Return Discord's ``allowed_mentions``: these and nobody else, whatever stands in the text."""
    found = [match for one in mentions if (match := _MENTION.fullmatch(one))]
    allowed: dict[str, list[str]] = {"parse": ["everyone"] if any(one[0] == "@" for one in mentions) else []}
    for kind in ("users", "roles"):
        if ids := [match[kind[:-1]] for match in found if match[kind[:-1]]]:
            allowed[kind] = ids
    return allowed


def fit(content: str, limit: int) -> str:
    """Return ``content`` cut to ``limit`` as Discord counts (UTF-16 units), never within an escape."""
    if text.units(content) <= limit:
        return content
    kept = content.encode("utf-16-le")[: 2 * (limit - 1)].decode("utf-16-le", "ignore")
    trailing = len(kept) - len(kept.rstrip("\\"))
    return kept[: len(kept) - trailing % 2] + "…"


def _embed(alert: NotifiedAlert, room: int) -> DiscordEmbed | None:
    """Return one alert in at most ``room`` characters, or None when not even its title fits."""
    from discord_webhook import DiscordEmbed

    embed = DiscordEmbed(title=_title(alert), color=_color(alert), fields=[])
    embed.set_footer(text=fit(f"{alert.fingerprint}", FOOTER_MAX))
    embed.set_timestamp(min(alert.starts_at, LAST_TIME))  # a chain may claim any time
    room -= _size(embed)
    if room < 0:
        return None
    runbook = text.runbook(alert)
    if runbook and len(runbook) <= URL_MAX:
        embed.set_url(runbook)
    description = fit(_description(alert), min(DESCRIPTION_MAX, max(room, 1)))
    if description and text.units(description) <= room:
        embed.set_description(description)
        room -= text.units(description)
    for fact in text.facts(alert)[:FIELDS_MAX]:
        name, value = fit(text.markdown(fact.name), FIELD_NAME_MAX), text.markdown(fact.value)
        inline = len(value) <= SHORT_VALUE
        linked = _linked(value, fact.links)
        most = min(FIELD_VALUE_MAX, room - text.units(name))
        value = linked if text.units(linked) <= most else fit(value, FIELD_VALUE_MAX)
        room -= text.units(name) + text.units(value)
        if room < 0:
            break
        embed.add_embed_field(name, value, inline=inline)
    return embed


def _short_embed(alert: NotifiedAlert) -> DiscordEmbed:
    """Return an alert in two lines. Ten of these are within the limits of a message."""
    from discord_webhook import DiscordEmbed

    embed = DiscordEmbed(title=_title(alert), color=_color(alert), fields=[])
    embed.set_description(fit(" ".join(map(text.markdown, text.summary(alert)[:1])), SHORT_MAX) or "\u2026")
    return embed


def _title(alert: NotifiedAlert) -> str:
    return fit(f"{alert.severity} {alert.status.upper()}: {text.markdown(text.name_of(alert))}", TITLE_MAX)


def _color(alert: NotifiedAlert) -> int:
    return COLORS.get(alert.severity, COLORS["P3"]) if alert.status == "firing" else RESOLVED_COLOR


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
            f"Ended <t:{int(alert.ends_at)}:f>, after {span(alert.ends_at - alert.starts_at)}{reason}"
        )
    if alert.link:
        lines.append(f"[Open]({alert.link})")
    return "\n".join(line for line in lines if line)


def _size(embed: DiscordEmbed) -> int:
    texts: list[Any] = [embed.title, embed.description, (embed.footer or {}).get("text")]
    texts += [part for field in embed.fields for part in (field["name"], field["value"])]
    return sum(text.units(part) for part in texts if part)


def _message_id(answer: Answer, redact: Redactor) -> str | None:
    """Return the id of the message in the channel; None for an answer without content. Raises as ``_check``."""
    _check(answer, redact)
    fields = answer.json_object()
    if "id" in fields:
        return str(fields["id"])[:ID_MAX]
    if answer.status == 200:
        raise DeliveryError("the URL answers, but not as Discord does: is it the channel's webhook URL?")
    return None


def _code(answer: Answer) -> object:
    """Return Discord's code of an error."""
    return answer.json_object().get("code")


def _check(answer: Answer, redact: Redactor) -> None:
    """Raise ``DeliveryError``, without secrets (S9), unless Discord took a message or an edit."""
    if 300 <= answer.status < 400:
        raise DeliveryError(
            "Discord's URL redirects elsewhere; set the channel's own webhook URL",
            permanent=True,
            refused=True,
        )
    fields = answer.json_object()
    retry_after = fields.get("retry_after")
    check_status(
        WHO,
        answer.status,
        answer.headers,
        detail=_detail(fields, redact),
        retry_after=seconds(str(retry_after)) if isinstance(retry_after, int | float) else None,
    )


def _detail(fields: Mapping[str, Any], redact: Redactor) -> str:
    return clean(redact(str(fields.get("message", "")))[:DETAIL_MAX])
