"""Matchers: tests of an alert's labels, as the configuration and the commands write them.

A plain value must be equal; ``!=`` before it negates the test, ``=~`` makes it a regular expression for the whole value,
``!~`` both; after ``=`` the rest is a plain value, whatever it begins with. Of several values for one label one must match,
and no negated one may.

Regular expressions are RE2's, as in Alertmanager: they take linear time, whatever a label holds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

import msgspec
import re2

from chainwatch.model import SENT_SEVERITY, SEVERITY_NAMES

OPERATORS = ("=~", "!~", "!=", "=")
LabelTest = tuple[str, str, str]
"""One of Alertmanager's tests: a label's name, one of ``OPERATORS``, a value or pattern."""
LAST_TEXT = chr(0x10FFFF) * 8
"""Greater than what labels hold."""
_RANGE = 64
"""Bytes of the ends of a range."""
_WRITTEN = re.compile(r"([^=!~\s]+)(=~|!~|!=|=)(.*)", re.DOTALL)


class Matcher(msgspec.Struct, frozen=True):
    """The test of one label; one that an alert does not have counts as empty."""

    name: str
    values: frozenset[str]
    patterns: tuple[str, ...] = ()
    not_values: frozenset[str] = frozenset()
    not_patterns: tuple[str, ...] = ()

    def takes(self, labels: Mapping[str, str]) -> bool:
        """Return whether the label's value passes; no value does where a pattern is invalid."""
        value = labels.get(self.name)
        if (
            value is None
        ):  # an alert has the severity that was sent apart only where it is not a severity here
            value = labels.get("severity", "") if self.name == SENT_SEVERITY else ""
        if not self.patterns and not self.not_patterns:
            return value not in self.not_values and (not self.values or value in self.values)
        try:
            if value in self.not_values or any(_is_whole(p, value) for p in self.not_patterns):
                return False
            if not self.values and not self.patterns:
                return True
            return value in self.values or any(_is_whole(p, value) for p in self.patterns)
        except NoPattern:
            return False


Matchers = tuple[Matcher, ...]


class NoPattern(ValueError):
    """A text is not a regular expression."""


def build(match: Mapping[str, Sequence[str]]) -> Matchers:
    """Build the tests written as label → values. Raises ``ValueError`` for an invalid pattern."""
    return _checked(recall(match))


def recall(match: Mapping[str, Sequence[str]]) -> Matchers:
    """Build stored tests, perhaps of a version that accepted other patterns: an invalid one matches nothing."""
    return tuple(_matcher(name, values) for name, values in sorted(match.items()))


def build_tests(tests: Iterable[LabelTest]) -> Matchers:
    """Build Alertmanager's tests, all of which must pass; one of ``severity`` is of the severity as it was sent.

    Raises ``ValueError`` for an invalid pattern.
    """
    return _checked(recall_tests(tests))


def recall_tests(tests: Iterable[LabelTest]) -> Matchers:
    """Build stored tests of Alertmanager's: an invalid pattern matches nothing."""
    return tuple(
        test_of(SENT_SEVERITY if name == "severity" else name, operator, value)
        for name, operator, value in tests
    )


def test_of(name: str, operator: str, value: str) -> Matcher:
    """Return one test; ``operator`` is one of ``OPERATORS``."""
    match operator:
        case "=":
            return Matcher(name, frozenset([value]))
        case "!=":
            return Matcher(name, frozenset(), not_values=frozenset([value]))
        case "=~":
            return Matcher(name, frozenset(), (value,))
        case _:
            return Matcher(name, frozenset(), not_patterns=(value,))


def tests_of(matcher: Matcher) -> Iterator[LabelTest]:
    """Yield the tests of Alertmanager's that together pass what ``matcher`` takes."""
    name, choices = matcher.name, [re.escape(value) for value in sorted(matcher.values)]
    choices += [f"(?:{pattern})" for pattern in matcher.patterns]
    if len(choices) > 1:
        yield name, "=~", "|".join(choices)
    else:
        yield from ((name, "=", value) for value in matcher.values)
        yield from ((name, "=~", pattern) for pattern in matcher.patterns)
    yield from ((name, "!=", value) for value in sorted(matcher.not_values))
    yield from ((name, "!~", pattern) for pattern in matcher.not_patterns)


def takes(matchers: Matchers, labels: Mapping[str, str]) -> bool:
    """Return whether all tests pass."""
    return not matchers or all(matcher.takes(labels) for matcher in matchers)


def written(matchers: Matchers) -> str:
    """Return the tests as Alertmanager writes them: ``{severity=~"P0|P1"}``."""
    return "{" + ",".join(part for matcher in matchers for part in _parts(matcher)) + "}"


def parse(words: Iterable[str]) -> dict[str, list[str]]:
    """Parse ``LABEL=VALUE``, ``LABEL!=VALUE``, ``LABEL=~REGEX``, ``LABEL!~REGEX`` into label → values, as configured.

    Raises ``ValueError`` for anything else.
    """
    match: dict[str, list[str]] = {}
    for word in words:
        found = _WRITTEN.fullmatch(word)
        if found is None:
            raise ValueError(f"{word!r} is none of LABEL=VALUE, LABEL!=VALUE, LABEL=~REGEX, LABEL!~REGEX")
        name, operator, value = found.groups()
        plain = operator == "=" and not value.startswith(OPERATORS)
        tested = value if plain else operator + value
        try:
            build({name: [tested]})
        except ValueError as error:
            raise ValueError(f"{word!r}: {error}") from None
        match.setdefault(name, []).append(tested)
    return match


def possible_range(pattern: str) -> tuple[str, str]:
    """Return the least and the greatest value that ``pattern`` can match; of an invalid one any."""
    try:
        first, last = _compiled(pattern).possiblematchrange(_RANGE)
    except (NoPattern, re2.error):  # RE2 knows none, as of a pattern that begins with any character
        return "", LAST_TEXT
    least, most = _whole_characters(first), _whole_characters(last)
    return least.decode(), most.decode() + ("" if most == last else LAST_TEXT)


def _whole_characters(text: bytes) -> bytes:
    """Return the ASCII characters with which ``text`` begins: what follows may be half a character."""
    return next((text[:at] for at, byte in enumerate(text) if byte > 127), text)


def _checked(matchers: Matchers) -> Matchers:
    for matcher in matchers:
        for pattern in (*matcher.patterns, *matcher.not_patterns):
            _compiled(pattern)
    return matchers


def _matcher(name: str, values: Sequence[str]) -> Matcher:
    tests: dict[str, list[str]] = {operator: [] for operator in OPERATORS}
    for text in values:
        operator = next((o for o in OPERATORS if text.startswith(o)), "")
        value = text[len(operator) :]
        if operator in ("", "=", "!=") and name == "severity":
            value = SEVERITY_NAMES.get(value.lower(), value)
        tests[operator or "="].append(value)
    return Matcher(
        name, frozenset(tests["="]), tuple(tests["=~"]), frozenset(tests["!="]), tuple(tests["!~"])
    )


def _parts(matcher: Matcher) -> Iterator[str]:
    name = "severity" if matcher.name == SENT_SEVERITY else matcher.name
    values = sorted(matcher.values)
    if matcher.patterns:
        yield f"{name}=~{_quoted('|'.join([*map(re.escape, values), *matcher.patterns]))}"
    elif len(values) == 1:
        yield f"{name}={_quoted(values[0])}"
    elif values:
        yield f"{name}=~{_quoted('|'.join(values))}"
    yield from (f"{name}!={_quoted(value)}" for value in sorted(matcher.not_values))
    yield from (f"{name}!~{_quoted(pattern)}" for pattern in matcher.not_patterns)


def _is_whole(pattern: str, value: str) -> bool:
    text = value.encode(
        errors="replace"
    )  # a lone surrogate, which is not in any text, counts as a question mark
    return _compiled(pattern).fullmatch(text) is not None


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re2._Regexp:
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern.encode(), options)
    except UnicodeEncodeError as error:
        raise NoPattern(
            f"not a regular expression: {pattern!r}: {error.reason} at position {error.start}"
        ) from None
    except re2.error as error:
        raise NoPattern(_explained(pattern, error)) from None


def _explained(pattern: str, error: re2.error) -> str:
    """Return the error in a pattern, and its position: RE2 names the part that it could not parse."""
    said = error.args[0] if error.args else b""
    reason, _, part = (said.decode(errors="replace") if isinstance(said, bytes) else str(said)).partition(
        ": "
    )
    at = len(pattern) if part in ("", pattern) else max(0, pattern.find(part))
    shown = f" {part!r}" if part != pattern and part else ""
    return f"not a regular expression: {pattern!r}: {reason}{shown} at position {at} (the syntax is RE2's)"


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)
