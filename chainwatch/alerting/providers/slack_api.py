"""Calls to Slack: methods of the Web API with a token, and incoming webhooks; their refusals as errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from chainwatch.alerting.providers.provider import RETRYABLE, DeliveryError, Server, check_status
from chainwatch.alerting.providers.transport import Answer, Transport
from chainwatch.support import http_client
from chainwatch.support.printable import clean
from chainwatch.support.redaction import Redactor, parts_of_url

WHO = "Slack"
TIMEOUT = 20.0
"""Seconds for a whole call."""
ANSWER_TIMEOUT = 10.0
"""Seconds for the body of an answer, which says whether the call succeeded."""
RATE_LIMITED_FOR = 30.0
"""Seconds to wait where Slack says that there were too many calls, but not for how long."""
DETAIL_MAX = 200
"""Characters of an answer's text that an error repeats."""

LIMITED = frozenset({"ratelimited", "rate_limited", "message_limit_exceeded"})
MAY_PASS = frozenset(
    {
        *LIMITED,
        "accesslimited",
        "external_channel_migrating",
        "fatal_error",
        "internal_error",
        "request_timeout",
        "service_unavailable",
        "team_added_to_org",
        "too_many_websockets",
    }
)
"""Errors that may not last; all others are about the settings or the message, and come again."""
UNCERTAIN = frozenset({"fatal_error", "internal_error", "request_timeout", "service_unavailable"})
"""Errors after which the message may be in the channel all the same."""
REMEDIES = {
    "account_inactive": "the token's app or user was removed: install it again",
    "channel_not_found": "set the channel's id, and invite the app to it",
    "invalid_auth": "the token is not valid: copy it again",
    "is_archived": "the channel is archived",
    "missing_scope": "give the app the scope chat:write and install it again",
    "not_allowed_token_type": "the token is of another kind: a bot's begins with xoxb-, an app's with xapp-",
    "not_authed": "the token is missing",
    "not_in_channel": "invite the app to the channel",
    "token_expired": "the token has expired: make another one",
    "token_revoked": "the token was revoked: install the app again",
}


class SlackError(DeliveryError):
    """Slack answered that a call failed. ``code``: its word for why, such as ``channel_not_found``.

    ``status``: the HTTP status beside it, usually 200.
    """

    def __init__(self, code: str, status: int, retry_after: float | None) -> None:
        shown = clean(code)[:DETAIL_MAX]
        remedy = f": {REMEDIES[code]}" if code in REMEDIES else ""
        if code in LIMITED and retry_after is None:
            retry_after = RATE_LIMITED_FOR
        super().__init__(
            f"{WHO} answered {shown}{remedy}",
            retry_after=retry_after,
            permanent=code not in MAY_PASS and status < 500 and status not in RETRYABLE,
            refused=code not in UNCERTAIN and status < 500,
        )
        self.code = code


class SlackApi:
    """The Web API at ``url``. Nothing is tried twice."""

    def __init__(self, transport: Transport, url: str, *, allow_private: bool) -> None:
        self.url = url.rstrip("/")
        self.allow_private = allow_private
        self._transport = transport

    async def call(self, method: str, token: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer's object. Raises ``SlackError``, and ``DeliveryError`` where there is no answer of Slack's."""
        answer = await self._transport.post(
            Server(f"{self.url}/{method}", self.allow_private),
            msgspec.json.encode(arguments),
            {
                "Authorization": f"Bearer {token}",
                "Content-Type": "application/json; charset=utf-8",
                "User-Agent": "chainwatch",
            },
            who=WHO,
            within=TIMEOUT,
            answer_within=ANSWER_TIMEOUT,
        )
        fields = answer.json_object()
        code = fields.get("error")
        if isinstance(code, str) and fields.get("ok") is False:
            raise SlackError(Redactor([token])(code), answer.status, http_client.retry_after(answer.headers))
        check_status(WHO, answer.status, answer.headers)
        if fields.get("ok") is not True:
            raise DeliveryError("the address answers, but not as Slack does, or only in part")
        return fields


async def post_to_webhook(transport: Transport, server: Server, content: Mapping[str, Any]) -> None:
    """POST a message to an incoming webhook (docs.slack.dev/messaging/sending-messages-using-incoming-webhooks).

    Raises ``DeliveryError``.
    """
    answer = await transport.post(
        server,
        msgspec.json.encode(content),
        {"Content-Type": "application/json", "User-Agent": "chainwatch"},
        who=WHO,
        within=TIMEOUT,
        answer_within=ANSWER_TIMEOUT,
    )
    said = _said(answer, Redactor(parts_of_url(server.url)))
    check_status(WHO, answer.status, answer.headers, detail=said)
    if said not in ("ok", ""):  # nothing: the status came, and the body was lost
        raise DeliveryError("the URL answers, but not as Slack does: is it the incoming webhook's URL?")


def _said(answer: Answer, redact: Redactor) -> str:
    return clean(redact(answer.body[: 4 * DETAIL_MAX].decode(errors="replace").strip())[:DETAIL_MAX])
