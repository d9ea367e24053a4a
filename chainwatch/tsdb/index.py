"""Which series have which labels, and which pass matchers; what was found is remembered until it changes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Generic, TypeVar

from chainwatch.promql.series import NAME, Labelled, Labels
from chainwatch.promql.syntax import Matcher

_SELECTIONS_MAX = 50_000

Matchers = tuple[Matcher, ...]


S = TypeVar("S", bound=Labelled)


class LabelIndex(Generic[S]):
    """Series by their labels. All but ``recall`` needs the caller's lock."""

    def __init__(self) -> None:
        self.version = 0
        """Another number after each change."""
        self.by_labels: dict[Labels, S] = {}
        self._postings: dict[str, dict[str, dict[S, None]]] = {}
        self._found: dict[int, tuple[Matchers, Sequence[S]]] = {}
        self._found_by_metric: dict[str | None, set[int]] = {}

    def __len__(self) -> int:
        return len(self.by_labels)

    def get(self, labels: Labels) -> S | None:
        """Return the series of exactly these labels."""
        return self.by_labels.get(labels)

    def all(self) -> Collection[S]:
        """Return all series."""
        return self.by_labels.values()

    def add(self, series: S) -> None:
        """Add a series whose labels none has."""
        labels = series.labels
        self.version += 1
        self.by_labels[labels] = series
        for name, value in labels.pairs:
            self._postings.setdefault(name, {}).setdefault(value, {})[series] = None
        self._forget(labels.get(NAME))

    def remove(self, series: S) -> None:
        """Remove a series, and all that is known by it alone."""
        labels = series.labels
        self.version += 1
        del self.by_labels[labels]
        for name, value in labels.pairs:
            values = self._postings[name]
            del values[value][series]
            if not values[value]:
                del values[value]
                if not values:
                    del self._postings[name]
        self._forget(labels.get(NAME))

    def names(self) -> list[str]:
        """Return the names of all labels."""
        return list(self._postings)

    def values(self, name: str) -> list[str]:
        """Return the values of a label."""
        return list(self._postings.get(name, ()))

    def recall(self, matchers: Matchers) -> Sequence[S] | None:
        """Return what was remembered for this very tuple, where it is still so."""
        known = self._found.get(id(matchers))
        return known[1] if known is not None and known[0] is matchers else None  # they are hashed slowly

    def remember(self, matchers: Matchers, found: Sequence[S]) -> None:
        """Remember which series pass the matchers, until that may change."""
        if len(self._found) >= _SELECTIONS_MAX:
            self._found.clear()
            self._found_by_metric.clear()
        self._found[id(matchers)] = matchers, found
        self._found_by_metric.setdefault(metric_of(matchers), set()).add(id(matchers))

    def candidates(self, matchers: Matchers) -> list[S]:
        """Return the series among which are all that pass the matchers."""
        fewest: Collection[S] = self.by_labels.values()
        for matcher in matchers:
            if matcher.operator == "=" and matcher.value:
                listed = self._postings.get(matcher.name, {}).get(matcher.value, {})
                if len(listed) < len(fewest):
                    fewest = listed
        return list(fewest)

    def _forget(self, metric: str) -> None:
        """Forget what was found that a series of this metric may change."""
        for key in (metric, None):
            for found in self._found_by_metric.pop(key, ()):
                self._found.pop(found, None)


def metric_of(matchers: Matchers) -> str | None:
    """Return the name that a series must have to pass, or ``None`` where it may have several."""
    for matcher in matchers:
        if matcher.name == NAME and matcher.operator == "=":
            return matcher.value
    return None
