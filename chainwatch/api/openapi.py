"""The description of the calls by OpenAPI 3.1, made from the operations' own types."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.metadata import version
from typing import Any, get_origin

import msgspec

from chainwatch.api.calls import LIMIT_MAX, Call
from chainwatch.api.idempotency import HEADER, KEY_MAX

_REFERENCE = "#/components/schemas/{name}"
_JSON = "application/json"
_PROBLEM = {
    "description": "A problem (RFC 9457)",
    "content": {
        "application/problem+json": {
            "schema": {
                "type": "object",
                "required": ["type", "title", "status", "detail"],
                "properties": {
                    "type": {"type": "string"},
                    "title": {"type": "string"},
                    "status": {"type": "integer"},
                    "detail": {"type": "string"},
                },
            }
        }
    },
}
_IDEMPOTENCY_KEY = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "A request that is sent again with its key is answered as before, and done once. Kept for 24 hours; "
    "the body may then have 64 KiB. 422: another request came with the key; 409: the first is under way.",
    "schema": {"type": "string", "minLength": 1, "maxLength": KEY_MAX},
}


def describe(calls: Iterable[Call]) -> dict[str, Any]:
    """Return the OpenAPI document."""
    paths: dict[str, Any] = {}
    components: dict[str, Any] = {}
    for call in calls:
        arguments = call.arguments
        (result, given), schemas = msgspec.json.schema_components(
            [call.result, arguments], ref_template=_REFERENCE
        )
        own = schemas[given["$ref"].rpartition("/")[2]]
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
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}, {}],
    }


def _operation(call: Call, own: dict[str, Any], given: dict[str, Any], result: Any) -> dict[str, Any]:
    rows = {"type": "object", "required": ["rows"], "properties": {"rows": result}}
    answer = rows if get_origin(call.result) is list else result
    described: dict[str, Any] = {
        "operationId": call.name,
        "summary": call.summary,
        "responses": {
            str(call.status): {"description": "Done", "content": {_JSON: {"schema": answer}}},
            "default": _PROBLEM,
        },
    }
    if _has_body(call):
        is_required = set(own.get("required", [])) > set(call.path_arguments)
        described["requestBody"] = {"required": is_required, "content": {_JSON: {"schema": given}}}
    if call.method != "GET":
        parameters = [_IDEMPOTENCY_KEY, *(_parameter(call, own, name) for name in call.path_arguments)]
        return {**described, "parameters": parameters}
    not_modified = {"304": {"description": "As the ETag in If-None-Match says"}}
    described["responses"] = {**not_modified, **described["responses"]}
    parameters = [_parameter(call, own, name) for name in own["properties"]]
    return {**described, "parameters": parameters} if parameters else described


def _has_body(call: Call) -> bool:
    return call.method in ("POST", "PUT")


def _without(schema: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return ``schema`` without the properties ``names``, which stand in the path."""
    properties = {name: one for name, one in schema["properties"].items() if name not in names}
    required = [name for name in schema.get("required", []) if name not in names]
    return {**schema, "properties": properties, "required": required}


def _parameter(call: Call, own: dict[str, Any], name: str) -> dict[str, Any]:
    schema = own["properties"][name]
    if name == "limit":
        schema = {**schema, "minimum": 1, "maximum": LIMIT_MAX}
    is_in_path = f"{{{name}}}" in call.path
    is_required = is_in_path or name in own.get("required", [])
    return {"name": name, "in": "path" if is_in_path else "query", "required": is_required, "schema": schema}
