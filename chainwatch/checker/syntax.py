"""The letters and words of conditions and paths: tokens, and errors that point at their place."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

MAX_LENGTH = 10_000
"""Characters in one condition."""

_EXCERPT = 100
"""Characters of a long line that an error shows."""

TokenKind = Literal["number", "hex", "string", "name", "operator", "end"]


class ConditionError(ValueError):
    """A condition or path that cannot be used: what is wrong, where (``column``, 0-based), how to fix it."""

    def __init__(self, message: str, source: str, column: int, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.source = source
        self.column = column
        self.hint = hint

    def __str__(self) -> str:
        start = self.source.rfind("\n", 0, self.column) + 1
        line = self.source[start:].split("\n", 1)[0]
        offset = self.column - start
        cut = max(0, offset - _EXCERPT // 2)
        lines = [self.message, f"  {line[cut : cut + _EXCERPT]}", f"  {' ' * (offset - cut)}^"]
        return "\n".join([*lines, f"  {self.hint}"] if self.hint else lines)


class Token(NamedTuple):
    """One word of the source, from ``column`` up to ``end``. A string's ``text`` is without its quotes."""

    kind: TokenKind
    text: str
    column: int
    end: int


_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<hex>0[xX][0-9a-fA-F_]*)
      | (?P<fraction>[0-9][0-9_]*(?:\.[0-9]|[eE][+-]?[0-9])[0-9_]*|\.[0-9]+)
      | (?P<number>[0-9][0-9_]*)
      | (?P<name>[A-Za-z_$][A-Za-z0-9_$]*)
      | (?P<string>"[^"\\\n]*"|'[^'\\\n]*')
      | (?P<quote>["'])
      | (?P<foreign>&&|\|\||:=|<<|>>|=(?!=)|!(?!=)|[\^&|~?;{}@\\])
      | (?P<operator>\*\*|//|==|!=|<=|>=|[-+*/%<>()\[\],.:])
    """,
    re.VERBOSE,
)

_FOREIGN_HINTS = {
    "&&": "write `and`",
    "||": "write `or`",
    "!": "write `not`",
    "=": "to compare, write `==`",
    ":=": "to compare, write `==`",
    "^": "a power is `**`: 10**18",
    "<<": "write a multiplication: 2**8 * amount",
    ">>": "write a division: amount // 2**8",
}


def tokenize(source: str) -> list[Token]:
    """Return the tokens of ``source``, ending with one of kind ``end``; raises `ConditionError`."""
    if len(source) > MAX_LENGTH:
        raise ConditionError(f"longer than {MAX_LENGTH} characters", source, MAX_LENGTH)
    tokens = []
    position = 0
    while position < len(source):
        match = _TOKEN.match(source, position)
        kind, text = (match.lastgroup, match.group()) if match else ("foreign", source[position])
        match kind:
            case "number" | "hex" | "name" | "operator":
                tokens.append(Token(kind, text, position, position + len(text)))
            case "string":
                tokens.append(Token(kind, text[1:-1], position, position + len(text)))
            case "fraction":
                raise ConditionError(
                    f"{text} is not a whole number",
                    source,
                    position,
                    "on-chain amounts are integers: 15 * 10**17",
                )
            case "quote":
                raise ConditionError(
                    "this quote opens a string that does not end",
                    source,
                    position,
                    "strings are on one line, without backslashes",
                )
            case "foreign":
                hint = _FOREIGN_HINTS.get(text, "")
                raise ConditionError(f"{text!r} is not part of the language", source, position, hint)
        position += len(text)
    tokens.append(Token("end", "", len(source), len(source)))
    return tokens


class Cursor:
    """Reads the tokens of one source from left to right."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._tokens = tokenize(source)
        self._index = 0

    @property
    def token(self) -> Token:
        """The token that comes next."""
        return self._tokens[self._index]

    @property
    def end(self) -> int:
        """Where the last token taken ends."""
        return self._tokens[self._index - 1].end if self._index else 0

    def take(self) -> Token:
        """Go past the next token and return it; the end is never passed."""
        token = self.token
        self._index = min(self._index + 1, len(self._tokens) - 1)
        return token

    def at(self, *texts: str) -> bool:
        """Return whether the next token is one of these operators or words."""
        return self.token.kind in ("operator", "name") and self.token.text in texts

    def at_index(self) -> bool:
        """Return whether the next tokens are a whole ``[index]``, not a slice."""
        following = [token.text for token in self._tokens[self._index + 1 : self._index + 4]]
        signed = following[1:] if following[0] == "-" else following
        return len(signed) > 1 and signed[0][:1].isdigit() and signed[1] == "]"

    def accept(self, *texts: str) -> Token | None:
        """Take the next token if it is one of these operators or words."""
        return self.take() if self.at(*texts) else None

    def expect(self, kind: TokenKind, text: str, what: str) -> Token:
        """Take the next token, which must be of ``kind`` (and read ``text``, unless that is empty)."""
        if self.token.kind != kind or (text and self.token.text != text):
            raise self.error(self.token.column, f"expected {what}, not {self.shown()}")
        return self.take()

    def shown(self) -> str:
        """Return the next token as an error names it."""
        return "the end" if self.token.kind == "end" else repr(self.token.text)

    def error(self, column: int, message: str, hint: str = "") -> ConditionError:
        """Return an error at ``column`` of this source."""
        return ConditionError(message, self.source, column, hint)
