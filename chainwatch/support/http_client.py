"""Shared by all HTTP clients: no redirects, and the parsing of `Retry-After`."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import aiohttp

REDIRECTS = (301, 302, 303, 307, 308)


class Redirected(aiohttp.ClientError):
    """The answer is a redirect, with HTTP ``status``."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP status {status}: redirects are not followed")
        self.status = status


async def refuse_redirects(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Return a middleware for sessions.

    Raises `Redirected`: only the configured server is asked, never one that it names.
    """
    response = await handler(request)
    if response.status in REDIRECTS:
        response.close()
        raise Redirected(response.status)
    return response


def retry_after(headers: Mapping[str, str] | None) -> float | None:
    """Return the seconds of a `Retry-After` header, a number or a date (RFC 9110, 10.2.3); None where it gives none.

    A date is relative to the answer's own `Date`, so that no two clocks have to agree.
    """
    text = (headers or {}).get("Retry-After", "").strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    until = unix_time(text)
    if until is None:
        return None
    now = unix_time((headers or {}).get("Date", ""))
    return max(0.0, until - (time.time() if now is None else now))


def unix_time(text: str) -> float | None:
    """Return the Unix time (seconds) of an HTTP date; None for any other text."""
    try:
        return parsedate_to_datetime(text[:_DATE_LENGTH]).timestamp() if text else None
    except Exception:  # noqa: BLE001 - the text is foreign, and the parser may raise anything on it
        return None


_SECONDS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
_DATE_LENGTH = 64
