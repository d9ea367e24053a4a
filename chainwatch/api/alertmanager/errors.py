"""Errors as Alertmanager answers them: an object with code and message by its framework, a text by its handlers.

Source: go-openapi/errors, and ``api/v2/api.go`` of Prometheus Alertmanager.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from aiohttp import hdrs, web

from chainwatch.api.problems import PROBLEM, Handler

PREFIX = "/api/v2/"
INVALID_TYPE = 601
REQUIRED = 602
TOO_FEW = 612
"""Codes of go-openapi, all of which are answered with the status 422."""


class Refused(Exception):
    """A request that is answered with ``code`` and ``message``."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code

    @property
    def answer(self) -> web.Response:
        """The answer."""
        return coded(self.code, str(self))


def coded(code: int, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return the framework's answer."""
    status = 422 if code >= 600 else code
    return _json(status, {"code": code, "message": message}, headers)


def said(status: int, text: str) -> web.Response:
    """Return a handler's answer."""
    return _json(status, text)


@web.middleware
async def translate_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer problems below ``PREFIX`` as Alertmanager does."""
    response = await handler(request)
    if not request.path.startswith(PREFIX) or response.content_type != PROBLEM:
        return response
    assert isinstance(response, web.Response)
    assert isinstance(response.body, bytes)
    allowed = response.headers.get(hdrs.ALLOW, "").replace(" ", "")
    message = str(msgspec.json.decode(response.body)["detail"])
    if response.status == 404:
        message = f"path {request.path} was not found"
    elif response.status == 405:
        message = f"method {request.method} is not allowed, but [{allowed}] are"
    kept = {name: value for name, value in response.headers.items() if name not in _OF_THE_BODY}
    translated = coded(response.status, message, kept)
    if not response.keep_alive and response.keep_alive is not None:
        translated.force_close()
    return translated


def _json(status: int, content: object, headers: Mapping[str, str] | None = None) -> web.Response:
    body = msgspec.json.encode(content)
    response = web.Response(body=body, status=status, content_type="application/json")
    response.headers.update(headers or {})
    return response


_OF_THE_BODY = (hdrs.CONTENT_TYPE, hdrs.CONTENT_LENGTH)
