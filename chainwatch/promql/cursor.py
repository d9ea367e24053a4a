"""The place in a query up to which it has been read, and the small things that are read there."""

from __future__ import annotations

import math

from chainwatch.promql.durations import (
    SECONDS_MAX,
    negate,
    read_function,
    read_seconds,
    whole_milliseconds,
)
from chainwatch.promql.errors import ParseError, Unsupported, quoted
from chainwatch.promql.lexer import Token, error_at, parse_duration, parse_number, tokenize, unquote
from chainwatch.promql.syntax import At, Computed, Matcher, Seconds

_METRIC_NAME = "__name__"
_KINDS = {
    "word": "identifier ",
    "text": "string ",
    "sign": "",
    "number": "number ",
    "duration": "duration ",
    "end": "",
}
"""What Prometheus calls tokens, before their text."""


class Cursor:
    """Reads tokens one after the other. Everything raises ``ParseError``."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._tokens = tokenize(source)
        self._place = 0
        self.at = self._tokens[0]
        """The next token."""

    @property
    def after(self) -> Token:
        """The token after the next one."""
        return self._tokens[min(self._place + 1, len(self._tokens) - 1)]

    def take(self) -> Token:
        token = self.at
        if token.kind != "end":
            self._place += 1
            self.at = self._tokens[self._place]
        return token

    def takes(self, text: str) -> bool:
        """Take the token if it is the sign ``text``."""
        token = self.at
        if token.text == text and token.kind == "sign":
            self.take()
            return True
        return False

    def takes_word(self, word: str) -> bool:
        token = self.at
        if token.kind == "word" and token.text.lower() == word:
            self.take()
            return True
        return False

    def is_at(self, start: int, text: str) -> bool:
        """Return whether the query has ``text`` at the index ``start``."""
        return self._source.startswith(text, start)

    def expect(self, text: str, where: str) -> None:
        if not self.takes(text):
            raise self.unexpected(f" in {where}, expected {quoted(text)}")

    def error(self, reason: str, start: int | None = None, kind: type[ParseError] = ParseError) -> ParseError:
        return error_at(self._source, self.at.start if start is None else start, reason, kind)

    def unexpected(self, where: str = "") -> ParseError:
        token = self.at
        if token.text in ("</", ">/"):
            return self.error(
                f"the operator {quoted(token.text)} trims native histograms, which are not supported",
                kind=Unsupported,
            )
        if token.kind == "end" and self._is_open():
            return self.error("unclosed left parenthesis")
        kind = _KINDS[token.kind]
        what = "end of input" if token.kind == "end" else f"{kind}{quoted(token.text[:40])}"
        return self.error(f"unexpected {what}{where}")

    def _is_open(self) -> bool:
        """Return whether a parenthesis is not closed before the end, outside of braces and brackets."""
        signs = [token.text for token in self._tokens if token.kind == "sign"]
        balanced = all(signs.count(left) <= signs.count(right) for left, right in ("{}", "[]"))
        return balanced and signs.count("(") > signs.count(")")

    def text(self) -> str:
        token = self.take()
        try:
            return unquote(token.text)
        except ValueError as error:
            raise self.error(f"{error} in {token.text[:60]}", token.start) from None

    def label(self, where: str) -> str:
        token = self.at
        if token.kind == "text":
            name = self.text()
            if not name:
                raise self.error("invalid label name ''", token.start)
            return name
        if token.kind != "word" or ":" in token.text:
            raise self.unexpected(f" in {where}, expected label")
        return self.take().text

    def labels(self, where: str) -> tuple[str, ...]:
        self.expect("(", where)
        labels = []
        while not self.takes(")"):
            labels.append(self.label(where))
            if not self.takes(",") and self.at.text != ")":
                raise self.unexpected(f' in {where}, expected "," or ")"')
        return tuple(labels)

    def grouping(self) -> tuple[bool, tuple[str, ...]] | None:
        """Take the labels by which or without which (then True) is grouped; None where there are none."""
        if (by := self.takes_word("by")) or self.takes_word("without"):
            return not by, self.labels("grouping opts")
        return None

    def matcher(self, named: bool) -> Matcher:
        """Take a matcher; ``named``: the metric's name stands before the braces."""
        token = self.at
        label = self.label("label matching")
        if token.kind == "text" and self.at.text in (",", "}"):
            label, operator, value = _METRIC_NAME, "=", label
        else:
            if self.at.kind != "sign" or self.at.text not in ("=", "!=", "=~", "!~"):
                raise self.unexpected(" in label matching, expected label matching operator")
            operator = self.take().text
            if self.at.kind != "text":
                raise self.unexpected(" in label matching, expected string")
            value = self.text()
        if named and label == _METRIC_NAME:
            raise self.error(f"metric name must not be set twice: also {quoted(value[:60])}", token.start)
        try:
            return Matcher(label, operator, value)
        except ValueError as error:
            raise self.error(f"illegal pattern {quoted(value[:60])}: {error}", token.start) from None

    def length(self, where: str) -> int | Computed:
        """Take a length of time, in milliseconds unless the query's step or range decides it."""
        token = self.at
        if token.text == ":":
            raise self.error(
                'subqueries aligned to the time of evaluation ("::") are experimental and not supported',
                kind=Unsupported,
            )
        length: int | Computed
        if token.kind in ("number", "duration") and self.after.text in ("]", ":"):
            length = self.milliseconds(where)
        else:
            length = self._cut(read_seconds(self, where), token)
        if not isinstance(length, Computed) and length <= 0:
            raise self.error("duration must be greater than 0", token.start)
        return length

    def offset(self) -> int | Computed:
        """Take an offset: a number or a function, or one in parentheses, to which operators that follow belong, too."""
        token = self.at
        if token.text == "(":
            return self._cut(read_seconds(self, "offset"), token)
        sign = -1 if self.takes("-") else 1
        if sign > 0:
            self.takes("+")
        if self.takes("("):
            seconds: Seconds | None = read_seconds(self, "offset")
            self.expect(")", "offset")
        else:
            seconds = read_function(self, "offset")
        if seconds is None:
            return sign * self.milliseconds("offset")
        return self._cut(negate(seconds) if sign < 0 else seconds, token)

    def pinned(self) -> At:
        token = self.at
        if token.kind == "word" and token.text in ("start", "end"):
            self.take()
            self.expect("(", "@")
            self.expect(")", "@")
            return "start" if token.text == "start" else "end"
        sign = -1 if self.takes("-") else 1
        if sign > 0:
            self.takes("+")
        number = self.take()
        if number.kind == "duration":
            return sign * parse_duration(number.text)
        if number.kind == "word" and number.text.lower() in ("inf", "nan"):
            raise self.error(f"timestamp out of bounds for @ modifier: {number.text}", token.start)
        if number.kind != "number":
            raise self.error(
                f"unexpected {quoted(number.text[:40] or 'end of input')} in @, expected timestamp",
                number.start,
            )
        return self._in_milliseconds(
            sign * parse_number(number.text), number, "timestamp out of bounds for @ modifier"
        )

    def _cut(self, seconds: Seconds, token: Token) -> int | Computed:
        """Return the milliseconds of an expression that began at ``token``, if they are known."""
        if isinstance(seconds, Computed):
            return seconds
        try:
            return whole_milliseconds(seconds)
        except ValueError as error:
            raise self.error(str(error), token.start) from None

    def number(self) -> float:
        return parse_number(self.take().text)

    def milliseconds(self, where: str) -> int:
        token = self.at
        if token.kind == "duration":
            try:
                return parse_duration(self.take().text)
            except ValueError as error:
                raise self.error(str(error), token.start) from None
        if token.kind == "number":
            return self._in_milliseconds(parse_number(self.take().text), token, "duration out of range")
        raise self.unexpected(f" in {where}, expected number or duration")

    def _in_milliseconds(self, seconds: float, token: Token, reason: str) -> int:
        if not math.isfinite(seconds) or abs(seconds) >= SECONDS_MAX:
            raise self.error(reason, token.start)
        return int(seconds * 1000 + math.copysign(0.5, seconds))
