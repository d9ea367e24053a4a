"""The rules of a configuration: those of its tables and of its rule files, and what is wrong with them."""

from pathlib import Path
from typing import Any

import pytest

from chainwatch.config import ConfigError, read_dict
from chainwatch.operations.rule_files import named_rule_files
from chainwatch.plan import make_plan
from chainwatch.rules.model import AlertingRule, RecordingRule
from chainwatch.rules.placed import PlacedGroup

GOOD = "groups:\n- name: web\n  interval: 30s\n  rules:\n  - {alert: Down, expr: up == 0, for: 5m}\n"


def groups(folder: Path, **tables: Any) -> tuple[PlacedGroup, ...]:
    return make_plan(read_dict(tables, folder=folder, watches=False)).rule_groups


def problems(folder: Path, **tables: Any) -> list[tuple[str, str]]:
    with pytest.raises(ConfigError) as caught:
        groups(folder, **tables)
    return [(".".join(map(str, one.path)), f"{one.message} {one.hint}") for one in caught.value.problems]


def test_tables_become_groups(tmp_path: Path) -> None:
    found = groups(
        tmp_path,
        rules=[
            {"alert": "A", "query": "a > 1", "for": "5m", "severity": "high", "labels": {"team": "x"}},
            {"record": "b:sum", "query": "sum(b)", "group": "together", "interval": "30s"},
            {"alert": "B", "query": "b:sum > 1", "group": "together", "keep_firing_for": "1m"},
        ],
    )
    assert [(one.origin, one.name, one.group.interval) for one in found] == [
        ("config", "config;A", None),
        ("config", "config;together", 30_000),
    ]
    (first,), (recorded, alert) = (one.group.rules for one in found)
    assert isinstance(first, AlertingRule)
    assert (first.hold, first.labels) == (300_000, {"team": "x", "severity": "P1"})
    assert isinstance(recorded, RecordingRule)
    assert isinstance(alert, AlertingRule)
    assert (alert.keep_firing, alert.labels) == (60_000, {"severity": "P2"})


def test_rule_files_are_found_by_patterns_once_each(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    for name in ("a.yml", "b.yml", "c.txt"):
        (tmp_path / "rules" / name).write_text(GOOD)
    found = groups(tmp_path, rule_files=["rules/*.yml", "rules/a.yml", "none/*.yml"])
    assert [(one.file, one.name) for one in found] == [
        ("rules/a.yml", "rules/a.yml;web"),
        ("rules/b.yml", "rules/b.yml;web"),
    ]


def test_a_file_that_is_gone_empty_or_named_in_vain_is_reported_so_that_no_rule_vanishes_unnoticed(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.yml").symlink_to("gone.yml")
    ((_, said),) = problems(tmp_path, rule_files=["*.yml"])
    assert said.startswith("a.yml: cannot be read")
    (tmp_path / "a.yml").unlink()
    (tmp_path / "a.yml").write_text("")
    plan = make_plan(read_dict({"rule_files": ["*.yml", "*.yaml"]}, folder=tmp_path, watches=False))
    assert [one.split("rule_files", 1)[1] for one in plan.warnings] == [
        "[0]: a.yml has no rules",
        "[1]: *.yaml names no file",
    ]


def test_wildcards_leave_out_hidden_files_and_folders(tmp_path: Path) -> None:
    for folder in ("", "..2026_11_22", "deep"):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "a.yml").write_text(GOOD)
    (tmp_path / ".#a.yml").symlink_to("somebody@machine.1")
    assert [one.file for one in groups(tmp_path, rule_files=["**/*.yml"])] == ["a.yml", "deep/a.yml"]
    assert [one.file for one in groups(tmp_path, rule_files=["..2026_11_22/*.yml"])] == ["..2026_11_22/a.yml"]
    assert [one.name for one in named_rule_files([tmp_path])] == ["a.yml", "a.yml"]


def test_a_mistake_in_a_rule_file_has_its_file_line_and_column(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(GOOD.replace("up == 0", "sum(up"))
    (tmp_path / "b.yml").write_bytes(b"\xff")
    (path, said), (_, other), (_, missing) = problems(tmp_path, rule_files=["?.yml", "none.yml"])
    assert path == "rule_files.0"
    assert said.startswith("a.yml:5:")
    assert "could not parse expression" in said
    assert other.startswith("b.yml: byte 0 is not UTF-8")
    assert missing.startswith("none.yml: cannot be read")


@pytest.mark.parametrize(
    ("rule", "path", "words"),
    [
        ({"alert": "A", "query": "sum(a"}, "rules.0.query", "line 1, column"),
        ({"alert": "A", "query": "a\n  >> 1"}, "rules.0.query", "line 2, column 4"),
        ({"alert": "A", "query": "a[5m]"}, "rules.0.query", "range vector"),
        ({"query": "a"}, "rules.0", "either `alert`"),
        ({"alert": "A", "record": "b", "query": "a"}, "rules.0", "either `alert`"),
        ({"record": "b c", "query": "a"}, "rules.0", "`record`"),
        ({"record": "b", "query": "a", "for": "1m"}, "rules.0", "only with `alert`"),
        ({"alert": "A", "query": "a", "labels": {"severity": "P1"}}, "rules.0", "`severity`"),
        ({"alert": "A", "query": "a", "labels": {"__rule__": "x"}}, "rules.0.labels", "labels other than"),
        ({"alert": "A", "query": "a", "annotations": {"s": "{{ $x }}"}}, "rules.0.annotations", "$x"),
        ({"alert": "A", "query": "a", "anotations": {}}, "rules.0.anotations", "annotations"),
    ],
)
def test_a_mistake_in_a_table_is_refused(tmp_path: Path, rule: dict[str, Any], path: str, words: str) -> None:
    (found,) = problems(tmp_path, rules=[rule])
    assert found[0] == path
    assert words in found[1]


def test_rules_of_a_group_have_one_interval(tmp_path: Path) -> None:
    rules = [
        {"alert": name, "query": "a > 1", "group": "g", "interval": every}
        for name, every in (("A", "30s"), ("B", "1m"))
    ]
    ((path, said),) = problems(tmp_path, rules=rules)
    assert path == "rules.1.interval"
    assert "another interval" in said
