"""Series that come again, which are read in bulk: nothing differs from what is read of them at first, one by one."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import product

from chainwatch.ingestion.known_labels import KnownLabels
from chainwatch.ingestion.model import IngestionError, Parsed
from chainwatch.ingestion.remote_write import V1, V2, parse_remote_write
from chainwatch.promql.series import STALE
from tests.support.remote_write import field, label, sample, snappy, varint

AT = 1_795_316_389_137
SYMBOLS = (b"", b"__name__", b"a", b"b", b"x", b"1", b"2", b"le", b"\xff", b"What it is", *[b"z"] * 300)

VALUES = (
    0.0,
    -0.0,
    1.5,
    STALE,
    float("nan"),
    float("inf"),
    2.0**-1060,
    struct.unpack("<d", b"\x12\x07" * 4)[0],
)
TIMES = (AT, 2**35, 2**42 - 1, 2**42, 2**60, 5, -5)
SAMPLES = (
    *(field(2, sample(AT, value)) for value in VALUES),
    *(field(2, sample(time, 1.0)) for time in TIMES),
    *(field(2, b"\x10" + varint(time)) for time in TIMES[:4]),
    *(field(2, b"\x09" + bytes(8) + b"\x10" + digit * 6) for digit in (b"\x80", b"\x01")),
    *(field(2, b"\x10" + digit * 6) for digit in (b"\x80", b"\x01")),
    field(2, b"\x10" + varint(AT) + b"\x09" + struct.pack("<d", 2.0)),
    field(2, sample(AT, 1.0)) + field(2, sample(AT + 1, 2.0)),
    field(2, sample(AT + 1, 1.0)) + field(2, b"\x10" + varint(AT)),
    field(2, sample(AT, 1.0))[:-1],
    field(2, b""),
    b"",
)
NAMED = field(1, label("__name__", "m"))
HEADS_1 = (
    NAMED,
    NAMED + field(1, label("x", "1")),
    NAMED + field(1, label("x", b"1" * 200)),
    field(1, label("x", "1")),
    NAMED + field(1, label("x", b"\xff")),
    NAMED + field(2, sample(AT - 1, 7.0)),
    NAMED + field(9, b"?"),
    b"",
)
RESTS_1 = (
    b"",
    field(1, label("y", "2")),
    field(3, b"?"),
    field(4, b"\x08\x01"),
    field(9, b"?"),
    b"\x12",
    b"\x12\x01",
)
HEADS_2 = (
    *(
        field(1, b"".join(map(varint, references)))
        for references in (
            (1, 2),
            (1, 3, 4, 5),
            (4, 5),
            (1, 2, 4),
            (1, 2, 4, 8),
            (1, 2, 4, 200),
            (1, 2, 4, 999),
            (1, 2, 4, 2**28),
            (1, 2, *[4, 0] * 80),
        )
    ),
    field(1, b"\x01\x02\x04\x82"),
    field(1, b"\x01\x82\x00"),
    field(1, b"\x01") + field(1, b"\x02"),
    b"\x08\x01\x08\x02",
    field(9, b"??") + field(1, b"\x01\x02"),
    field(2, sample(AT - 1, 7.0)),
    b"",
)
RESTS_2 = (
    field(5, b""),
    field(5, b"\x08\x01\x18\x09"),
    field(5, b"\x08\x02\x18\xe7\x07"),
    field(3, b"\x08\x01"),
    field(4, b"?"),
    field(1, b"\x04\x05"),
    b"\x30\x05",
    b"\x2a",
    b"",
)


def test_known_series_of_1_0_are_read_as_unknown_ones() -> None:
    neighbour = NAMED + field(1, label("le", "1")) + field(2, sample(AT, 3.0))
    known = KnownLabels()
    for head, one in product((*HEADS_1, neighbour), SAMPLES):
        read(V1, [head + one], known)
    for head, one, rest in product(HEADS_1, SAMPLES, RESTS_1):
        series = [neighbour, head + one + rest, neighbour]
        assert read(V1, series, known) == read(V1, series, KnownLabels())


def test_known_series_of_2_0_are_read_as_unknown_ones() -> None:
    neighbour = field(1, b"\x01\x02\x07\x05") + field(2, sample(AT, 3.0)) + field(5, b"\x08\x02")
    known = KnownLabels()
    for head in (*HEADS_2, neighbour):
        read(V2, [head + SAMPLES[2]], known)
    for head, one, rest in product(HEADS_2, SAMPLES, RESTS_2):
        series = [neighbour, head + one + rest, neighbour]
        assert read(V2, series, known) == read(V2, series, KnownLabels())


def test_series_of_2_0_are_known_whatever_the_order_of_symbols_is() -> None:
    known = KnownLabels()
    symbols = list(SYMBOLS[:8])
    for turn in range(8):
        turned = [*symbols[turn:], *symbols[:turn]]
        for texts in ((b"__name__", b"a", b"x", b"1"), (b"__name__", b"a", b"x", b"2")):
            refs = field(1, b"".join(varint(turned.index(text)) for text in texts))
            series = [refs + field(2, sample(AT, 1.0))]
            assert read(V2, series, known, turned) == read(V2, series, KnownLabels(), turned)


def read(
    message: str, series: Sequence[bytes], known: KnownLabels, symbols: Sequence[bytes] = SYMBOLS
) -> object:
    """Return all that is read of a request, numbers bit for bit, or why it is refused."""
    number = 1 if message == V1 else 5
    written = b"" if message == V1 else b"".join(field(4, symbol) for symbol in symbols)
    body = snappy(written + b"".join(field(number, one) for one in series))
    try:
        found = content_of(parse_remote_write(body, message, known))
    except IngestionError as error:
        found = str(error)
    known.settle(is_kept=True)
    return found


def content_of(parsed: Parsed) -> object:
    series = [
        (labels.pairs, list(times), [struct.pack("<d", value) for value in values])
        for labels, times, values in parsed.series
    ]
    return series, parsed.refusals.numbers, parsed.refusals.examples, parsed.metadata
