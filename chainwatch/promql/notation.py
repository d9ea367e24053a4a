"""Series as people write them in tests: ``metric{label="value"}`` and ``1 2 _ 3+1x5 stale`` (Prometheus' ParseSeriesDesc).

Values stand one interval apart: ``_`` is none, ``_x5`` five times none, ``1+2x3`` is 1 3 5 7, ``1-2x3`` falls, ``1x3`` is
four times 1, and ``stale`` ends the series.
"""

from __future__ import annotations

import re

from chainwatch.promql.errors import ParseError, Unsupported
from chainwatch.promql.lexer import unquote
from chainwatch.promql.series import NAME, STALE, Labels

VALUES_MAX = 1_000_000
"""Values of one series."""

_METRIC = re.compile(r"\s*([A-Za-z_:][A-Za-z0-9_:]*)?\s*(\{)?")
_TEXT = r"\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|`[^`]*`"
_LABEL = re.compile(rf"\s*([A-Za-z_][A-Za-z0-9_]*|{_TEXT})\s*(?:=\s*({_TEXT})\s*)?")
_AFTER_LABEL = re.compile(r",|(?=\})")
_NUMBER = r"[+-]?(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[iI][nN][fF]|[nN][aA][nN])"
_VALUE = re.compile(
    rf"(?P<first>{_NUMBER})(?:(?P<step>[+-](?![+-]){_NUMBER.removeprefix('[+-]?')})?x(?P<times>[0-9]+))?"
)
_NONE = re.compile(r"_(?:x([0-9]+))?")


def parse_series(text: str) -> tuple[Labels, list[float | None]]:
    """Return the labels and the values of a series; None stands for no sample. Raises ``ParseError``."""
    labels, end = _parse_labels(text)
    return labels, parse_values(text[end:])


def parse_labels(text: str) -> Labels:
    """Return the labels that ``text``, such as ``metric{label="value"}``, stands for. Raises ``ParseError``."""
    labels, end = _parse_labels(text)
    if text[end:].strip():
        raise ParseError(f"unexpected {text[end:].strip()[:40]!r}", 1, end + 1)
    return labels


def parse_values(text: str) -> list[float | None]:
    """Return the values written in ``text``. Raises ``ParseError``."""
    values: list[float | None] = []
    if "{{" in text:
        raise Unsupported("native histograms are not supported", 1, 1)
    for found in re.finditer(r"\S+", text):
        added = _expand(found[0])
        if added is None:
            raise ParseError(f"bad value {found[0][:40]!r} in a series", 1, found.start() + 1)
        values += added
        if len(values) > VALUES_MAX:
            raise ParseError(f"a series has more than {VALUES_MAX:,} values", 1, found.start() + 1)
    return values


def _expand(text: str) -> list[float | None] | None:
    """Return the values that one item stands for; None where it is no item."""
    if text == "stale":
        return [STALE]
    if none := _NONE.fullmatch(text):
        times = _count(none[1] or "1")
        return [None] * times
    found = _VALUE.fullmatch(text)
    if found is None:
        return None
    first = float(found["first"])
    step = float(found["step"]) if found["step"] else 0.0
    if found["times"] is None:
        return [first]
    values: list[float | None] = [first]
    for _ in range(_count(found["times"])):
        first += step
        values.append(first)
    return values


def _count(text: str) -> int:
    return min(int(text[:20]), VALUES_MAX + 1)


def _parse_labels(text: str) -> tuple[Labels, int]:
    found = _METRIC.match(text)
    assert found is not None
    labels = {NAME: found[1]} if found[1] else {}
    end = found.end()
    if not found[2]:
        if not found[1]:
            raise ParseError('expected a metric, such as name{label="value"}', 1, 1)
        return Labels(labels), end
    while text[end : end + 1] != "}":
        label = _LABEL.match(text, end)
        if label is None:
            rest = text[end:].lstrip()
            if rest.startswith("}"):
                end += len(text[end:]) - len(rest)
                break
            raise ParseError(f"unexpected {rest[:20] or 'end'!r} in labels", 1, end + 1)
        after = _AFTER_LABEL.match(text, label.end())
        if after is None:
            raise ParseError('expected "," or "}" after a label', 1, label.end() + 1)
        try:
            name = unquote(label[1]) if label[1][0] in "\"'`" else label[1]
            if label[2] is None:
                name, value = NAME, name
            else:
                value = unquote(label[2])
        except ValueError as error:
            raise ParseError(str(error), 1, end + 1) from None
        if name in labels:
            raise ParseError(f"label {name[:60]!r} is there twice", 1, end + 1)
        labels[name] = value
        end = after.end()
    return Labels(labels), end + 1
