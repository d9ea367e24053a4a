"""Errors as HTTP answers: ``application/problem+json`` (RFC 9457), with the status, its title and a sentence."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

import structlog
from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestPayloadError

from chainwatch.operations.errors import Conflict, Invalid, NotFound
from chainwatch.store.errors import StoreError
from chainwatch.support.supervise import place_of

CLIENT_FAULTS = (RequestPayloadError, ClientPayloadError, HttpProcessingError, ConnectionError)
"""What is raised where a client does not send what it said, or has gone."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

PROBLEM = "application/problem+json"
REQUEST_WITHIN = 30.0
"""Seconds for a request: its body is read and its answer made."""

DEADLINE = web.RequestKey("deadline", asyncio.Timeout)
"""When a request is ended; an answer that goes on for long moves it."""

_KEPT_HEADERS = ("Allow",)
_STATUS_OF = {NotFound: 404, Invalid: 400, Conflict: 409}

_log = structlog.get_logger(__name__)


def problem(
    status: int,
    detail: str,
    headers: Mapping[str, str] | None = None,
    members: Mapping[str, object] | None = None,
) -> web.Response:
    """Return the answer with this status; ``detail`` says what is wrong and how to fix it, ``members`` more for programs."""
    title = HTTPStatus(status).phrase
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, **(members or {})}
    response = web.json_response(body, status=status, content_type=PROBLEM)
    response.headers.update(headers or {})
    return response


@web.middleware
async def answer_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer within ``REQUEST_WITHIN``, whatever the handler raises."""
    try:
        async with asyncio.timeout(REQUEST_WITHIN) as deadline:
            request[DEADLINE] = deadline
            return await handler(request)
    except web.HTTPException as error:
        kept = {name: error.headers[name] for name in _KEPT_HEADERS if name in error.headers}
        return problem(error.status, _detail(error, request), kept)
    except (NotFound, Invalid, Conflict) as error:
        return problem(next(s for kind, s in _STATUS_OF.items() if isinstance(error, kind)), str(error))
    except CLIENT_FAULTS:
        return problem(400, "the body is not what its headers say: check Content-Length and Content-Encoding")
    except StoreError as error:
        _log.warning("a request was not answered", path=request.path, reason=str(error))
        return problem(503, "the database refuses at present: try again", {"Retry-After": "5"})
    except TimeoutError:
        return problem(
            503, f"the request took longer than {REQUEST_WITHIN:.0f} seconds", {"Retry-After": "30"}
        )
    except Exception as error:  # noqa: BLE001 - a client must get its answer, whatever is wrong here
        log_defect(request.path, error)
        return problem(500, "a defect in chainwatch: its log names the place")


def log_defect(path: str, error: BaseException | None) -> None:
    """Log what an answer must not say."""
    where = place_of(error) if error is not None else ""
    _log.error("a request failed", path=path, error=f"{type(error).__name__}{where}")


def _detail(error: web.HTTPException, request: web.Request) -> str:
    match error:
        case web.HTTPNotFound():
            return f"there is nothing at {request.path[:200]}"
        case web.HTTPMethodNotAllowed():
            return f"{request.method[:20]} is not possible here; possible: {', '.join(sorted(error.allowed_methods))}"
        case web.HTTPRequestEntityTooLarge():
            return "the body is larger than 1 MiB (alerts 4 MiB, samples 16 MiB), decompressed"
    return error.reason
