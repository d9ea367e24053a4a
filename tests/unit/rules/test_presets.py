"""Ready-made rules: their unit tests pass here and with promtool, and wrong parameters are named."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from chainwatch.config import read
from chainwatch.config.errors import ConfigError
from chainwatch.operations import rule_files
from chainwatch.plan import make_plan
from chainwatch.rules.files import RuleFileError, read_rule_file
from chainwatch.rules.model import AlertingRule
from chainwatch.rules.presets import PREFIX, PRESETS, rule_file
from tests.support.missing import missing

_DATA = Path(__file__).parents[2] / "data" / "rules" / "presets"
_TESTS = sorted(_DATA.glob("*.test.yml"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all presets as rule files, and their unit tests."""
    folder = tmp_path_factory.mktemp("presets")
    for name in PRESETS:
        (folder / f"{name}.yml").write_text(rule_file(PREFIX + name))
    for tests in _TESTS:
        shutil.copy(tests, folder)
    return folder


@pytest.mark.parametrize("tests", _TESTS, ids=lambda tests: tests.name)
def test_fires_when_it_should_and_not_beside(tests: Path, folder: Path) -> None:
    tested = rule_files.test(folder / tests.name)
    assert tested.failures == []
    assert tested.tests


@pytest.mark.slow
def test_promtool_finds_the_same(folder: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        missing("promtool", "Debian's package prometheus has it")
    names = [f"{name}.yml" for name in PRESETS]
    for arguments in (["check", "rules", *names], ["test", "rules", *(tests.name for tests in _TESTS)]):
        ran = subprocess.run([promtool, *arguments], cwd=folder, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("name", PRESETS)
def test_each_alert_is_tested_and_each_parameter_used(name: str) -> None:
    groups = read_rule_file(rule_file(PREFIX + name))
    alerts = {rule.name for group in groups for rule in group.rules if isinstance(rule, AlertingRule)}
    tests = "".join(tests.read_text() for tests in _TESTS if tests.name.startswith(f"{name}."))
    assert alerts == set(re.findall(r"alertname: (\w+)\n\s+exp_alerts:", tests))
    for key, parameter in PRESETS[name].parameters.items():
        other = {
            "duration": "77s",
            "number": "0.077",
            "matchers": 'x77="1",y!~"a b"',
            "name": "x77",
            "pattern": "x77|y.*",
        }[parameter.kind]
        assert "77" in rule_file(f"{PREFIX}{name} {key}={other}")


def test_a_preset_that_stands_there_twice_says_nothing_of_the_others_routes(tmp_path: Path) -> None:
    one = [f'preset:bridges where=flow{op}"x" outflow={most}' for op, most in (("=", 9_000_000), ("!=", 10))]
    file = tmp_path / "own.test.yml"
    file.write_text(
        f"""
rule_files: {json.dumps(one)}
evaluation_interval: 10m
tests:
- interval: 10m
  input_series:
  - series: 'chainwatch_transfers_opened_amount_total{{flow="x",origin="a",destination="b",asset="USDC"}}'
    values: 0+100x20
  alert_rule_test:
  - {{eval_time: 2h, alertname: OutflowHigh}}
"""
    )
    assert rule_files.test(file).failures == []


def test_presets_stand_in_unit_tests(tmp_path: Path) -> None:
    file = tmp_path / "own.test.yml"
    file.write_text(
        """
rule_files: ['preset:endpoints behind=1h where=network="a"']
tests:
- input_series:
  - {series: 'chainwatch_network_seen_age_seconds{network="a"}', values: 600x30}
  alert_rule_test:
  - {eval_time: 10m, alertname: NetworkBehind}
"""
    )
    assert rule_files.test(file).failures == []


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("preset:", "there is no preset ''; there are bridges"),
        ("preset:../bridges", "there is no preset '../bridges'"),
        (
            "preset:bridges runaway=4h",
            "'bridges' has no parameter 'runaway'; it has where, invariants, balances",
        ),
        ("preset:bridges runway=4", "runway: expected duration, not '4'"),
        ("preset:bridges amount=1e6x", "amount: expected a number, not '1e6x'"),
        ("preset:bridges amount=-1", "amount: expected a number"),
        ('preset:bridges where=flow="x', "where: expected matchers"),
        ('preset:bridges where=a="b"} or y{c="d"', "where: expected matchers"),
        ('preset:bridges where=a="b",\n#', "where: expected matchers on one line"),
        ('preset:bridges where=a="b", c="d"', "write matchers without blanks between them"),
        ("preset:bridges balances=(", "balances: expected pattern"),
        ('preset:bridges balances=a"b', "balances: expected a pattern without quotes"),
        ("preset:bridges left=1x", "left: expected a name"),
        ("preset:bridges " + "x" * 5000, "is longer than 4,096 characters"),
    ],
)
def test_wrong_parameters_are_named(spec: str, reason: str) -> None:
    with pytest.raises(RuleFileError) as caught:
        rule_file(spec)
    assert reason in caught.value.problems[0].reason


def test_a_configuration_names_presets_and_each_mistake_has_its_line(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    start = '[networks.a]\nchain_id = 1\nrpc = ["http://127.0.0.1:1"]\n'
    config.write_text(f'rule_files = ["preset:endpoints behind=1h", "preset:endpoints"]\n{start}')
    groups = make_plan(read(config, {})).rule_groups
    assert [(group.file, len(group.group.rules)) for group in groups] == [("preset:endpoints", 7)] * 2
    config.write_text(f'rule_files = [\n  "preset:endpoints",\n  "preset:endpoints ahead=1h"]\n{start}')
    with pytest.raises(ConfigError) as caught:
        make_plan(read(config, {}))
    assert "no parameter 'ahead'" in str(caught.value)
