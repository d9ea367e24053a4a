"""Rules and alerts in Prometheus' shape: as a real Prometheus lists the same rules."""

import json
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from chainwatch.promql.series import Labels
from chainwatch.rules.evaluation import PreparedGroup, evaluate_group
from chainwatch.rules.files import read_rule_file
from chainwatch.rules.placed import PlacedGroup
from chainwatch.rules.status import GroupStatus, RuleStatus
from chainwatch.tsdb.tsdb import Tsdb
from tests.support.missing import missing
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE
from tests.unit.api.conftest import Served, Serving

FILE = """
groups:
- name: one
  interval: 1s
  limit: 5
  rules:
  - alert: Pending
    expr: vector(1.25)
    for: 1h
    labels: {severity: page}
    annotations: {summary: "it is {{ $value }}"}
  - alert: Firing
    expr: vector(3) > 2
    labels: {severity: info}
  - alert: Quiet
    expr: vector(3) > 4
    keep_firing_for: 5m
- name: two
  interval: 1s
  rules:
  - record: a:b
    expr: vector(2)
    labels: {team: x}
"""
VARYING = frozenset({"lastEvaluation", "evaluationTime", "activeAt", "file", "keepFiringFor"})


def statuses() -> list[GroupStatus]:
    """How the rules stand after two evaluations."""
    now = time.time()
    found = []
    for group in read_rule_file(FILE):
        prepared = PreparedGroup(group)
        state = prepared.first_state
        for at in (now - 1, now):
            results = list(evaluate_group(prepared, state, Tsdb(), int(at * 1000)))
            state = tuple(result.state for result in results)
        rules = tuple(
            RuleStatus(str(number), rule, "ok", "", now, 0.001, tuple(result.state.alerts.values()))
            for number, (rule, result) in enumerate(zip(group.rules, results, strict=True))
        )
        placed = PlacedGroup("file", "rules.yml", group)
        found.append(GroupStatus(placed.name, placed, (group.interval or 0) / 1000, rules, now, 0.002))
    return found


async def ask(served: Served, path: str, **given: Any) -> Any:
    status, body = await served.get(f"/api/v1/{path}", params=given)
    assert (status, body["status"]) == (200, "success"), body
    return body["data"]


def without_what_varies(found: Any) -> Any:
    if isinstance(found, dict):
        kept = {name: without_what_varies(value) for name, value in found.items() if name not in VARYING}
        return {name: value for name, value in kept.items() if value not in ({}, [])}
    return [without_what_varies(one) for one in found] if isinstance(found, list) else found


async def test_rules_and_alerts_are_listed_as_prometheus_lists_them(
    serving: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving() as served:
        found = statuses()
        monkeypatch.setattr(served.rules, "groups", lambda: found)
        theirs = prometheus(tmp_path)
        for path in ("rules", "alerts"):
            assert without_what_varies(await ask(served, path)) == without_what_varies(theirs[path])


async def test_rules_are_chosen(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as served:
        found = statuses()
        monkeypatch.setattr(served.rules, "groups", lambda: found)

        async def names(**given: Any) -> list[str]:
            groups = (await ask(served, "rules", **given))["groups"]
            return [rule["name"] for group in groups for rule in group["rules"]]

        assert await names(type="alert") == ["Pending", "Firing", "Quiet"]
        assert await names(type="record") == ["a:b"]
        assert await names(**{"rule_name[]": "Quiet"}) == ["Quiet"]
        assert await names(**{"rule_group[]": "two"}) == ["a:b"]
        assert await names(**{"file[]": "rules.yml"}) == ["Pending", "Firing", "Quiet", "a:b"]
        assert await names(**{"file[]": "other"}) == []
        assert await names(**{"match[]": '{severity="page"}'}) == ["Pending"]
        first = await ask(served, "rules", group_limit=1)
        assert [group["name"] for group in first["groups"]] == ["one"]
        rest = await ask(served, "rules", group_limit=1, group_next_token=first["groupNextToken"])
        assert [group["name"] for group in rest["groups"]] == ["two"]
        assert "groupNextToken" not in rest
        without = await ask(served, "rules", exclude_alerts="true")
        assert [rule["alerts"] for rule in without["groups"][0]["rules"]] == [[], [], []]


@pytest.mark.parametrize(
    "given", [{"type": "x"}, {"match[]": "{"}, {"group_next_token": "x"}, {"exclude_alerts": "perhaps"}]
)
async def test_a_wrong_choice_is_refused(serving: Serving, given: dict[str, str]) -> None:
    async with serving() as served:
        status, body = await served.get("/api/v1/rules", params=given)
        assert (status, body["errorType"]) == (400, "bad_data")


def test_labels_of_alerts_hold_their_name() -> None:
    pending = statuses()[0].rules[0].alerts[0]
    assert pending.labels == Labels({"alertname": "Pending", "severity": "page"})


def prometheus(folder: Path) -> dict[str, Any]:
    """What a real Prometheus lists once it has evaluated the rules twice."""
    (folder / "rules.yml").write_text(FILE)
    (folder / "prometheus.yml").write_text("rule_files: [rules.yml]\n")
    address = f"127.0.0.1:{free_port()}"
    try:
        process = subprocess.Popen(
            ["prometheus", "--config.file=prometheus.yml", f"--web.listen-address={address}"],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except FileNotFoundError:
        missing("prometheus", "Debian's package prometheus has it")
    try:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            try:
                listed = {path: _data(address, path) for path in ("rules", "alerts")}
            except OSError:
                listed = {}
            rules = [
                rule
                for group in (listed or {"rules": {"groups": []}})["rules"]["groups"]
                for rule in group["rules"]
            ]
            if rules and all(rule["health"] == "ok" for rule in rules):
                return listed
            time.sleep(0.1)
        raise TimeoutError("prometheus has evaluated nothing")
    finally:
        process.kill()
        process.wait()


def _data(address: str, path: str) -> Any:
    with urllib.request.urlopen(f"http://{address}/api/v1/{path}") as answer:
        return json.load(answer)["data"]
