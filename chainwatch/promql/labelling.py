"""Functions that change labels or sort by them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from chainwatch.promql.errors import EvaluationError
from chainwatch.promql.series import NAME
from chainwatch.promql.syntax import compile_pattern, expand_references
from chainwatch.promql.vectors import Element, Vector

_DIGITS = re.compile(r"([0-9]+)")
TEXT_MAX = 1_000
"""Characters of a replacement or separator; labels that are joined."""
_VALUE_MAX = 4_096
"""Characters of a label's value that label_replace or label_join makes."""


def label_replace(
    vector: Vector, target: str, replacement: str, source: str, pattern: str, spend: Callable[[int], None]
) -> Vector:
    """Set ``target`` to ``replacement`` where the label ``source`` matches ``pattern``. Raises ``EvaluationError``.

    ``spend`` is called with the work before it is done: patterns of which groups are used may take milliseconds.
    """
    try:
        compiled = _compiled(pattern)
    except ValueError as error:
        raise EvaluationError(
            f"invalid regular expression in label_replace(): {pattern[:200]}: {error}"
        ) from None
    if not target:
        raise EvaluationError('invalid destination label name in label_replace(): ""')
    if len(replacement) > TEXT_MAX:
        raise EvaluationError(f"the replacement in label_replace() is longer than {TEXT_MAX:,} characters")
    made: dict[str, str | None] = {}
    result = []
    for labels, value, unnamed in vector:
        text = labels.get(source)
        if text not in made:
            spend(10 + len(text))
            found = compiled.fullmatch(text)
            made[text] = None if found is None else expand_references(replacement, found)[:_VALUE_MAX]
        new = made[text]
        if new is not None:
            labels = labels.put({target: new})
            unnamed = unnamed and target != NAME
        result.append((labels, value, unnamed))
    return _distinct(result)


def label_join(vector: Vector, target: str, separator: str, sources: Sequence[str]) -> Vector:
    """Set ``target`` to the values of ``sources``, joined. Raises ``EvaluationError``."""
    if not target:
        raise EvaluationError('invalid destination label name in label_join(): ""')
    if len(separator) > TEXT_MAX or len(sources) > TEXT_MAX:
        raise EvaluationError(f"label_join() takes {TEXT_MAX:,} labels, and as many characters between them")
    return _distinct(
        [
            (
                labels.put({target: separator.join(labels.get(name) for name in sources)[:_VALUE_MAX]}),
                value,
                unnamed and target != NAME,
            )
            for labels, value, unnamed in vector
        ]
    )


def sort_by_label(vector: Vector, names: Sequence[str], *, descending: bool) -> Vector:
    """Return ``vector`` sorted by labels as people do ("2" before "10"), then by all labels."""

    def key(element: Element) -> tuple[Any, ...]:
        labels = element[0]
        return (*(_natural(labels.get(name)) for name in names), labels.pairs)

    return sorted(vector, key=key, reverse=descending)


@lru_cache(1024)
def _compiled(pattern: str) -> Any:
    return compile_pattern(pattern, captures=True)


def _distinct(vector: Vector) -> Vector:
    if len({element[0] for element in vector}) < len(vector):
        raise EvaluationError("vector cannot contain metrics with the same labelset")
    return vector


def _natural(value: str) -> list[tuple[int, int, str]]:
    """Return a key by which runs of digits are compared as numbers, and with other characters as text."""
    return [
        (1, int(part[:300]), "") if part.isascii() and part.isdigit() else (0 if part < "0" else 2, 0, part)
        for part in _DIGITS.split(value)
        if part
    ]
