"""The contract between a receiver's queue and the channel that it sends to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

import msgspec

from chainwatch.alerting.delivery.notification import Notification
from chainwatch.alerting.providers.pacing import Rate
from chainwatch.support import http_client

REASON_MAX = 1_000
"""Characters of a `DeliveryError` that are kept: servers choose some of them."""
LONGEST_PAUSE = 3600.0
"""The longest pause, in seconds, that a channel's answer may cause at a time."""
RETRYABLE = frozenset({408, 425, 429})
"""HTTP statuses of refusals (4xx) that may not last."""

Message = TypeVar("Message")
"""What a channel sends, in its own form: a JSON body, lines of text, …"""


class Capabilities(msgspec.Struct, frozen=True):
    """What a channel can do, as its queue uses it.

    ``concurrency``: how many messages may be under way at once. ``keeps_receipts``: receipts are stored, and ``render``
    gets the one of the group's last message, to edit that message or to reply to it. ``edits``: a message that stands in
    the channel can be changed without notifying anybody, so notifications of kind ``update`` are sent too; it needs
    ``keeps_receipts``. ``rates``: how many calls the channel takes in which time; ``Transport.pace`` keeps them.
    """

    concurrency: int = 1
    keeps_receipts: bool = False
    edits: bool = False
    rates: tuple[Rate, ...] = ()


class Receipt(msgspec.Struct, frozen=True):
    """A channel took a message. ``remote_ids``: what the channel calls it, by any names, such as ``{"message": "42"}``.

    A receipt without ids leaves the one before in place.
    """

    remote_ids: Mapping[str, str] = {}


class TlsFiles(NamedTuple):
    """PEM files for TLS: the certificate and key that a client shows, and the authorities that sign the server's.

    Without ``authority``, those of the system do. A certificate's file may hold its key too.
    """

    certificate: Path | None = None
    key: Path | None = None
    authority: Path | None = None


NO_TLS_FILES = TlsFiles()


@dataclass(frozen=True)
class Server:
    """An HTTP server. ``url`` may hold secrets; ``allow_private``: whether its address may be private or loopback."""

    url: str = field(repr=False)
    allow_private: bool
    tls: TlsFiles = NO_TLS_FILES


class Provider(Protocol[Message]):
    """One receiver's channel. It never retries by itself: the queue does.

    ``server``: where it sends to, for ``check --online``; None for a channel that does not use HTTP.
    """

    @property
    def capabilities(self) -> Capabilities: ...

    @property
    def server(self) -> Server | None: ...

    def render(self, notification: Notification, previous: Receipt | None) -> Message:
        """Return the message for ``notification``: pure, so the same arguments give the same message.

        ``previous``: the receipt of the last message about the same group; None for the first one, and for a channel
        that keeps no receipts. A crash between ``send`` and its receipt's commit has the notification rendered again
        with the receipt from before. A notification for which this raises is given up after a few attempts.
        """
        ...

    async def send(self, message: Message) -> Receipt:
        """Return once the channel has taken ``message``. Raises ``DeliveryError`` if it has not, or may not have.

        It needs a time-out of its own: the queue waits for ten minutes.
        """
        ...


@runtime_checkable
class Pausing(Protocol):
    """A provider that itself keeps the pauses for which its channel asks, as others send there too."""

    def end_pause(self) -> None:
        """Send again: a person asked for a retry."""
        ...


@runtime_checkable
class Reachable(Protocol):
    """A provider that does not use HTTP, and can still say for ``check --online`` whether its channel answers."""

    async def reach(self) -> None:
        """Return once the channel has answered, without sending anything. Raises ``DeliveryError``."""
        ...


class DeliveryError(Exception):
    """The channel did not take a message. The text names no URL and no secret (S9).

    ``retry_after``: seconds for which nothing is to be sent, at most ``LONGEST_PAUSE``. ``permanent``: another attempt is
    unlikely to succeed. ``refused``: it was certainly not taken; otherwise it may have been, and only the answer was lost.
    """

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        permanent: bool = False,
        refused: bool = False,
    ) -> None:
        super().__init__(message[:REASON_MAX])
        self.retry_after = None if retry_after is None else min(retry_after, LONGEST_PAUSE)
        self.permanent = permanent
        self.refused = refused


def check_status(
    who: str, status: int, headers: Mapping[str, str], *, detail: str = "", retry_after: float | None = None
) -> None:
    """Raise ``DeliveryError`` unless an HTTP answer means that the message was taken.

    ``who`` names the channel in the error; ``detail``: the reason that the answer's body gives; ``retry_after``
    (seconds): the pause that the body asks for, which goes before the header's.
    """
    if 200 <= status < 300:
        return
    if retry_after is None:
        retry_after = http_client.retry_after(headers)
    raise DeliveryError(
        f"{who} answered {status} {_phrase(status)}".rstrip() + (f": {detail}" if detail else ""),
        retry_after=retry_after,
        permanent=300 <= status < 500 and status not in RETRYABLE,
        refused=status < 500 or status == HTTPStatus.SERVICE_UNAVAILABLE,
    )


def seconds(text: str | None) -> float | None:
    """Return the seconds that a header gives; None where it holds no finite number from zero up."""
    try:
        value = float(text or "")
    except (ValueError, OverflowError):
        return None
    return value if 0 <= value < float("inf") else None


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in HTTPStatus.__members__.values() else ""
