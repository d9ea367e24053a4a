"""Series that the selectors of a query find, made of the query itself, so that its joins have something to join."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

from chainwatch.promql.series import NAME
from chainwatch.promql.syntax import Aggregation, Binary, Matcher, Node, Selector, walk

_VARIANTS = 3
_BOUNDS = ("0.1", "1", "5", "30", "+Inf")
_COUNTERS = ("_total", "_count", "_sum", "_bucket")


def series_for(query: Node, minutes: int) -> dict[str, str]:
    """Return series with a value each minute, in promtool's notation; the same for the same query."""
    chance = random.Random(7)
    series: dict[str, str] = {}
    free = {name for node in walk(query) for name in _grouped(node)} - {NAME, "le"}
    for node in walk(query):
        if isinstance(node, Selector):
            for labels in _labels(node, free):
                metric = labels.pop(NAME)
                pairs = ",".join(f"{name}={_quoted(value)}" for name, value in sorted(labels.items()))
                series.setdefault(f"{metric}{{{pairs}}}", _values(metric, minutes, chance))
    return series


def _grouped(node: Node) -> tuple[str, ...]:
    if isinstance(node, Aggregation):
        return node.labels
    return (*node.matching.labels, *node.matching.include) if isinstance(node, Binary) else ()


def _labels(selector: Selector, free: set[str]) -> Iterator[dict[str, str]]:
    for variant in range(_VARIANTS):
        labels = {name: f"{name}{variant}" for name in free}
        by_name: dict[str, list[Matcher]] = {}
        for matcher in selector.matchers:
            by_name.setdefault(matcher.name, []).append(matcher)
        for name, matchers in by_name.items():
            labels[name] = _passing(name, matchers, variant)
        if labels[NAME].endswith("_bucket") and "le" not in by_name:
            yield from ({**labels, "le": bound} for bound in _BOUNDS)
        else:
            yield labels


def _passing(name: str, matchers: list[Matcher], variant: int) -> str:
    """Return a value that passes all matchers, another for each variant where there are several."""
    candidates = [f"{'metric' if name == NAME else name}{variant}"]
    for matcher in matchers:
        if matcher.operator in ("=", "=~"):
            plain = re.sub(r"\(\?:|[\^$()?]", "", matcher.value)
            candidates += [re.sub(r"\.[+*]?|\[[^\]]*\][+*]?", "0", one) for one in plain.split("|")]
    passing = [one for one in candidates if all(matcher.takes(one) for matcher in matchers)]
    if name == NAME:
        passing = [one for one in passing if re.fullmatch("[a-zA-Z_:][a-zA-Z0-9_:]*", one)]
    return passing[variant % len(passing)] if passing else ""


def _values(metric: str, minutes: int, chance: random.Random) -> str:
    if not metric.endswith(_COUNTERS):
        levels = chance.choice(((0, 1), (0, 1, 2), (5, 50, 95, 120), (0.01, 0.06, -0.2)))
        return " ".join(repr(chance.choice(levels)) for _ in range(minutes))
    value, values = 0.0, ["0"]  # not more: where a counter begins, versions of Prometheus differ
    for _ in range(minutes - 1):
        value = 0.0 if chance.random() < 0.03 else value + chance.choice((0, 1, 3, 20))
        values.append(repr(value))
    return " ".join(values)


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
