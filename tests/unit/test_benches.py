"""Benches that no other test runs begin at all."""

import asyncio
import tomllib
from pathlib import Path

import pytest

from chainwatch.config import from_dict, read_dict
from chainwatch.plan import make_plan
from scripts.bench import invariants, memory, rules, samples


def test_the_configuration_of_the_bench_of_memory_is_valid_S10() -> None:
    settings = from_dict(
        tomllib.loads(memory.configuration([["http://127.0.0.1:1"], ["http://127.0.0.1:2"]]))
    )
    assert len(settings.networks) == 2


def test_the_configuration_of_the_bench_of_invariants_is_valid() -> None:
    scene = invariants.Scene(12, 2, 1.0)
    text = scene.config([["http://127.0.0.1:1"], ["http://127.0.0.1:2"]], "http://127.0.0.1:3")
    plan = make_plan(read_dict(tomllib.loads(text)))
    assert len(plan.invariants.invariants) == 12


def test_the_bench_of_rules_evaluates_all_of_its_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "METRICS", 3)
    monkeypatch.setattr(rules, "SAMPLES", 10)
    monkeypatch.setattr(rules, "ROUNDS", 1)
    data = rules.load(1_700_000_000_000)
    for group in (rules.simple_rules()[:200], rules.mixed_rules()[:200]):
        assert rules.measure(data, group) > 0
    assert rules.measure_range(data, "rate(c1[5m])") > 0


def test_the_bench_of_samples_measures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(samples, "SERIES", 20)
    monkeypatch.setattr(samples, "AN_HOUR", 20)
    assert 0 < samples.print_sizes() < 2.5
    assert samples.measure_ingest(10) > 0
    assert min(asyncio.run(samples.measure_disk(f"sqlite:///{tmp_path / 'samples.db'}"))) > 0
