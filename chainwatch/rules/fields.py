"""Reading typed values from a tree of YAML, collecting what is wrong with its place."""

from __future__ import annotations

import re
from dataclasses import dataclass

from chainwatch.promql.lexer import parse_duration
from chainwatch.rules.yaml_tree import Mapping, Node, Place, Scalar, Sequence

_YAML_SPECIAL = {".inf": "inf", "+.inf": "inf", "-.inf": "-inf", ".nan": "nan"}
_WHOLE = re.compile(r"[+-]?[0-9]{1,15}")


@dataclass(frozen=True)
class Problem:
    """What is wrong in a file, and where: line and column counted from 1."""

    line: int
    column: int
    reason: str

    def __str__(self) -> str:
        return f"{self.line}:{self.column}: {self.reason}"


class Fields:
    """The keys of a table. What is wrong is added to ``problems``; a wrong value reads as if it were not there."""

    def __init__(self, table: Mapping, what: str, known: frozenset[str], problems: list[Problem]) -> None:
        self.table = table
        self.problems = problems
        for key, place in table.keys.items():
            if key not in known:
                self.complain(
                    f"field {key[:60]!r} is unknown in {what}; there are {', '.join(sorted(known))}", place
                )

    def complain(self, reason: str, place: Place | None = None) -> None:
        place = place or self.table.place
        self.problems.append(Problem(place.line, place.column, reason))

    def place(self, key: str) -> Place:
        """Return where the value of ``key`` is, or the table."""
        node = self.table.entries.get(key)
        return node.place if node is not None else self.table.place

    def text(self, key: str) -> str:
        """Return the text of a scalar, empty where it is not there."""
        node = self._get(key)
        if node is None:
            return ""
        if not isinstance(node, Scalar):
            self.complain(f"{key} must be text", node.place)
            return ""
        return node.text

    def duration(self, key: str) -> int | None:
        """Return milliseconds."""
        text = self.text(key)
        if not text or text == "0":
            return 0 if text else None
        try:
            return parse_duration(text)
        except ValueError as error:
            self.complain(f"{key}: {error}", self.place(key))
            return None

    def whole(self, key: str) -> int:
        text = self.text(key)
        if not text:
            return 0
        if not _WHOLE.fullmatch(text):
            self.complain(f"{key} must be a whole number, not {text[:40]!r}", self.place(key))
            return 0
        return int(text)

    def number(self, key: str) -> float | None:
        text = self.text(key)
        if not text:
            return None
        try:
            return float(_YAML_SPECIAL.get(text.lower(), text))
        except ValueError:
            self.complain(f"{key} must be a number, not {text[:40]!r}", self.place(key))
            return None

    def flag(self, key: str) -> bool:
        text = self.text(key)
        if text.lower() not in ("", "true", "false"):
            self.complain(f"{key} must be true or false, not {text[:40]!r}", self.place(key))
        return text.lower() == "true"

    def texts(self, key: str) -> dict[str, str]:
        """Return a table of texts."""
        node = self._get(key)
        if node is None:
            return {}
        if not isinstance(node, Mapping):
            self.complain(f"{key} must be a table of texts", node.place)
            return {}
        found = {}
        for name, value in node.entries.items():
            if isinstance(value, Scalar):
                found[name] = "" if value.is_null else value.text
            else:
                self.complain(f"{key}: {name[:60]!r} must be text", value.place)
        return found

    def items(self, key: str) -> list[Node]:
        node = self._get(key)
        if node is None:
            return []
        if not isinstance(node, Sequence):
            self.complain(f"{key} must be a list", node.place)
            return []
        return node.items

    def tables(self, key: str, what: str, known: frozenset[str]) -> list[Fields]:
        """Return the tables of a list, each with the keys ``known``."""
        found = []
        for node in self.items(key):
            if isinstance(node, Mapping):
                found.append(Fields(node, what, known, self.problems))
            else:
                self.complain(f"{what} must be a table", node.place)
        return found

    def _get(self, key: str) -> Node | None:
        node = self.table.entries.get(key)
        return None if isinstance(node, Scalar) and node.is_null else node
