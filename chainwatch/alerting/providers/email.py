"""E-mail, by SMTP: each notification as text and HTML, those about one group in one conversation."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Annotated, NamedTuple

import structlog
from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, model_validator

from chainwatch.alerting.delivery.notification import Notification
from chainwatch.alerting.providers.mail_layout import Mail, compose
from chainwatch.alerting.providers.parts import TakenParts
from chainwatch.alerting.providers.provider import Capabilities, DeliveryError, Receipt, Server
from chainwatch.alerting.providers.smtp import MailServer, Refused, Security, SmtpConnection
from chainwatch.alerting.providers.transport import Transport
from chainwatch.config.receivers import ALLOW_PRIVATE, ReceiverSettings
from chainwatch.config.types import Expected, PositiveDuration, Secret, Text
from chainwatch.grammar.durations import parse_duration

PORTS: dict[Security, int] = {"starttls": 587, "tls": 465, "none": 25}
THREAD, SUBJECT = "thread", "subject"
"""What a receipt holds: the id of the conversation's first mail, and its subject."""

_POLICY = SMTP.clone(cte_type="7bit")  # not every server takes eight bits

_log = structlog.get_logger("chainwatch.email")


def _mailbox(text: str) -> str:
    parse_mailbox(text)
    return text


def parse_mailbox(text: str) -> Address:
    """Return the only mailbox in ``text``, such as ``Ops <ops@example.org>``. Raises ``Expected`` for anything else."""
    try:
        header = _POLICY.header_factory("To", text)
        (address,) = header.addresses
        good = not header.defects and address.domain and address.addr_spec.isascii() and text.isprintable()
    except Exception:  # noqa: BLE001 - the library's parser raises many things
        good = False
    if not good:
        raise Expected("a mailbox such as ops@example.org or Ops <ops@example.org>")
    found: Address = address
    return found


Mailbox = Annotated[str, AfterValidator(_mailbox)]
Mailboxes = Annotated[
    list[Mailbox], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)
]


class EmailSettings(ReceiverSettings):
    """Mailboxes, by SMTP."""

    host: Text = Field(description="The mail server's name or address.", examples=["smtp.example.org"])
    port: int | None = Field(
        default=None,
        ge=1,
        le=65_535,
        strict=True,
        description="Its port. Default: 587 with STARTTLS, 465 with TLS, 25 without.",
    )
    security: Security = Field(
        default="starttls",
        description="`starttls`; `tls`: from the start; `none`: unencrypted, to private addresses only, with "
        "`allow_private`. Certificates are always checked.",
    )
    username: Text | None = Field(default=None, description="Name for the login. Default: no login.")
    password: Secret | None = Field(
        default=None, description="Password for the login (secret).", examples=["${SMTP_PASSWORD}"]
    )
    from_: Mailbox = Field(alias="from", description="The sender, such as `chainwatch <alerts@example.org>`.")
    to: Mailboxes = Field(min_length=1, description="The recipients.")
    cc: Mailboxes = Field(default=[], description="Recipients of a copy.")
    allow_private: StrictBool = Field(default=False, description=ALLOW_PRIVATE)
    timeout: PositiveDuration = Field(
        default=parse_duration("30s"), description="Time to wait for each answer of the server."
    )

    @model_validator(mode="after")
    def _consistent(self) -> EmailSettings:
        if self.security == "none" and not self.allow_private:
            raise Expected(
                '`allow_private = true` beside `security = "none"`',
                "unencrypted mail goes to private addresses only",
            )
        if (self.username is None) != (self.password is None):
            raise Expected("both of `username` and `password`, or neither")
        return self


class OutgoingMail(NamedTuple):
    """A mail without its date. ``key``: its notification's idempotency key; ``receipt``: what continues its conversation."""

    key: str
    message_id: str
    replies_to: str
    subject: str
    mail: Mail
    is_urgent: bool
    receipt: Receipt


class EmailProvider:
    """Sends each notification as one mail, over a connection that is kept for the next one.

    A mail is delivered once the server took it for at least one recipient, and refused none for a while only.
    """

    settings_type = EmailSettings
    capabilities = Capabilities(keeps_receipts=True)
    server: Server | None = None

    def __init__(self, settings: EmailSettings, transport: Transport) -> None:
        self._settings = settings
        self._sender = parse_mailbox(settings.from_)
        boxes = [parse_mailbox(box).addr_spec for box in (*settings.to, *settings.cc)]
        self._recipients = list(dict.fromkeys(boxes))
        self._taken = TakenParts()
        self._connection = SmtpConnection(
            MailServer(
                settings.host,
                settings.port or PORTS[settings.security],
                settings.security,
                settings.username,
                settings.password.get_secret_value() if settings.password else "",
                settings.allow_private,
                settings.timeout,
            ),
            transport,
        )

    def render(self, notification: Notification, previous: Receipt | None) -> OutgoingMail:
        """Return the mail: the first of its group's conversation, or a reply to that. A digest is never a reply."""
        mail = compose(notification)
        own_id = f"<{notification.idempotency_key}@{self._sender.domain}>"
        ids = previous.remote_ids if previous is not None and not notification.kind else {}
        first = ids.get(THREAD, "")
        subject = f"Re: {ids.get(SUBJECT) or mail.subject}" if first else mail.subject
        receipt = (
            {} if notification.kind else {THREAD: first or own_id, SUBJECT: ids.get(SUBJECT) or mail.subject}
        )
        is_urgent = any(alert.severity == "P0" for alert in notification.firing)
        return OutgoingMail(
            notification.idempotency_key, own_id, first, subject, mail, is_urgent, Receipt(receipt)
        )

    async def send(self, message: OutgoingMail) -> Receipt:
        """Hand the mail over for those recipients for whom the server did not take it yet. Raises ``DeliveryError``."""
        content = self._encoded(message)
        left = [box for box in self._recipients if box not in self._taken.of(message.key)]
        refused = await self._connection.send(self._sender.addr_spec, left, content) if left else {}
        self._taken.add(message.key, [box for box in left if box not in refused])
        self._judge(message.key, refused)
        self._taken.finish(message.key)
        return message.receipt

    async def reach(self) -> None:
        """Return once the mail server takes the login, without sending anything. Raises ``DeliveryError``."""
        await self._connection.reach()

    def _judge(self, key: str, refused: Refused) -> None:
        """Raise ``DeliveryError`` for recipients that may be taken later (RFC 5321, 4xx), or when none was taken."""
        later = {box: error for box, error in refused.items() if error.code < 500}
        if not refused:
            return
        some = later or refused
        reply = self._connection.reply(next(iter(some.values())))
        problem = f"the mail server refuses {len(some)} of {len(self._recipients)} recipients: {reply}"
        if later or not self._taken.of(key):
            raise DeliveryError(problem, permanent=not later, refused=True)
        _log.warning("mail delivered to some recipients only", receiver=self._settings.name, error=problem)

    def _encoded(self, message: OutgoingMail) -> bytes:
        """Return the mail as it goes out, with the time of this attempt as its date."""
        settings = self._settings
        mail = EmailMessage(policy=_POLICY)
        mail["Date"] = format_datetime(datetime.now(UTC))
        mail["From"] = settings.from_
        mail["To"] = ", ".join(settings.to)
        if settings.cc:
            mail["Cc"] = ", ".join(settings.cc)
        mail["Subject"] = _literal(message.subject)
        mail["Message-ID"] = message.message_id
        if message.replies_to:
            mail["In-Reply-To"] = message.replies_to
            mail["References"] = message.replies_to
        mail["Auto-Submitted"] = "auto-generated"
        if message.is_urgent:
            mail["Importance"] = "high"
        mail.set_content(message.mail.text)
        mail.add_alternative(message.mail.html, subtype="html")
        mail.set_boundary(hashlib.sha256(message.key.encode()).hexdigest()[:40])
        return mail.as_bytes()


def _literal(subject: str) -> str:
    """Return ``subject`` as Python's library neither decodes nor mangles it.

    It decodes encoded words (RFC 2047), line ends included, and in some versions never ends with a long run of spaces.
    """
    return " ".join(subject.replace("=?", "= ?").split())
