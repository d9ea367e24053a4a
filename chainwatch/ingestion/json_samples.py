"""Samples as JSON: ``{"samples": [{"name": "queue_depth", "labels": {"queue": "mail"}, "value": 42}]}``.

A sample may have a ``time``: Unix seconds, or milliseconds from 100,000,000,000 on. The values ``NaN``,
``+Inf`` and ``-Inf`` are texts.
"""

from __future__ import annotations

import math
from typing import Annotated

import msgspec

from chainwatch.ingestion.model import TIME_MAX, IngestionError, Parsed
from chainwatch.ingestion.names import checked_labels, quoted
from chainwatch.promql.series import NAME, Labels
from chainwatch.support.nesting import is_too_deep

SAMPLES_MAX = 50_000
"""The most samples of one document."""
MILLISECONDS_FROM = 100_000_000_000
"""A time from this number on is in milliseconds, below in seconds: as seconds it lies in the year 5138."""
NOT_FINITE = {"NaN": math.nan, "+Inf": math.inf, "Inf": math.inf, "-Inf": -math.inf}


class _Sample(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    value: float | str
    labels: dict[str, str] = {}
    time: float | None = None


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    samples: Annotated[list[_Sample], msgspec.Meta(max_length=SAMPLES_MAX)]


def parse_json(body: bytes, now_ms: int) -> Parsed:
    """Return the samples; those without a time have ``now_ms``. Raises ``IngestionError``, which names the first mistake."""
    if is_too_deep(body):
        raise IngestionError('the brackets are nested too deep: send {"samples": [{"name": …, "value": …}]}')
    try:
        document = msgspec.json.decode(body, type=_Body)
    except UnicodeDecodeError as error:
        raise IngestionError(f"byte {error.start} is no UTF-8") from None
    except (msgspec.DecodeError, RecursionError) as error:  # a ValidationError too, which names the place
        raise IngestionError(f"{str(error)[:300]}: send {_EXAMPLE}") from None
    found: dict[Labels, dict[int, float]] = {}
    for index, sample in enumerate(document.samples):
        try:
            labels, time, value = _labels(sample), _time(sample.time, now_ms), _value(sample.value)
            values = found.setdefault(labels, {})
            if time in values:
                raise ValueError("its series has another sample of the same time")
        except ValueError as error:
            raise IngestionError(f"samples[{index}]: {error}") from None
        values[time] = value
    return Parsed([(labels, *_by_time(values)) for labels, values in found.items()])


def _labels(sample: _Sample) -> Labels:
    if NAME in sample.labels:
        raise ValueError(f"{NAME} among the labels: the name stands in name")
    return checked_labels([(NAME, sample.name), *sample.labels.items()])


def _value(value: float | str) -> float:
    if isinstance(value, str):
        if value not in NOT_FINITE:
            raise ValueError(
                f"value: {quoted(value)} is no number: write it without quotes, or NaN, +Inf, -Inf"
            )
        return NOT_FINITE[value]
    return value


def _time(time: float | None, now_ms: int) -> int:
    if time is None:
        return now_ms
    milliseconds = time if abs(time) >= MILLISECONDS_FROM else time * 1000
    if abs(milliseconds) >= TIME_MAX:
        raise ValueError("time: too far from 1970: give Unix seconds or milliseconds")
    return math.floor(milliseconds + 0.5)


def _by_time(values: dict[int, float]) -> tuple[list[int], list[float]]:
    times = sorted(values)
    return times, [values[time] for time in times]


_EXAMPLE = '{"samples": [{"name": "queue_depth", "labels": {"queue": "mail"}, "value": 42}]}'
