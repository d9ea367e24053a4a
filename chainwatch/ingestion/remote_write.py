"""Prometheus' remote write 1.0 (``prometheus.WriteRequest``) and 2.0 (``io.prometheus.write.v2.Request``).

Specifications: https://prometheus.io/docs/specs/prw/remote_write_spec/ and …/remote_write_spec_2_0/. Series that are wrong,
and what is not supported, are left out and counted; the rest is returned.
"""

from __future__ import annotations

import struct
from collections.abc import Hashable, Sequence
from typing import Any

from google.protobuf.message import DecodeError

from chainwatch.ingestion import wire
from chainwatch.ingestion.model import (
    TIME_MAX,
    IngestionError,
    Metadata,
    Parsed,
    Refusals,
    WrongFormat,
)
from chainwatch.ingestion.names import checked_labels, quoted
from chainwatch.ingestion.snappy import decompress
from chainwatch.promql.series import NAME, Labels

CONTENT_TYPE = "application/x-protobuf"
V1, V2 = "prometheus.WriteRequest", "io.prometheus.write.v2.Request"
SIZE_MAX = 2**24
"""Bytes of a request, decompressed. Prometheus sends some hundred kilobytes."""
NATIVE_HISTOGRAMS = "native histograms are not supported"
TYPES = ("unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset")
METADATA_MAX = 4_096
"""The most bytes of a metric's meaning that are kept, and of its unit."""


class KnownLabels:
    """Labels of series by how they came, as most series come again. Bounded; for one thread."""

    def __init__(self, most: int = 250_000) -> None:
        self._most = most
        self._labels: dict[Hashable, Labels] = {}
        self._new: list[Hashable] = []

    def get(self, key: Hashable) -> Labels | None:
        """Return the labels that came so before."""
        return self._labels.get(key)

    def keep(self, key: Hashable, labels: Labels) -> None:
        """Keep labels, for good if ``settle`` says so."""
        if len(self._labels) >= self._most:
            self._labels.clear()
            self._new.clear()
        self._labels[key] = labels
        self._new.append(key)

    def settle(self, *, is_kept: bool) -> None:
        """Keep what is new since the last time, or forget it: series that are refused must not fill the memory."""
        if not is_kept:
            for key in self._new:
                self._labels.pop(key, None)
        self._new.clear()


def message_of(content_type: str, encoding: str) -> str:
    """Return the message that a request with these headers holds, ``V1`` or ``V2``. Raises ``WrongFormat``."""
    kind, *parameters = (part.strip() for part in content_type.split(";"))
    if kind.lower() != CONTENT_TYPE:
        raise WrongFormat(f"the content type {quoted(kind)} is not read: send {CONTENT_TYPE}")
    if encoding.strip().lower() not in ("", "snappy"):
        raise WrongFormat(f"the compression {quoted(encoding)} is not read: send Content-Encoding: snappy")
    named = [
        value.strip().strip('"')
        for name, _, value in (p.partition("=") for p in parameters)
        if name == "proto"
    ]
    message = named[0] if named else V1
    if message not in (V1, V2):
        raise WrongFormat(f"the message {quoted(message)} is not read: send {V1} or {V2}")
    return message


def parse_remote_write(body: bytes, message: str, known: KnownLabels) -> Parsed:
    """Return the samples of a compressed request. Raises ``IngestionError`` where nothing of it can be read."""
    content = decompress(body, SIZE_MAX)
    try:
        if message == V2:
            return _parse_v2(wire.Request.FromString(content), known)
        return _parse_v1(wire.WriteRequest.FromString(content), known)
    except DecodeError:
        raise IngestionError(f"the body is no {message}: check the content type's proto") from None


def _parse_v1(request: Any, known: KnownLabels) -> Parsed:
    parsed = Parsed()
    times: dict[bytes, int | None] = {}
    add = parsed.series.append
    for number, content in enumerate(request.timeseries):
        if len(content) > _LAST.size:  # most have a single sample, at the end
            tags, value, tag, digits = _LAST.unpack_from(content, len(content) - _LAST.size)
            if tags == _SAMPLE_TAGS and tag == _TIME_TAG:
                time = times[digits] if digits in times else times.setdefault(digits, _varint(digits))
                labels = known.get(content[: -_LAST.size])
                if labels is not None and time is not None:
                    add((labels, (time,), (value,)))
                    continue
        _add_unknown(parsed, number, content, known)
    parsed.metadata = {
        _text(one.metric_family_name): Metadata(_type(one.type), _text(one.help), _text(one.unit))
        for one in request.metadata
    }
    return parsed


def _add_unknown(parsed: Parsed, number: int, content: bytes, known: KnownLabels) -> None:
    """Add a series whose labels are not known by the bytes before its single sample. Raises ``DecodeError``."""
    series = wire.TimeSeries.FromString(content)
    key = tuple(series.labels)
    labels = known.get(key)
    if labels is None:
        try:
            labels = _labels_v1(key)
        except ValueError as error:
            parsed.refusals.add(_INVALID, f"timeseries[{number}]: {error}", _count(series))
            return
        known.keep(_written(content, key) or key, labels)
    _add(parsed, labels, series)


def _written(content: bytes, key: Sequence[bytes]) -> bytes | None:
    """Return what stands before a series' single sample, if that is its labels and nothing else."""
    try:
        series = wire.TimeSeries.FromString(content[: -_LAST.size])
    except DecodeError:
        return None
    has_more = series.samples or series.histograms or series.exemplars
    return None if has_more or tuple(series.labels) != key else content[: -_LAST.size]


def _varint(digits: bytes) -> int | None:
    """Return the number in exactly these bytes; None where they are no varint, or more than one."""
    if digits[-1] > 127 or any(digit < 128 for digit in digits[:-1]):
        return None
    return sum((digit & 127) << 7 * place for place, digit in enumerate(digits))


def _parse_v2(request: Any, known: KnownLabels) -> Parsed:
    parsed = Parsed()
    symbols: Sequence[bytes] = list(request.symbols)
    metadata: dict[str, Metadata] = {}
    described: set[str] = set()
    for number, series in enumerate(request.timeseries):
        try:
            key = tuple(map(symbols.__getitem__, series.labels_refs))
            labels = known.get((V2, key))
            if labels is None:
                labels = _labels_v2(key)
                known.keep((V2, key), labels)
        except IndexError:
            problem = f"timeseries[{number}]: a reference to a symbol that is not there"
            parsed.refusals.add(_INVALID, problem, _count(series))
            continue
        except ValueError as error:
            parsed.refusals.add(_INVALID, f"timeseries[{number}]: {error}", _count(series))
            continue
        _add(parsed, labels, series)
        if (name := labels[NAME]) not in described:
            described.add(name)
            if series.HasField("metadata"):
                _note_metadata(metadata, name, series.metadata, symbols)
    parsed.metadata = metadata
    return parsed


def _note_metadata(metadata: dict[str, Metadata], name: str, said: Any, symbols: Sequence[bytes]) -> None:
    """Note what 2.0 says beside a series; of a histogram's or summary's series, the family is what is described."""
    kind = _type(said.type)
    if kind in ("histogram", "gaugehistogram", "summary"):
        name = next((name.removesuffix(end) for end in _PARTS if name.endswith(end)), name)
    if name not in metadata:
        help, unit = (symbols[at] if at < len(symbols) else b"" for at in (said.help_ref, said.unit_ref))
        metadata[name] = Metadata(kind, _text(help), _text(unit))


def _labels_v1(key: Sequence[bytes]) -> Labels:
    try:
        pairs = [(label.name, label.value) for label in map(wire.Label.FromString, key)]
    except DecodeError:
        raise ValueError("a label that is malformed, or no UTF-8") from None
    return checked_labels(pairs)


def _labels_v2(key: Sequence[bytes]) -> Labels:
    if len(key) % 2:
        raise ValueError("an odd number of references: each label has two")
    try:
        texts = [symbol.decode() for symbol in key]
    except UnicodeDecodeError:
        raise ValueError("a label that is no UTF-8") from None
    return checked_labels(list(zip(texts[::2], texts[1::2], strict=True)), is_classic=False)


def _add(parsed: Parsed, labels: Labels, series: Any) -> None:
    times: list[int] = []
    values: list[float] = []
    for sample in series.samples:
        time = sample.timestamp
        if times and time <= times[-1]:
            _refuse_order(parsed.refusals, labels, time, sample.value, times[-1], values[-1])
        elif not -TIME_MAX < time < TIME_MAX:
            parsed.refusals.add("no time", repr(labels))
        else:
            times.append(time)
            values.append(sample.value)
    if times:
        parsed.series.append((labels, times, values))
    if series.histograms:
        parsed.refusals.add(NATIVE_HISTOGRAMS, repr(labels), len(series.histograms))


def _refuse_order(
    refusals: Refusals, labels: Labels, time: int, value: float, last_time: int, last_value: float
) -> None:
    if time < last_time:
        refusals.add("out of order", repr(labels))
    elif value != last_value:
        refusals.add("duplicate", repr(labels))


def _count(series: Any) -> int:
    return len(series.samples) + len(series.histograms)


def _type(number: int) -> str:
    return TYPES[number] if 0 <= number < len(TYPES) else "unknown"


def _text(content: bytes) -> str:
    return content[:METADATA_MAX].decode("utf-8", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")


_LAST = struct.Struct("<3sdB6s")
"""A sample as the last field of a series: its tag and length, and the tag of its value; that; the tag of its time; that.

Times from 1971 to 2109 have six bytes.
"""
_SAMPLE_TAGS, _TIME_TAG = b"\x12\x10\x09", 0x10
_INVALID = "invalid series"
_PARTS = ("_bucket", "_sum", "_count")
