"""YAML as a tree in which every node knows its place; read from libyaml's events, so that depth and size are bounded.

Scalars keep their text: what a value means is up to who reads it, as in Go's decoders. Aliases and merge keys (``<<``) are
resolved; what they repeat counts each time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import yaml

LENGTH_MAX = 5_000_000
"""Characters of a file."""
DEPTH_MAX = 50
"""How deep lists and tables may be nested."""
NODES_MAX = 500_000
"""Nodes of a file, those that aliases repeat included."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MERGE = "<<"
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})


class Place(NamedTuple):
    """Line and column, both counted from 1."""

    line: int
    column: int


class YamlError(ValueError):
    """A text that is no YAML, or more than may be read."""

    def __init__(self, reason: str, place: Place) -> None:
        super().__init__(f"{place.line}:{place.column}: {reason}")
        self.reason = reason
        self.place = place


@dataclass(slots=True)
class Scalar:
    """``plain``: written without quotes. ``indent``: columns before each line of a literal block (``|``)."""

    text: str
    plain: bool
    place: Place
    indent: int | None = None
    size: int = 1
    depth: int = 1

    @property
    def is_null(self) -> bool:
        return self.plain and self.text in _NULLS


@dataclass(slots=True)
class Sequence:
    place: Place
    items: list[Node] = field(default_factory=list)
    size: int = 1
    depth: int = 1


@dataclass(slots=True)
class Mapping:
    """Keys in their order, each with its place; those in ``merged`` come from elsewhere."""

    place: Place
    entries: dict[str, Node] = field(default_factory=dict)
    keys: dict[str, Place] = field(default_factory=dict)
    merged: set[str] = field(default_factory=set)
    size: int = 1
    depth: int = 1


Node = Scalar | Sequence | Mapping


def read_documents(text: str) -> Iterator[Node]:
    """Yield the documents of ``text``. Raises ``YamlError``."""
    if len(text) > LENGTH_MAX:
        raise YamlError(f"longer than {LENGTH_MAX:,} characters", Place(1, 1))
    try:
        yield from _Reader(text).read(yaml.parse(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)
        raise YamlError(error.problem or "not YAML", place) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise YamlError(f"the character {error.character!r} is not allowed", Place(line, 1)) from None
    except (yaml.YAMLError, UnicodeError) as error:
        raise YamlError(f"not YAML: {str(error)[:200]}", Place(1, 1)) from None


class _Reader:
    """Builds nodes from events."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._open: list[tuple[Sequence | Mapping, str | None]] = []
        self._keys: list[Scalar | None] = []
        self._anchors: dict[str, Node] = {}
        self._done: Node | None = None

    def read(self, events: Iterator[Any]) -> Iterator[Node]:
        for event in events:
            if isinstance(event, yaml.ScalarEvent):
                place = _place(event)
                indent = self._indent(place.line) if event.style == "|" else None
                self._add(Scalar(event.value, event.implicit[0], place, indent), event.anchor)
            elif isinstance(event, yaml.CollectionEndEvent):
                self._end()
            elif isinstance(event, yaml.MappingStartEvent):
                self._begin(Mapping(_place(event)), event.anchor)
            elif isinstance(event, yaml.SequenceStartEvent):
                self._begin(Sequence(_place(event)), event.anchor)
            elif isinstance(event, yaml.AliasEvent):
                name = event.anchor or ""
                known = self._anchors.get(name)
                if known is None:
                    raise YamlError(f"unknown anchor {name[:60]!r}", _place(event))
                self._add(known, None)
            elif isinstance(event, yaml.DocumentStartEvent):
                self._anchors, self._done = {}, None
            elif isinstance(event, yaml.DocumentEndEvent) and self._done is not None:
                yield self._done

    def _indent(self, line: int) -> int:
        """Return how far the block is indented that begins after ``line``."""
        return self._indents[line] if line < len(self._indents) else 0

    @cached_property
    def _indents(self) -> list[int]:
        """For each line, by how much the next one with text is indented, itself included."""
        indents = []
        below = 0
        for line in reversed(self._text.splitlines()):
            if line.strip():
                below = len(line) - len(line.lstrip(" "))
            indents.append(below)
        return indents[::-1]

    def _begin(self, node: Sequence | Mapping, anchor: str | None) -> None:
        if self._in_key():
            raise YamlError("a key must be text", node.place)
        if len(self._open) >= DEPTH_MAX:
            raise YamlError(f"nested more than {DEPTH_MAX} times", node.place)
        self._open.append((node, anchor))
        if isinstance(node, Mapping):
            self._keys.append(None)

    def _in_key(self) -> bool:
        return bool(self._open) and isinstance(self._open[-1][0], Mapping) and self._keys[-1] is None

    def _end(self) -> None:
        node, anchor = self._open.pop()
        if isinstance(node, Mapping):
            self._keys.pop()
        self._add(node, anchor)

    def _add(self, node: Node, anchor: str | None) -> None:
        """Put a finished node where it belongs."""
        if anchor:
            self._anchors[anchor] = node
        if not self._open:
            self._done = node
            return
        above = self._open[-1][0]
        above.size += node.size
        if node.depth >= above.depth:
            above.depth = node.depth + 1
        if above.size > NODES_MAX or above.depth > DEPTH_MAX:
            raise YamlError(
                f"more than {NODES_MAX:,} values, or nested more than {DEPTH_MAX} times", above.place
            )
        if isinstance(above, Sequence):
            above.items.append(node)
        elif self._keys[-1] is None:
            if not isinstance(node, Scalar):
                raise YamlError("a key must be text", node.place)
            if node.text in above.entries and node.text not in above.merged:
                raise YamlError(f"the key {node.text[:60]!r} is there twice", node.place)
            self._keys[-1] = node
        else:
            key = self._keys[-1]
            self._keys[-1] = None
            if key.text == _MERGE and key.plain:
                _merge(above, node)
            else:
                above.merged.discard(key.text)
                above.entries[key.text] = node
                above.keys[key.text] = key.place


def _merge(target: Mapping, node: Node) -> None:
    """Add what ``target`` does not have itself."""
    for source in node.items if isinstance(node, Sequence) else [node]:
        if not isinstance(source, Mapping):
            raise YamlError("only tables can be merged", source.place)
        for key, value in source.entries.items():
            if key not in target.entries:
                target.entries[key] = value
                target.keys[key] = source.keys[key]
                target.merged.add(key)


def _place(event: Any) -> Place:
    mark = event.start_mark
    return Place(mark.line + 1, mark.column + 1)
