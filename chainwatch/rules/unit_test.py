"""Runs unit tests of rules as promtool does (cmd/promtool/unittest.go). Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from chainwatch.promql.errors import EvaluationError
from chainwatch.promql.evaluation import Limits
from chainwatch.promql.queries import Sample, Scalar, Vector, evaluate
from chainwatch.promql.series import Labels, MemorySource
from chainwatch.rules.evaluation import GroupState, PreparedGroup, evaluate_group
from chainwatch.rules.model import AlertingRule, Group
from chainwatch.rules.unit_file import AlertTest, QueryTest, UnitFile, UnitTest

STEPS_MAX = 1_000_000
"""Evaluations of groups in one test."""
_ALERT_NAME = "alertname"


def run_test(test: UnitTest, file: UnitFile, groups: Sequence[Group], limits: Limits = Limits()) -> list[str]:  # noqa: B008
    """Return what does not come out as ``test`` expects; empty where all does. ``groups`` are those of the rule files."""
    order = {name: place for place, name in enumerate(file.group_order)}
    run = _Run(test, file, sorted(groups, key=lambda group: order.get(group.name, -1)), limits)
    times = [one.at for one in test.alerts] + [one.at for one in test.queries]
    last = max(times, default=0)
    if (last // file.interval + 1) * max(len(groups), 1) > STEPS_MAX:
        return [f"more than {STEPS_MAX:,} evaluations"]
    for passed in range(0, last + 1, file.interval):
        if not run.evaluate(passed):
            return run.problems
        for expected in test.alerts:
            if passed <= expected.at < passed + file.interval:
                run.check_alerts(expected)
    for query in test.queries:
        run.check_query(query)
    return run.problems


class _Run:
    def __init__(self, test: UnitTest, file: UnitFile, groups: Sequence[Group], limits: Limits) -> None:
        self.problems: list[str] = []
        self._test = test
        self._file = file
        self._limits = limits
        self._source = MemorySource()
        self._groups = [
            PreparedGroup(group, test.external_labels, test.external_url, file.interval) for group in groups
        ]
        self._states: list[GroupState] = [group.first_state for group in self._groups]
        self._loaded = 0

    def load(self, until: int) -> None:
        """Add the samples up to ``until``, counted from the test's start; as in promtool, later ones are not there yet."""
        longest = max((len(values) for _, values in self._test.series), default=0)
        while self._loaded < longest and self._loaded * self._test.interval <= until:
            for labels, values in self._test.series:
                if self._loaded < len(values) and (value := values[self._loaded]) is not None:
                    self._add(labels, self._test.start + self._loaded * self._test.interval, value)
            self._loaded += 1

    def _add(self, labels: Labels, at: int, value: float) -> None:
        try:
            self._source.append(labels, at, value)
        except ValueError as error:
            self.problems.append(f"{labels!r}: {error}")

    def evaluate(self, passed: int) -> bool:
        """Evaluate all groups, ``passed`` after the start, and return whether that did not fail."""
        known = len(self.problems)
        self.load(passed)
        at = self._test.start + passed
        for index, group in enumerate(self._groups):
            states = []
            for result in evaluate_group(group, self._states[index], self._source, at, limits=self._limits):
                for labels, value in result.samples:
                    self._add(labels, result.at, value)
                if result.error is not None:
                    self.problems.append(
                        f"rule: {result.rule.name}, time: {_show_time(passed)}, err: {result.error}"
                    )
                states.append(result.state)
            self._states[index] = tuple(states)
        return len(self.problems) == known

    def check_alerts(self, test: AlertTest) -> None:
        got = [
            (dict(alert.labels), alert.annotations if test.annotations else {})
            for group, states in zip(self._groups, self._states, strict=True)
            for rule, state in zip(group.rules, states, strict=True)
            if isinstance(rule, AlertingRule) and rule.name == test.alert
            for alert in state.alerts.values()
            if alert.state == "firing"
        ]
        expected = [
            (
                {name: value for name, value in {**alert.labels, _ALERT_NAME: test.alert}.items() if value},
                alert.annotations if test.annotations else {},
            )
            for alert in test.expected
        ]
        if _ordered(got) != _ordered(expected):
            self.problems.append(
                f"alertname: {test.alert}, time: {_show_time(test.at)},\n"
                f"    exp: {_show_alerts(expected)}\n    got: {_show_alerts(got)}"
            )

    def check_query(self, test: QueryTest) -> None:
        name = f"expr: {test.query.text.strip()!r}, time: {_show_time(test.at)},"
        try:
            result = evaluate(
                test.query,
                self._source,
                self._test.start + test.at,
                subquery_step=self._file.interval,
                limits=self._limits,
            )
        except EvaluationError as error:
            self.problems.append(f"{name} err: {error}")
            return
        if isinstance(result, Scalar):
            got = [Sample(Labels(), result.value)]
        elif isinstance(result, Vector):
            got = sorted(result.samples)
        else:
            self.problems.append(f"{name} err: the result is not a vector or scalar")
            return
        expected = sorted(Sample(*one) for one in test.expected)
        if len(got) != len(expected) or not all(
            one.labels == other.labels and self._same(one.value, other.value)
            for one, other in zip(expected, got, strict=True)
        ):
            self.problems.append(f"{name}\n    exp: {_show_samples(expected)}\n    got: {_show_samples(got)}")

    def _same(self, first: float, second: float) -> bool:
        if first == second or (first != first and second != second):
            return True
        return self._file.fuzzy and math.nextafter(first, second) == second


def _ordered(
    alerts: Iterable[tuple[dict[str, str], dict[str, str]]],
) -> list[tuple[list[tuple[str, str]], ...]]:
    return sorted((sorted(labels.items()), sorted(annotations.items())) for labels, annotations in alerts)


def _show_alerts(alerts: list[tuple[dict[str, str], dict[str, str]]]) -> str:
    if not alerts:
        return "[]"
    return (
        "[" + ", ".join(f"Labels: {Labels(labels)!r} Annotations: {notes}" for labels, notes in alerts) + "]"
    )


def _show_samples(samples: list[Sample]) -> str:
    return ", ".join(f"{labels!r} {value!r}" for labels, value in samples) or "nil"


def _show_time(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    parts = [(seconds // 3600, "h"), (seconds // 60 % 60, "m"), (seconds % 60, "s"), (rest, "ms")]
    return "".join(f"{count}{unit}" for count, unit in parts if count) or "0s"
