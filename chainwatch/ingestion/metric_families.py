"""Prometheus' protobuf format, which Go's client pushes: ``MetricFamily`` messages, each after its length.

Source: https://github.com/prometheus/client_model/blob/master/io/prometheus/client/metrics.proto. Of a histogram only the
classic buckets are read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf.message import DecodeError

from chainwatch.ingestion import wire
from chainwatch.ingestion.model import IngestionError
from chainwatch.ingestion.names import checked_labels, quoted
from chainwatch.ingestion.text import HELP_MAX, Exposition, TextSample
from chainwatch.promql.numbers import format_general
from chainwatch.promql.series import NAME, Labels, Metadata

CONTENT_TYPE = "application/vnd.google.protobuf"
TYPES = ("counter", "gauge", "summary", "unknown", "histogram", "gaugehistogram")
_PLAIN = {"counter": "counter", "gauge": "gauge", "unknown": "untyped"}
"""By type, the field that has the value of a metric."""


def parse_families(body: bytes, samples_max: int) -> Exposition:
    """Return the samples of a document. Raises ``IngestionError``, which names the metric that is wrong."""
    found = Exposition()
    for content in _delimited(body):
        try:
            family = wire.MetricFamily.FromString(content)
        except DecodeError:
            raise IngestionError("the body is no sequence of io.prometheus.client.MetricFamily") from None
        kind = TYPES[family.type] if 0 <= family.type < len(TYPES) else "unknown"
        found.metadata[family.name] = Metadata(kind, family.help[:HELP_MAX])
        for metric in family.metric:
            time = metric.timestamp_ms or None
            try:
                labels = checked_labels(
                    [(NAME, family.name), *((one.name, one.value) for one in metric.label)]
                )
                found.samples += [
                    TextSample(Labels(one), value, time) for one, value in _values(labels, kind, metric)
                ]
            except ValueError as error:
                raise IngestionError(f"{quoted(family.name)}: {error}") from None
            if len(found.samples) > samples_max:
                raise IngestionError(f"more than {samples_max} samples: push fewer at once")
    return found


def _delimited(body: bytes) -> Iterator[bytes]:
    place = 0
    while place < len(body):
        size, shift = 0, 0
        while True:
            if place >= len(body) or shift > _LENGTH_BITS:
                raise IngestionError(_CUT_OFF)
            digit = body[place]
            size |= (digit & 127) << shift
            place, shift = place + 1, shift + 7
            if digit < 128:
                break
        if size > len(body) - place:
            raise IngestionError(_CUT_OFF)
        yield body[place : place + size]
        place += size


def _values(labels: Mapping[str, str], kind: str, metric: Any) -> Iterator[tuple[dict[str, str], float]]:
    """Yield the labels and values of the series of one metric."""
    name = labels[NAME]
    if kind in _PLAIN:
        yield dict(labels), getattr(metric, _PLAIN[kind]).value
        return
    if kind == "summary":
        for one in metric.summary.quantile:
            yield {**labels, "quantile": format_general(one.quantile)}, one.value
        whole = metric.summary
    else:
        whole = metric.histogram
        count = whole.sample_count or whole.sample_count_float
        bounds = {one.upper_bound: one.cumulative_count or one.cumulative_count_float for one in whole.bucket}
        for bound, number in {**bounds, math.inf: bounds.get(math.inf, count)}.items():
            yield {**labels, NAME: f"{name}_bucket", "le": format_general(bound)}, float(number)
    yield {**labels, NAME: f"{name}_sum"}, whole.sample_sum
    yield {**labels, NAME: f"{name}_count"}, float(whole.sample_count)


_LENGTH_BITS = 28
_CUT_OFF = "the body is cut off, or no sequence of messages after their lengths (proto; encoding=delimited)"
