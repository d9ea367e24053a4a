"""Operations as HTTP calls: their keyword arguments come from the query, the path or a JSON body, by their signatures."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any, Literal, NamedTuple, get_type_hints

import msgspec
import sqlalchemy as sa
from aiohttp import hdrs, web

from chainwatch.api.idempotency import Answer
from chainwatch.api.identity import IDENTITY
from chainwatch.api.problems import Handler
from chainwatch.api.reads import Reads
from chainwatch.api.writes import Writes, entry_of
from chainwatch.operations.context import Context
from chainwatch.operations.errors import Invalid
from chainwatch.operations.views import builtins
from chainwatch.support.nesting import decode_json

LIMIT_MAX = 1_000
"""Rows of one page."""
PERSON = ("actor", "author")
"""The arguments that are whoever sends the request."""
_OWN = ("connection", "context", "now", "request", "reads", "writes")
_JSON = "application/json"


class Call(NamedTuple):
    """One operation at one path, parts of which may be ``{argument}``; ``summary`` is for people.

    An operation that has to wait is a coroutine ``(request, reads, writes, …)``.

    ``status``: that of success. ``extends``: it changes what is created beside the configuration. ``detail`` makes the
    audit log's detail of the arguments, where the body must not stand there.
    """

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    operation: Callable[..., Any]
    summary: str
    status: int = 200
    extends: bool = False
    detail: Callable[[Mapping[str, Any]], str] | None = None

    @property
    def arguments(self) -> type[msgspec.Struct]:
        """The arguments that a request gives, as a struct with the operation's types and defaults."""
        return _struct(self.operation, self.name)

    @property
    def person(self) -> str | None:
        """The name of the argument for whoever sends the request; None where there is none."""
        return next((name for name in PERSON if name in inspect.signature(self.operation).parameters), None)

    @property
    def path_arguments(self) -> list[str]:
        """The names of the arguments that are parts of the path."""
        return [part[1:-1] for part in self.path.split("/") if part.startswith("{")]

    @property
    def result(self) -> Any:
        """The type of what the operation returns."""
        return get_type_hints(self.operation)["return"]

    @property
    def name(self) -> str:
        """Its name among all calls, as ``GetAlerts``; of those at the root, ``GetRootAlerts``."""
        path = self.path.removeprefix("/v1") if self.path.startswith("/v1/") else f"/root{self.path}"
        words = path.replace("{", "").replace("}", "").strip("/").split("/")
        return self.method.capitalize() + "".join(word.title().replace("_", "") for word in words)


def route(call: Call, reads: Reads, writes: Writes) -> web.RouteDef:
    """Return the route of ``call``."""
    arguments = call.arguments
    path = call.path.replace("/{key}", "/{key:.+}")  # a transfer's key may have slashes
    for field in msgspec.structs.fields(arguments):
        if field.type is int:  # no word at such a place is taken for a number
            path = path.replace(f"{{{field.name}}}", f"{{{field.name}:-?[0-9]+}}")
    if call.method == "GET":
        return web.get(path, _reader(call, arguments, reads))
    return web.route(call.method, path, _writer(call, arguments, reads, writes))


@cache
def _struct(operation: Callable[..., Any], name: str) -> type[msgspec.Struct]:
    hints = get_type_hints(operation)
    fields: list[Any] = []
    for argument, parameter in inspect.signature(operation).parameters.items():
        if argument not in (*_OWN, *PERSON):
            is_required = parameter.default is inspect.Parameter.empty
            hint = hints[argument]
            fields.append((argument, hint) if is_required else (argument, hint, parameter.default))
    return msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True)


def _reader(call: Call, arguments: type[msgspec.Struct], reads: Reads) -> Handler:
    several = {f.name for f in msgspec.structs.fields(arguments) if _is_list(f.type)}

    async def handle(request: web.Request) -> web.Response:
        given = _arguments(arguments, _from_query(request, several), strict=False)

        def run(connection: sa.Connection, context: Context, now: float) -> bytes:
            return encoded(call.operation(connection, context, now, **given))

        content = await reads.shared((call.path, msgspec.json.encode(given)), run)
        etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        headers = {hdrs.ETAG: etag, hdrs.CACHE_CONTROL: "no-cache"}
        known = request.headers.get(hdrs.IF_NONE_MATCH, "").split(",")
        if etag in [one.strip().removeprefix("W/") for one in known]:
            return web.Response(status=304, headers=headers)
        return web.Response(body=content, content_type=_JSON, headers=headers)

    return handle


def _writer(call: Call, arguments: type[msgspec.Struct], reads: Reads, writes: Writes) -> Handler:
    waits = inspect.iscoroutinefunction(call.operation)

    def run(connection: sa.Connection, context: Context, now: float, given: dict[str, Any]) -> Answer:
        return Answer(encoded(call.operation(connection, context, now, **given)), call.status)

    types = {field.name: field.type for field in msgspec.structs.fields(arguments)}

    async def handle(request: web.Request) -> web.Response:
        body = {} if call.method == "DELETE" else await _body_of(request)
        given = _arguments(arguments, _with_path(body, request.match_info, types), strict=True)
        detail = None if call.detail is None else await asyncio.to_thread(call.detail, given)
        if call.person is not None:
            given[call.person] = request[IDENTITY].name
        if waits:

            async def perform() -> Answer:
                return Answer(encoded(await call.operation(request, reads, writes, **given)))

            return await writes.answer_later(request, perform)
        response = await writes.answer(request, await entry_of(request, detail), partial(run, given=given))
        if call.extends:
            await writes.extend()
        return response

    return handle


async def _body_of(request: web.Request) -> Any:
    content = await request.read()
    if not content:
        return {}
    if request.content_type != _JSON:
        raise web.HTTPUnsupportedMediaType(reason=f"send the header Content-Type: {_JSON}, and JSON")
    try:
        return decode_json(content)
    except ValueError as error:
        raise Invalid(f"the body is not JSON: {str(error)[:200]}") from None


def _with_path(body: Any, path: Mapping[str, str], types: Mapping[str, Any]) -> Any:
    """Return ``body`` with the arguments in the path, which it may repeat."""
    if not isinstance(body, dict):
        return body
    try:
        named = {name: msgspec.convert(value, types[name], strict=False) for name, value in path.items()}
    except msgspec.ValidationError as error:
        raise Invalid(str(error)[:500]) from None
    for name, value in named.items():
        if body.get(name, value) != value:
            raise Invalid(f"{name}: differs from the one in the path: leave it out of the body")
    return {**body, **named}


def encoded(result: Any) -> bytes:
    """Return a result as JSON; a list becomes the ``rows`` of an object, as a page has them."""
    plain = builtins(result)
    return msgspec.json.encode({"rows": plain} if isinstance(plain, list) else plain)


def _from_query(request: web.Request, several: set[str]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for name in request.query:
        values = request.query.getall(name)
        if name not in several and len(values) > 1:
            raise Invalid(f"{name[:100]}: given {len(values)} times, expected once")
        given[name] = values if name in several else values[0]
    return {**given, **request.match_info}


def _arguments(arguments: type[msgspec.Struct], given: Any, *, strict: bool) -> dict[str, Any]:
    """Return ``given`` by the types of ``arguments``. Raises ``Invalid``."""
    try:
        if _has_nul(given):  # PostgreSQL stores and compares no such text
            raise Invalid("a text holds the character NUL: leave it out")
        found = msgspec.structs.asdict(msgspec.convert(given, arguments, strict=strict))
    except (msgspec.ValidationError, RecursionError) as error:
        raise Invalid(str(error)[:500]) from None
    if found.get("limit", 1) > LIMIT_MAX:
        raise Invalid(f"limit: {found['limit']} is more than {LIMIT_MAX}: ask for further pages with `after`")
    return found


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    inner = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(map(_has_nul, inner))


def _is_list(hint: Any) -> bool:
    return getattr(hint, "__origin__", None) in (list, Sequence, Mapping)
