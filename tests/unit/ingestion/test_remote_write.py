"""Remote write 1.0 and 2.0: what is read, what is left out and counted, what is refused whole."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainwatch.ingestion.known_labels import KnownLabels
from chainwatch.ingestion.model import IngestionError, Parsed, TooLarge, WrongFormat
from chainwatch.ingestion.remote_write import (
    ENTRIES_MAX,
    NATIVE_HISTOGRAMS,
    SIZE_MAX,
    SYMBOL_MAX,
    V1,
    V2,
    message_of,
    parse_remote_write,
)
from chainwatch.promql.series import STALE, Metadata, is_stale
from tests.support.effort import effort_within
from tests.support.remote_write import (
    Points,
    field,
    label,
    request_v1,
    request_v2,
    sample,
    series_v1,
    snappy,
    varint,
)

A = {"__name__": "a", "x": "1"}


def v1(*series: bytes) -> Parsed:
    return parse_remote_write(request_v1(series), V1, KnownLabels())


def v2(*series: tuple[Mapping[str, str], Points, int]) -> Parsed:
    return parse_remote_write(request_v2(series), V2, KnownLabels())


def plain(parsed: Parsed) -> list[tuple[dict[str, str], list[int], list[float]]]:
    return [(dict(labels), list(times), list(values)) for labels, times, values in parsed.series]


@pytest.mark.parametrize(
    ("content_type", "encoding", "message"),
    [
        ("application/x-protobuf", "snappy", V1),
        ("application/x-protobuf", "", V1),
        ("Application/X-Protobuf;proto=prometheus.WriteRequest", "Snappy", V1),
        ("application/x-protobuf; proto=io.prometheus.write.v2.Request; x=y", "snappy", V2),
    ],
)
def test_the_message_is_known_by_the_headers(content_type: str, encoding: str, message: str) -> None:
    assert message_of(content_type, encoding) == message


@pytest.mark.parametrize(
    ("content_type", "encoding", "reason"),
    [
        ("application/json", "snappy", "send application/x-protobuf"),
        ("", "snappy", "send application/x-protobuf"),
        ("application/x-protobuf;proto=other.Request", "snappy", f"send {V1} or {V2}"),
        ("application/x-protobuf", "zstd", "send Content-Encoding: snappy"),
    ],
)
def test_other_formats_are_refused(content_type: str, encoding: str, reason: str) -> None:
    with pytest.raises(WrongFormat, match=reason):
        message_of(content_type, encoding)


def test_both_versions_give_the_same_series() -> None:
    points = [(1_000, 1.5), (2_000, -2.0)]
    wanted = [(A, [1_000, 2_000], [1.5, -2.0])]
    assert plain(v1(series_v1(A, points))) == wanted
    assert plain(v2((A, points, 0))) == wanted


def test_labels_in_any_order_and_staleness_markers_are_kept() -> None:
    parsed = v1(series_v1([("x", "1"), ("__name__", "a"), ("empty", "")], [(-5, STALE)]))
    ((labels, times, values),) = plain(parsed)
    assert (labels, times, is_stale(values[0])) == (A, [-5], True)


def test_native_histograms_are_left_out_and_counted() -> None:
    for parsed in (v1(series_v1(A, [(1, 1.0)], histograms=2)), v2((A, [(1, 1.0)], 2))):
        assert plain(parsed) == [(A, [1], [1.0])]
        assert parsed.refusals.numbers == {NATIVE_HISTOGRAMS: 2}
        assert str(parsed.refusals) == f'{NATIVE_HISTOGRAMS}: 2 samples, such as of a{{x="1"}}'


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ([], "without a name"),
        ([("x", "1")], "without a name"),
        ([("__name__", "9a")], '"9a" is no metric name'),
        ([("__name__", "a"), ("b-c", "1")], '"b-c" is no label name'),
        ([("__name__", "a"), ("", "1")], "a label without a name"),
        ([("__name__", "a"), ("x", "1"), ("x", "2")], 'the label "x" is given twice'),
        ([("__name__", "a"), ("x", b"\xff")], "no UTF-8"),
        ([("__name__", "a"), ("x", "\0")], "the character NUL"),
    ],
)
def test_a_series_with_wrong_labels_harms_no_other(
    labels: list[tuple[str | bytes, str | bytes]], reason: str
) -> None:
    parsed = v1(series_v1(labels, [(1, 1.0), (2, 2.0)]), series_v1(A, [(1, 1.0)]))
    assert plain(parsed) == [(A, [1], [1.0])]
    assert parsed.refusals.numbers == {"invalid series": 2}
    assert "timeseries[0]: " in str(parsed.refusals)
    assert reason in str(parsed.refusals)


def test_version_2_takes_any_text_for_a_name_but_none_that_is_empty() -> None:
    utf8 = {"__name__": "my.metric", "é": "1"}
    assert plain(v2((utf8, [(1, 1.0)], 0))) == [(utf8, [1], [1.0])]
    assert v2(({"__name__": "a", "": "1"}, [(1, 1.0)], 0)).refusals.numbers == {"invalid series": 1}


@pytest.mark.parametrize(
    ("references", "reason"), [((1, 99), "a symbol that is not there"), ((1,), "an odd number of references")]
)
def test_wrong_references_harm_no_other(references: tuple[int, ...], reason: str) -> None:
    symbols = b"".join(field(4, text) for text in (b"", b"__name__", b"a"))
    bad = field(1, b"".join(map(varint, references))) + field(2, b"\x10\x01")
    good = field(1, b"\x01\x02") + field(2, b"\x10\x01")
    parsed = parse_remote_write(snappy(symbols + field(5, bad) + field(5, good)), V2, KnownLabels())
    assert plain(parsed) == [({"__name__": "a"}, [1], [0.0])]
    assert reason in str(parsed.refusals)


def test_samples_out_of_order_are_left_out_and_repeated_ones_are_not_counted() -> None:
    parsed = v1(series_v1(A, [(5, 1.0), (4, 1.0), (5, 1.0), (5, 2.0), (6, 3.0), (2**60, 1.0)]))
    assert plain(parsed) == [(A, [5, 6], [1.0, 3.0])]
    assert parsed.refusals.numbers == {"out of order": 1, "duplicate": 1, "no time": 1}


def test_what_is_said_of_metrics_is_read_in_both_versions() -> None:
    one = parse_remote_write(
        request_v1([], [(1, "a", "What it is", "seconds"), (99, "b", "", "")]), V1, KnownLabels()
    )
    assert one.metadata == {"a": Metadata("counter", "What it is", "seconds"), "b": Metadata()}
    bucket = {"__name__": "h_bucket", "le": "1"}
    two = parse_remote_write(request_v2([(bucket, [], 0)], 3, "What", "seconds"), V2, KnownLabels())
    assert two.metadata == {"h": Metadata("histogram", "What", "seconds")}


def test_series_that_come_again_have_the_same_labels() -> None:
    for message, body in (
        (V1, request_v1([series_v1(A, [(1, 1.0)])])),
        (V2, request_v2([(A, [(1, 1.0)], 0)])),
    ):
        known = KnownLabels(most=1)
        first = parse_remote_write(body, message, known).series[0][0]
        known.settle(is_kept=True)
        assert parse_remote_write(body, message, known).series[0][0] is first
        other = request_v1([series_v1({"__name__": "b"}, [(1, 1.0)])])
        parse_remote_write(other, V1, known)
        assert parse_remote_write(body, message, known).series[0][0] is not first


def test_labels_of_series_that_are_refused_are_not_kept() -> None:
    known = KnownLabels()
    body = request_v1([series_v1(A, [(1, 1.0)])])
    first = parse_remote_write(body, V1, known).series[0][0]
    known.settle(is_kept=False)
    assert parse_remote_write(body, V1, known).series[0][0] is not first


AT = 1_795_316_389_137


@pytest.mark.parametrize(
    "again",
    [
        series_v1(A, [(AT, 1.0)]),
        series_v1(A, [(AT + 1, math.inf)]),
        series_v1(A, [(AT, 1.0), (AT + 1, 2.0)]),
        series_v1(A, [(5, 1.0)]),
        series_v1(A, [(2**42, 1.0)]),
        series_v1(A, [(AT, 1.0)], histograms=1),
        series_v1({"__name__": "b"}, [(AT, 1.0)]),
        series_v1(A, [(AT, 1.0)]) + field(1, label("y", "2")),
        field(2, sample(AT, 1.0)) + series_v1(A, [(AT + 1, 2.0)]),
        series_v1(A, []) + field(2, b"\x10\x01" + sample(AT, 1.0)[:14]),
        series_v1(A, []) + b"\x12\x10\x09" + bytes(8) + b"\x10" + b"\x80" * 6,
        series_v1(A, []) + b"\x12\x10\x09" + bytes(8) + b"\x10" + b"\x01" * 6,
    ],
)
def test_a_series_that_is_known_is_read_as_one_that_is_not(again: bytes) -> None:
    known = KnownLabels()
    parse_remote_write(request_v1([series_v1(A, [(AT, 1.0)])]), V1, known)
    body = request_v1([again])
    try:
        expected = parse_remote_write(body, V1, KnownLabels())
    except IngestionError:
        with pytest.raises(IngestionError):
            parse_remote_write(body, V1, known)
    else:
        for _ in range(2):
            parsed = parse_remote_write(body, V1, known)
            assert (plain(parsed), parsed.refusals) == (plain(expected), expected.refusals)


def test_a_bomb_is_refused_by_the_size_that_it_declares() -> None:
    with pytest.raises(TooLarge, match=f"{2**32 - 1} bytes decompressed, at most {SIZE_MAX}"):
        parse_remote_write(varint(2**32 - 1) + b"\0", V1, KnownLabels())
    with pytest.raises(TooLarge):
        parse_remote_write(snappy(b"\0" * (SIZE_MAX + 1)), V1, KnownLabels())


def test_series_of_version_2_share_the_text_of_their_symbols() -> None:
    """Else a small request with a long symbol for many series would fill the memory."""
    values = [({"__name__": "a", "x": "v" * 3_000, "y": str(number)}, [(1, 1.0)], 0) for number in range(3)]
    texts = [labels["x"] for labels, _, _ in v2(*values).series]
    assert len(set(map(id, texts))) == 1
    (labels, _, _) = v2(({"__name__": "a", "x": "v" * 1_000_000}, [(1, 1.0)], 0)).series[0]
    assert len(labels["x"]) == SYMBOL_MAX


@pytest.mark.parametrize("body", [b"", b"\xff" * 20, b"\x05\x00", snappy(b"\xff\xff"), snappy(b"no message")])
def test_what_is_no_request_is_refused(body: bytes) -> None:
    for message in (V1, V2):
        with pytest.raises(IngestionError):
            parse_remote_write(body, message, KnownLabels())


def test_a_request_of_the_other_version_is_refused_not_taken_for_an_empty_one() -> None:
    bodies = {V1: request_v2([(A, [(1, 1.0)], 0)]), V2: request_v1([series_v1(A, [(1, 1.0)])])}
    for message, body in bodies.items():
        with pytest.raises(IngestionError, match="check the content type"):
            parse_remote_write(body, message, KnownLabels())


@given(st.binary(max_size=100), st.sampled_from([V1, V2]), st.booleans())
def test_any_content_is_read_or_refused(content: bytes, message: str, is_packed: bool) -> None:
    try:
        parsed = parse_remote_write(snappy(content) if is_packed else content, message, KnownLabels())
    except IngestionError:
        return
    assert all(len(times) == len(values) for _, times, values in parsed.series)


def test_a_series_with_very_many_labels_one_of_them_twice_is_refused_in_no_time() -> None:
    names = [("__name__", "a"), *((f"l{number}", "") for number in range(30_000)), ("l29999", "")]
    with effort_within(5):  # a minute, if each were compared with each
        refusals = v1(series_v1(names, [(1, 1.0)])).refusals
        assert (refusals.numbers, "l29999" in str(refusals)) == ({"invalid series": 1}, True)


@pytest.mark.parametrize(
    ("message", "entry"),
    [(V1, field(1, b"")), (V1, field(3, b"")), (V2, field(4, b"")), (V2, field(5, b""))],
)
def test_a_request_of_very_many_empty_entries_is_refused_whole(message: str, entry: bytes) -> None:
    with pytest.raises(TooLarge, match=f"at most {ENTRIES_MAX}"):
        parse_remote_write(snappy(entry * (ENTRIES_MAX + 1)), message, KnownLabels())
