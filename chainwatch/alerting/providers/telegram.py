"""A chat on Telegram, by a bot.

The first message about a group is edited as the group changes, and each notification after it is a reply to it, since an
edit notifies nobody. With ``allowed_users``, messages have buttons (``telegram_updates``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

import structlog
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, StrictBool

from chainwatch.alerting.delivery.notification import Notification
from chainwatch.alerting.providers import telegram_html
from chainwatch.alerting.providers.actions import Act
from chainwatch.alerting.providers.edits import EditedMessage, compose, receipt
from chainwatch.alerting.providers.pacing import Rate
from chainwatch.alerting.providers.provider import Capabilities, DeliveryError, Receipt
from chainwatch.alerting.providers.telegram_api import WHO, TelegramApi, TelegramError
from chainwatch.alerting.providers.telegram_updates import Allowed, Updates
from chainwatch.alerting.providers.transport import Transport
from chainwatch.config.receivers import ALLOW_PRIVATE, ReceiverSettings
from chainwatch.config.types import Expected, HeaderValue, WebLink

TO_A_CHAT, TO_A_GROUP = Rate(1, 1.0), Rate(20, 60.0)
"""Messages to any chat, and to a group: core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this."""
UNCHANGED = "message is not modified"
GONE = ("message to edit not found", "message can't be edited", "message_id_invalid")
"""Parts of descriptions, in small letters, that say that the first message cannot be changed: another takes its place."""

_log = structlog.get_logger("chainwatch.telegram")


def _token(secret: SecretStr) -> SecretStr:
    if not re.fullmatch("[0-9A-Za-z_:-]+", secret.get_secret_value()):  # it becomes part of URLs
        raise Expected("a bot's token as @BotFather gives it, such as 123456789:AAF…")
    return secret


def _chat(value: object) -> object:
    """Return a chat as Telegram needs it; an id from an environment variable is text."""
    if isinstance(value, str) and re.fullmatch("-?[0-9]{1,18}", value):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        raise Expected("a chat's id, such as -1001234567890, or a channel's name, such as @alerts")
    return value


def _user(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        raise Expected("a user's id, such as 123456789, or name, such as @ann")
    return int(value) if isinstance(value, str) and re.fullmatch("[0-9]{1,18}", value) else value


class TelegramSettings(ReceiverSettings):
    """A chat on Telegram, by a bot."""

    token: Annotated[HeaderValue, AfterValidator(_token)] = Field(
        description="The bot's token from @BotFather (secret)."
    )
    chat_id: Annotated[int | str, BeforeValidator(_chat)] = Field(
        description="The chat's id, negative for a group, or a public channel's name with `@`. The bot must be in it."
    )
    allowed_users: list[Annotated[int | str, BeforeValidator(_user)]] = Field(
        default=[],
        description="Who may use the buttons Acknowledge and Silence 1 h: ids of users, or names, which their owners "
        "may change. Default: nobody, and messages have no buttons.",
    )
    api_url: WebLink = Field(default="https://api.telegram.org", description="Where the Bot API is.")
    allow_private: StrictBool = Field(default=False, description=ALLOW_PRIVATE)


class TelegramProvider:
    """Sends one message at a time. Its receipts have the first message's chat and id as ``chat`` and ``message``."""

    settings_type = TelegramSettings

    def __init__(self, settings: TelegramSettings, transport: Transport) -> None:
        token = settings.token.get_secret_value()
        self._api = TelegramApi(transport, settings.api_url, token, allow_private=settings.allow_private)
        self._account = f"{settings.api_url} {token}"
        self._chat: int | str = settings.chat_id
        self._to = str(settings.chat_id)
        self._has_buttons = bool(settings.allowed_users)
        self.allowed = Allowed.of(settings.allowed_users)
        self.server = self._api.server
        is_group = isinstance(settings.chat_id, str) or settings.chat_id < 0
        rates = (TO_A_CHAT, TO_A_GROUP) if is_group else (TO_A_CHAT,)
        self.capabilities = Capabilities(keeps_receipts=True, edits=True, rates=rates)
        self._turns = transport.pace((self._account, self._to), self.capabilities)

    @property
    def account(self) -> str | None:
        """What receivers with the same bot share; None where there are no buttons."""
        return self._account if self._has_buttons else None

    def render(self, notification: Notification, previous: Receipt | None) -> EditedMessage:
        """Return the message; it replaces the one of ``previous`` unless all of that was over and something fires again."""
        return compose(
            notification,
            previous,
            self._to,
            whole=telegram_html.arguments(notification, buttons=self._has_buttons),
            follow_up=telegram_html.follow_up,
        )

    async def send(self, message: EditedMessage) -> Receipt:
        """Send the message, or edit the first one and reply to it. Raises ``DeliveryError``."""
        if message.first is not None and await self._edited(message, message.first):
            chat, number = message.first["chat"], message.first["message"]
            if message.follow_up is not None:
                replied = {"message_id": int(number), "allow_sending_without_reply": True}
                await self._call(
                    "sendMessage", {"chat_id": int(chat), "reply_parameters": replied, **message.follow_up}
                )
            return receipt(self._to, is_over=message.is_over, chat=chat, message=number)
        if message.follow_up is None:
            return Receipt()  # an update, of a message that is gone
        sent = await self._call("sendMessage", {"chat_id": self._chat, **message.whole})
        chat_id, message_id = _ids(sent)
        return receipt(self._to, is_over=message.is_over, chat=str(chat_id), message=str(message_id))

    def end_pause(self) -> None:
        """Send again, though Telegram has asked for a pause."""
        self._turns.end_pause()

    async def listen(self, receivers: Mapping[str, TelegramProvider], act: Act) -> None:
        """Perform clicks on messages of ``receivers``, for ever. Raises ``DeliveryError``."""
        await Updates(self._api).listen({name: one.allowed for name, one in receivers.items()}, act)

    async def _edited(self, message: EditedMessage, first: Mapping[str, str]) -> bool:
        """Edit the first message; False where it cannot be edited any more."""
        ids = {"chat_id": int(first["chat"]), "message_id": int(first["message"])}
        try:
            await self._call("editMessageText", {**ids, **message.whole})
        except TelegramError as error:
            said = error.description.lower()
            if error.moved_to is not None or (error.code == 400 and any(part in said for part in GONE)):
                return False
            if error.code == 400 and UNCHANGED in said:
                return True
            if error.permanent and message.follow_up is not None:
                return False  # people must be notified: a message of its own does so
            raise
        return True

    async def _call(self, method: str, arguments: Mapping[str, Any]) -> Any:
        try:
            return await self._turns.call(WHO, partial(self._api.call, method, arguments))
        except TelegramError as error:
            if error.moved_to is not None:  # the queue tries again, there
                _log.warning("a group has become a supergroup: set chat_id", old=self._to, new=error.moved_to)
                self._chat = error.moved_to
            raise


def _ids(sent: object) -> tuple[int, int]:
    """Return the chat and the id of a message that was sent. Raises ``DeliveryError``."""
    chat = sent.get("chat") if isinstance(sent, dict) else None
    chat_id = chat.get("id") if isinstance(chat, dict) else None
    message_id = sent.get("message_id") if isinstance(sent, dict) else None
    if type(chat_id) is not int or type(message_id) is not int:
        raise DeliveryError(f"{WHO} took the message, but does not say what it calls it")
    return chat_id, message_id
