"""Groups of rules over time: pending, firing, resolved, recording rules, limits and errors."""

from __future__ import annotations

from dataclasses import dataclass, field

from chainwatch.promql.evaluation import Limits
from chainwatch.promql.series import STALE, Labels, MemorySource, is_stale
from chainwatch.rules.evaluation import Alert, GroupState, PreparedGroup, RuleResult, evaluate_group
from chainwatch.rules.files import read_rule_file


@dataclass
class Run:
    """A group that is evaluated once a minute; ``put`` stores samples."""

    text: str
    limits: Limits = Limits()  # noqa: RUF009 - frozen
    source: MemorySource = field(default_factory=MemorySource)
    minute: int = 0

    def __post_init__(self) -> None:
        self.prepared = PreparedGroup(read_rule_file(self.text)[0])
        self.state: GroupState = self.prepared.first_state

    def put(self, name: str, value: float, **labels: str) -> None:
        self.source.append(Labels({"__name__": name, **labels}), self.minute * 60_000, value)

    def step(self) -> list[RuleResult]:
        results = []
        for result in evaluate_group(
            self.prepared, self.state, self.source, self.minute * 60_000, limits=self.limits
        ):
            for labels, value in result.samples:
                self.source.append(labels, result.at, value)
            results.append(result)
        self.state = tuple(result.state for result in results)
        self.minute += 1
        return results

    @property
    def alerts(self) -> list[Alert]:
        return list(self.state[-1].alerts.values())

    @property
    def states(self) -> list[str]:
        return [alert.state for alert in self.alerts]


def _group(rules: str, head: str = "") -> str:
    return f"groups:\n- name: g\n{head}  rules:\n{rules}"


def test_an_alert_is_pending_then_firing_then_resolved() -> None:
    run = Run(_group("  - {alert: High, expr: m > 5, for: 2m, labels: {severity: page}}"))
    seen = []
    for value in (1, 9, 9, 9, 9, 1, 9):
        run.put("m", value)
        run.step()
        seen.append(run.states)
    assert seen == [[], ["pending"], ["pending"], ["firing"], ["firing"], ["inactive"], ["pending"]]
    assert run.alerts[0].labels == Labels({"alertname": "High", "severity": "page"})


def test_a_pending_alert_that_ends_is_forgotten() -> None:
    run = Run(_group("  - {alert: High, expr: m > 5, for: 5m}"))
    run.put("m", 9)
    run.step()
    run.put("m", 1)
    run.step()
    assert run.alerts == []


def test_keeps_firing_for_as_long_as_it_says() -> None:
    run = Run(_group("  - {alert: High, expr: m > 5, keep_firing_for: 2m}"))
    seen = []
    for value in (9, 1, 1, 1, 9, 1):
        run.put("m", value)
        run.step()
        seen += run.states
    assert seen == ["firing", "firing", "firing", "inactive", "firing", "firing"]


def test_a_resolved_alert_is_shown_for_a_quarter_of_an_hour() -> None:
    run = Run(_group("  - {alert: High, expr: m > 5}"))
    run.put("m", 9)
    run.step()
    run.put("m", 1)
    run.step()
    for _ in range(15):
        run.put("m", 1)
        run.step()
        assert run.states == ["inactive"]
    run.put("m", 1)
    run.step()
    assert run.alerts == []


def test_writes_alerts_and_ends_their_series() -> None:
    run = Run(_group("  - {alert: High, expr: m > 5, for: 1m}"))
    run.put("m", 9)
    (first,) = run.step()
    assert {repr(labels): value for labels, value in first.samples} == {
        'ALERTS{alertname="High", alertstate="pending"}': 1.0,
        'ALERTS_FOR_STATE{alertname="High"}': 0.0,
    }
    run.put("m", 9)
    (second,) = run.step()
    values = {repr(labels): value for labels, value in second.samples}
    assert values['ALERTS{alertname="High", alertstate="firing"}'] == 1.0
    assert is_stale(values['ALERTS{alertname="High", alertstate="pending"}'])
    run.put("m", 1)
    (third,) = run.step()
    assert all(is_stale(value) for _, value in third.samples)
    assert len(third.samples) == 2


def test_rules_see_what_those_before_them_recorded() -> None:
    run = Run(
        _group(
            """  - {record: "job:m:sum", expr: sum by (job) (m), labels: {kind: agg}}
  - {record: twice, expr: "job:m:sum * 2"}
  - {alert: High, expr: "twice > 5"}
"""
        )
    )
    run.put("m", 2, job="a", instance="1")
    run.put("m", 2, job="a", instance="2")
    run.step()
    assert [alert.labels for alert in run.alerts] == [
        Labels({"alertname": "High", "job": "a", "kind": "agg"})
    ]
    assert run.alerts[0].value == 8


def test_equal_expressions_are_evaluated_once_but_see_what_is_recorded_between_them() -> None:
    text = _group(
        """  - {record: first, expr: sum(m) + 1}
  - {record: second, expr: sum(m) + 2}
  - {record: m, expr: vector(10), labels: {extra: x}}
  - {record: third, expr: sum(m)}
"""
    )
    run = Run(text)
    run.put("m", 2)
    results = run.step()
    assert [result.samples[0].value for result in results] == [3, 4, 10, 12]
    shared = PreparedGroup(
        read_rule_file(_group("  - {record: a, expr: sum(m)}\n  - {record: b, expr: sum(m) + 1}"))[0]
    )
    assert len(shared.shared) >= 1


def test_the_offset_moves_what_is_read_and_written() -> None:
    run = Run(_group("  - {record: r, expr: m}", "  query_offset: 1m\n"))
    run.put("m", 1)
    run.step()
    run.put("m", 2)
    (result,) = run.step()
    assert (result.at, result.samples[0].value) == (0, 1)


def test_a_templates_error_becomes_text() -> None:
    run = Run(
        _group(
            "  - {alert: High, expr: m > 5, annotations: {a: '{{ humanize $labels.job }}', b: '{{ $value }}'}}"
        )
    )
    run.put("m", 9, job="x")
    run.step()
    assert run.alerts[0].annotations == {"a": "<error expanding template: 'x' is no number>", "b": "9"}


def test_too_many_alerts_are_none() -> None:
    run = Run(_group("  - {alert: High, expr: m > 5}", "  limit: 1\n"))
    run.put("m", 9, job="x")
    run.step()
    assert run.states == ["firing"]
    run.put("m", 9, job="x")
    run.put("m", 9, job="y")
    (result,) = run.step()
    assert result.error == "exceeded limit of 1 with 2 alerts"
    assert run.alerts == []


def test_duplicates_are_an_error_and_leave_the_state() -> None:
    run = Run(_group("  - {alert: High, expr: '{__name__=~\"m|n\"} > 5'}\n"))
    run.put("m", 9)
    run.step()
    before = run.alerts
    run.put("m", 9)
    run.put("n", 9)
    (result,) = run.step()
    assert result.error == "vector contains metrics with the same labelset after applying alert labels"
    assert run.alerts == before


def test_a_rule_that_reads_too_much_does_not_harm_the_next_one() -> None:
    run = Run(
        _group("  - {record: a, expr: sum(m)}\n  - {record: b, expr: vector(1)}\n"),
        limits=Limits(series=3, samples=100),
    )
    for job in "abcd":
        run.put("m", 1, job=job)
    first, second = run.step()
    assert first.error == "a selector finds more than 3 series"
    assert (second.error, second.samples[0].value) == (None, 1)


def test_a_rule_that_fails_unforeseen_does_not_silence_the_next_one() -> None:
    run = Run(_group("  - {record: a, expr: 'm{job=~\".+\"}'}\n  - {alert: Always, expr: vector(1)}\n"))
    run.put("m", 1, job="\ud800")  # no text that a pattern can read
    first, _ = run.step()
    assert str(first.error).startswith("UnicodeEncodeError")
    assert run.states == ["firing"]


def test_a_series_that_ended_gives_no_alert() -> None:
    run = Run(_group("  - {alert: High, expr: m > 5}"))
    run.put("m", 9)
    run.step()
    run.put("m", STALE)
    run.step()
    assert run.states == ["inactive"]
