"""Any HTTP server: a JSON body with an idempotency key and a signature."""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import urlsplit

import msgspec
import structlog
from pydantic import Field, SecretStr, StrictBool, ValidationInfo, field_validator, model_validator

from chainwatch.alerting.delivery.notification import Notification, template_values
from chainwatch.alerting.providers.parts import TakenParts
from chainwatch.alerting.providers.provider import Capabilities, Receipt, Server, TlsFiles, check_status
from chainwatch.alerting.providers.transport import Transport
from chainwatch.alerting.providers.webhook_bodies import Format, alertmanager, bodies
from chainwatch.config.receivers import ALLOW_PRIVATE, ReceiverSettings
from chainwatch.config.templates import TemplateText
from chainwatch.config.types import (
    Expected,
    FilePath,
    HeaderName,
    HeaderValue,
    HttpUrl,
    PositiveDuration,
    SigningKey,
)
from chainwatch.grammar.durations import parse_duration
from chainwatch.support.nesting import is_too_deep
from chainwatch.support.printable import clean

if TYPE_CHECKING:
    from chainwatch.grammar.templates import Template

WHO = "the webhook"

_log = structlog.get_logger("chainwatch.webhook")


class WebhookSettings(ReceiverSettings):
    """Any HTTP server: by default Alertmanager's webhook body, version 4."""

    url: HttpUrl = Field(description="Where to send (secret).", examples=["${ALERT_WEBHOOK_URL}"])
    method: Literal["POST", "PUT", "PATCH"] = Field(default="POST", description="The HTTP method.")
    format: Format = Field(
        default="alertmanager",
        description="`alertmanager`: its webhook body, version 4; `counterparty`: one flat object for each alert; "
        "`template`: what `body` makes of it.",
    )
    body: TemplateText | None = Field(
        default=None,
        description='The JSON body as a template, for `format = "template"`. Its values: docs/channels/templates.md.',
    )
    secret: SigningKey | None = Field(
        default=None,
        description="Key of the HMAC-SHA256 signature, four characters or more. Default: not signed.",
    )
    headers: dict[HeaderName, HeaderValue] = Field(
        default={},
        description="Further HTTP headers (secret); none may be empty. Not `Authorization` where `url` has a user.",
    )
    token: HeaderValue | None = Field(
        default=None,
        description="Sent as `Authorization: Bearer` (secret). Default: none.",
        examples=["${ALERT_WEBHOOK_TOKEN}"],
    )
    client_cert: FilePath | None = Field(
        default=None,
        description="PEM file of the certificate that is shown to the server (mTLS), read again when it changes.",
    )
    client_key: FilePath | None = Field(
        default=None, description="PEM file of its key, not encrypted. Default: in the certificate's file."
    )
    ca: FilePath | None = Field(
        default=None,
        description="PEM file of the authorities by which the server is checked. Default: the system's.",
    )
    allow_private: StrictBool = Field(default=False, description=ALLOW_PRIVATE)
    timeout: PositiveDuration = Field(
        default=parse_duration("10s"), description="Time to wait for an answer."
    )

    @field_validator("headers")
    @classmethod
    def _one_authorization(cls, headers: dict[str, SecretStr], info: ValidationInfo) -> dict[str, SecretStr]:
        url = info.data.get("url")
        if url is not None and _has_user(url) and _authorizes(headers):
            raise Expected(
                "no Authorization beside a url with a user", "a request has one of both: remove the other"
            )
        return headers

    @model_validator(mode="after")
    def _consistent(self) -> WebhookSettings:
        if self.token is not None and (_has_user(self.url) or _authorizes(self.headers)):
            raise Expected(
                "no `token` beside an Authorization header or a url with a user",
                "a request has one of them: remove the others",
            )
        if (self.body is not None) != (self.format == "template"):
            raise Expected('`body` and `format = "template"` together')
        if self.client_key is not None and self.client_cert is None:
            raise Expected("`client_cert` beside `client_key`")
        return self


class Request(NamedTuple):
    """A request's JSON body, and the key by which the server recognizes a repeated one."""

    content: bytes
    idempotency_key: str


class WebhookMessage(NamedTuple):
    """The requests of a notification, in their order, by names; ``key``: its idempotency key."""

    key: str
    requests: dict[str, Request]


class WebhookProvider:
    """Sends the requests of a notification to one URL, one after the other."""

    settings_type = WebhookSettings
    capabilities = Capabilities(concurrency=8)

    def __init__(self, settings: WebhookSettings, transport: Transport) -> None:
        self.server = Server(
            settings.url.get_secret_value(),
            settings.allow_private,
            TlsFiles(settings.client_cert, settings.client_key, settings.ca),
        )
        self._settings = settings
        self._transport = transport
        self._taken = TakenParts()
        self._template = None if settings.body is None else _compiled(settings.body)
        self._fixed_headers = {name: value.get_secret_value() for name, value in settings.headers.items()}
        if settings.token is not None:
            self._fixed_headers["Authorization"] = f"Bearer {settings.token.get_secret_value()}"

    def render(self, notification: Notification, previous: Receipt | None) -> WebhookMessage:
        """Return the bodies, which do not depend on earlier messages."""
        key = notification.idempotency_key
        if self._template is not None:
            return WebhookMessage(key, {"": Request(_templated(notification, self._template), key)})
        requests = {
            name: Request(msgspec.json.encode(body), _key_of(key, name))
            for name, body in bodies(notification, self._settings.format).items()
        }
        return WebhookMessage(key, requests)

    async def send(self, message: WebhookMessage) -> Receipt:
        """Send the requests that were not taken yet, and judge each answer by its status. Raises ``DeliveryError``."""
        await self._taken.send(message.key, message.requests, self._send)
        return Receipt()

    async def _send(self, request: Request) -> None:
        answer = await self._transport.request(
            self._settings.method,
            self.server,
            request.content,
            self._headers(request, int(time.time())),
            who=WHO,
            within=self._settings.timeout,
        )
        check_status(WHO, answer.status, answer.headers)

    def _headers(self, request: Request, now: int) -> dict[str, str]:
        headers = {
            **self._fixed_headers,
            "Content-Type": "application/json",
            "User-Agent": "chainwatch",
            "Idempotency-Key": request.idempotency_key,
        }
        if self._settings.secret is not None:
            headers["X-Chainwatch-Timestamp"] = str(now)
            headers["X-Chainwatch-Signature"] = sign(
                self._settings.secret.get_secret_value(), now, request.content
            )
        return headers


def sign(secret: str, timestamp: int, content: bytes) -> str:
    """Return the signature header's value: HMAC-SHA256 over ``timestamp`` (Unix seconds), a dot and the body."""
    mac = hmac.new(secret.encode(), f"{timestamp}.".encode() + content, hashlib.sha256)
    return f"sha256={mac.hexdigest()}"


def _compiled(source: str) -> Template:
    from chainwatch.grammar.templates import Template  # late: Jinja2 is slow to import

    return Template(source)


def _templated(notification: Notification, template: Template) -> bytes:
    """Return the template's JSON; where it makes none, Alertmanager's body with a ``note``, so that no alert is lost."""
    from chainwatch.grammar.templates import JSON_MAX  # late: as above

    try:
        content = template.render(template_values(notification), JSON_MAX).encode(errors="replace")
        if is_too_deep(content):
            raise ValueError("nested too deep")
        msgspec.json.decode(content)
    except ValueError as error:  # a DecodeError is one
        note = clean(f"the template of this webhook failed: {error}")
        _log.warning("the template of a webhook failed", receiver=notification.receiver, error=note)
        return msgspec.json.encode({**alertmanager(notification), "note": note})
    return content


def _key_of(key: str, part: str) -> str:
    """Return the idempotency key of a request: the notification's, and of each of several one derived from it."""
    return hashlib.sha256(f"{key} {part}".encode()).hexdigest()[:32] if part else key


def _has_user(url: SecretStr) -> bool:
    return "@" in urlsplit(url.get_secret_value()).netloc


def _authorizes(headers: dict[str, SecretStr]) -> bool:
    return any(name.lower() == "authorization" for name in headers)
