"""The protobuf that Go's client pushes."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainwatch.ingestion.metric_families import parse_families
from chainwatch.ingestion.model import IngestionError
from chainwatch.promql.series import Metadata
from tests.support.remote_write import field, label, varint

COUNTER, GAUGE, SUMMARY, UNTYPED, HISTOGRAM = range(5)


def double(number: int, value: float) -> bytes:
    return varint(number << 3 | 1) + struct.pack("<d", value)


def integer(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def family(name: str, kind: int, *metrics: bytes) -> bytes:
    content = field(1, name.encode()) + field(2, b"What") + integer(3, kind)
    content += b"".join(field(4, metric) for metric in metrics)
    return varint(len(content)) + content


def read(*families: bytes) -> dict[str, float]:
    return {repr(labels): value for labels, value, _ in parse_families(b"".join(families), 100).samples}


def test_every_type_becomes_the_series_of_the_text_format() -> None:
    one = field(1, label("x", "1"))
    summary = integer(1, 4) + double(2, 5.5) + field(3, double(1, 0.99) + double(2, 7))
    buckets = [field(3, integer(1, number) + double(2, bound)) for number, bound in ((1, 0.25), (2, 1e6))]
    histogram = integer(1, 3) + double(2, 9) + b"".join(buckets)
    assert read(
        family("c_total", COUNTER, one + field(3, double(1, 3))),
        family("g", GAUGE, field(2, double(1, -1))),
        family("u", UNTYPED, field(5, double(1, 8))),
        family("s", SUMMARY, field(4, summary)),
        family("h", HISTOGRAM, field(7, histogram)),
    ) == {
        'c_total{x="1"}': 3,
        "g": -1,
        "u": 8,
        's{quantile="0.99"}': 7,
        "s_sum": 5.5,
        "s_count": 4,
        'h_bucket{le="0.25"}': 1,
        'h_bucket{le="1e+06"}': 2,
        'h_bucket{le="+Inf"}': 3,
        "h_sum": 9,
        "h_count": 3,
    }
    assert parse_families(family("g", GAUGE), 1).metadata == {"g": Metadata("gauge", "What")}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"\x05abc", "cut off"),
        (b"\xff" * 10, "cut off"),
        (b"\x02\xff\xff", "no sequence of"),
        (family("9a", GAUGE, b""), '"9a" is no metric name'),
        (family("a", GAUGE, field(1, label("b-c", "1"))), '"b-c" is no label name'),
        (family("a", GAUGE, field(1, label("b", "1")) * 2), 'the label "b" is given twice'),
        (family("a", GAUGE, *[b""] * 101), "more than 100 samples"),
    ],
)
def test_a_mistake_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(IngestionError, match=reason):
        parse_families(body, 100)


@given(st.binary(max_size=80))
def test_any_document_is_read_or_refused(body: bytes) -> None:
    try:
        found = parse_families(body, 100)
    except IngestionError:
        return
    assert all(labels.get("__name__") for labels, _, _ in found.samples)
