"""Prometheus' text format 0.0.4 and OpenMetrics 1.0.

Sources: https://prometheus.io/docs/instrumenting/exposition_formats/ and
https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md. Names within quotes are those of
Prometheus 3 (``{"my.metric", "my.label"="x"} 1``). Exemplars are read over.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from chainwatch.ingestion.model import TIME_MAX, IngestionError
from chainwatch.ingestion.names import LABEL_NAME, METRIC_NAME, label_problem, quoted
from chainwatch.promql.series import NAME, Labels, Metadata

TYPES = (
    "counter",
    "gauge",
    "histogram",
    "summary",
    "untyped",
    "unknown",
    "gaugehistogram",
    "info",
    "stateset",
)
OPENMETRICS = "application/openmetrics-text"
"""The content type of OpenMetrics."""
HELP_MAX = 4_096
"""The most characters of a metric's meaning that are kept."""
LINES_PER_SAMPLE, LINES_MORE = 4, 10_000
"""The most lines of a document for each sample that it may have, and beside these: an empty one takes time too."""


class TextSample(NamedTuple):
    """One sample; ``time`` (Unix milliseconds) is None where the document gives none."""

    labels: Labels
    value: float
    time: int | None


@dataclass(slots=True)
class Exposition:
    """What a document holds: samples in its order, and what it says of metrics, by their families' names."""

    samples: list[TextSample] = field(default_factory=list)
    metadata: dict[str, Metadata] = field(default_factory=dict)


class KnownSeries:
    """The labels of series by how they are written, for documents that come again and again."""

    def __init__(self) -> None:
        self._labels: dict[str, Labels] = {}

    def labels(self, written: str) -> Labels:
        """Return the labels that ``written`` stands for. Raises ``ValueError`` with the reason."""
        labels = self._labels.get(written)
        if labels is None:
            labels = self._labels[written] = parse_series(written)
        return labels

    def trim(self, samples: int) -> None:
        """Forget all once most are of earlier documents; the newest had so many ``samples``."""
        if len(self._labels) > 2 * samples + _KNOWN_MIN:
            self._labels.clear()


def parse_exposition(
    body: bytes,
    *,
    is_openmetrics: bool = False,
    samples_max: int | None = None,
    known: KnownSeries | None = None,
) -> Exposition:
    """Return the samples of a document. Raises ``IngestionError`` with the line where it is wrong.

    ``samples_max``: the most samples it may have. ``known``: what documents of this source have written before.
    """
    text = _decoded(body)
    if samples_max is not None and body.count(b"\n") > LINES_PER_SAMPLE * samples_max + LINES_MORE:
        raise IngestionError(
            f"far more lines than {samples_max} samples have: leave out comments and empty lines"
        )
    lines = text.split("\n")
    if is_openmetrics:
        _require_end(lines)
    known = known or KnownSeries()
    found = Exposition()
    add = found.samples.append
    for number, line in enumerate(lines, 1):
        try:
            if (match := _SAMPLE.fullmatch(line)) is not None:
                written, value, time, _ = match.groups()
                add(TextSample(known.labels(written), _value(value), _time(time, is_openmetrics)))
                if samples_max is not None and len(found.samples) > samples_max:
                    raise ValueError(
                        f"more than {samples_max} samples: send or expose fewer, or raise the limit"
                    )
            elif (rest := line.strip(" \t")).startswith("#"):
                _note_metadata(found.metadata, rest)
            elif rest:
                raise ValueError(_why_no_sample(rest))
        except ValueError as error:
            known.trim(0)
            raise IngestionError(f"line {number}: {error}") from None
    known.trim(len(found.samples))
    return found


def parse_series(written: str) -> Labels:
    """Return the labels of a series such as ``name{label="value"}``. Raises ``ValueError`` with the reason."""
    name, brace, rest = written.partition("{")
    name = name.rstrip(" \t")
    pairs: dict[str, str] = {NAME: name} if name else {}
    for label, value in _pairs(rest) if brace else ():
        if label in pairs:
            what = "the name" if label == NAME else f"the label {quoted(label)}"
            raise ValueError(f"{what} is given twice")
        pairs[label] = value
    if not pairs.get(NAME):
        raise ValueError("a series without a name: write NAME{…}")
    return Labels(pairs)


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    """Yield what stands within braces; a name alone within quotes is the metric's. ``text`` begins after the brace."""
    place = _BLANKS.match(text).end()  # type: ignore[union-attr]  # it matches nothing too
    while not text.startswith("}", place):
        match = _PAIR.match(text, place)
        if match is None:
            raise ValueError(_why_no_pair(text, place))
        plain, in_quotes, value, end = match.groups()
        label = plain if plain is not None else _unescaped(in_quotes)
        if (problem := label_problem(label, is_classic=False)) is not None:
            raise ValueError(problem)
        if value is None and plain is not None:
            raise ValueError(_why_no_pair(text, place))
        yield (NAME, label) if value is None else (label, _unescaped(value))
        place = match.end()
        if not end and not text.startswith("}", place):
            raise ValueError(f"expected , or }} at {quoted(text[place:])}")


def _why_no_pair(text: str, place: int) -> str:
    word = _BEFORE_EQUALS.match(text, place)
    problem = label_problem(word[1]) if word is not None else None
    return problem or f'expected label="value" at {quoted(text[place:])}'


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(_meant, text) if "\\" in text else text


def _meant(match: re.Match[str]) -> str:
    meant = _ESCAPES.get(match[1])
    if meant is None:
        raise ValueError(f'{quoted(match[0])} is no escape: write \\\\, \\" or \\n')
    return meant


def _value(text: str) -> float:
    """Return a value as Go's ``ParseFloat`` reads it, hexadecimal forms and underscores apart."""
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{quoted(text)} is no number")
    value = float(text)
    if math.isinf(value) and text[-1] not in "fFyY":
        raise ValueError(f"{quoted(text)} is too large for a float of 64 bits")
    return value


def _time(text: str | None, is_openmetrics: bool) -> int | None:
    """Return milliseconds: of the milliseconds that the text format has, or of OpenMetrics' seconds."""
    if text is None:
        return None
    if is_openmetrics:
        seconds = _value(text)
        time = math.floor(seconds * 1000 + 0.5) if abs(seconds) < TIME_MAX / 1000 else TIME_MAX
    elif _INTEGER.fullmatch(text):
        time = int(text)
    else:
        raise ValueError(f"{quoted(text)} is no time: write Unix milliseconds, or nothing")
    if abs(time) >= TIME_MAX:
        raise ValueError(f"{quoted(text)} is no time: too far from 1970")
    return time


def _note_metadata(metadata: dict[str, Metadata], comment: str) -> None:
    match = _METADATA.fullmatch(comment)
    if match is None:
        return  # any other comment
    kind, plain, in_quotes, said = match.groups()
    name = plain if plain is not None else _unescaped(in_quotes)
    before = metadata.get(name, Metadata())
    said = said or ""
    if kind == "TYPE":
        word = said.strip(" \t").lower()
        if word not in TYPES:
            raise ValueError(f"{quoted(word)} is no type of a metric: one of {', '.join(TYPES)}")
        metadata[name] = before._replace(type="unknown" if word == "untyped" else word)
    elif kind == "HELP":
        metadata[name] = before._replace(help=_HELP_ESCAPE.sub(_help_meant, said)[:HELP_MAX])
    else:
        metadata[name] = before._replace(unit=said.strip(" \t")[:HELP_MAX])


def _help_meant(match: re.Match[str]) -> str:
    return _ESCAPES.get(match[1], match[0])


def _decoded(body: bytes) -> str:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise IngestionError(f"line {line}: byte {error.start} is no UTF-8") from None
    if (place := text.find("\0")) >= 0:
        raise IngestionError(f"line {text.count(chr(10), 0, place) + 1}: the character NUL: leave it out")
    return text


def _require_end(lines: list[str]) -> None:
    while lines and not lines[-1]:
        lines.pop()
    if not lines or lines[-1] != "# EOF":
        raise IngestionError("the end is missing: OpenMetrics ends with the line # EOF")
    if "# EOF" in lines[:-1]:
        raise IngestionError(f"line {lines.index('# EOF') + 2}: something follows # EOF")


def _why_no_sample(line: str) -> str:
    name = _NAME_LIKE.match(line)
    if name is None and not line.startswith("{"):
        return f"no metric name at {quoted(line)}: a name has letters, digits, _ and :, no digit first"
    rest = line[name.end() :] if name is not None else line
    if rest.startswith("{") and _BRACES.match(rest) is None:
        return "a } or a closing quote is missing"
    if rest and not rest.startswith(("{", " ", "\t")):
        return f"{quoted(line.split()[0])} is no metric name: use letters, digits, _ and :, no digit first"
    return f"expected NAME{{LABELS}} VALUE, with a time if wanted, found {quoted(line)}"


_KNOWN_MIN = 1_000
_QUOTED = r'"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+"'
_BRACES_TEXT = rf'\{{[^"}}\n]*+(?:{_QUOTED}[^"}}\n]*+)*+\}}'
_SAMPLE = re.compile(
    rf"[ \t]*+({METRIC_NAME}(?:[ \t]*+{_BRACES_TEXT})?|{_BRACES_TEXT})"
    rf"[ \t]*+(?<=[ \t}}])([^ \t#]++)(?:[ \t]++([^ \t#]++))?[ \t]*+(#[ \t]*+{_BRACES_TEXT}.*+)?"
)
_BRACES = re.compile(_BRACES_TEXT)
_PAIR = re.compile(
    rf'[ \t]*+(?:({LABEL_NAME})|"([^"\\\n]*+(?:\\.[^"\\\n]*+)*+)")[ \t]*+'
    rf'(?:=[ \t]*+"([^"\\\n]*+(?:\\.[^"\\\n]*+)*+)")?[ \t]*+(,?)[ \t]*+'
)
_BEFORE_EQUALS = re.compile(r'[ \t]*+([^=",} \t]++)[ \t]*+=')
_BLANKS = re.compile(r"[ \t]*")
_ESCAPE = re.compile(r"\\(.)")
_ESCAPES = {"\\": "\\", '"': '"', "n": "\n"}
_HELP_ESCAPE = re.compile(r"\\([\\\"n])")
_NUMBER = re.compile(
    r"[+-]?(?:nan|inf|infinity|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?)", re.IGNORECASE | re.ASCII
)
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_METADATA = re.compile(
    rf'#[ \t]+(HELP|TYPE|UNIT)[ \t]+(?:({METRIC_NAME})|"([^"\\]*+(?:\\.[^"\\]*+)*+)")(?:[ \t]+(.*))?'
)
_NAME_LIKE = re.compile(METRIC_NAME)
