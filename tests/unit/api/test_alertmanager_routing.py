"""chainwatch's routes as Alertmanager's YAML: by the real amtool, each alert goes to the same receivers."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
import yaml

from chainwatch.alerting.engine.alert_engine import AlertEngine
from chainwatch.alerting.policy.label_index import LabelIndex, positions
from chainwatch.alerting.policy.policies import Policies
from chainwatch.alerting.policy.routing import destinations, matching_routes
from chainwatch.alerting.policy.severities import Severities
from chainwatch.api.alertmanager.configuration import original
from chainwatch.api.alertmanager.gettable import ROOT
from chainwatch.api.alertmanager.posted import parse_alerts
from chainwatch.config import RouteSettings, read_dict
from chainwatch.operations.context import Context
from chainwatch.plan import make_plan
from tests.support.amtool import Amtool

RECEIVERS = ("a", "b", "c")
NAMES = ("Late", "Watchdog", "a.b|c", 'quo"te\\s', "axb")
SENT = ("", "P0", "p1", "CRITICAL", "page", "odd", "info", "warning")
VALUES = ("", "x", "y", "x.y", "zz")
CONFIGURATIONS = 20
ALERTS_EACH = 5


def random_match(rng: random.Random) -> dict[str, list[str]]:
    tests = {
        "alertname": [[rng.choice(NAMES)], ["=~.*|x", rng.choice(NAMES)], ["!=Late"], list(NAMES[1:3])],
        "severity": [["P0", "P1"], ["P2"], ["!=P1"], ["=~P[02]"], ["!~P.", "P1"], ["P3", "high"]],
        "team": [["x"], ["=~x.*"], ["!=x", "!=y"], ["x", "y"], ["!~y|zz"], ["=~(?i)X", "zz"], ["=!=x"]],
    }
    return {label: rng.choice(tests[label]) for label in tests if rng.random() < 0.4}


def random_routes(rng: random.Random, depth: int = 0) -> list[dict[str, Any]]:
    return [
        {
            "match": random_match(rng),
            "receivers": rng.sample(RECEIVERS, rng.choice((1, 1, 2))),
            "continue": rng.random() < 0.4,
            "group_by": rng.choice((["alertname"], ["..."], [], ["odd name", "x", "x"])),
            **({"mute_times": ["night"]} if rng.random() < 0.2 else {}),
            **({"active_times": ["night"], "mute_critical": True} if rng.random() < 0.1 else {}),
            "routes": random_routes(rng, depth + 1) if depth < 2 and rng.random() < 0.6 else [],
        }
        for _ in range(rng.randint(1, 3))
    ]


def context_of(routes: list[dict[str, Any]], **tables: Any) -> Context:
    config = {
        "receivers": {name: {"provider": "console"} for name in RECEIVERS},
        "routes": [{"receivers": list(RECEIVERS)}],
        "intervals": {"night": {"times": ["22:00-07:00"]}},
        "severities": {"page": "P0", "ticket": "P3"},
        **tables,
    }
    settings = make_plan(read_dict(config, watches=False)).settings
    any_routes = [RouteSettings.model_validate(route) for route in routes]  # some are never reached
    return Context(settings, AlertEngine(any_routes, {}, 0, Policies.of(settings)), RECEIVERS)


def as_stored(context: Context, sent: dict[str, str]) -> dict[str, str]:
    body = msgspec.json.encode([{"labels": sent}])
    (one,) = parse_alerts(body, Severities(context.settings.severities), 0.0, 300.0).valid
    return dict(one.labels)


def random_labels(rng: random.Random) -> dict[str, str]:
    labels = {"alertname": rng.choice(NAMES), "severity": rng.choice(SENT), "team": rng.choice(VALUES)}
    return {"always": "there"} | {name: value for name, value in labels.items() if value}


@pytest.mark.slow
async def test_every_alert_goes_to_the_same_receivers_by_amtool(tmp_path: Path) -> None:
    amtool, rng, busy = Amtool(), random.Random(25), asyncio.Semaphore(3)

    async def check(context: Context, file: Path, labels: dict[str, str]) -> None:
        words = [
            f'{name}="{value.replace(chr(92), chr(92) * 2).replace(chr(34), chr(92) + chr(34))}"'
            for name, value in labels.items()
        ]
        async with busy:
            ran = await amtool.run("config", "routes", "test", f"--config.file={file}", *words)
        assert ran.code == 0, ran
        taking = matching_routes(context.engine.routes, as_stored(context, labels))
        expected = {receiver for _, receiver in destinations(taking)} or {ROOT}
        assert set(ran.out.strip().split(",")) == expected, (labels, file.read_text())

    checks = []
    for number in range(CONFIGURATIONS):
        context = context_of(random_routes(rng))
        file = tmp_path / f"{number}.yml"
        file.write_text(original(context))
        checks += [check(context, file, random_labels(rng)) for _ in range(ALERTS_EACH)]
    async with asyncio.timeout(60), asyncio.TaskGroup() as running:
        for one in checks:
            running.create_task(one)


def test_routes_of_many_alerts_are_those_of_each() -> None:
    rng = random.Random(7)
    for _ in range(100):
        context = context_of(random_routes(rng))
        routes = context.engine.routes
        labels = [as_stored(context, random_labels(rng)) for _ in range(30)]
        found: list[list[str]] = [[] for _ in labels]
        for route, taken in LabelIndex(labels).routed(routes):
            for at in positions(taken):
                found[at].append(route.key)
        expected = [[route.key for route in matching_routes(routes, one)] for one in labels]
        assert list(map(sorted, found)) == list(map(sorted, expected))


def test_inhibitors_of_many_alerts_are_those_of_each() -> None:
    rng = random.Random(8)
    for _ in range(200):
        table = {"source": random_match(rng), "target": random_match(rng), "equal": ["team=alertname"]}
        table["equal"] = rng.choice((["team"], [], ["team=alertname"], ["missing"]))
        if not table["source"] or not table["target"]:
            continue
        context = context_of([{"receivers": ["a"]}], inhibit=[table])
        (inhibition,) = context.engine.policies.inhibitions
        labels = [as_stored(context, random_labels(rng)) for _ in range(12)]
        found = dict(LabelIndex(labels).inhibited(inhibition, (1 << len(labels)) - 1))
        for at, one in enumerate(labels):
            expected = inhibition.inhibitor(one, labels)
            assert (at in found) == (expected is not None)
            assert expected is None or labels[found[at]] == expected


@pytest.mark.parametrize(
    "interval",
    [
        {"times": ["22:00-07:00"], "weekdays": ["friday-monday"]},
        {"times": ["22:00-24:00", "01:30-02:00"], "weekdays": ["monday"], "zone": "Europe/Berlin"},
        {"days": ["1-7", "-1"], "months": ["november-february"], "years": ["2026-2028"]},
        {"times": ["23:00-00:00"], "weekdays": ["sunday"], "zone": "America/New_York"},
        {},
    ],
)
def test_intervals_contain_the_same_times(interval: dict[str, Any]) -> None:
    context = context_of([{"receivers": ["a"]}], intervals={"it": interval})
    ours = context.engine.policies.intervals["it"]
    (theirs,) = yaml.safe_load(original(context))["time_intervals"]
    at = datetime(2026, 10, 20, tzinfo=UTC)
    for _ in range(800):
        at += timedelta(hours=3, minutes=37)
        assert ours.contains(at.timestamp()) == any(contains(one, at) for one in theirs["time_intervals"]), at


def contains(one: dict[str, Any], at: datetime) -> bool:
    """By Alertmanager's documentation of time intervals."""
    local = at.astimezone(ZoneInfo(one["location"]))
    clock = f"{local.hour:02d}:{local.minute:02d}"
    last = ((local.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)).day

    def day(number: str) -> int:
        return int(number) if int(number) > 0 else last + 1 + int(number)

    def within(ranges: list[str], value: int, number: Any) -> bool:
        ends = [[number(end) for end in text.split(":")] for text in ranges]
        return any(end[0] <= value <= end[-1] for end in ends)

    return (
        any(t["start_time"] <= clock < t["end_time"] for t in one.get("times", []) or [ALL_DAY])
        and ("weekdays" not in one or within(one["weekdays"], local.weekday(), WEEKDAYS.index))
        and ("months" not in one or within(one["months"], local.month - 1, MONTHS.index))
        and ("years" not in one or within(one["years"], local.year, int))
        and ("days_of_month" not in one or within(one["days_of_month"], local.day, day))
    )


ALL_DAY = {"start_time": "00:00", "end_time": "24:00"}
WEEKDAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
MONTHS = [datetime(2026, number, 1, tzinfo=UTC).strftime("%B").lower() for number in range(1, 13)]


async def test_it_says_nothing_of_a_receiver_but_its_name(tmp_path: Path) -> None:
    secret = {"provider": "webhook", "url": "https://hooks.example/s3cret", "headers": {"X-Key": "t0ken"}}
    usual = {name: {"provider": "console"} for name in RECEIVERS}
    context = context_of([], receivers=usual | {"a": secret})
    text = original(context)
    assert "example" not in text
    assert "s3cret" not in text
    assert "t0ken" not in text
    assert yaml.safe_load(text)["receivers"][0] == {"name": "a"}
