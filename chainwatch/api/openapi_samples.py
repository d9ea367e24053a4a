"""What of the description follows from no operation: samples that are sent, and Prometheus' API that queries them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chainwatch.api.ingestion import SAMPLES, WRITE, WRITTEN
from chainwatch.api.openapi_problems import EVERY_PROBLEM, problems
from chainwatch.api.prometheus.answers import STATUS_OF
from chainwatch.api.prometheus.paths import PREFIX

GROUP = "/metrics/job/{job}"
Schema = Mapping[str, Any]

_TEXT: Schema = {"type": "string"}
_STRINGS: Schema = {"type": "object", "additionalProperties": _TEXT}
_NUMBER: Schema = {"anyOf": [{"type": "number"}, {"enum": ["NaN", "+Inf", "-Inf"]}]}
_SAMPLE: Schema = {
    "type": "object",
    "required": ["name", "value"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "pattern": "^[a-zA-Z_:][a-zA-Z0-9_:]*$"},
        "labels": {
            "type": "object",
            "propertyNames": {"pattern": "^[a-zA-Z_][a-zA-Z0-9_]*$"},
            "additionalProperties": _TEXT,
        },
        "value": _NUMBER,
        "time": {"type": ["number", "null"], "description": "Unix seconds, or milliseconds; without it, now"},
    },
}
_PUSH_PROBLEMS: Mapping[str, tuple[str, Schema]] = {
    **{status: EVERY_PROBLEM[status] for status in ("401", "403", "413", "503")},
    "400": ("The body cannot be read, or some of its samples cannot be taken: the others are", {}),
    "415": ("Neither the format nor the compression is one that is read here", {}),
    "429": ("Too many groups, or too many failed logins", {}),
}


Asked = tuple[str, str]
"""A parameter of queries: its name, and what it is."""
_QUERY: Asked = ("query", "An expression in PromQL")
_MATCH: Asked = ("match[]", "Selectors of series, of which one must pass")
_START: Asked = ("start", "Unix seconds or RFC 3339")
_END: Asked = ("end", "Unix seconds or RFC 3339")
_LIMIT: Asked = ("limit", "The most that is listed; 0 for all")
_EVALUATED = (
    _LIMIT,
    ("timeout", "The time for the query, such as 10s"),
    ("lookback_delta", "For how long a sample counts, such as 5m"),
    ("stats", "Any text: with statistics"),
)
_LISTED = (_MATCH, _START, _END, _LIMIT)
_QUERIES: Mapping[str, tuple[str, tuple[Asked, ...], tuple[str, ...], bool]] = {
    "query": (
        "The result of a query at one time",
        (_QUERY, ("time", "Unix seconds or RFC 3339; without it, now"), *_EVALUATED),
        ("query",),
        True,
    ),
    "query_range": (
        "The results of a query over time",
        (_QUERY, _START, _END, ("step", "Seconds, or a length such as 15s"), *_EVALUATED),
        ("query", "start", "end", "step"),
        True,
    ),
    "query_exemplars": (
        "None: samples are stored without exemplars",
        (_QUERY, _START, _END),
        ("query",),
        True,
    ),
    "format_query": ("A query laid out", (_QUERY,), ("query",), True),
    "series": ("Labels of series", _LISTED, ("match[]",), True),
    "labels": ("Names of labels", _LISTED, (), True),
    "label/{name}/values": ("Values of a label", _LISTED, (), False),
    "metadata": (
        "Type, unit and help of metrics",
        (("metric", "Of this one only"), _LIMIT),
        (),
        False,
    ),
    "rules": (
        "Rules with their state and alerts",
        (
            ("type", "alert or record"),
            ("rule_name[]", "Of these names"),
            ("rule_group[]", "Of these groups"),
            ("file[]", "Of these files"),
            _MATCH,
            ("exclude_alerts", "true: without alerts"),
            ("group_limit", "The most groups"),
            ("group_next_token", "Where the list goes on"),
        ),
        (),
        False,
    ),
    "alerts": ("Alerts of rules", (), (), False),
    "targets": (
        "What is scraped, and what became of it",
        (("state", "active, dropped or any"), ("scrapePool", "Of this job")),
        (),
        False,
    ),
    "status/buildinfo": ("The version of Prometheus whose API this is", (), (), False),
}
"""By path: what it answers, what may be asked, what must be, and whether it takes a form by POST too."""


def paths() -> dict[str, Any]:
    """Return the described paths."""
    found: dict[str, Any] = {SAMPLES: {"post": _samples()}, WRITE: {"post": _write()}}
    found[GROUP] = {method: _push(method) for method in ("put", "post", "delete")}
    for path, (summary, asked, needed, by_form) in _QUERIES.items():
        found[PREFIX + path] = {"get": _query(path, summary, asked, needed)}
        if by_form:
            found[PREFIX + path]["post"] = _query_by_form(path, summary, asked, needed)
    found[PREFIX + "alerts"]["post"] = {
        "operationId": _name("post", PREFIX + "alerts"),
        "summary": "Alertmanager's API v1, which is gone: send alerts to /api/v2/alerts",
        "deprecated": True,
        "responses": {"410": _json("Gone", {"type": "object"}), **problems(_PUSH_PROBLEMS)},
    }
    return found


def _name(method: str, path: str) -> str:
    """Return a name that no call has, such as ``GetPrometheusLabels``."""
    words = path.replace(PREFIX, "/prometheus/").replace("_", "/").split("/")
    return method.capitalize() + "".join(word.strip("{}").capitalize() for word in words)


def _samples() -> dict[str, Any]:
    body = {
        "type": "object",
        "required": ["samples"],
        "additionalProperties": False,
        "properties": {"samples": {"type": "array", "maxItems": 50_000, "items": _SAMPLE}},
    }
    accepted = {
        "type": "object",
        "required": ["accepted"],
        "properties": {"accepted": {"type": "integer", "minimum": 0}},
    }
    return {
        "operationId": _name("post", SAMPLES),
        "summary": "Send samples",
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {"200": _json("All are stored", accepted), **problems(_PUSH_PROBLEMS)},
    }


def _write() -> dict[str, Any]:
    headers = {
        WRITTEN.format(what): {"required": True, "schema": {"type": "integer", "minimum": 0}}
        for what in ("Samples", "Histograms", "Exemplars")
    }
    return {
        "operationId": _name("post", WRITE),
        "summary": "Prometheus' remote write 1.0 and 2.0: protobuf, compressed by snappy",
        "requestBody": {
            "required": True,
            "content": {"application/x-protobuf": {"schema": {"type": "string", "format": "binary"}}},
        },
        "responses": {
            "204": {"description": "All are stored", "headers": headers},
            **problems(_PUSH_PROBLEMS),
        },
    }


def _push(method: str) -> dict[str, Any]:
    does = {
        "put": "Replace all metrics of a group",
        "post": "Replace the metrics of a group whose names these are",
        "delete": "End a group",
    }
    described: dict[str, Any] = {
        "operationId": _name(method, GROUP),
        "summary": does[method],
        "description": "By Pushgateway's API: further labels of the group follow in the path, /LABEL/VALUE each.",
        "parameters": [_parameter("path", "job", "The job", is_required=True)],
    }
    if method == "delete":
        return {**described, "responses": {"202": {"description": "Done"}, **problems(_PUSH_PROBLEMS)}}
    kinds = ("text/plain", "application/openmetrics-text")
    content = {kind: {"schema": _TEXT} for kind in kinds}
    return {
        **described,
        "requestBody": {"required": False, "content": content},
        "responses": {"200": {"description": "All are stored"}, **problems(_PUSH_PROBLEMS)},
    }


def _query(path: str, summary: str, asked: tuple[Asked, ...], needed: tuple[str, ...]) -> dict[str, Any]:
    in_path = [_parameter("path", "name", "The label", is_required=True)] if "{name}" in path else []
    given = [_parameter("query", one, says, is_required=one in needed) for one, says in asked]
    return {
        "operationId": _name("get", PREFIX + path),
        "summary": summary,
        "parameters": [*in_path, *given],
        "responses": _answers(),
    }


def _query_by_form(
    path: str, summary: str, asked: tuple[Asked, ...], needed: tuple[str, ...]
) -> dict[str, Any]:
    fields = {one: {**_field(one), "description": says} for one, says in asked}
    form = {"type": "object", "properties": fields, **({"required": list(needed)} if needed else {})}
    return {
        "operationId": _name("post", PREFIX + path),
        "summary": f"{summary}, where the address would be too long",
        "requestBody": {
            "required": bool(needed),
            "content": {"application/x-www-form-urlencoded": {"schema": form}},
        },
        "responses": _answers(),
    }


def _answers() -> dict[str, Any]:
    done = {
        "type": "object",
        "required": ["status", "data"],
        "properties": {
            "status": {"const": "success"},
            "data": {},
            "warnings": {"type": "array", "items": _TEXT},
            "infos": {"type": "array", "items": _TEXT},
        },
    }
    failed = {
        "type": "object",
        "required": ["status", "errorType", "error"],
        "properties": {
            "status": {"const": "error"},
            "errorType": {"enum": sorted(STATUS_OF)},
            "error": _TEXT,
        },
    }
    reasons = {
        "400": "A parameter cannot be used",
        "422": "The query cannot be evaluated",
        "503": "The time is over, or too many queries wait",
    }
    errors = {status: _json(why, failed) for status, why in reasons.items()}
    return {"200": _json("Done", done), **errors, "default": _json("Another problem", failed)}


def _parameter(place: str, name: str, says: str, *, is_required: bool) -> dict[str, Any]:
    return {
        "name": name,
        "in": place,
        "required": is_required,
        "description": says,
        "schema": {"type": "string", "minLength": 1} if place == "path" else _schema(name),
    }


def _schema(name: str) -> dict[str, Any]:
    return {"type": "array", "items": _TEXT} if name.endswith("[]") else dict(_TEXT)


def _field(name: str) -> dict[str, Any]:
    """Return the schema of a field in a form, where one of several values looks as a single one."""
    return {"anyOf": [dict(_TEXT), _schema(name)]} if name.endswith("[]") else dict(_TEXT)


def _json(says: str, schema: Schema) -> dict[str, Any]:
    return {"description": says, "content": {"application/json": {"schema": schema}}}
