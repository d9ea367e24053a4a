"""The functions of Prometheus' templates (template/template.go) and those of Go's that rules use."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote_plus

from chainwatch.promql.lexer import parse_duration
from chainwatch.promql.numbers import format_general, format_special
from chainwatch.promql.syntax import compile_pattern, expand_references
from chainwatch.rules.template_nodes import TemplateError

REPLACED_MAX = 200_000
"""Characters that ``reReplaceAll`` could make."""
WIDTH_MAX = 200
"""Width and precision that ``printf`` takes."""

_VERB = re.compile(r"%([-+# 0]*)(\d{0,6})(?:\.(\d{0,6}))?(.|$)", re.DOTALL)
_ENTITIES = str.maketrans(
    {'"': "&#34;", "'": "&#39;", "&": "&amp;", "<": "&lt;", ">": "&gt;", "\0": "\ufffd"}
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Record(dict[str, Any]):
    """A value with fixed fields; asking for another one is an error."""


class Time:
    """A moment in whole milliseconds, printed as Go does."""

    def __init__(self, seconds: float) -> None:
        try:
            self._moment = _EPOCH + timedelta(milliseconds=int(math.trunc(seconds * 1e9) / 1e6))
        except (OverflowError, ValueError):
            raise TemplateError(f"{seconds:g} cannot be represented as a time") from None

    def __str__(self) -> str:
        fraction = f".{self._moment.microsecond:06d}".rstrip("0").rstrip(".")
        return f"{self._moment:%Y-%m-%d %H:%M:%S}{fraction} +0000 UTC"


def show(value: Any) -> str:
    """Return a value as Go prints it."""
    if value is None:
        return "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return format_general(value)
    if isinstance(value, Record):
        return "{" + " ".join(show(one) for one in value.values()) + "}"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{show(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(map(show, value)) + "]"
    return str(value)


def is_true(value: Any) -> bool:
    """Return whether a value counts as true: neither zero nor empty."""
    return bool(value) if not isinstance(value, Time) else True


def _significant(value: float) -> str:
    """Return ``%.4g``."""
    return f"{value:.4g}" if math.isfinite(value) else format_special(value)


def _as_float(value: Any) -> float:
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            raise TemplateError(f"{value[:60]!r} is no number") from None
    raise TemplateError(f"can't convert {_kind(value)} to float")


def _kind(value: Any) -> str:
    kinds = {
        bool: "bool",
        int: "int",
        float: "float64",
        str: "string",
        list: "[]interface {}",
        dict: "map[string]string",
    }
    return kinds.get(type(value), "struct" if value is not None else "nil")


def printf(form: str, *values: Any) -> str:
    """Return Go's ``fmt.Sprintf``."""
    left = list(values)

    def write(match: re.Match[str]) -> str:
        flags, width, precision, verb = match.groups()
        if verb == "%":
            return "%"
        if not verb:
            return "%!(NOVERB)"
        if not left:
            return f"%!{verb}(MISSING)"
        return _formatted(flags, min(int(width or 0), WIDTH_MAX), precision, verb, left.pop(0))

    text = _VERB.sub(write, form)
    if left:
        text += "%!(EXTRA " + ", ".join(f"{_kind(value)}={show(value)}" for value in left) + ")"
    return text


def _print(*values: Any) -> str:
    """Return the values, with spaces between those of which neither is text."""
    text = ""
    for before, value in zip((None, *values), values, strict=False):
        text += " " if text and not isinstance(before, str) and not isinstance(value, str) else ""
        text += show(value)
    return text


def _formatted(flags: str, width: int, precision: str | None, verb: str, value: Any) -> str:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    digits = None if precision is None else min(int(precision or 0), WIDTH_MAX)
    if verb == "v":
        flags = flags.replace("+", "")  # there it asks for the names of fields
    if verb == "v" and (digits is None or not isinstance(value, float)):
        text = show(value)
    elif verb == "T":
        return _kind(value)
    elif (verb in "feEgGF" and isinstance(value, float)) or (verb == "v" and isinstance(value, float)):
        verb = "g" if verb == "v" else verb
        if not math.isfinite(value):
            text = format_special(value)
            flags = flags.replace("0", "")
        elif digits is None and verb in "gG":
            text = format_general(value) if verb == "g" else format_general(value).upper()
        else:
            text = format(value, f".{6 if digits is None else digits}{verb}")
    elif verb in "dxXobc" and isinstance(value, int) and not isinstance(value, bool):
        text = (
            chr(value) if verb == "c" and 0 <= value < 0xD800 else format(value, verb if verb != "c" else "d")
        )
    elif verb == "s" and not number and not isinstance(value, bool):
        text = show(value)[:digits]
    elif verb in "xX" and isinstance(value, str):
        text = value.encode().hex() if verb == "x" else value.encode().hex().upper()
    elif verb == "q" and isinstance(value, str):
        text = json.dumps(value, ensure_ascii=False)
    elif verb == "t" and isinstance(value, bool):
        text = show(value)
    else:
        return f"%!{verb}({_kind(value)}={show(value)})"
    sign = "+" if "+" in flags else " " if " " in flags else ""
    if number and sign and not text.startswith(("-", "+")):
        text = sign + text
    if "-" in flags:
        return text.ljust(width)
    if "0" in flags and number:
        return text.zfill(width)
    return text.rjust(width)


def _scaled(value: float, prefixes: Sequence[str], base: float) -> str:
    prefix = ""
    for next_prefix in prefixes:
        if abs(value) < base:
            break
        prefix = next_prefix
        value /= base
    return _significant(value) + prefix


def _small(value: float) -> str:
    prefix = ""
    for next_prefix in "munpfazy":
        if abs(value) >= 1:
            break
        prefix = next_prefix
        value *= 1000
    return _significant(value) + prefix


def humanize(given: Any) -> str:
    value = _as_float(given)
    if value == 0 or not math.isfinite(value):
        return _significant(value)
    return _scaled(value, "kMGTPEZY", 1000) if abs(value) >= 1 else _small(value)


def humanize1024(given: Any) -> str:
    value = _as_float(given)
    if abs(value) <= 1 or not math.isfinite(value):
        return _significant(value)
    return _scaled(value, ("ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"), 1024)


def humanize_duration(given: Any) -> str:
    value = _as_float(given)
    if not math.isfinite(value):
        return _significant(value)
    if value == 0:
        return "0s"
    if abs(value) < 1:
        return _small(value) + "s"
    sign, value = ("-", -value) if value < 0 else ("", value)
    whole = int(value)
    days, hours, minutes, seconds = whole // 86_400, whole // 3600 % 24, whole // 60 % 60, whole % 60
    if days:
        return f"{sign}{days}d {hours}h {minutes}m {seconds}s"
    if hours:
        return f"{sign}{hours}h {minutes}m {seconds}s"
    return f"{sign}{minutes}m {seconds}s" if minutes else f"{sign}{_significant(value)}s"


def _humanize_timestamp(given: Any) -> str:
    value = _as_float(given)
    return str(Time(value)) if math.isfinite(value) else _significant(value)


def _first(values: Any) -> Any:
    if not isinstance(values, list) or not values:
        raise TemplateError("first() called on vector with no elements")
    return values[0]


def _label(name: str, sample: Any) -> str:
    labels = sample.get("Labels", {}) if isinstance(sample, Record) else {}
    return str(labels.get(name, ""))


def _value(sample: Any) -> float:
    if not isinstance(sample, Record) or "Value" not in sample:
        raise TemplateError(f"value() called on {_kind(sample)}")
    return float(sample["Value"])


def _pattern(pattern: str) -> Any:
    try:
        return compile_pattern(f"(?-s){pattern}", captures=True)  # in templates "." is no line break
    except ValueError as error:
        raise TemplateError(f"invalid pattern {pattern[:60]!r}: {error}") from None


def _replace_all(pattern: str, replacement: str, text: str) -> str:
    compiled = _pattern(pattern)
    if (len(text) + 1) * (len(replacement) + 1) > REPLACED_MAX:
        raise TemplateError("reReplaceAll: the text and its replacement are too long")

    parts: list[str] = []
    end = 0
    for match in compiled.finditer(text):
        if parts and match.start() == match.end() == end:
            continue  # directly after a match there is no empty one
        parts += [text[end : match.start()], expand_references(replacement, match)]
        end = match.end()
    return "".join([*parts, text[end:]])


def _strip_port(host: str) -> str:
    found = re.fullmatch(r"(?:\[([^\[\]]*)\]|([^:\[\]]*)):[^:]*", host)
    return host if found is None else found[1] or found[2] or ""


def _strip_domain(host: str) -> str:
    name, colon, port = host.partition(":")
    if not name or re.fullmatch(r"[0-9.]+", name):
        return host
    return name.split(".")[0] + colon + port


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, list | str):
            if not isinstance(key, int) or not 0 <= key < len(value):
                raise TemplateError(f"index out of range: {show(key)[:40]}")
            value = value[key]
        elif isinstance(value, dict):
            value = value.get(key, "")
        else:
            raise TemplateError(f"can't index item of type {_kind(value)}")
    return value


def _slice(value: Any, start: Any = 0, *ends: Any) -> Any:
    """Return a part of a list, or of a text by its bytes, as Go does."""
    if not isinstance(value, list | str):
        raise TemplateError(f"can't slice item of type {_kind(value)}")
    whole = value.encode() if isinstance(value, str) else value
    end = ends[0] if ends else len(whole)
    if not all(type(place) is int for place in (start, end)) or not 0 <= start <= end <= len(whole):
        raise TemplateError(f"slice index out of range: {show([start, *ends])[:40]}")
    part = whole[start:end]
    return part.decode(errors="replace") if isinstance(part, bytes) else part


def _length(value: Any) -> int:
    if not isinstance(value, str | list | dict):
        raise TemplateError(f"len of type {_kind(value)}")
    return len(value.encode()) if isinstance(value, str) else len(value)


def _compared(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def function(first: Any, second: Any) -> bool:
        if _kind(first) != _kind(second):
            raise TemplateError("incompatible types for comparison")
        if not isinstance(first, int | float | str):
            raise TemplateError("invalid type for comparison")
        return compare(first, second)

    return function


_equals = _compared(lambda first, second: bool(first == second))


def _link(tab: int) -> Callable[[str], str]:
    return lambda query: f"/graph?g0.expr={quote_plus(query)}&g0.tab={tab}"


def _parse_seconds(text: str) -> float:
    sign = -1 if text.startswith("-") else 1
    try:
        return sign * parse_duration(text.lstrip("-")) / 1000
    except ValueError as error:
        raise TemplateError(str(error)) from None


def _upper(letter: str) -> str:
    """Return the capital of a letter where it is one letter, as in Go."""
    capital = letter.upper()
    return capital if len(capital) == 1 else letter


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "printf": printf,
    "print": _print,
    "println": lambda *values: " ".join(map(show, values)) + "\n",
    "len": _length,
    "index": _index,
    "slice": _slice,
    "html": lambda *values: "".join(map(show, values)).translate(_ENTITIES),
    "eq": lambda first, *others: any(_equals(first, other) for other in others),
    "ne": lambda first, second: not _equals(first, second),
    "lt": _compared(lambda first, second: bool(first < second)),
    "le": _compared(lambda first, second: bool(first <= second)),
    "gt": _compared(lambda first, second: not first <= second),  # true for NaN, as in Go
    "ge": _compared(lambda first, second: not first < second),
    "not": lambda value: not is_true(value),
    "urlquery": lambda *values: quote_plus("".join(map(show, values))),
    "first": _first,
    "label": _label,
    "value": _value,
    "strvalue": lambda sample: _label("__value__", sample),
    "sortByLabel": lambda name, samples: sorted(samples, key=lambda sample: _label(name, sample)),
    "args": lambda *values: {f"arg{index}": value for index, value in enumerate(values)},
    "humanize": humanize,
    "humanize1024": humanize1024,
    "humanizeDuration": humanize_duration,
    "humanizePercentage": lambda value: _significant(_as_float(value) * 100) + "%",
    "humanizeTimestamp": _humanize_timestamp,
    "toTime": lambda value: Time(_as_float(value)),
    "toDuration": lambda value: f"{_as_float(value):g}s",
    "parseDuration": _parse_seconds,
    "title": lambda text: re.sub(r"(?<!\w)\w", lambda match: match[0].upper(), text),
    "toUpper": lambda text: "".join(map(_upper, text)),
    "toLower": lambda text: text.lower(),
    "stripPort": _strip_port,
    "stripDomain": _strip_domain,
    "match": lambda pattern, text: _pattern(pattern).search(text) is not None,
    "reReplaceAll": _replace_all,
    "safeHtml": lambda text: text,
    "graphLink": _link(0),
    "tableLink": _link(1),
}
"""Functions by their names in a template; ``query``, ``tmpl``, ``externalURL`` and the like come with the values."""
