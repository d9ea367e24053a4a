"""Remote write requests as senders make them, with the classes of messages written out in full."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence

import cramjam

Points = Sequence[tuple[int, float]]
"""Samples: Unix milliseconds and value."""


def varint(number: int) -> bytes:
    """Return a protobuf varint; negative numbers as int64 has them."""
    number &= 2**64 - 1
    content = bytearray()
    while number > 127:
        content.append(number & 127 | 128)
        number >>= 7
    return bytes([*content, number])


def field(number: int, content: bytes) -> bytes:
    """Return a field of bytes, such as a text or a message."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def sample(time: int, value: float) -> bytes:
    return b"\x09" + struct.pack("<d", value) + b"\x10" + varint(time)


def label(name: str | bytes, value: str | bytes) -> bytes:
    texts = [text.encode() if isinstance(text, str) else text for text in (name, value)]
    return field(1, texts[0]) + field(2, texts[1])


def series_v1(
    labels: Mapping[str, str] | Sequence[tuple[str | bytes, str | bytes]], points: Points, histograms: int = 0
) -> bytes:
    """Return a TimeSeries of 1.0."""
    pairs = labels.items() if isinstance(labels, Mapping) else labels
    return b"".join(
        (
            *(field(1, label(*pair)) for pair in pairs),
            *(field(2, sample(*point)) for point in points),
            *([field(4, b"\x08\x01")] * histograms),
        )
    )


def request_v1(series: Iterable[bytes], metadata: Iterable[tuple[int, str, str, str]] = ()) -> bytes:
    """Return a compressed WriteRequest; metadata: type, name, help, unit."""
    said = (
        b"\x08" + varint(kind) + field(2, name.encode()) + field(4, help.encode()) + field(5, unit.encode())
        for kind, name, help, unit in metadata
    )
    return snappy(b"".join((*(field(1, one) for one in series), *(field(3, one) for one in said))))


def request_v2(
    series: Iterable[tuple[Mapping[str, str], Points, int]], kind: int = 0, help: str = "", unit: str = ""
) -> bytes:
    """Return a compressed Request of 2.0; each series with how many histograms it has."""
    symbols: dict[str, int] = {"": 0}

    def reference(text: str) -> int:
        return symbols.setdefault(text, len(symbols))

    parts = []
    for labels, points, histograms in series:
        references = [reference(text) for pair in labels.items() for text in pair]
        metadata = (
            b"\x08" + varint(kind) + b"\x18" + varint(reference(help)) + b"\x20" + varint(reference(unit))
        )
        parts.append(
            field(1, b"".join(map(varint, references)))
            + b"".join(field(2, sample(*point)) for point in points)
            + field(3, b"\x08\x01") * histograms
            + field(5, metadata)
        )
    content = b"".join((*(field(4, text.encode()) for text in symbols), *(field(5, part) for part in parts)))
    return snappy(content)


def snappy(content: bytes) -> bytes:
    return bytes(cramjam.snappy.compress_raw(content))
