"""``chainwatch rules``: what is printed, and the exit codes."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner, Result

from chainwatch.cli import main
from chainwatch.commands.common import BAD_USAGE, FAILED
from chainwatch.rules.presets import PRESETS

_DATA = Path(__file__).parents[2] / "data" / "rules"


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["rules", *arguments])


def test_check_names_file_line_column_and_reason(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yml"
    bad.write_text("groups:\n- name: a\n  rules:\n  - alert: x\n    expr: sum(\n")
    result = _run("check", str(_DATA / "alerts.yml"), str(bad))
    assert result.exit_code == FAILED
    assert result.output.splitlines() == [
        f"{_DATA / 'alerts.yml'}: 4 rules",
        f"{bad}:5:15: could not parse expression: 1:5: parse error: unclosed left parenthesis",
    ]


def test_check_as_json() -> None:
    result = _run("check", "--json", str(_DATA / "alerts.yml"))
    assert result.exit_code == 0
    (found,) = json.loads(result.output)
    assert found == {"file": str(_DATA / "alerts.yml"), "rules": 4, "problems": [], "repeated": []}


def test_check_warns_of_rules_that_are_there_twice(tmp_path: Path) -> None:
    file = tmp_path / "twice.yml"
    file.write_text(
        "groups:\n"
        "- name: a\n  labels: {team: x}\n  rules:\n"
        "  - {record: m, expr: n}\n"
        "  - {alert: m, expr: n}\n"
        "  - {record: m, expr: n, labels: {team: y}}\n"
        "- name: b\n  rules:\n"
        "  - {record: m, expr: n}\n"
        "  - {record: m, expr: o, labels: {team: y}}\n"
    )
    result = _run("check", str(file))
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        f"{file}: 5 rules",
        f"{file}:11: warning: the same name and labels as the rule in line 7",
    ]


def test_a_missing_file_is_a_problem() -> None:
    result = _run("check", "nowhere.yml")
    assert result.exit_code == FAILED
    assert "nowhere.yml:1:1: cannot be read" in result.output


def test_test_says_what_failed(tmp_path: Path) -> None:
    failing = tmp_path / "failing.yml"
    failing.write_text("tests: [{promql_expr_test: [{expr: 1 + 1, exp_samples: [{value: 3}]}]}]")
    result = _run("test", str(_DATA / "alerts.test.yml"), str(failing))
    assert result.exit_code == FAILED
    first, second, expected, got = result.output.splitlines()
    assert first == f"{_DATA / 'alerts.test.yml'}: 1 test passed"
    assert second == f"{failing}: test 1 (line 1): expr: '1 + 1', time: 0s,"
    assert (expected.strip(), got.strip()) == ("exp: {} 3.0", "got: {} 2.0")


def test_folders_and_patterns(tmp_path: Path) -> None:
    """In a folder, rule files are checked and unit tests run, each by its content; what is named is taken as it is."""
    (tmp_path / "below").mkdir()
    rules, tests = (_DATA / "alerts.yml").read_text(), (_DATA / "alerts.test.yml").read_text()
    (tmp_path / "below" / "alerts.yml").write_text(rules)
    (tmp_path / "below" / "alerts.test.yml").write_text(tests)
    (tmp_path / "other.rules").write_text("groups: []")
    (tmp_path / "notes.txt").write_text("no rules")
    checked = _run("check", str(tmp_path))
    assert checked.exit_code == 0, checked.output
    assert checked.output.splitlines() == [
        f"{tmp_path}/below/alerts.yml: 4 rules",
        f"{tmp_path}/other.rules: 0 rules",
    ]
    tested = _run("test", str(tmp_path))
    assert tested.exit_code == 0, tested.output
    assert tested.output.splitlines() == [f"{tmp_path}/below/alerts.test.yml: 1 test passed"]
    twice = _run("check", f"{tmp_path}/below/*.yml", f"{tmp_path}/below/alerts.yml")
    assert twice.output.splitlines() == [f"{tmp_path}/below/alerts.yml: 4 rules"]
    assert "expected" not in _run("check", f"{tmp_path}/*/al*.yml").output
    assert _run("check", f"{tmp_path}/below/alerts.test.yml").exit_code == FAILED
    assert _run("check", f"{tmp_path}/none*.yml").exit_code == FAILED


def test_presets_are_listed_and_printed_as_rule_files(tmp_path: Path) -> None:
    assert {one["name"] for one in json.loads(_run("presets", "--json").output)} == set(PRESETS)
    assert _run("presets").output.startswith("preset\talerts\tabout\nbridges\t9\t")
    file = tmp_path / "own.yml"
    file.write_text(_run("presets", "service p95=2s").output)
    assert "> 2\n" in file.read_text()
    assert _run("check", str(file), "preset:service p95=2s").output.splitlines() == [
        f"{file}: 5 rules",
        "preset:service p95=2s: 5 rules",
    ]


def test_a_preset_that_does_not_exist_is_refused() -> None:
    result = _run("presets", "bridgess")
    assert result.exit_code == BAD_USAGE
    assert "there is no preset 'bridgess'; there are bridges" in result.output
