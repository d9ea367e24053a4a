"""A channel on Slack, by an incoming webhook or by a bot's token.

With a token, the first message about a group is edited as the group changes, and each notification after it is a reply in
its thread. With an app's token too, messages have buttons (``slack_socket``).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Self

from pydantic import Field, SecretStr, StrictBool, model_validator

from chainwatch.alerting.delivery.notification import Notification
from chainwatch.alerting.providers import slack_blocks
from chainwatch.alerting.providers.actions import Act
from chainwatch.alerting.providers.edits import EditedMessage, compose, receipt
from chainwatch.alerting.providers.pacing import Rate
from chainwatch.alerting.providers.provider import Capabilities, DeliveryError, Receipt, Server
from chainwatch.alerting.providers.slack_api import WHO, SlackApi, SlackError, post_to_webhook
from chainwatch.alerting.providers.slack_socket import SocketMode
from chainwatch.alerting.providers.transport import Transport
from chainwatch.config.receivers import ALLOW_PRIVATE, ReceiverSettings
from chainwatch.config.types import Expected, HeaderValue, HttpUrl, Text, WebLink

RATES = (Rate(1, 1.0),)
"""Messages to one channel: docs.slack.dev/apis/web-api/rate-limits."""
GONE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed", "thread_not_found"})
"""Errors that say that the first message cannot be changed any more: another one takes its place."""
ID_MAX = 100
"""Characters of Slack's ids that are kept; they have about 20."""
PLAIN = {"unfurl_links": False, "unfurl_media": False}
"""Arguments of every message: no page that a text names is fetched and shown."""


class SlackSettings(ReceiverSettings):
    """A channel on Slack: by `url`, or by `token` and `channel`."""

    url: HttpUrl | None = Field(
        default=None,
        description="The incoming webhook's URL (secret). Its messages are never edited and have no buttons.",
        examples=["${SLACK_WEBHOOK_URL}"],
    )
    token: HeaderValue | None = Field(
        default=None, description="The bot's token, `xoxb-…` (secret), with the scope `chat:write`."
    )
    channel: Text | None = Field(
        default=None,
        description="The channel's id, such as `C0123456789`. The app must have been invited to it.",
    )
    app_token: HeaderValue | None = Field(
        default=None,
        description="The app's token, `xapp-…` (secret), with the scope `connections:write`: messages get the buttons "
        "Acknowledge and Silence 1 h, for everybody who is in the channel.",
    )
    api_url: WebLink = Field(default="https://slack.com/api", description="Where Slack's Web API is.")
    allow_private: StrictBool = Field(default=False, description=ALLOW_PRIVATE)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.url is None) == (self.token is None):
            raise Expected(
                "either url or token", "set url of an incoming webhook, or token of a bot and channel"
            )
        if (self.token is None) != (self.channel is None):
            raise Expected(
                "token and channel together", "a webhook has a channel of its own, a bot needs one"
            )
        if self.app_token is not None and self.token is None:
            raise Expected("token beside app_token", "buttons are answered by the bot")
        return self


class SlackProvider:
    """Sends one message at a time.

    Its receipts have the channel's id as ``channel``, and the first message's timestamp as ``message``.
    """

    settings_type = SlackSettings

    def __init__(self, settings: SlackSettings, transport: Transport) -> None:
        self._transport = transport
        self._api = SlackApi(transport, settings.api_url, allow_private=settings.allow_private)
        self._token = _plain(settings.token)
        self._app_token = _plain(settings.app_token)
        self._channel = settings.channel or ""
        webhook = _plain(settings.url)
        self._webhook = Server(webhook, settings.allow_private) if webhook else None
        self.server = self._webhook or Server(f"{self._api.url}/api.test", settings.allow_private)
        has_token = self._webhook is None
        self.capabilities = Capabilities(keeps_receipts=has_token, edits=has_token, rates=RATES)
        self._turns = transport.pace((WHO, webhook or self._token, self._channel), self.capabilities)

    @property
    def account(self) -> str | None:
        """What receivers share that use the same app; None where there are no buttons."""
        return f"{self._api.url} {self._app_token} {self._token}" if self._app_token else None

    def render(self, notification: Notification, previous: Receipt | None) -> EditedMessage:
        """Return the message; it replaces the one of ``previous`` unless all of that was over and something fires again."""
        return compose(
            notification,
            previous,
            self._channel,
            whole=slack_blocks.body(notification, buttons=bool(self._app_token)),
            follow_up=slack_blocks.follow_up,
        )

    async def send(self, message: EditedMessage) -> Receipt:
        """Post the message, or edit the first one and reply to it. Raises ``DeliveryError``."""
        if self._webhook is not None:
            content = {**message.whole, **PLAIN}
            await self._turns.call(WHO, partial(post_to_webhook, self._transport, self._webhook, content))
            return Receipt()
        if message.first is not None:
            try:
                return await self._follow_up(message, message.first)
            except SlackError as error:
                if error.code not in GONE and not (error.permanent and message.follow_up is not None):
                    raise  # of what people must be notified, a message of its own does so
        if message.follow_up is None:
            return Receipt()  # an update, of a message that is gone
        posted = await self._post("chat.postMessage", {"channel": self._channel, **message.whole, **PLAIN})
        channel, timestamp = posted.get("channel"), posted.get("ts")
        if not isinstance(channel, str) or not isinstance(timestamp, str):
            raise DeliveryError(f"{WHO} took the message, but does not say what it calls it")
        channel, timestamp = channel[:ID_MAX], timestamp[:ID_MAX]
        return receipt(self._channel, is_over=message.is_over, channel=channel, message=timestamp)

    def end_pause(self) -> None:
        """Send again, though Slack has asked for a pause."""
        self._turns.end_pause()

    async def listen(self, receivers: Mapping[str, Self], act: Act) -> None:
        """Perform clicks on messages of ``receivers``, for ever. Raises ``DeliveryError``."""
        await SocketMode(self._transport, self._api, self._app_token, self._token).listen(receivers, act)

    async def _follow_up(self, message: EditedMessage, first: Mapping[str, str]) -> Receipt:
        """Edit, then reply: an edit can be repeated if the reply fails."""
        channel, timestamp = first["channel"], first["message"]
        await self._post("chat.update", {"channel": channel, "ts": timestamp, **message.whole})
        if message.follow_up is not None:
            reply = {"channel": channel, "thread_ts": timestamp, **message.follow_up, **PLAIN}
            await self._post("chat.postMessage", {**reply, "reply_broadcast": not message.is_over})
        return receipt(self._channel, is_over=message.is_over, channel=channel, message=timestamp)

    async def _post(self, method: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        return await self._turns.call(WHO, partial(self._api.call, method, self._token, arguments))


def _plain(secret: SecretStr | None) -> str:
    return "" if secret is None else secret.get_secret_value()
