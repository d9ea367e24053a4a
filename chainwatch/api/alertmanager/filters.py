"""The filters of Alertmanager's queries.

Source: ``pkg/labels/parse.go`` and ``api/v2/api.go`` of Prometheus Alertmanager.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import re2
from aiohttp import web

from chainwatch.grammar.matchers import LabelTest, Matchers, build_tests, takes, test_of

FILTERS_MAX = 100
"""The most filters of one query."""

_FILTER = re.compile(
    r"\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s=!~{}\",\\'`]+))\s*(=~|!=|!~|=)\s*(.*?)\s*", re.DOTALL
)
_QUOTE = re.compile(r'(?<!\\)(?:\\\\)*"')
_ENDS_ESCAPED = re.compile(r"(?<!\\)(?:\\\\)*\\$")
_TRUE = frozenset({"true", "1", "yes", "ok", "y", "on", "selected", "checked", "t", "enabled"})
_ESCAPES = {"n": "\n", '"': '"', "\\": "\\"}


class BadFilter(ValueError):
    """A filter that cannot be used; the message is the answer."""


def parse_filters(texts: Sequence[str]) -> list[LabelTest]:
    """Parse filters such as ``alertname=~"Transfer.*"``. Raises ``BadFilter``."""
    if len(texts) > FILTERS_MAX:
        raise BadFilter(f"at most {FILTERS_MAX} filters are possible")
    return [_parse(text) for text in texts]


def matchers_of(tests: Sequence[LabelTest]) -> Matchers:
    """Return filters as matchers of labels as they were sent."""
    return tuple(test_of(*test) for test in tests)


def passes(matchers: Matchers, labels: Mapping[str, str]) -> bool:
    """Return whether labels pass all filters; a label that is missing counts as empty."""
    return takes(matchers, labels)


def receiver_filter(text: str | None) -> re2._Regexp | None:
    """Return the pattern for the whole name of a receiver; None for any. Raises ``BadFilter``."""
    if not text:
        return None
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(f"^(?:{text})$".encode(errors="replace"), options)
    except re2.error:
        raise BadFilter(
            f"failed to parse receiver param: error parsing regexp: `^(?:{text[:200]})$`"
        ) from None


def flag(request: web.Request, name: str) -> bool:
    """Return a flag of the query, by default true; the last one counts."""
    values = request.query.getall(name, [""])
    return values[-1] == "" or values[-1].lower() in _TRUE


def _parse(text: str) -> LabelTest:
    found = _FILTER.fullmatch(text)
    if found is None:
        raise BadFilter(f"bad matcher format: {text[:200]}")
    quoted, plain, operator, raw = found.groups()
    name = plain if quoted is None else _unescaped(quoted)
    is_quoted = raw.startswith('"')
    inner = raw[1:-1] if is_quoted else raw
    is_closed = not is_quoted or (len(raw) > 1 and raw.endswith('"') and not _ENDS_ESCAPED.search(inner))
    if not is_closed or _QUOTE.search(inner):
        raise BadFilter(f"matcher value contains unescaped double quote: {raw[:200]}")
    test = (name, operator, _unescaped(inner))
    try:
        build_tests([test])
    except ValueError as error:
        raise BadFilter(f"error parsing regexp: {error}") from None
    return test


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], "\\" + found[1]), text, flags=re.DOTALL)
