"""The messages of remote write and of Prometheus' clients, as protobuf classes that are made here: no compiler is needed.

Sources: ``prompb/remote.proto``, ``prompb/types.proto`` (1.0) and ``prompb/io/prometheus/write/v2/types.proto`` (2.0) of
https://github.com/prometheus/prometheus. Series, and labels of 1.0, are left as bytes, by which most are known, and so
are histograms and exemplars, which are only counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_FIELD = descriptor_pb2.FieldDescriptorProto
_DOUBLE, _INT64, _UINT32 = _FIELD.TYPE_DOUBLE, _FIELD.TYPE_INT64, _FIELD.TYPE_UINT32
_INT32, _BYTES, _STRING, _UINT64 = (
    _FIELD.TYPE_INT32,
    _FIELD.TYPE_BYTES,
    _FIELD.TYPE_STRING,
    _FIELD.TYPE_UINT64,
)
_Fields = Mapping[str, tuple[int, int | str]]
"""Fields by name, those that are repeated marked with ``*``: their number, and their type or message."""

_SAMPLE: _Fields = {"value": (1, _DOUBLE), "timestamp": (2, _INT64)}


def _messages(package: str, messages: Mapping[str, _Fields]) -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            label = _FIELD.LABEL_REPEATED if field.endswith("*") else _FIELD.LABEL_OPTIONAL
            added = message.field.add(name=field.removesuffix("*"), number=number, label=label)
            if isinstance(kind, str):
                added.type, added.type_name = _FIELD.TYPE_MESSAGE, f".{package}.{kind}"
            else:
                added.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = {name: pool.FindMessageTypeByName(f"{package}.{name}") for name in messages}
    return {name: message_factory.GetMessageClass(message) for name, message in found.items()}


_V1 = _messages(
    "prometheus",
    {
        "Label": {"name": (1, _STRING), "value": (2, _STRING)},
        "Sample": _SAMPLE,
        "TimeSeries": {
            "labels*": (1, _BYTES),
            "samples*": (2, "Sample"),
            "exemplars*": (3, _BYTES),
            "histograms*": (4, _BYTES),
        },
        "MetricMetadata": {
            "type": (1, _INT32),
            "metric_family_name": (2, _BYTES),
            "help": (4, _BYTES),
            "unit": (5, _BYTES),
        },
        "WriteRequest": {"timeseries*": (1, _BYTES), "metadata*": (3, "MetricMetadata")},
    },
)
_V2 = _messages(
    "io.prometheus.write.v2",
    {
        "Sample": _SAMPLE,
        "Metadata": {"type": (1, _INT32), "help_ref": (3, _UINT32), "unit_ref": (4, _UINT32)},
        "TimeSeries": {
            "labels_refs*": (1, _UINT32),
            "samples*": (2, "Sample"),
            "histograms*": (3, _BYTES),
            "exemplars*": (4, _BYTES),
            "metadata": (5, "Metadata"),
        },
        "Request": {"symbols*": (4, _BYTES), "timeseries*": (5, _BYTES)},
    },
)
_CLIENT = _messages(
    "io.prometheus.client",
    {
        "LabelPair": {"name": (1, _STRING), "value": (2, _STRING)},
        "Value": {"value": (1, _DOUBLE)},
        "Quantile": {"quantile": (1, _DOUBLE), "value": (2, _DOUBLE)},
        "Summary": {"sample_count": (1, _UINT64), "sample_sum": (2, _DOUBLE), "quantile*": (3, "Quantile")},
        "Bucket": {
            "cumulative_count": (1, _UINT64),
            "upper_bound": (2, _DOUBLE),
            "cumulative_count_float": (4, _DOUBLE),
        },
        "Histogram": {
            "sample_count": (1, _UINT64),
            "sample_sum": (2, _DOUBLE),
            "bucket*": (3, "Bucket"),
            "sample_count_float": (4, _DOUBLE),
        },
        "Metric": {
            "label*": (1, "LabelPair"),
            "gauge": (2, "Value"),
            "counter": (3, "Value"),
            "summary": (4, "Summary"),
            "untyped": (5, "Value"),
            "timestamp_ms": (6, _INT64),
            "histogram": (7, "Histogram"),
        },
        "MetricFamily": {
            "name": (1, _STRING),
            "help": (2, _STRING),
            "type": (3, _INT32),
            "metric*": (4, "Metric"),
        },
    },
)

Label: Any = _V1["Label"]
TimeSeries: Any = _V1["TimeSeries"]
WriteRequest: Any = _V1["WriteRequest"]
TimeSeries2: Any = _V2["TimeSeries"]
Request: Any = _V2["Request"]
MetricFamily: Any = _CLIENT["MetricFamily"]
