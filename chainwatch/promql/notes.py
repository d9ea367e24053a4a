"""What an evaluation notes beside its result, as Prometheus words it (util/annotations)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from chainwatch.promql.numbers import format_general
from chainwatch.promql.series import NAME, Labels

NOTES_MAX = 10
"""Warnings that are given, and as many infos."""
_COUNTERS = ("_total", "_sum", "_count", "_bucket")
_MONOTONICITY = (
    "input to histogram_quantile needed to be fixed for monotonicity "
    "(see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)"
)


class Note(NamedTuple):
    """``start``: the index in the query of what it is about."""

    kind: Literal["warning", "info"]
    text: str
    start: int


class Notes:
    """Collects notes, each once."""

    def __init__(self) -> None:
        self._found: dict[Note, None] = {}

    def quantile(self, share: float, start: int) -> None:
        """Note a share that is none."""
        if not 0 <= share <= 1:
            self._add(
                "warning", f"quantile value should be between 0 and 1, got {format_general(share)}", start
            )

    def ratio(self, ratio: float, start: int) -> None:
        """Note a ratio that is taken for 1 or -1."""
        if abs(ratio) > 1:
            got, capped = format_general(ratio), 1 if ratio > 0 else -1
            self._add(
                "warning", f"ratio value should be between -1 and 1, got {got}, capping to {capped}", start
            )

    def bucket(self, labels: Labels, bound: str, start: int) -> None:
        """Note a bucket without a bound."""
        text = f'bucket label "le" is missing or has a malformed value of "{bound}"'
        self._add("warning", text + _of_metric(labels), start)

    def falling_buckets(self, labels: Labels, start: int) -> None:
        """Note buckets that count less than a smaller one."""
        self._add("info", _MONOTONICITY + _of_metric(labels), start)

    def counters(self, names: Iterable[str], start: int) -> None:
        """Note metrics that are treated as counters and may be none."""
        for name in names:
            if name and not name.endswith(_COUNTERS):
                text = "metric might not be a counter, name does not end in _total/_sum/_count/_bucket:"
                self._add("info", f'{text} "{name}"', start)

    def shown(self, kind: Literal["warning", "info"], query: str) -> list[str]:
        """Return the notes of a kind, with line and column in ``query``."""
        found = [note for note in self._found if note.kind == kind]
        texts = [f"PromQL {kind}: {note.text} ({_place(query, note.start)})" for note in found[:NOTES_MAX]]
        if len(found) > NOTES_MAX:
            texts.append(f"{len(found) - NOTES_MAX} more {kind} annotations omitted")
        return texts

    def _add(self, kind: Literal["warning", "info"], text: str, start: int) -> None:
        if len(self._found) < _FOUND_MAX:
            self._found[Note(kind, text, start)] = None


_FOUND_MAX = 1_000


def _of_metric(labels: Labels) -> str:
    name = labels.get(NAME)
    return f' for metric name "{name}"' if name else ""


def _place(query: str, start: int) -> str:
    before = query[:start]
    return f"{before.count(chr(10)) + 1}:{start - before.rfind(chr(10))}"
