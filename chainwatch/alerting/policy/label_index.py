"""Which of many alerts matchers and routes take, found together: each value of a label is tested once. Pure.

Sets of alerts are integers with a bit for each alert, by its position.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence

from chainwatch.alerting.policy.muting import Inhibition
from chainwatch.alerting.policy.routing import Route, is_watchdog
from chainwatch.grammar.matchers import Matcher, Matchers, possible_range
from chainwatch.model import SENT_SEVERITY

Labels = Mapping[str, str]


class LabelIndex:
    """The alerts with these ``labels``, as they are stored. ``all``: every one of them."""

    def __init__(self, labels: Sequence[Labels]) -> None:
        self._labels = labels
        self._valued: dict[str, dict[str, int]] = {}
        self._sorted: dict[str, list[str]] = {}
        self._taken: dict[Matcher, int] = {}
        self.all = (1 << len(labels)) - 1

    def taken(self, matchers: Matchers) -> int:
        """Return the alerts that pass all ``matchers``."""
        found = self.all
        for matcher in matchers:
            if found:
                found &= self._taken_by(matcher)
        return found

    def routed(self, routes: Sequence[Route]) -> list[tuple[Route, int]]:
        """Return the routes that take any alerts, with these: for each alert the same as ``routing.matching_routes``."""
        found: list[tuple[Route, int]] = []
        self._walk(routes, self.all, found)
        return found

    def inhibited(self, inhibition: Inhibition, firing: int) -> Iterator[tuple[int, int]]:
        """Yield the positions of alerts and, for each, of the first of the ``firing`` ones that inhibits it."""
        targets, sources = self.taken(inhibition.target), self.taken(inhibition.source) & firing
        if not targets or not sources:
            return
        first: dict[tuple[str, ...], int] = {}
        first_only_source: dict[tuple[str, ...], int] = {}
        for at in positions(sources):
            shared = tuple(self._labels[at].get(name, "") for name, _ in inhibition.equal)
            first.setdefault(shared, at)
            if not targets >> at & 1:
                first_only_source.setdefault(shared, at)
        both = self.taken(inhibition.source)
        for at in positions(targets):
            shared = tuple(self._labels[at].get(name, "") for _, name in inhibition.equal)
            source = (first_only_source if both >> at & 1 else first).get(shared)
            if source is not None:
                yield at, source

    def _walk(self, routes: Sequence[Route], among: int, found: list[tuple[Route, int]]) -> int:
        """Add what ``routes`` take ``among`` these alerts to ``found``; return all that any took."""
        taken = 0
        for route in routes:
            matching = among & self.taken(route.match)
            if not matching:
                continue
            inner = self._walk(route.routes, matching, found)
            own = matching & ~inner
            if not route.names_alerts:
                own &= ~self._watchdogs
            if own:
                found.append((route, own))
            taken |= inner | own
            if not route.continues:
                among &= ~(inner | own)
        return taken

    @property
    def _watchdogs(self) -> int:
        values = self._values("alertname")
        return sum(bits for name, bits in values.items() if is_watchdog({"alertname": name}))

    def _taken_by(self, matcher: Matcher) -> int:
        if matcher not in self._taken:
            values = self._values(matcher.name)
            self._taken[matcher] = 0
            for value in self._candidates(matcher):
                if matcher.takes({matcher.name: value}):
                    self._taken[matcher] |= values[value]
        return self._taken[matcher]

    def _candidates(self, matcher: Matcher) -> Iterable[str]:
        """Return the values of a label without most of those that ``matcher`` cannot take."""
        values = self._values(matcher.name)
        if not matcher.values and not matcher.patterns:
            return values
        found = set(matcher.values & values.keys())
        for pattern in matcher.patterns:
            first, last = possible_range(pattern)
            if matcher.name not in self._sorted:
                self._sorted[matcher.name] = sorted(values)
            ascending = self._sorted[matcher.name]
            found.update(ascending[bisect_left(ascending, first) : bisect_right(ascending, last)])
        return found

    def _values(self, name: str) -> dict[str, int]:
        """Return the values of a label, each with the alerts that have it."""
        found = self._valued.get(name)
        if found is None:
            places: dict[str, list[int]] = {}
            for at, labels in enumerate(self._labels):
                value = labels.get(name)
                if value is None:
                    value = labels.get("severity", "") if name == SENT_SEVERITY else ""
                places.setdefault(value, []).append(at)
            found = self._valued[name] = {value: _bits(at) for value, at in places.items()}
        return found


def positions(bits: int) -> Iterator[int]:
    """Yield the positions of the alerts in a set, ascending."""
    digits = bin(bits)[:1:-1]
    at = digits.find("1")
    while at >= 0:
        yield at
        at = digits.find("1", at + 1)


def _bits(at: Sequence[int]) -> int:
    digits = bytearray(at[-1] // 8 + 1)
    for one in at:
        digits[one >> 3] |= 1 << (one & 7)
    return int.from_bytes(digits, "little")
