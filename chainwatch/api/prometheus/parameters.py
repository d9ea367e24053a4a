"""Parameters of requests, read as Prometheus reads them (web/api/v1/api.go). Times are Unix milliseconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from multidict import MultiMapping

from chainwatch.api.prometheus.answers import Refused
from chainwatch.promql.errors import ParseError
from chainwatch.promql.lexer import parse_duration as parse_units
from chainwatch.promql.parser import Query, parse
from chainwatch.promql.signatures import SCALAR, VECTOR
from chainwatch.promql.syntax import Matcher, Selector

TIME_MAX = 9_223_309_901_257_974_000
"""The latest time that Prometheus knows; the earliest is as long before the epoch."""
MATCHES_MAX = 30
"""Selectors that one request may have."""
_DURATION_MAX = 2**63 // 10**9
"""Seconds that fit into Go's time.Duration."""
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_RFC3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:[.,]([0-9]+))?(Z|[+-][0-9]{2}:[0-9]{2})"
)
_BOUNDARIES = {
    "-292273086-05-16T16:47:06Z": -TIME_MAX,
    "292277025-08-18T07:12:54.999999999Z": TIME_MAX,
}
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")

Fields = MultiMapping[str]


def text_of(fields: Fields, name: str) -> str:
    """Return the first value of a parameter, empty where there is none."""
    return fields.get(name, "")


def time_of(fields: Fields, name: str, default: int | None = None) -> int:
    """Return a parameter that is a time. Raises ``Refused``; without a ``default`` also where it is left out."""
    text = text_of(fields, name)
    if not text and default is not None:
        return default
    try:
        return parse_time(text)
    except ValueError as error:
        where = "" if default is None else f"invalid time value for '{name}': "
        raise invalid(name, f"{where}{error}") from None


def duration_of(fields: Fields, name: str) -> float:
    """Return a parameter that is a length of time, in seconds. Raises ``Refused``."""
    try:
        return parse_duration(text_of(fields, name))
    except ValueError as error:
        raise invalid(name, str(error)) from None


def limit_of(fields: Fields, name: str = "limit") -> int:
    """Return a parameter that bounds a list; 0 is no bound. Raises ``Refused``."""
    text = text_of(fields, name)
    if not text:
        return 0
    if not _WHOLE.fullmatch(text):
        raise Refused("bad_data", f"{name} must be a number")
    if int(text) < 0:
        raise invalid(name, f"{name} must be non-negative")
    return int(text)


def query_of(fields: Fields, *, over_range: bool = False) -> Query:
    """Return the query, which is to be evaluated at one time or ``over_range``. Raises ``Refused``."""
    try:
        query = parse(text_of(fields, "query"))
    except ParseError as error:
        raise invalid("query", str(error)) from None
    if over_range and query.type not in (VECTOR, SCALAR):
        raise invalid(
            "query",
            f'invalid expression type "{query.type}" for range query, must be Scalar or instant Vector',
        )
    return query


def matcher_sets_of(fields: Fields, *, needed: bool = False) -> list[tuple[Matcher, ...]]:
    """Return the matchers of each selector in ``match[]``. Raises ``Refused``; where it is ``needed`` also for none."""
    texts = fields.getall("match[]", [])
    if not texts and needed:
        raise Refused("bad_data", "no match[] parameter provided")
    if len(texts) > MATCHES_MAX:
        raise invalid("match[]", f"more than {MATCHES_MAX} selectors")
    found = []
    for text in texts:
        try:
            query = parse(text)
        except ParseError as error:
            raise invalid("match[]", str(error)) from None
        root = query.root
        if not isinstance(root, Selector) or root != Selector(root.matchers):
            raise invalid("match[]", f"expected a selector of series, got {_quoted(text)}")
        found.append(root.matchers)
    return found


def parse_time(text: str) -> int:
    """Return the milliseconds of Unix seconds or an RFC 3339 time. Raises ``ValueError``."""
    if text in _BOUNDARIES:
        return _BOUNDARIES[text]
    if _NUMBER.fullmatch(text):
        milliseconds = float(text) * 1000
        if abs(milliseconds) <= TIME_MAX:
            return round(milliseconds)
    elif match := _RFC3339.fullmatch(text):
        try:
            moment = datetime.fromisoformat(match[1] + match[3].replace("Z", "+00:00"))
        except ValueError:
            pass
        else:
            whole = moment - datetime(1970, 1, 1, tzinfo=UTC)
            return (whole.days * 86_400 + whole.seconds) * 1000 + int((match[2] or "")[:3].ljust(3, "0"))
    raise ValueError(f"cannot parse {_quoted(text)} to a valid timestamp")


def parse_duration(text: str) -> float:
    """Return the seconds of a number or a duration such as ``5m``. Raises ``ValueError``."""
    if _NUMBER.fullmatch(text):
        seconds = float(text)
        if abs(seconds) > _DURATION_MAX:
            raise ValueError(f"cannot parse {_quoted(text)} to a valid duration. It overflows int64")
        return seconds
    try:
        return parse_units(text) / 1000
    except ValueError:
        raise ValueError(f"cannot parse {_quoted(text)} to a valid duration") from None


def invalid(name: str, reason: str) -> Refused:
    """Return the refusal of a parameter."""
    return Refused("bad_data", f'invalid parameter "{name}": {reason}')


def _quoted(text: str) -> str:
    escaped = text[:200].replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
