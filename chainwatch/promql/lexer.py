"""The tokens of a query, each with its place."""

from __future__ import annotations

import re
from typing import NamedTuple

from chainwatch.promql.errors import ParseError

LENGTH_MAX = 65_536
"""Characters of a query."""

_TOKEN = re.compile(
    r"""
    (?P<space>[ \t\r\n]+|\#[^\n]*)
  | (?P<duration>(?=[0-9])(?:[0-9]+y)?(?:[0-9]+w)?(?:[0-9]+d)?(?:[0-9]+h)?(?:[0-9]+m(?!s))?(?:[0-9]+s)?(?:[0-9]+ms)?
        (?<=[ywdhms])(?![A-Za-z0-9_.]))
  | (?P<number>(?:0[xX](?:_?[0-9a-fA-F]){1,16}
        |(?=\.?[0-9])(?:[0-9](?:_?[0-9])*)?(?:\.(?:[0-9](?:_?[0-9])*)?)?(?:[eE][+-]?[0-9]+)?)(?![A-Za-z0-9_.]))
  | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`)
  | (?P<sign>==|=~|!=|!~|<=|>=|</|>/|[-+*/%^<>=(){}\[\],:@])
    """,
    re.VERBOSE,
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_METRIC = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*")
_OCTAL = re.compile(r"0_?[0-7](?:_?[0-7])*")
_PART = re.compile(r"([0-9]+)(ms|[ywdhms])")
_UNITS = {
    "y": 31_536_000_000,
    "w": 604_800_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1000,
    "ms": 1,
}
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)", re.DOTALL)
_PLAIN = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    '"': '"',
    "'": "'",
}


class Token(NamedTuple):
    """``kind`` is duration, number, word, text, sign or end; ``text`` as written; ``start`` its first character's index."""

    kind: str
    text: str
    start: int


def tokenize(source: str) -> list[Token]:
    """Return the tokens of ``source``, the last of kind ``end``. Raises ``ParseError``."""
    if len(source) > LENGTH_MAX:
        raise ParseError(f"the query is longer than {LENGTH_MAX:,} characters", 1, 1)
    if (broken := _SURROGATE.search(source)) is not None:
        raise error_at(source, broken.start(), "the query is no UTF-8")
    tokens: list[Token] = []
    place = brackets = 0
    length = len(source)
    while place < length:
        found = _TOKEN.match(source, place)
        kind = (found.lastgroup if found else None) or ""
        if not brackets and (kind == "word" or source[place] == ":"):
            found, kind = _METRIC.match(source, place), "word"  # outside brackets a colon belongs to the name
        if found is None:
            raise error_at(source, place, _unreadable(source, place))
        if kind != "space":
            text = found[0]
            tokens.append(Token(kind, text, place))
            if kind == "sign":
                brackets += (text == "[") - (text == "]")
        place = found.end()
    return [*tokens, Token("end", "", len(source))]


def error_at(source: str, place: int, reason: str, kind: type[ParseError] = ParseError) -> ParseError:
    """Return the error for the character at index ``place``."""
    before = source[:place]
    return kind(reason, before.count("\n") + 1, place - (before.rfind("\n") + 1) + 1)


def parse_duration(text: str) -> int:
    """Return the milliseconds of a token of kind ``duration``, or of such a text elsewhere. Raises ``ValueError``."""
    found = _TOKEN.fullmatch(text)
    if found is None or found.lastgroup != "duration":
        raise ValueError(f"not a valid duration string: {text[:40]!r}")
    total = sum(int(count) * _UNITS[unit] for count, unit in _PART.findall(text))
    if total >= 1 << 63:
        raise ValueError("duration out of range")
    return total


def parse_number(text: str) -> float:
    """Return the value of a token of kind ``number``."""
    if text[:2] in ("0x", "0X"):
        return float(int(text, 16))
    if _OCTAL.fullmatch(text) and (octal := int(text, 8)) < 1 << 63:
        return float(octal)
    return float(text)  # as Prometheus reads longer ones, too


def unquote(text: str) -> str:
    """Return what a token of kind ``text`` says. Raises ``ValueError``."""
    body = text[1:-1]
    return body if text[0] == "`" else _ESCAPE.sub(_unescape, body)


def _unescape(match: re.Match[str]) -> str:
    escape = match[1]
    if escape in _PLAIN:
        return _PLAIN[escape]
    if len(escape) == 1:
        raise ValueError(f"unknown escape sequence \\{escape}")
    code = int(escape, 8) if escape[0].isdigit() else int(escape[1:], 16)
    if escape[0] not in "uU" and code > 127:
        raise ValueError(f"\\{escape} is no UTF-8")
    if code > 0x10FFFF or 0xD800 <= code < 0xE000:
        raise ValueError(f"\\{escape} is no Unicode character")
    return chr(code)


def _unreadable(source: str, place: int) -> str:
    char = source[place]
    if char in "\"'`":
        return "unterminated quoted string"
    if char.isdigit() or char == ".":
        return f"bad number or duration syntax: {source[place : place + 20]!r}"
    return f"unexpected character: {char!r}"
