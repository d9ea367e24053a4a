"""The text format and OpenMetrics, as Prometheus reads them, and how each mistake is refused."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from chainwatch.ingestion.model import IngestionError
from chainwatch.ingestion.text import LINES_MORE, LINES_PER_SAMPLE, KnownSeries, parse_exposition
from chainwatch.promql.series import Labels, Metadata
from tests.support.effort import effort_within


def series(body: bytes) -> list[tuple[dict[str, str], float, int | None]]:
    return [(dict(labels), value, at) for labels, value, at in parse_exposition(body).samples]


@pytest.mark.parametrize(
    ("line", "labels", "value", "at"),
    [
        ("a 1", {"__name__": "a"}, 1.0, None),
        ("a:b_9\t-1.5e3\t1700000000123 ", {"__name__": "a:b_9"}, -1500.0, 1_700_000_000_123),
        ('a{x="1",} +Inf', {"__name__": "a", "x": "1"}, math.inf, None),
        ("a{} .5", {"__name__": "a"}, 0.5, None),
        (' a { x = "1" , y = "2" } -inf', {"__name__": "a", "x": "1", "y": "2"}, -math.inf, None),
        (r'a{x="\\ \" \n } 1 # {"} 2', {"__name__": "a", "x": '\\ " \n } 1 # {'}, 2.0, None),
        ('a{x=""} 1', {"__name__": "a"}, 1.0, None),
        ('{"my.metric", "my label"="é"} 1', {"__name__": "my.metric", "my label": "é"}, 1.0, None),
        ('{x="1","a"} 1', {"__name__": "a", "x": "1"}, 1.0, None),
        ('a_bucket{le="1"} 3 # {trace="x"} 0.5 1.2', {"__name__": "a_bucket", "le": "1"}, 3.0, None),
    ],
)
def test_a_sample_is_read(line: str, labels: dict[str, str], value: float, at: int | None) -> None:
    assert series(line.encode()) == [(labels, value, at)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("9a 1", "no metric name"),
        ("a-b 1", '"a-b" is no metric name'),
        ('a{9x="1"} 2', '"9x" is no label name'),
        ('a{a-b="1"} 2', '"a-b" is no label name'),
        ('a{""="1"} 2', "a label without a name"),
        ("a{x=1} 2", 'expected label="value" at "x=1}"'),
        ('a{x="1} 2', "a } or a closing quote is missing"),
        ('a{x="1" y="2"} 1', "expected , or }"),
        ('a{x="1",,} 1', "expected label="),
        ('a{x="1",x="2"} 1', 'the label "x" is given twice'),
        ('a{"b"} 1', "the name is given twice"),
        ('{x="1"} 1', "without a name"),
        (r'a{x="\q"} 1', "is no escape"),
        ("a", "expected NAME{LABELS} VALUE"),
        ("a 1 2 3", "expected NAME{LABELS} VALUE"),
        ("a x", '"x" is no number'),
        ("a 1_0", '"1_0" is no number'),
        ("a 0x10", '"0x10" is no number'),
        ("a ٣", "is no number"),
        ("a 1e999", "too large for a float"),
        ("a 1 1.5", "is no time"),
        ("a 1 99999999999999999", "too far from 1970"),
        ("a 1\r", "is no number"),
        ("# TYPE a chart", '"chart" is no type'),
    ],
)
def test_a_mistake_is_refused_with_its_line_and_reason(line: str, reason: str) -> None:
    with pytest.raises(IngestionError) as caught:
        parse_exposition(f"good 1\n\n{line}\n".encode())
    assert str(caught.value).startswith("line 3: ")
    assert reason in str(caught.value)


def test_text_that_is_no_text_is_refused() -> None:
    with pytest.raises(IngestionError, match="line 2: byte 6 is no UTF-8"):
        parse_exposition(b"a 1\nb \xff")
    with pytest.raises(IngestionError, match="line 2: the character NUL"):
        parse_exposition(b'a 1\nb{x="\0"} 1')


def test_what_is_said_of_metrics_is_kept() -> None:
    body = b"# HELP a What\\nit \\\\ is\n# TYPE a counter\n# UNIT a seconds\n# any comment\n# TYPE b untyped\na 1"
    assert parse_exposition(body).metadata == {
        "a": Metadata("counter", "What\nit \\ is", "seconds"),
        "b": Metadata(),
    }


def test_openmetrics_has_seconds_and_an_end() -> None:
    found = parse_exposition(b"a_total 1 1700000000.1234\n# EOF\n", is_openmetrics=True).samples
    assert [(one.value, one.time) for one in found] == [(1.0, 1_700_000_000_123)]
    with pytest.raises(IngestionError, match="the end is missing"):
        parse_exposition(b"a 1\n", is_openmetrics=True)
    with pytest.raises(IngestionError, match="line 3: something follows"):
        parse_exposition(b"a 1\n# EOF\na 2\n# EOF", is_openmetrics=True)


def test_samples_are_bounded() -> None:
    assert len(parse_exposition(b"a 1\nb 2\n", samples_max=2).samples) == 2
    with pytest.raises(IngestionError, match="line 2: more than 1 samples"):
        parse_exposition(b"a 1\nb 2\n", samples_max=1)


@pytest.mark.parametrize("line", [b"#\n", b"\n", b"# HELP a b\n"])
def test_a_document_of_comments_alone_is_refused_before_it_is_read(line: bytes) -> None:
    lines = LINES_PER_SAMPLE * 2 + LINES_MORE
    assert parse_exposition(b"a 1\n" + line * (lines - 1), samples_max=2).samples
    with pytest.raises(IngestionError, match="far more lines than 2 samples"):
        parse_exposition(b"a 1\n" + line * lines, samples_max=2)


def test_what_clients_expose_is_read_in_both_formats() -> None:
    registry = CollectorRegistry()
    Gauge("g", "A\nhelp \\", ["x"], registry=registry).labels('q"\n\\').set(1.5)
    Counter("c", "", registry=registry).inc(3)
    Histogram("h", "", registry=registry).observe(0.2)
    texts = (
        (generate_latest(registry), False),
        (generate_openmetrics(registry), True),  # type: ignore[no-untyped-call]
    )
    for body, is_openmetrics in texts:
        found = parse_exposition(body, is_openmetrics=is_openmetrics)
        values = {labels: value for labels, value, _ in found.samples}
        assert values[Labels({"__name__": "g", "x": 'q"\n\\'})] == 1.5
        assert values[Labels({"__name__": "c_total"})] == 3
        assert values[Labels({"__name__": "h_bucket", "le": "0.25"})] == 1
        assert found.metadata["g"] == Metadata("gauge", "A\nhelp \\")


def test_known_series_keep_their_labels_while_they_come_again() -> None:
    known = KnownSeries()
    first = parse_exposition(b'a{x="1"} 1', known=known).samples[0].labels
    assert parse_exposition(b'a{x="1"} 2', known=known).samples[0].labels is first
    for part in range(4):
        parse_exposition("".join(f"m{part}_{n} 1\n" for n in range(600)).encode(), known=known)
    again = parse_exposition(b'a{x="1"} 2', known=known).samples[0].labels
    assert (again == first, again is first) == (True, False)


@given(
    st.binary(max_size=200) | st.text(alphabet='a{}"=\\,. #1\n\t-EOF', max_size=60).map(str.encode),
    st.booleans(),
)
def test_any_document_is_read_or_refused(body: bytes, is_openmetrics: bool) -> None:
    try:
        found = parse_exposition(body, is_openmetrics=is_openmetrics)
    except IngestionError:
        return
    assert all(labels.get("__name__") for labels, _, _ in found.samples)


@pytest.mark.parametrize(
    "body",
    [
        b"a{" * 100_000,
        b'a{x="' + b'\\"' * 200_000,
        b"a{" + b'x="",' * 100_000,
        b"a " + b" " * 500_000 + b"1 2 3",
    ],
)
def test_hostile_lines_take_no_long_time(body: bytes) -> None:
    with effort_within(1), pytest.raises(IngestionError):
        parse_exposition(body)
