"""Calls to Telegram's Bot API, and its refusals as errors: core.telegram.org/bots/api#making-requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

import msgspec

from chainwatch.alerting.providers.provider import DeliveryError, Server, check_status, seconds
from chainwatch.alerting.providers.transport import Transport
from chainwatch.support.printable import clean
from chainwatch.support.redaction import Redactor, parts_of

WHO = "Telegram"
TIMEOUT = 20.0
"""Seconds for a whole call, beyond the time for which it asks Telegram to wait."""
ANSWER_TIMEOUT = 10.0
"""Seconds for the body of an answer, which confirms the call."""
DETAIL_MAX = 200
"""Characters of an answer's text that an error repeats."""
MAY_PASS = frozenset({408, 409, 425, 429})
"""Codes of refusals that may not last; 409: another program receives this bot's updates just now."""
REMEDIES = {
    401: "the token is not valid: copy it again from @BotFather",
    403: "the bot was blocked or removed: invite it again",
    404: "the token is not valid: copy it again from @BotFather",
}


class TelegramError(DeliveryError):
    """Telegram refused a call. ``code``: as an HTTP status; ``description``: in its words, without secrets.

    ``moved_to``: the id of the supergroup that the group has become, if that is why.
    """

    def __init__(
        self, code: int, description: str, *, retry_after: float | None, moved_to: int | None
    ) -> None:
        remedy = f": {REMEDIES[code]}" if code in REMEDIES else ""
        if moved_to is not None:
            remedy = f": the group has become a supergroup; set chat_id = {moved_to}"
        super().__init__(
            f"{WHO} answered {code} {description}{remedy}",
            retry_after=retry_after,
            permanent=300 <= code < 500 and code not in MAY_PASS and moved_to is None,
            refused=code < 500,
        )
        self.code = code
        self.description = description
        self.moved_to = moved_to


class TelegramApi:
    """The Bot API at ``url`` for the bot with ``token``, which is part of every call's URL. Nothing is tried twice."""

    def __init__(self, transport: Transport, url: str, token: str, *, allow_private: bool) -> None:
        self._transport = transport
        self._base = f"{url.rstrip('/')}/bot{token}"
        self._allow_private = allow_private
        self._redact = Redactor([*parts_of(token), *token.split(":")])

    @property
    def server(self) -> Server:
        """Where calls go."""
        return self._server("getMe")

    async def call(self, method: str, arguments: Mapping[str, Any], *, waits: float = 0.0) -> Any:
        """Return the ``result`` of a call; ``waits``: seconds for which the arguments ask Telegram to wait.

        Raises ``TelegramError``, and ``DeliveryError`` where there is no answer of Telegram's.
        """
        answer = await self._transport.post(
            self._server(method),
            msgspec.json.encode(arguments),
            {"Content-Type": "application/json", "User-Agent": "chainwatch"},
            who=WHO,
            within=TIMEOUT + waits,
            answer_within=ANSWER_TIMEOUT,
        )
        fields = answer.json_object()
        if fields.get("ok") is True and 200 <= answer.status < 300:
            return fields.get("result")
        if fields.get("ok") is False:
            raise self._refusal(answer.status, fields)
        check_status(WHO, answer.status, answer.headers)
        raise DeliveryError("the address answers, but not as Telegram does, or only in part")

    def _refusal(self, status: int, fields: Mapping[str, Any]) -> TelegramError:
        parameters = fields.get("parameters")
        more = parameters if isinstance(parameters, dict) else {}
        code, moved_to, wait = (
            fields.get("error_code"),
            more.get("migrate_to_chat_id"),
            more.get("retry_after"),
        )
        return TelegramError(
            code if _is_integer(code) and 300 <= code < 600 else status,
            clean(self._redact(str(fields.get("description", "")))[:DETAIL_MAX]),
            retry_after=seconds(str(wait)) if isinstance(wait, int | float) else None,
            moved_to=moved_to if _is_integer(moved_to) else None,
        )

    def _server(self, method: str) -> Server:
        return Server(f"{self._base}/{method}", self._allow_private)


def _is_integer(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
