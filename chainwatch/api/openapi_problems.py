"""The problems that answers may be, as OpenAPI describes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

REFERENCE = "#/components/schemas/{name}"
PROBLEM = {
    "type": "object",
    "description": "A problem (RFC 9457). `detail` says what is wrong and how to fix it.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string"},
    },
}
_RETRY_AFTER = {
    "Retry-After": {
        "description": "Seconds until it is worth trying again",
        "schema": {"type": "integer", "minimum": 1},
    }
}
_CHALLENGE = {"WWW-Authenticate": {"description": "How to log in", "schema": {"type": "string"}}}
EVERY_PROBLEM: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "400": ("An argument cannot be used", {}),
    "401": ("A token is needed, or this one is unknown", _CHALLENGE),
    "403": ("The token's role may not do this, or the Host or Origin is foreign", {}),
    "404": ("There is nothing of that name or number", {}),
    "413": ("The body is too large", {}),
    "429": ("Too many failed logins from this address", _RETRY_AFTER),
    "503": ("The database refuses at present, or the request took too long", _RETRY_AFTER),
}


def problems(of: Mapping[str, tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """Return the responses for problems: by status, what it means and the headers."""
    content = {"application/problem+json": {"schema": {"$ref": REFERENCE.format(name="Problem")}}}
    found = {
        status: {"description": meaning, "content": content, **({"headers": headers} if headers else {})}
        for status, (meaning, headers) in sorted(of.items())
    }
    return {**found, "default": {"description": "Another problem", "content": content}}
