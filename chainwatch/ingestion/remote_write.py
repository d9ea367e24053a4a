"""Prometheus' remote write 1.0 (``prometheus.WriteRequest``) and 2.0 (``io.prometheus.write.v2.Request``).

Specifications: https://prometheus.io/docs/specs/prw/remote_write_spec/ and …/remote_write_spec_2_0/. Series that are wrong,
and what is not supported, are left out and counted; the rest is returned.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from google.protobuf.message import DecodeError

from chainwatch.ingestion import wire
from chainwatch.ingestion.known_labels import NUMBER_SIZE, KnownLabels, write_numbers
from chainwatch.ingestion.model import (
    TIME_MAX,
    IngestionError,
    Parsed,
    Refusals,
    TooLarge,
    WrongFormat,
)
from chainwatch.ingestion.names import checked_labels, quoted
from chainwatch.ingestion.single_samples import (
    SIZE,
    ZERO_SIZE,
    Integers,
    bytes_from,
    join,
    last_bytes,
    read_references,
    read_samples,
)
from chainwatch.ingestion.snappy import decompress
from chainwatch.promql.series import NAME, Labels, Metadata

CONTENT_TYPE = "application/x-protobuf"
V1, V2 = "prometheus.WriteRequest", "io.prometheus.write.v2.Request"
SIZE_MAX = 2**24
"""Bytes of a request, decompressed. Prometheus sends some hundred kilobytes."""
ENTRIES_MAX = 100_000
"""The most series, descriptions and symbols of a request: each takes time, and empty ones few bytes."""
SYMBOL_MAX = 4_097
"""Characters of a symbol that are read: more than a label may have."""
NATIVE_HISTOGRAMS = "native histograms are not supported"
TYPES = ("unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset")
METADATA_MAX = 4_096
"""The most characters of a metric's meaning that are kept, and of its unit."""


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
        request = (wire.Request if message == V2 else wire.WriteRequest).FromString(content)
        described = request.symbols if message == V2 else request.metadata
        # the other version's fields have other numbers: nothing is found of them
        if content and not request.timeseries and not described:
            raise IngestionError(_no_request(message))
        return (_parse_v2 if message == V2 else _parse_v1)(request, known)
    except DecodeError:
        known.settle(is_kept=False)
        raise IngestionError(_no_request(message)) from None


def _no_request(message: str) -> str:
    return f"the body is no {message}: check the content type's proto"


def _check_number(*repeated: Sequence[Any]) -> None:
    if (number := max(map(len, repeated))) > ENTRIES_MAX:
        raise TooLarge(f"{number} series or descriptions, at most {ENTRIES_MAX} are read: send fewer at once")


def _parse_v1(request: Any, known: KnownLabels) -> Parsed:
    _check_number(request.timeseries, request.metadata)
    parsed = Parsed()
    contents: list[bytes] = list(request.timeseries)
    samples = read_samples(last_bytes(contents), SIZE - ZERO_SIZE)
    sizes, find = samples.sizes.tolist(), known.get
    found = [find(one[:-size]) for one, size in zip(contents, sizes, strict=True)]
    singles: list[Any] = list(zip(found, zip(samples.times), zip(samples.values), strict=True))
    if all(labels is not None for labels in found):
        parsed.series = singles
    else:
        for number, single in enumerate(singles):
            if single[0] is not None:
                parsed.series.append(single)
            else:
                _add_v1(parsed, number, contents[number], sizes[number], known)
    parsed.metadata = {
        _text(one.metric_family_name): Metadata(_type(one.type), _text(one.help), _text(one.unit))
        for one in request.metadata
    }
    return parsed


def _add_v1(parsed: Parsed, number: int, content: bytes, size: int, known: KnownLabels) -> None:
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
        known.keep(_written(content, size, key) or key, labels)
    _add(parsed, labels, series)


def _written(content: bytes, size: int, key: Sequence[bytes]) -> bytes | None:
    """Return what stands before a series' single sample, if that is its labels and nothing else."""
    if not size:
        return None
    try:
        series = wire.TimeSeries.FromString(content[:-size])
    except DecodeError:
        return None
    has_more = series.samples or series.histograms or series.exemplars
    return None if has_more or tuple(series.labels) != key else content[:-size]


class _RequestV2:
    """What the series of a request of 2.0 refer to, and what is noted of its metrics."""

    def __init__(self, symbols: Sequence[bytes], known: KnownLabels) -> None:
        self.symbols = symbols
        self.numbers = known.numbers(symbols)
        self.known = known
        self.parsed = Parsed()
        self.metadata: dict[str, Metadata] = {}
        self.described: set[str] = set()
        self.parsed.metadata = self.metadata
        self._texts: dict[int, str | None] = {}

    def text(self, reference: int) -> str | None:
        """Return a symbol's text, its end left out where it is too long for a label; None for what is no UTF-8.

        Raises ``IndexError`` where there is no such symbol.
        """
        if reference not in self._texts:  # once, as any number of series may have the same
            try:
                self._texts[reference] = self.symbols[reference].decode()[:SYMBOL_MAX]
            except UnicodeDecodeError:
                self._texts[reference] = None
        return self._texts[reference]

    def add(self, number: int, content: bytes) -> None:
        """Add a series. Raises ``DecodeError``."""
        series = wire.TimeSeries2.FromString(content)
        try:
            labels = self._labels(series.labels_refs)
        except IndexError:
            problem = f"timeseries[{number}]: a reference to a symbol that is not there"
            self.parsed.refusals.add(_INVALID, problem, _count(series))
            return
        except ValueError as error:
            self.parsed.refusals.add(_INVALID, f"timeseries[{number}]: {error}", _count(series))
            return
        _add(self.parsed, labels, series)
        self.describe(labels, series)

    def describe(self, labels: Labels, series: Any) -> None:
        """Note what the first series of a metric says of it."""
        if (name := labels.get(NAME)) not in self.described:
            self.described.add(name)
            if series.HasField("metadata"):
                self._note_metadata(name, series.metadata)

    def _note_metadata(self, name: str, said: Any) -> None:
        """Note what is said beside a series; of a histogram's or summary's series, the family is what is described."""
        kind = _type(said.type)
        if kind in ("histogram", "gaugehistogram", "summary"):
            name = next((name.removesuffix(end) for end in _PARTS if name.endswith(end)), name)
        if name not in self.metadata:
            references = said.help_ref, said.unit_ref
            help, unit = (self.text(one) if one < len(self.symbols) else "" for one in references)
            self.metadata[name] = Metadata(kind, _bare(help or ""), _bare(unit or ""))

    def _labels(self, references: Sequence[int]) -> Labels:
        """Return the labels of a series. Raises ``IndexError`` and ``ValueError``."""
        labels = self.known.get_by_numbers(write_numbers([self.numbers[one] for one in references]))
        if labels is None:
            labels = _labels_v2([self.text(one) for one in references])
            self.known.keep_symbols([self.symbols[one] for one in references], labels)
        return labels


def _parse_v2(content: Any, known: KnownLabels) -> Parsed:
    _check_number(content.timeseries, content.symbols)
    contents: list[bytes] = list(content.timeseries)
    request = _RequestV2(list(content.symbols), known)
    singles = _known_v2(contents, request)
    if singles is None:
        for number, one in enumerate(contents):
            request.add(number, one)
        return request.parsed
    for number, rest in singles.first_of_metrics:
        labels = singles.series[number][0]
        if labels is not None and rest is not None:
            request.describe(labels, rest)
    if all(labels is not None for labels, _, _ in singles.series):
        request.parsed.series = singles.series
        return request.parsed
    for number, single in enumerate(singles.series):
        if single[0] is None:
            request.add(number, contents[number])
        else:
            request.parsed.series.append(single)
    return request.parsed


class _KnownV2(NamedTuple):
    """For each series its labels, and its time and value as tuples of one; what is not read at once has no labels.

    ``first_of_metrics``: the number of a series of each metric, and a series of what it has beside these.
    """

    series: list[Any]
    first_of_metrics: list[tuple[int, Any]]


def _known_v2(contents: Sequence[bytes], request: _RequestV2) -> _KnownV2 | None:
    """Read the series that are references, a single sample, and no more that counts, and whose labels are known.

    None where some series is written as none should be.
    """
    if min(map(len, contents), default=0) < 2:
        return None
    data, starts, stops = join(contents)
    sizes = data[starts + 1]
    ends = starts + 2 + sizes
    is_read = (data[starts] == _REFERENCES) & (sizes < 128) & (ends <= stops)
    samples = read_samples(bytes_from(data, np.where(is_read, ends, stops)), 0)
    rests = ends + samples.sizes
    is_read &= (samples.sizes > 0) & (rests <= stops)
    places = np.where(is_read, rests - starts, 0).tolist()
    tails = [one[place:] if place else b"" for one, place in zip(contents, places, strict=True)]
    read = {tail: _rest_v2(tail) for tail in set(tails)}
    references = read_references(data, starts + 2, np.where(is_read, ends, starts + 2))
    if references is None or references[0].max(initial=0) >= len(request.numbers):
        return None
    numbers = np.array(request.numbers, np.int64)[references[0]].tobytes()
    bounds = (NUMBER_SIZE * references[1]).tolist()
    find = request.known.get_by_numbers
    found = [find(numbers[start:end]) for start, end in pairwise(bounds)]
    if None in read.values():
        found = [None if read[tail] is None else labels for labels, tail in zip(found, tails, strict=True)]
    firsts = [(one, read[tails[one]]) for one in _first_of_metrics(*references, request.symbols)]
    return _KnownV2(list(zip(found, zip(samples.times), zip(samples.values), strict=True)), firsts)


def _first_of_metrics(references: Integers, bounds: Integers, symbols: Sequence[bytes]) -> list[int]:
    """Return the number of the first series of each metric, by the symbol that follows ``__name__``."""
    if _NAME not in symbols:
        return []
    places = np.flatnonzero(references[:-1] == symbols.index(_NAME))
    series = np.searchsorted(bounds, places, "right") - 1
    is_label = (places - bounds[series]) % 2 == 0
    _, firsts = np.unique(references[places[is_label] + 1], return_index=True)
    found: list[int] = series[is_label][firsts].tolist()
    return found


def _rest_v2(content: bytes) -> Any:
    """Return what follows a series' references and its sample, if that has none of these; None otherwise."""
    try:
        rest = wire.TimeSeries2.FromString(content)
    except DecodeError:
        return None
    return None if rest.labels_refs or rest.samples or rest.histograms else rest


def _labels_v1(key: Sequence[bytes]) -> Labels:
    try:
        pairs = [(label.name, label.value) for label in map(wire.Label.FromString, key)]
    except DecodeError:
        raise ValueError("a label that is malformed, or no UTF-8") from None
    return checked_labels(pairs)


def _labels_v2(key: Sequence[str | None]) -> Labels:
    if len(key) % 2:
        raise ValueError("an odd number of references: each label has two")
    texts = [symbol for symbol in key if symbol is not None]
    if len(texts) < len(key):
        raise ValueError("a label that is no UTF-8")
    return checked_labels(list(zip(texts[::2], texts[1::2], strict=True)), is_classic=False)


def _add(parsed: Parsed, labels: Labels, series: Any) -> None:
    times: list[int] = []
    values: list[float] = []
    for sample in series.samples:
        time = sample.timestamp
        if times and time <= times[-1]:
            _refuse_order(parsed.refusals, labels, time, sample.value, times[-1], values[-1])
        elif not -TIME_MAX < time < TIME_MAX:
            parsed.refusals.add("no time", labels)
        else:
            times.append(time)
            values.append(sample.value)
    if times:
        parsed.series.append((labels, times, values))
    if series.histograms:
        parsed.refusals.add(NATIVE_HISTOGRAMS, labels, len(series.histograms))


def _refuse_order(
    refusals: Refusals, labels: Labels, time: int, value: float, last_time: int, last_value: float
) -> None:
    if time < last_time:
        refusals.add("out of order", labels)
    elif value != last_value:
        refusals.add("duplicate", labels)


def _count(series: Any) -> int:
    return len(series.samples) + len(series.histograms)


def _type(number: int) -> str:
    return TYPES[number] if 0 <= number < len(TYPES) else "unknown"


def _text(content: bytes) -> str:
    return _bare(content[:METADATA_MAX].decode("utf-8", "replace"))


def _bare(text: str) -> str:
    return text[:METADATA_MAX].replace("\0", "\N{REPLACEMENT CHARACTER}")


_REFERENCES = 0x0A
"""The tag of a series' references in 2.0."""
_NAME = NAME.encode()
_INVALID = "invalid series"
_PARTS = ("_bucket", "_sum", "_count")
