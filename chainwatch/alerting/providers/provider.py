"""What every provider is, and how it says that a delivery failed."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Protocol

import aiohttp

from chainwatch.alerting.delivery.notification import Notification
from chainwatch.support import http_client

RETRYABLE = frozenset({408, 425, 429})
"""Refusals (4xx) that are not meant for good."""


class Provider(Protocol):
    """A channel. ``concurrency``: how many messages may be under way at once.

    ``allow_private``: whether its HTTP connections may go to loopback and private addresses.
    """

    concurrency: int
    allow_private: bool

    async def deliver(self, notification: Notification, session: aiohttp.ClientSession) -> None:
        """Return once the receiver has taken ``notification``. Raises ``DeliveryError`` if it has not, or may not have."""
        ...


class DeliveryError(Exception):
    """The receiver did not take a message. The text names no URL and no secret (S9).

    ``retry_after``: seconds for which it wants to be left alone. ``permanent``: trying again is unlikely to help.
    ``refused``: it has not taken it for sure; else it may have, and the answer is what was lost.
    """

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        permanent: bool = False,
        refused: bool = False,
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.permanent = permanent
        self.refused = refused


def check_status(
    who: str, status: int, headers: Mapping[str, str], *, detail: str = "", retry_after: float | None = None
) -> None:
    """Raise ``DeliveryError`` unless an HTTP answer to a message means that it was taken.

    ``detail`` says what the answer's body tells; ``retry_after`` (seconds) what it asks for beside its headers.
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
    """A header's number of seconds, or None where it holds none."""
    try:
        value = float(text or "")
    except (ValueError, OverflowError):
        return None
    return value if 0 <= value < float("inf") else None


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in HTTPStatus.__members__.values() else ""
