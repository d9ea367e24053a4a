"""How many rules a second are evaluated over 10,000 series, with Debian's Prometheus beside it where it is installed.

``python -m scripts.bench.rules`` prints a row for each kind of rule: one series compared with a number, a mixture by how
often real rule collections use each form, and rules that read nearly all series, such as rates of everything. Both
evaluate the same groups over the same samples: chainwatch in process on one core, from its database of samples, Prometheus
from blocks on disk, as many cores as there are, by its own ``prometheus_rule_group_last_duration_seconds``.

Then a row for each range query, such as graphs make: how many values a second it computes on one core.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from chainwatch.promql.parser import parse
from chainwatch.promql.queries import evaluate_range
from chainwatch.promql.series import Labels
from chainwatch.promql.syntax import Selector, walk
from chainwatch.rules.evaluation import PreparedGroup, evaluate_group
from chainwatch.rules.files import read_rule_file
from chainwatch.tsdb.tsdb import Tsdb
from tests.support.ports import free_port

METRICS = 100
INSTANCES = 100
STEP = 15_000
SAMPLES = 80
"""Twenty minutes at 15 s."""
AHEAD = 40
"""Further samples, for the time that Prometheus takes to start."""
SIMPLE = 10_000
MIXED = 1_000
ROUNDS = 5

_MIXED = (
    (24, 'sum by (job) (rate(c{n}{{zone="z{z}"}}[5m])) / sum by (job) (rate(c{m}{{zone="z{z}"}}[5m])) > 1.5'),
    (20, 'rate(c{n}{{zone="z{z}"}}[5m]) > 1e6'),
    (18, 'c{n}{{instance="i{i}"}} / c{m}{{instance="i{i}"}} * 100 > 1e9'),
    (10, 'increase(c{n}{{instance="i{i}"}}[10m]) > 1e6'),
    (8, 'c{n}{{instance="i{i}"}} == 0 and on (instance) c{m}{{instance="i{i}"}} > 1e9'),
    (6, "max by (zone) (c{n}) < 0"),
    (5, 'absent(c{n}{{instance="i{i}"}})'),
    (4, 'time() - c{n}{{instance="i{i}"}} < 0'),
    (3, 'predict_linear(c{n}{{zone="z{z}"}}[15m], 14400) < 0'),
    (2, 'avg_over_time(c{n}{{zone=~"z{z}|zz"}}[10m]) < 0'),
)
"""How often, by hundred, and the form; after the counts of 2,311 public rules."""


_WIDE = (
    'sum by (zone) (rate({__name__=~"c.*"}[5m])) > 1e9',
    'avg by (job) (avg_over_time({__name__=~"c.*"}[10m])) > 1e9',
    'max by (instance) ({__name__=~"c.*"}) > 1e9',
    'count by (job) ({__name__=~"c.*"} > 1e9) > 0',
    'topk(5, increase({__name__=~"c.*"}[5m])) < 0',
    'quantile by (zone) (0.9, delta({__name__=~"c.*"}[5m])) < 0',
)
"""Rules that read all series."""

_RANGES = (
    "rate(c1[5m])",
    'sum by (zone) (rate({__name__=~"c."}[5m]))',
    "max_over_time(sum by (job) (c1)[5m:15s])",
    "topk(3, increase(c1[5m]))",
)
_RANGE_STEP = 1_000


class Data(NamedTuple):
    samples: list[tuple[Labels, list[int], list[float]]]
    source: Tsdb
    now: int


def main() -> None:
    """Print the table."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    now = int(time.time() * 1000) // STEP * STEP
    data = load(now)
    groups = {"simple": simple_rules(), "mixed": mixed_rules(), "wide": list(_WIDE)}
    beside = measure_prometheus(data, groups)
    print(f"{'rules':8} {'number':>7} {'chainwatch/s':>13} {'prometheus/s':>13}")
    for name, rules in groups.items():
        ours = len(rules) / measure(data, rules)
        print(f"{name:8} {len(rules):7,} {ours:13,.0f} {beside.get(name, math.nan):13,.0f}")
    print(f"\n{'range query':45} {'values/s':>13}")
    for query in _RANGES:
        print(f"{query:45} {measure_range(data, query):13,.0f}")


def load(now: int) -> Data:
    """Return counters that rise, with resets, as samples until after ``now``."""
    chance = random.Random(1)
    samples = []
    times = [now + (index - SAMPLES) * STEP for index in range(SAMPLES + AHEAD)]
    for metric in range(METRICS):
        for instance in range(INSTANCES):
            value, values = 0.0, []
            for _ in times:
                value = 0.0 if chance.random() < 0.001 else value + chance.randrange(100)
                values.append(value)
            labels = {"instance": f"i{instance}", "zone": f"z{instance // 10}", "job": f"j{instance % 5}"}
            samples.append((Labels({"__name__": f"c{metric}", **labels}), times, values))
    source = Tsdb()
    appended = source.append(samples, now)
    assert not appended.refused, appended.refused
    return Data(samples, source, now)


def simple_rules() -> list[str]:
    """Return comparisons of one series each, none of which holds."""
    return [f'c{n % METRICS}{{instance="i{n // METRICS}"}} > 1e9' for n in range(SIMPLE)]


def mixed_rules() -> list[str]:
    """Return rules of the forms that real ones have."""
    chance = random.Random(2)
    forms, weights = [form for _, form in _MIXED], [weight for weight, _ in _MIXED]
    return [
        form.format(
            n=chance.randrange(50),
            m=chance.randrange(50, 100),
            z=chance.randrange(10),
            i=chance.randrange(100),
        )
        for form in chance.choices(forms, weights, k=MIXED)
    ]


def rule_file(rules: list[str]) -> str:
    """Return a rule file with one group of alerts."""
    alerts = [{"alert": f"a{index}", "expr": rule} for index, rule in enumerate(rules)]
    return json.dumps({"groups": [{"name": "bench", "interval": "5s", "rules": alerts}]})


def measure(data: Data, rules: list[str]) -> float:
    """Return the seconds of processor time that one evaluation of all rules takes, the best of several."""
    prepared = PreparedGroup(read_rule_file(rule_file(rules))[0])
    state = prepared.first_state
    best = math.inf
    for turn in range(ROUNDS):
        started = time.process_time()
        results = list(evaluate_group(prepared, state, data.source, data.now - turn * 1000))
        best = min(best, time.process_time() - started)
        state = tuple(result.state for result in results)
        errors = {result.error for result in results} - {None}
        assert not errors, errors
    return best


def measure_range(data: Data, text: str) -> float:
    """Return how many values of the selected series a range query computes in a second of processor time, at best."""
    query = parse(text)
    selector = next(node for node in walk(query.root) if isinstance(node, Selector))
    start = data.now - SAMPLES * STEP // 2
    times = (data.now - start) // _RANGE_STEP + 1
    best = math.inf
    for _ in range(ROUNDS):
        started = time.process_time()
        evaluate_range(query, data.source, start, data.now, _RANGE_STEP)
        best = min(best, time.process_time() - started)
    return len(data.source.select(selector.matchers)) * times / best


def measure_prometheus(data: Data, groups: dict[str, list[str]]) -> dict[str, float]:
    """Return rules a second by group; nothing where Prometheus is not installed."""
    if shutil.which("prometheus") is None or shutil.which("promtool") is None:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "samples").write_text("".join(_open_metrics(data)))
        create = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "samples", "data"]
        subprocess.run(create, cwd=root, check=True, capture_output=True)
        return {name: len(rules) / _measure_prometheus(root, rules) for name, rules in groups.items()}


def _open_metrics(data: Data) -> Iterator[str]:
    for one, times, values in data.samples:
        labels = ",".join(f'{name}="{value}"' for name, value in one.pairs if name != "__name__")
        name = one["__name__"]
        for moment, value in zip(times, values, strict=True):
            yield f"{name}{{{labels}}} {value} {moment / 1000}\n"
    yield "# EOF\n"


def _measure_prometheus(root: Path, rules: list[str]) -> float:
    """Return the seconds of the quickest evaluation that Prometheus reports."""
    (root / "rules.json").write_text(rule_file(rules))
    (root / "prometheus.yml").write_text("rule_files: [rules.json]\n")
    address = f"127.0.0.1:{free_port()}"
    server = subprocess.Popen(
        [
            "prometheus",
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=data",
            f"--web.listen-address={address}",
            "--storage.tsdb.retention.time=10y",
        ],
        cwd=root,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        durations: list[float] = []
        until = time.monotonic() + 60
        while len(durations) < ROUNDS and time.monotonic() < until:
            time.sleep(5)
            durations += _last_durations(address)
        return min(durations)
    finally:
        server.terminate()
        server.wait()


def _last_durations(address: str) -> list[float]:
    try:
        with urllib.request.urlopen(f"http://{address}/metrics") as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return []
    found = [line for line in lines if line.startswith("prometheus_rule_group_last_duration_seconds{")]
    return [value for line in found if (value := float(line.split()[-1])) > 0]


if __name__ == "__main__":
    main()
