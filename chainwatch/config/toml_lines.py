"""The line of each key of a TOML text, for error messages.

The text is valid (tomli has parsed it); this scanner only follows its structure: tables, arrays
of tables, dotted and quoted keys, inline tables, arrays, and strings of all four kinds.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping

import tomli

KeyPath = tuple[str | int, ...]
"""The path to a value: table keys and array indexes (from 0)."""


def key_lines(text: str) -> dict[KeyPath, int]:
    """Return by path the line (from 1) of each table header, key and array item of ``text``, which must be valid TOML."""
    scanner = _Scanner(text)
    scanner.scan()
    return scanner.lines


def line_of(lines: Mapping[KeyPath, int], path: KeyPath) -> int:
    """Return the line of ``path``, or of the innermost table around it that is in the file; 1 when there is none."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return 1


_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[^\s.=\]\"'#]+")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}(?!")'
    r"|'''.*?'{3,5}(?!')"
    r'|"(?:\\.|[^"\\])*"'
    r"|'[^']*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}#\n]+")


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[KeyPath, int] = {}
        self._table_counts: dict[KeyPath, int] = {}
        self._line_ends = [match.start() for match in re.finditer("\n", text)]

    def scan(self) -> None:
        table: KeyPath = ()
        while self._skip_blank():
            if self._take("[["):
                table = self._header(array=True)
            elif self._take("["):
                table = self._header(array=False)
            else:
                self._key_and_value(table)

    def _header(self, *, array: bool) -> KeyPath:
        line = self._line()
        parts = self._key()
        self._take("]]" if array else "]")
        path: KeyPath = ()
        for part in parts[:-1]:
            path = self._inside((*path, part))
            self.lines.setdefault(path, line)
        path = (*path, parts[-1])
        self.lines.setdefault(path, line)
        if not array:
            return self._inside(path)
        self._table_counts[path] = self._table_counts.get(path, 0) + 1
        path = self._inside(path)
        self.lines[path] = line
        return path

    def _inside(self, path: KeyPath) -> KeyPath:
        """Return the path of a header's table: within an array of tables, that of the array's last table."""
        count = self._table_counts.get(path)
        return path if count is None else (*path, count - 1)

    def _key_and_value(self, table: KeyPath) -> None:
        line = self._line()
        path = table
        for part in self._key():
            path = (*path, part)
            self.lines.setdefault(path, line)
        self._take("=")
        self._pass(_SPACE)
        self._value(path)

    def _key(self) -> list[str]:
        """Return a dotted key, its parts unquoted."""
        parts = []
        while True:
            self._pass(_SPACE)
            quoted = self.text[self.at] in "\"'"
            part = self._pass(_STRING if quoted else _BARE_KEY)
            parts.append(str(tomli.loads(f"key = {part}")["key"]) if quoted else part)
            self._pass(_SPACE)
            if not self._take("."):
                return parts

    def _value(self, path: KeyPath) -> None:
        if self._take("["):
            self._array(path)
        elif self._take("{"):
            while self._skip_blank() and not self._take("}"):
                if not self._take(","):
                    self._key_and_value(path)
        elif self.text[self.at] in "\"'":
            self._pass(_STRING)
        else:
            self._pass(_SCALAR)

    def _array(self, path: KeyPath) -> None:
        index = 0
        while self._skip_blank() and not self._take("]"):
            if self._take(","):
                index += 1
                continue
            self.lines[(*path, index)] = self._line()
            self._value((*path, index))

    def _line(self) -> int:
        return bisect_left(self._line_ends, self.at) + 1

    def _take(self, sign: str) -> bool:
        found = self.text.startswith(sign, self.at)
        if found:
            self.at += len(sign)
        return found

    def _pass(self, pattern: re.Pattern[str]) -> str:
        """Skip the match of ``pattern`` at this position, and return it."""
        match = pattern.match(self.text, self.at)
        if match is None:
            raise ValueError(f"line {self._line()}: not valid TOML")
        self.at = match.end()
        return match.group()

    def _skip_blank(self) -> bool:
        """Skip spaces, line ends and comments; False at the end of the text."""
        self._pass(_BLANK)
        return self.at < len(self.text)


def holds(value: object, part: object) -> bool:
    """Return whether ``value`` is a table with the key, or a list with the index, ``part``."""
    if isinstance(value, dict):
        return part in value
    return isinstance(value, list) and isinstance(part, int) and part < len(value)
