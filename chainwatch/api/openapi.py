"""The description of the calls by OpenAPI 3.1, made from the operations' own types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any, get_origin

import msgspec

from chainwatch.api import openapi_samples
from chainwatch.api.calls import LIMIT_MAX, Call
from chainwatch.api.idempotency import HEADER, PATTERN
from chainwatch.api.openapi_problems import EVERY_PROBLEM, PROBLEM, REFERENCE, problems
from chainwatch.operations.checks import LAST_MOMENT

_JSON = "application/json"
_ETAG = {"ETag": {"description": "For If-None-Match", "required": True, "schema": {"type": "string"}}}
_WRITE_PROBLEMS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "409": ("It cannot be done as things are, or the first request with this key is under way", {}),
    "415": ("The body is not declared as JSON", {}),
    "422": ("Another request came with this key", {}),
}
_IDEMPOTENCY_KEY = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "A request that is sent again with its key is answered as before, and done once. Kept for 24 hours; "
    "the body may then have 64 KiB.",
    "schema": {"type": "string", "pattern": f"^(?:{PATTERN})$"},
}
_IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "An ETag that was answered before: 304 says that it would be answered again.",
    "schema": {"type": "string"},
}
_MOMENT = {"number": {"minimum": -LAST_MOMENT, "maximum": LAST_MOMENT}}
_LENGTH = {"number": {"minimum": 0, "maximum": LAST_MOMENT}}
_MILLISECONDS = {"number": {"minimum": -1_000 * LAST_MOMENT, "maximum": 1_000 * LAST_MOMENT}}
_MOMENTS = ("since", "until", "at", "starts_at", "ends_at")
Bounds = Mapping[str, Mapping[str, Mapping[str, Any]]]
_BOUNDS: Bounds = {
    "limit": {"integer": {"minimum": 1, "maximum": LIMIT_MAX}},
    "after": {"string": {"pattern": r"^[a-z-]+(\.-?[0-9]{1,19})+$"}},
    "match": {"object": {"minProperties": 1}},
    **dict.fromkeys(_MOMENTS, _MOMENT),
    **dict.fromkeys(("lasts", "warn_before", "within"), _LENGTH),
}
"""What operations ask of arguments with these names, beyond their types: by the type in the schema."""
_BOUNDS_AT_ROOT: Bounds = {**_BOUNDS, **dict.fromkeys(_MOMENTS, _MILLISECONDS)}


def describe(calls: Iterable[Call]) -> dict[str, Any]:
    """Return the OpenAPI document."""
    paths: dict[str, Any] = {}
    components: dict[str, Any] = {}
    for call in calls:
        arguments = call.arguments
        (result, given), schemas = msgspec.json.schema_components(
            [call.result, arguments], ref_template=REFERENCE
        )
        own = schemas[given["$ref"].rpartition("/")[2]]
        bounds = _BOUNDS if call.path.startswith("/v1/") else _BOUNDS_AT_ROOT
        own["properties"] = {
            name: _bounded(one, bounds.get(name, {})) for name, one in own["properties"].items()
        }
        if _has_body(call):
            schemas[given["$ref"].rpartition("/")[2]] = _without(own, call.path_arguments)
        else:
            del schemas[given["$ref"].rpartition("/")[2]]
        components |= schemas
        paths.setdefault(call.path, {})[call.method.lower()] = _operation(call, own, given, result)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "chainwatch",
            "version": version("chainwatch"),
            "description": "Times are Unix seconds, lengths of time seconds.",
        },
        "paths": paths | openapi_samples.paths(),
        "components": {
            "schemas": {**components, "Problem": PROBLEM},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}, {}],
    }


def _operation(call: Call, own: dict[str, Any], given: dict[str, Any], result: Any) -> dict[str, Any]:
    rows = {"type": "object", "required": ["rows"], "properties": {"rows": result}}
    answer = rows if get_origin(call.result) is list else result
    done: dict[str, Any] = {"description": "Done", "content": {_JSON: {"schema": answer}}}
    described: dict[str, Any] = {"operationId": call.name, "summary": call.summary}
    if _has_body(call):
        is_required = set(own.get("required", [])) > set(call.path_arguments)
        described["requestBody"] = {"required": is_required, "content": {_JSON: {"schema": given}}}
    if call.method != "GET":
        return {
            **described,
            "parameters": [_IDEMPOTENCY_KEY, *(_parameter(call, own, name) for name in call.path_arguments)],
            "responses": {str(call.status): done, **problems({**EVERY_PROBLEM, **_WRITE_PROBLEMS})},
        }
    same = {"description": "As the ETag in If-None-Match says", "headers": _ETAG}
    return {
        **described,
        "parameters": [_IF_NONE_MATCH, *(_parameter(call, own, name) for name in own["properties"])],
        "responses": {"200": {**done, "headers": _ETAG}, "304": same, **problems(EVERY_PROBLEM)},
    }


def _has_body(call: Call) -> bool:
    return call.method in ("POST", "PUT")


def _without(schema: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return ``schema`` without the properties ``names``, which stand in the path."""
    properties = {name: one for name, one in schema["properties"].items() if name not in names}
    required = [name for name in schema.get("required", []) if name not in names]
    return {**schema, "properties": properties, "required": required}


def _parameter(call: Call, own: dict[str, Any], name: str) -> dict[str, Any]:
    is_in_path = f"{{{name}}}" in call.path
    is_required = is_in_path or name in own.get("required", [])
    where = "path" if is_in_path else "query"
    return {"name": name, "in": where, "required": is_required, "schema": own["properties"][name]}


def _bounded(schema: dict[str, Any], bounds: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return ``schema`` with its bounds, by its type, also where it is one of several possible ones."""
    if "anyOf" in schema:
        return {**schema, "anyOf": [_bounded(one, bounds) for one in schema["anyOf"]]}
    return {**schema, **bounds.get(schema.get("type", ""), {})}
