"""Rule files: what is read, and every mistake with its line and column."""

from __future__ import annotations

import pytest

from chainwatch.rules.files import RuleFileError, read_rule_file
from chainwatch.rules.model import AlertingRule, RecordingRule
from tests.support.effort import effort_within


def _problems(text: str) -> list[str]:
    with pytest.raises(RuleFileError) as caught:
        read_rule_file(text)
    return [str(problem) for problem in caught.value.problems]


def test_reads_every_key() -> None:
    (group,) = read_rule_file(
        """
groups:
- name: a
  interval: 1m30s
  limit: 10
  query_offset: 1m
  labels: {team: bridges}
  rules:
  - record: job:up:sum
    expr: sum by (job) (up)
    labels: {kind: 1}
  - alert: Down
    expr: up == 0
    for: 5m
    keep_firing_for: 1h
    labels: {severity: page}
    annotations: {summary: "{{ $labels.job }} is down"}
"""
    )
    assert (group.name, group.interval, group.limit, group.query_offset) == ("a", 90_000, 10, 60_000)
    assert group.labels == {"team": "bridges"}
    record, alert = group.rules
    assert isinstance(record, RecordingRule)
    assert (record.name, record.query.text, record.labels) == (
        "job:up:sum",
        "sum by (job) (up)",
        {"kind": "1"},
    )
    assert isinstance(alert, AlertingRule)
    assert (alert.hold, alert.keep_firing, alert.labels) == (300_000, 3_600_000, {"severity": "page"})


def test_reports_every_mistake_with_its_place() -> None:
    assert _problems(
        """groups:
  - name: a
    intervall: 1m
    rules:
      - alert: X
        expr: sum(rate(foo[5m]
      - record: a
        alert: b
        expr: up
      - record: x
        for: 5m
        expr: up
      - alert: Y
        expr: up
        for: 5x
        labels:
          __name__: foo
          a: '{{ $labels.foo'
          b: '{{ nofunc 1 }}'
          c: '{{ $missing }}'
          d: '{{ if true }}'
  - name: a
    rules:
      - expr: up
      - alert: Z
      - alert: S
        expr: '"text"'
  - interval: [1]
"""
    ) == [
        "3:5: field 'intervall' is unknown in a group; there are interval, labels, limit, name, query_offset, rules",
        "6:31: could not parse expression: 1:17: parse error: unclosed left parenthesis",
        "7:17: only one of 'record' and 'alert' must be set",
        "11:9: invalid field 'for' in recording rule",
        "15:14: for: not a valid duration string: '5x'",
        "17:11: invalid name in labels: '__name__'",
        "18:14: labels: 'a': line 1: unclosed action",
        "19:14: labels: 'b': function 'nofunc' not defined",
        "20:14: labels: 'c': line 1: undefined variable '$missing'",
        "21:14: labels: 'd': unexpected end of the template: {{end}} is missing",
        "22:11: the group name 'a' is repeated in the same file",
        "24:9: one of 'record' or 'alert' must be set",
        "25:9: field 'expr' must be set",
        "27:15: a rule's query must give a vector or a scalar, not a string",
        "28:5: the group's name must not be empty",
        "28:15: interval must be text",
    ]


def test_a_rule_has_no_step() -> None:
    text = "groups:\n- name: a\n  rules:\n  - alert: x\n    expr: rate(up[%s]) > 5\n"
    (problem,) = _problems(text % "step()")
    assert problem.startswith(
        "5:19: could not parse expression: 1:9: parse error: duration must be greater than 0 (step() is 0s"
    )
    read_rule_file(text % "max_of(step(), 5m)")


def test_an_error_in_a_block_of_text_has_the_place_in_the_file() -> None:
    text = "groups:\n- name: a\n  rules:\n  - alert: x\n    expr: |\n      up ==\n        raate(up[5m])\n    for: 5m\n"
    (problem,) = _problems(text)
    assert problem == '7:9: could not parse expression: 2:3: parse error: unknown function with name "raate"'


def test_takes_anchors_and_merge_keys() -> None:
    (group,) = read_rule_file(
        """
groups:
- name: a
  rules:
  - &down
    alert: Down
    expr: up == 0
    for: 5m
  - <<: *down
    alert: DownLonger
    for: 10m
"""
    )
    assert [(rule.name, rule.query.text) for rule in group.rules] == [
        ("Down", "up == 0"),
        ("DownLonger", "up == 0"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x]\n"
        + "\n".join(
            f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 10)}]" for n in range(9)
        ),
        "[" * 100_000,
        "- " * 100_000,
        "groups: &a [*a]",
        "groups: *unknown",
        "groups: {a: 1, a: 2}",
        "groups: !!python/object/apply:os.system [x]",
        "? [a]\n: b",
        "groups: 1",
        "groups: [1, [2]]",
        "groups: [{name: a, rules: {}}]",
        "groups: [{name: a, rules: [{alert: a, expr: {}, labels: [1]}]}]",
        "- a",
        "a: 'b",
        "\x00",
        "\ud800",
        "a: \x07",
        "groups: [{name: a, limit: x, rules: []}]",
        "groups: [{name: a, limit: -1, rules: []}]",
        "groups: [{name: a, interval: 99999999999999999999y, rules: []}]",
    ],
)
def test_refuses_bad_files(text: str) -> None:
    for problem in _problems(text):
        assert problem.split(":")[0].isdigit()


_MANIFEST = """\
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: queues
  labels: {role: alert-rules}
spec:
  groups:
  - name: g
    rules:
    - alert: QueueGrows
      expr: queue_depth >
"""


def test_takes_the_manifests_of_prometheus_operator() -> None:
    (group,) = read_rule_file(_MANIFEST.replace("queue_depth >", "queue_depth > 5"))
    assert [rule.query.text for rule in group.rules] == ["queue_depth > 5"]


def test_takes_what_manifests_say_for_thanos_alone() -> None:
    further = "  - name: g\n    partial_response_strategy: warn\n"
    (group,) = read_rule_file(_MANIFEST.replace("  - name: g\n", further).replace("queue_depth >", "1"))
    assert [rule.query.text for rule in group.rules] == ["1"]


def test_reports_mistakes_in_manifests_with_their_places() -> None:
    with pytest.raises(RuleFileError) as caught:
        read_rule_file(_MANIFEST + "  other: 1\nstatus: {}\n---\nkind: PrometheusRule\n")
    assert [(problem.line, problem.column) for problem in caught.value.problems] == [
        (11, 26),
        (12, 3),
        (13, 1),
        (15, 1),
    ]


def test_long_files_are_read_in_linear_time() -> None:
    rule = "  - record: a\n    expr: |\n\n      1\n"
    with effort_within(5):
        [group] = read_rule_file("groups:\n- name: g\n  rules:\n" + rule * 2_000 + "\n" * 1_000_000)
        assert len(group.rules) == 2_000


def test_an_empty_file_has_no_groups() -> None:
    assert read_rule_file("") == []
    assert read_rule_file("groups:\n") == []
