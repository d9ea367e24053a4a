"""Series that come again, which are read in bulk: nothing differs from what is read of them at first, one by one."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from chainwatch.ingestion.known_labels import KnownLabels
from chainwatch.ingestion.model import IngestionError, Parsed
from chainwatch.ingestion.remote_write import V1, V2, parse_remote_write
from chainwatch.promql.series import STALE
from tests.support.remote_write import field, label, sample, snappy, varint

AT = 1_795_316_389_137
SYMBOLS = (b"", b"__name__", b"a", b"b", b"x", b"1", b"2", b"le", b"\xff", b"What it is", *[b"z"] * 300)

NONE = st.just(b"")
times = st.sampled_from([AT, AT + 1, 2**35, 2**42 - 1, 2**42, 2**60, 5, -5, 0])
numbers = st.sampled_from([0.0, -0.0, 1.0, -2.5, STALE, float("nan"), float("inf"), 2.0**-1060])


def zero(time: int) -> bytes:
    return b"\x10" + varint(time)


broken = st.sampled_from([b"\x09" + bytes(8) + b"\x10" + digit * 6 for digit in (b"\x80", b"\x01")])
samples = st.one_of(st.builds(sample, times, numbers), st.builds(zero, times), broken).map(
    lambda one: field(2, one)
)
names = st.sampled_from([b"__name__", b"x", b"le", b"9", b""])
texts = st.sampled_from([b"a", b"b", b"1", b"", b"\xff", b"h" * 200])
other_v1 = st.sampled_from([field(3, b""), field(4, b"\x08\x01"), field(9, b"?"), b"\x12"])
series_v1 = st.builds(
    lambda labels, rest: b"".join((field(1, label("__name__", "m")), *labels, *rest)),
    st.lists(st.builds(label, names, texts).map(lambda one: field(1, one)), max_size=2),
    st.one_of(samples.map(lambda one: [one]), st.lists(samples | other_v1, max_size=3)),
)
pairs = st.lists(st.sampled_from([1, 2, 3, 4, 5, 6, 7, 8, 200, 999]), min_size=2, max_size=2)
references = st.builds(
    lambda pair, many: [1, 2, *pair] + [5] * many, pairs, st.sampled_from([0, 0, 0, 1, 140])
).map(lambda some: field(1, b"".join(map(varint, some))))
metadata = st.sampled_from([b"", field(5, b""), field(5, b"\x08\x01\x18\x09"), field(5, b"\x08\x03\x18\x63")])
other_v2 = st.sampled_from(
    [field(3, b"\x08\x01"), field(4, b"?"), field(1, b"\x04\x05"), b"\x30\x05", b"\x2a"]
)
series_v2 = st.builds(
    lambda refs, some, said, more: refs + b"".join(some) + said + b"".join(more),
    references | st.sampled_from([b"", field(1, b"\x01\x82"), b"\x08\x01\x08\x02"]),
    st.one_of(samples.map(lambda one: [one]), st.lists(samples, max_size=3)),
    metadata,
    st.one_of(st.just([]), st.lists(other_v2, max_size=2)),
)


def content_of(parsed: Parsed) -> object:
    """All that was parsed, its numbers bit for bit."""
    series = [
        (labels.pairs, list(moments), [struct.pack("<d", value) for value in values])
        for labels, moments, values in parsed.series
    ]
    return series, parsed.refusals.numbers, parsed.refusals.examples, parsed.metadata


def read(body: bytes, message: str, known: KnownLabels) -> object:
    try:
        return content_of(parse_remote_write(body, message, known))
    except IngestionError as error:
        return str(error)


def request(message: str, series: Sequence[bytes], symbols: Sequence[bytes]) -> bytes:
    number = 1 if message == V1 else 5
    written = b"" if message == V1 else b"".join(field(4, symbol) for symbol in symbols)
    return snappy(written + b"".join(field(number, one) for one in series))


@given(st.lists(series_v1, max_size=4), st.lists(series_v1, max_size=4), samples | other_v1 | NONE)
def test_known_series_of_1_0_are_read_as_unknown_ones(
    before: list[bytes], after: list[bytes], more: bytes
) -> None:
    longer = [one + more for one in before]
    check(V1, [(one, ()) for one in before], [(after, ()), (before, ()), (longer, ())])


@given(
    st.lists(series_v2, max_size=4),
    st.lists(series_v2, max_size=4),
    samples | other_v2 | NONE,
    st.integers(0, 9),
)
def test_known_series_of_2_0_are_read_as_unknown_ones(
    before: list[bytes], after: list[bytes], more: bytes, turn: int
) -> None:
    longer = [one + more for one in before]
    turned = [*SYMBOLS[turn:], *SYMBOLS[:turn]]
    requests = [(after, SYMBOLS), (before, SYMBOLS), (longer, SYMBOLS), (before, turned)]
    check(V2, [(one, SYMBOLS) for one in before], requests)


def check(
    message: str,
    before: Sequence[tuple[bytes, Sequence[bytes]]],
    after: Sequence[tuple[Sequence[bytes], Sequence[bytes]]],
) -> None:
    """Read requests, twice each, where some series are known, and where none is."""
    known = KnownLabels()
    for one, symbols in before:
        read(request(message, [one], symbols), message, known)
        known.settle(is_kept=True)
    for series, symbols in after:
        body = request(message, series, symbols)
        expected = read(body, message, KnownLabels())
        for _ in range(2):
            assert read(body, message, known) == expected
