"""Unit tests of rules: chainwatch and promtool find the same."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from chainwatch.operations import rule_files
from tests.support.missing import missing

_DATA = Path(__file__).parents[2] / "data" / "rules"
_RULES = """
groups:
- name: g
  rules:
  - alert: High
    expr: m > 5
    for: 2m
    keep_firing_for: 2m
    labels: {severity: "{{ if gt $value 7.0 }}page{{ else }}warn{{ end }}"}
    annotations: {note: "{{ $labels.job }} {{ $value | humanize }}"}
  - record: job:m:rate
    expr: sum by (job) (rate(m[2m30s]))
  - record: steps
    expr: count_over_time(m[4m45s:])
"""
_TESTS = """
rule_files: [rules.yml]
evaluation_interval: {interval}
tests:
- interval: 1m
  input_series:
  - series: 'm{{job="a"}}'
    values: '{values}'
  {kind}:
  - {body}
"""
_FIRES = "{eval_time: %s, alertname: High, exp_alerts: [{exp_labels: {job: a, severity: %s}, exp_annotations: {note: %s}}]}"
_SILENT = "{eval_time: %s, alertname: High, exp_alerts: []}"
_GIVES = "{expr: '%s', eval_time: %s, exp_samples: [{labels: '%s', value: %s}]}"

CASES = [
    ("1m", "1 6 6 6 6", _SILENT % "2m", True),
    ("1m", "1 6 6 6 6", _SILENT % "3m", False),
    ("1m", "1 6 6 6 6", _FIRES % ("3m", "warn", "a 6"), True),
    ("1m", "1 6 6 6 6", _FIRES % ("3m", "page", "a 6"), False),
    ("1m", "1 6 6 6 6", _FIRES % ("3m", "warn", "b 6"), False),
    ("1m", "6x10", _FIRES % ("2m30s", "warn", "a 6"), True),
    ("1m", "9x4 1x10", _FIRES % ("6m", "page", "a 9"), True),
    ("1m", "9x4 1x10", _SILENT % "7m", True),
    ("30s", "_x3 8+0x10", _FIRES % ("5m", "page", "a 8"), True),
    ("5m", "6x20", _SILENT % "4m", True),
    ("5m", "6x20", _FIRES % ("5m", "warn", "a 6"), True),
    ("1m", "6 6 6 stale 6 6 6", _FIRES % ("6m", "warn", "a 6"), True),
    ("1m", "0+10x20", _GIVES % ("m", "3m", 'm{job="a"}', 30), True),
    ("1m", "0+10x20", _GIVES % ("m", "3m", 'm{job="a"}', 31), False),
    ("1m", "0+10x20", _GIVES % ("m", "3m", 'm{job="b"}', 30), False),
    ("1m", "10-2x20", _GIVES % ("abs(m)", "8m", '{job="a"}', 6), True),
    ("1m", "0+60x20", _GIVES % ("job:m:rate", "10m", 'job:m:rate{job="a"}', 1), True),
    ("1m", "0+0x2 _x2 stale 1", _GIVES % ("count(m) or vector(0)", "5m", "{}", 0), True),
    ("1m", "0+0x2 _x2 stale 1", _GIVES % ("count(m) or vector(7)", "6m", "{}", 1), True),
    ("1m", "1 2 3", _GIVES % ("ALERTS", "1m", "ALERTS{}", 1), False),
    (
        "1m",
        "9 9 9",
        _GIVES % ("ALERTS_FOR_STATE - time()", "1m", '{alertname="High", job="a", severity="page"}', -60),
        True,
    ),
    ("1m", "1e3 Inf", _GIVES % ("m", "1m", 'm{job="a"}', ".Inf"), True),
    ("1m", "1 2 3 4", _GIVES % ("time()", "3m", "{}", 180), True),
    ("1m", "1x20", _GIVES % ("count_over_time(m[4m45s:])", "10m", '{job="a"}', 5), True),
    ("30s", "1x20", _GIVES % ("count_over_time(m[4m45s:])", "10m", '{job="a"}', 10), True),
    ("20s", "1x20", _GIVES % ("steps", "10m", 'steps{job="a"}', 15), True),
    ("30s", "1x20", _GIVES % ("count_over_time(m[4m45s:1m])", "10m", '{job="a"}', 5), True),
]


def _promtool(folder: Path, *arguments: str) -> bool:
    promtool = shutil.which("promtool")
    if promtool is None:
        missing("promtool", "Debian's package prometheus has it")
    done = subprocess.run([promtool, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode == 0


@pytest.fixture(scope="module")
def found_by_promtool(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, bool]]:
    """For each case, its file and whether promtool finds no fault in it; one process runs them all."""
    promtool = shutil.which("promtool")
    if promtool is None:
        missing("promtool", "Debian's package prometheus has it")
    folder = tmp_path_factory.mktemp("cases")
    (folder / "rules.yml").write_text(_RULES)
    files = [folder / f"{number}.yml" for number in range(len(CASES))]
    for file, (interval, values, body, _) in zip(files, CASES, strict=True):
        kind = "promql_expr_test" if "expr:" in body else "alert_rule_test"
        file.write_text(_TESTS.format(interval=interval, values=values, kind=kind, body=body))
    done = subprocess.run(
        [promtool, "test", "rules", *files], cwd=folder, capture_output=True, text=True, check=False
    )
    _, *reports = done.stdout.split("Unit Testing:")
    return [(file, "SUCCESS" in report) for file, report in zip(files, reports, strict=True)]


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda number: CASES[number][2][:60])
def test_finds_what_promtool_finds(number: int, found_by_promtool: list[tuple[Path, bool]]) -> None:
    file, passes_there = found_by_promtool[number]
    tested = rule_files.test(file)
    assert (tested.failures == []) is passes_there is CASES[number][3], tested


def test_templates_and_states_come_out_as_in_promtool() -> None:
    assert rule_files.test(_DATA / "alerts.test.yml").failures == []
    assert _promtool(_DATA, "test", "rules", "alerts.test.yml")


def test_a_range_is_open_on_the_left_unlike_in_promtool_2_42(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text("groups: []\n")
    file = tmp_path / "test.yml"
    body = _GIVES % ("count_over_time(m[2m])", "3m", '{job="a"}', 2)
    file.write_text(_TESTS.format(interval="1m", values="1x9", kind="promql_expr_test", body=body))
    assert rule_files.test(file).failures == []
    assert not _promtool(tmp_path, "test", "rules", "test.yml")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("tests: [{intervall: 1m}]", "1:10: field 'intervall' is unknown in a test"),
        (
            "tests: [{input_series: [{series: 'm{', values: '1'}]}]",
            "1:34: invalid series: unexpected 'end' in labels",
        ),
        (
            """tests: [{input_series: [{series: 'm{a="b"', values: '1'}]}]""",
            '1:34: invalid series: expected "," or "}" after a label',
        ),
        ("tests: [{input_series: [{series: m, values: '1 x'}]}]", "1:45: invalid values: bad value 'x'"),
        (
            "tests: [{input_series: [{series: m, values: '{{count:1}}'}]}]",
            "native histograms are not supported",
        ),
        ("tests: [{input_series: [{series: m, values: '1x99999999999'}]}]", "more than 1,000,000 values"),
        ("tests: [{promql_expr_test: [{expr: 'm[', eval_time: 1m}]}]", "could not parse expression"),
        ("tests: [{alert_rule_test: [{eval_time: 1m}]}]", "misses required attribute alertname"),
        ("rule_files: [nowhere.yml]\ntests: []", "nowhere.yml: 1:1: cannot be read"),
        ("tests: [{alert_rule_test: [{eval_time: 100y, alertname: a}]}]", "more than 1,000,000 evaluations"),
        ("group_eval_order: [a, a]", "a group name is repeated"),
        ("tests: [{start_timestamp: noon}]", "start_timestamp: 'noon' is no time"),
    ],
)
def test_bad_files_fail_with_the_reason(tmp_path: Path, text: str, wanted: str) -> None:
    file = tmp_path / "test.yml"
    file.write_text(text)
    failures = rule_files.test(file).failures
    assert any(wanted in failure for failure in failures), failures


def test_what_is_wrong_within_a_test_fails_this_one_alone(tmp_path: Path) -> None:
    file = tmp_path / "test.yml"
    file.write_text(
        "tests:\n"
        "- input_series: [{series: m, values: '{{schema:0 count:1}}'}]\n"
        "- {name: typing, promql_expr_test: [{expr: 'm +', eval_time: 1m}]}\n"
        "- input_series: [{series: m, values: '1'}]\n"
        "  promql_expr_test: [{expr: m, eval_time: 1m, exp_samples: [{labels: m, value: 2}]}]\n"
        "- input_series: [{series: m, values: '1'}]\n"
        "  promql_expr_test: [{expr: m, eval_time: 1m, exp_samples: [{labels: m, value: 1}]}]\n"
    )
    assert rule_files.test(file).failures == [
        "test 1 (line 2): 2:38: invalid values: native histograms are not supported",
        "test 2 (typing, line 3): 3:44: could not parse expression: 1:4: parse error: unexpected end of input",
        "test 3 (line 4): expr: 'm', time: 1m,\n    exp: m 2.0\n    got: m 1.0",
    ]


def test_a_pattern_that_names_no_rule_file_fails(tmp_path: Path) -> None:
    file = tmp_path / "test.yml"
    file.write_text(
        "rule_files: ['rulez/*.yml']\ntests: [{alert_rule_test: [{eval_time: 1m, alertname: A}]}]"
    )
    assert rule_files.test(file).failures == ["rule_files: rulez/*.yml names no file"]


def test_an_empty_file_has_no_tests(tmp_path: Path) -> None:
    (tmp_path / "test.yml").write_text("# later\n")
    assert rule_files.test(tmp_path / "test.yml").failures == []
    assert _promtool(tmp_path, "test", "rules", "test.yml")


@pytest.mark.parametrize(
    ("test", "alert"), [("", "ignore_annotations: true"), ("ignore_annotations: true", "")]
)
def test_annotations_can_be_ignored(tmp_path: Path, test: str, alert: str) -> None:
    (tmp_path / "rules.yml").write_text(_RULES)
    file = tmp_path / "test.yml"
    expected = "{eval_time: 3m, alertname: High, %s exp_alerts: [{exp_labels: {job: a, severity: %s}}]}"
    for severity, fine in (("warn", True), ("page", False)):
        body = expected % (alert and f"{alert},", severity)
        text = _TESTS.format(interval="1m", values="1 6 6 6", kind="alert_rule_test", body=body)
        file.write_text(text + f"  {test}\n")
        assert (rule_files.test(file).failures == []) is fine


def test_a_test_may_begin_at_any_time(tmp_path: Path) -> None:
    file = tmp_path / "test.yml"
    start = "2025-01-01T00:00:00Z"
    file.write_text(
        f"fuzzy_compare: true\ntests: [{{start_timestamp: '{start}', input_series: [{{series: m, values: '0.1 0.1'}}], "
        "promql_expr_test: [{expr: time(), eval_time: 1m, exp_samples: [{value: 1735689660}]}, "
        "{expr: m * 3, eval_time: 1m, exp_samples: [{value: 0.3}]}]}]"
    )
    assert rule_files.test(file).failures == []
