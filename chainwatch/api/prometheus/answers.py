"""Answers as Prometheus encodes them: ``{"status": …, "data": …}``, samples as ``[seconds, "value"]``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from aiohttp import hdrs, web

from chainwatch.api.problems import PROBLEM, Handler
from chainwatch.api.prometheus.paths import is_query_path
from chainwatch.promql.numbers import format_float
from chainwatch.promql.queries import Matrix, Sample, Scalar, String, Vector
from chainwatch.promql.series import Labels, Series

JSON = "application/json"
STATUS_OF = {
    "bad_data": 400,
    "not_found": 404,
    "not_acceptable": 406,
    "execution": 422,
    "canceled": 499,
    "internal": 500,
    "timeout": 503,
    "unavailable": 503,
}
"""HTTP's status by the type of an error."""

Result = Vector | Scalar | String | Matrix


class Refused(Exception):
    """A request that is answered with an error of the type ``kind``, one of ``STATUS_OF``, and a message."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind

    @property
    def answer(self) -> web.Response:
        """The answer."""
        return failure(STATUS_OF[self.kind], self.kind, str(self))


def success(data: bytes, warnings: Sequence[str] = (), infos: Sequence[str] = ()) -> bytes:
    """Return the body with ``data``, which is JSON."""
    noted = b',"warnings":' + msgspec.json.encode(list(warnings)) if warnings else b""
    noted += b',"infos":' + msgspec.json.encode(list(infos)) if infos else b""
    return b'{"status":"success","data":' + data + noted + b"}"


def answer(body: bytes) -> web.Response:
    """Return the answer with this body."""
    return web.Response(body=body, content_type=JSON)


def failure(status: int, kind: str, message: str) -> web.Response:
    """Return the answer to what cannot be done."""
    body = msgspec.json.encode({"status": "error", "errorType": kind, "error": message})
    return web.Response(body=body, status=status, content_type=JSON)


def encode(content: Any) -> bytes:
    """Return ``content`` as JSON."""
    return msgspec.json.encode(content)


def query_data(result: Result, at: int, stats: Mapping[str, Any] | None = None) -> bytes:
    """Return the data of a query's result; ``at``: the time of a scalar or text, and of a vector's samples."""
    match result:
        case Vector(samples=samples):
            kind, content = "vector", _vector(samples, at)
        case Matrix(series=series):
            kind, content = "matrix", _matrix(series)
        case Scalar(value=value):
            kind, content = "scalar", f'[{time_text(at)},"{format_float(value)}"]'.encode()
        case String(value=text):
            kind, content = "string", f"[{time_text(at)},".encode() + encode(text) + b"]"
    noted = b',"stats":' + encode(stats) if stats is not None else b""
    return b'{"resultType":"' + kind.encode() + b'","result":' + content + noted + b"}"


def labels_json(labels: Labels) -> bytes:
    """Return labels as a JSON object."""
    return encode(dict(labels.pairs))


def time_text(at: int) -> str:
    """Return milliseconds as seconds, with as many digits as Prometheus writes."""
    sign, at = ("-", -at) if at < 0 else ("", at)
    seconds, fraction = divmod(at, 1000)
    return f"{sign}{seconds}.{fraction:03}" if fraction else f"{sign}{seconds}"


def value_text(value: float) -> str:
    """Return the shortest digits that mean ``value``, with an exponent only below 1e-6 and from 1e21."""
    text = repr(value)
    if "e" in text and not 1e-6 <= abs(value) < 1e21:
        return text
    return format_float(value)


@web.middleware
async def translate_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer problems of this API's paths as Prometheus does."""
    response = await handler(request)
    if response.content_type != PROBLEM or not is_query_path(request.path):
        return response
    assert isinstance(response, web.Response)
    assert isinstance(response.body, bytes)
    message = str(msgspec.json.decode(response.body)["detail"])
    translated = failure(response.status, _kind(response.status), message)
    kept = {name: value for name, value in response.headers.items() if name not in _OF_THE_BODY}
    translated.headers.update(kept)
    if not response.keep_alive and response.keep_alive is not None:
        translated.force_close()
    return translated


_OF_THE_BODY = (hdrs.CONTENT_TYPE, hdrs.CONTENT_LENGTH)


def _kind(status: int) -> str:
    kinds = {400: "bad_data", 404: "not_found", 413: "bad_data", 503: "timeout"}
    return kinds.get(status, "internal" if status >= 500 else "bad_data")


def _vector(samples: Sequence[Sample], at: int) -> bytes:
    time = time_text(at)
    rows = [
        b'{"metric":' + labels_json(labels) + f',"value":[{time},"{value_text(value)}"]}}'.encode()
        for labels, value in samples
    ]
    return b"[" + b",".join(rows) + b"]"


def _matrix(series: Sequence[Series]) -> bytes:
    times: dict[int, str] = {}
    rows = []
    for one in series:
        points = []
        for at, value in zip(one.times, one.values, strict=True):
            text = times.get(at)
            if text is None:
                text = times[at] = time_text(at)
            points.append(f'[{text},"{value_text(value)}"]')
        rows.append(b'{"metric":' + labels_json(one.labels) + f',"values":[{",".join(points)}]}}'.encode())
    return b"[" + b",".join(rows) + b"]"
