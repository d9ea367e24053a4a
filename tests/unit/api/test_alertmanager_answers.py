"""Answers of Alertmanager's API, beside those of the real one where Debian's is installed."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.alertmanager import PROGRAM, Alertmanager
from tests.support.missing import missing
from tests.unit.api.conftest import Served, Serving

JSON = {"Content-Type": "application/json"}
TIMES = '"startsAt": "2026-01-01T00:00:00Z", "endsAt": "2099-01-01T00:00:00Z"'
WRITTEN = f'{TIMES}, "createdBy": "me", "comment": "c"'
LABELLED = '"labels": {"a": "1"}'
TEST = '{"name": "a", "value": "x", "isRegex": false}'
UNKNOWN = "9e7a40f4-1f22-4c2c-9ef3-3e2b8a6c4e51"


def silence(matchers: str, more: str = WRITTEN) -> str:
    return f'{{"matchers": {matchers}, {more}}}'


SAME = [
    ("GET", "alerts", None),
    ("GET", "alerts/groups", None),
    ("GET", "silences", None),
    ("GET", "nothing", None),
    ("PUT", "alerts", None),
    ("DELETE", "silences", None),
    ("PUT", "status", None),
    ("GET", "alerts?filter=a", None),
    ("GET", "alerts?filter=(", None),
    ("GET", "silences?filter=a", None),
    ("GET", "alerts?active=x&silenced=&inhibited=no", None),
    ("GET", "silence/x", None),
    ("DELETE", "silence/x", None),
    ("GET", f"silence/{UNKNOWN}", None),
    ("POST", "alerts", ""),
    ("POST", "alerts", "[]"),
    ("POST", "alerts", "[{}]"),
    ("POST", "alerts", '[{"labels": {}}]'),
    ("POST", "alerts", '[{"labels": {"a": ""}}]'),
    ("POST", "alerts", '[{"labels": {"a": null}}]'),
    ("POST", "alerts", '[{"labels": {"": "1"}}]'),
    (
        "POST",
        "alerts",
        f'[{{{LABELLED}, "startsAt": "2026-01-01T00:00:00Z", "endsAt": "2025-01-01T00:00:00Z"}}]',
    ),
    ("POST", "alerts", f'[{{{LABELLED}, "generatorURL": "x y"}}]'),
    ("POST", "alerts", '[{"labels": {"": "1"}}, {"labels": {}}]'),
    ("POST", "silences", ""),
    ("POST", "silences", "{}"),
    ("POST", "silences", '{"comment": ""}'),
    ("POST", "silences", f'{{{TIMES}, "createdBy": "", "comment": ""}}'),
    ("POST", "silences", '{"comment": "", "createdBy": "", "matchers": []}'),
    ("POST", "silences", silence("[]")),
    ("POST", "silences", silence('[{"name": "a"}]')),
    ("POST", "silences", silence('[{"name": "a", "value": "", "isRegex": false}]')),
    ("POST", "silences", silence('[{"name": "a", "value": ".*", "isRegex": true}]')),
    ("POST", "silences", silence('[{"name": "", "value": "x", "isRegex": false}]')),
    ("POST", "silences", silence(f"[{TEST}]", f'"id": "x", {WRITTEN}')),
    ("POST", "silences", silence(f"[{TEST}]", f'"id": "{UNKNOWN}", {WRITTEN}')),
    (
        "POST",
        "silences",
        silence(f"[{TEST}]", WRITTEN.replace("2099", "2025")),
    ),
    (
        "POST",
        "silences",
        silence(f"[{TEST}]", WRITTEN.replace("2099", "2026").replace("01-01T", "01-02T", 2)),
    ),
]
"""Requests that both answer with the same status and content."""


async def answer(method: str, url: str, body: str | bytes | None) -> tuple[int, str, str, Any]:
    async with aiohttp.request(method, url, data=body, headers=JSON if body is not None else {}) as found:
        text = await found.text()
        allowed = ",".join(sorted(found.headers.get("Allow", "").replace(" ", "").split(",")))
        content: Any = json.loads(text) if text else None
        if found.status == 405:  # Alertmanager names the methods in any order
            content["message"] = sorted(re.findall("[A-Z]+", content["message"]))
        return found.status, found.content_type if text else "", allowed, content


@pytest.fixture
async def theirs(tmp_path: Path) -> AsyncIterator[Alertmanager]:
    if PROGRAM is None:
        missing("Alertmanager", "Debian's package prometheus-alertmanager has it")
    async with Alertmanager(tmp_path) as running:
        yield running


async def test_the_same_requests_have_the_same_answers(serving: Serving, theirs: Alertmanager) -> None:
    async with serving() as served:
        for method, path, body in SAME:
            ours = await answer(method, f"{served.url}/api/v2/{path}", body)
            expected = await answer(method, f"{theirs.url}/api/v2/{path}", body)
            assert ours == expected, (method, path, body)


UNREADABLE = [
    ("alerts", "null", 602),
    ("alerts", "[null]", 400),
    ("alerts", "{}", 400),
    ("alerts", "[x", 400),
    ("alerts", "[" * 5000, 400),
    ("alerts", '[{"labels": {"a": 1}}]', 400),
    ("alerts", '[{"labels": []}]', 400),
    ("alerts", f'[{{{LABELLED}, "startsAt": "x"}}]', 400),
    ("alerts", f'[{{{LABELLED}, "startsAt": 5}}]', 400),
    ("alerts", f'[{{{LABELLED}, "annotations": {{"a": {{}}}}}}]', 400),
    ("silences", "null", 602),
    ("silences", "[]", 400),
    ("silences", silence("[null]"), 400),
    ("silences", silence("{}"), 400),
    ("silences", silence('[{"name": 1, "value": "x", "isRegex": false}]'), 400),
    (
        "silences",
        silence(f"[{TEST}]", '"startsAt": "x", "endsAt": "y", "createdBy": "", "comment": ""'),
        400,
    ),
]
"""Requests, and the code that each is refused with."""


async def test_what_cannot_be_read_is_refused(serving: Serving) -> None:
    async with serving() as served:
        for path, body, code in UNREADABLE:
            status, said = await served.ask("POST", f"/api/v2/{path}", data=body, headers=JSON)
            assert (status, said["code"]) == (422 if code > 600 else code, code), body[:200]
            assert said["message"]


WRONG = [
    ("alerts", '[{"labels": {"a\\u0000": "1"}}]'),
    ("alerts", '[{"labels": {"a": "\\u0000"}}]'),
    ("alerts", '[{"labels": {"__severity__": "P0"}}]'),
    ("alerts", f'[{{{LABELLED}, "annotations": {{"a": "\\u0000"}}}}]'),
    ("alerts", f'[{{{LABELLED}, "startsAt": "2999-01-01T00:00:00Z"}}]'),
    ("silences", silence('[{"name": "a", "value": "(", "isRegex": true}]')),
    ("silences", silence('[{"name": "a", "value": "\\u0000", "isRegex": false}]')),
    ("silences", silence(f"[{TEST}]", WRITTEN.replace('"me"', '"\\u0000"'))),
]
"""Requests that are refused with a text."""


async def test_what_is_wrong_is_said_as_text(serving: Serving) -> None:
    async with serving() as served:
        for path, body in WRONG:
            status, said = await served.ask("POST", f"/api/v2/{path}", data=body, headers=JSON)
            assert status == 400, body
            assert isinstance(said, str)


NEGATIVE = [
    ("x", "false", "false", 200),
    ("x.*", "true", "false", 200),
    (".*", "true", "false", 200),
    ("", "false", "false", 200),
    ("x|", "true", "true", 400),
]
"""A test's value, ``isRegex`` and ``isEqual``; and the status for a silence with that one alone."""


async def test_a_silence_may_test_only_what_a_label_is_not(serving: Serving, theirs: Alertmanager) -> None:
    async with serving() as served:
        for value, is_regex, is_equal, status in NEGATIVE:
            test = f'{{"name": "a", "value": "{value}", "isRegex": {is_regex}, "isEqual": {is_equal}}}'
            for url in (served.url, theirs.url):
                answered = await answer("POST", f"{url}/api/v2/silences", silence(f"[{test}]"))
                assert answered[0] == status, (url, test)


async def test_valid_alerts_are_stored_beside_invalid_ones(serving: Serving) -> None:
    async with serving() as served:
        alerts = [{"labels": {"a": "1"}}, {"labels": {}}, {"labels": {"b": "2"}}]
        assert (await served.ask("POST", "/api/v2/alerts", json=alerts))[0] == 400
        _, found = await served.get("/api/v2/alerts")
        assert [one["labels"] for one in found] == [{"b": "2"}, {"a": "1"}]  # by fingerprint


HALF_PAIRS = (rb"\ud83d", rb"\ude00", rb"\ud83dx", rb"\ude00\ud83d", rb"\uD83D\n")
WHOLE = (rb"\ud83d\ude00", rb"\\ud83d")
NO_UTF8 = (b"\xff", b"\xe2\x82")


async def test_what_is_no_text_is_read_as_alertmanager_reads_it(
    serving: Serving, theirs: Alertmanager
) -> None:
    values = HALF_PAIRS + WHOLE + NO_UTF8
    alerts = [b'{"labels": {"n": "%d", "value": "%s"}}' % (at, value) for at, value in enumerate(values)]
    async with serving() as served:
        found = []
        for url in (served.url, theirs.url):
            status, *_ = await answer("POST", f"{url}/api/v2/alerts", b"[" + b",".join(alerts) + b"]")
            assert status == 200
            *_, listed = await answer("GET", f"{url}/api/v2/alerts", None)
            found.append({one["labels"]["n"]: one["labels"]["value"] for one in listed})
        assert found[0] == found[1]
        assert len(found[0]) == len(values)


async def test_the_list_at_the_root_has_the_same_labels(serving: Serving) -> None:
    sent = [{"host": "db"}, {"alertname": "Long", "path": "x" * 5_000, "severity": "page"}]
    async with serving() as served:
        posted = [{"labels": labels, "annotations": {"summary": "s"}} for labels in sent]
        assert (await served.ask("POST", "/api/v2/alerts", json=posted))[0] == 200
        _, found = await served.get("/alerts")
        assert [one["labels"] for one in found["alerts"]] == sent[::-1]
        assert [one["annotations"] for one in found["alerts"]] == [{"summary": "s"}] * 2


async def test_what_prometheus_posts_at_once_may_have_long_annotations(serving: Serving) -> None:
    alerts = [{"labels": {"n": str(n)}, "annotations": {"description": "x" * 15_000}} for n in range(256)]
    async with serving() as served:
        status, _ = await served.ask("POST", "/api/v2/alerts", json=alerts)
        assert status == 200
        status, said = await served.ask("POST", "/api/v2/alerts", json=alerts * 2)
        assert (status, said["code"]) == (413, 413)
        status, _ = await served.ask("POST", "/api/v2/silences", data=b" " * 2**21, headers=JSON)
        assert status == 413
        _, found = await served.get("/api/v2/alerts")
        assert len(found) == len(alerts)


async def test_alerts_have_the_same_fingerprints_times_and_labels(
    serving: Serving, theirs: Alertmanager
) -> None:
    posted = [
        {
            "labels": {"alertname": "Odd", "severity": "Page"},
            "annotations": {"summary": "é <b>"},
            "startsAt": "2026-03-01T08:00:00.123456789Z",
            "endsAt": "2099-01-01T00:00:00Z",
            "generatorURL": "http://prom.example/graph?g0.expr=up",
        },
        {
            "labels": {"severity": "none", "empty": "", "instance": "db:9100"},
            "endsAt": "2099-01-01T00:00:00Z",
        },
        {"labels": {"alertname": "Long", "text": "z" * 3000}, "endsAt": "2099-01-01T00:00:00Z"},
    ]
    async with serving() as served:
        answers = []
        for url in (served.url, theirs.url):
            assert (await answer("POST", f"{url}/api/v2/alerts", json.dumps(posted)))[0] == 200
            _, _, _, found = await answer("GET", f"{url}/api/v2/alerts", None)
            kept = ("labels", "annotations", "endsAt", "fingerprint", "generatorURL")
            answers.append([{key: one.get(key) for key in kept} for one in found])
            (odd,) = [one for one in found if one["labels"].get("alertname") == "Odd"]
            assert odd["startsAt"] == "2026-03-01T08:00:00.123Z"
        assert answers[0] == answers[1]


async def post(served: Served, *alerts: dict[str, Any]) -> None:
    assert await served.ask("POST", "/api/v2/alerts", json=list(alerts)) == (200, "")


FILTERED = [
    ("", "ABC"),
    ("filter=severity=page", "A"),
    ('filter=severity=""', "C"),
    ('filter=severity!=""', "AB"),
    ("filter=alertname=~A|B&filter=severity!~none", "A"),
    ("filter=alertname=~A.", ""),
    ('filter="odd name"="x y"', "C"),
    ('filter=text="a\\"b\\n"', "B"),
    ("filter=severity=P2", ""),
    ("receiver=op", ""),
    ("receiver=op.|x", "ABC"),
    ("active=false", ""),
    ("unprocessed=false", "ABC"),
]
"""Queries, and the names of the alerts that are found."""


async def test_alerts_are_filtered_by_labels_as_they_were_sent(serving: Serving) -> None:
    async with serving() as served:
        await post(
            served,
            {"labels": {"alertname": "A", "severity": "page"}},
            {"labels": {"alertname": "B", "severity": "none", "text": 'a"b\n'}},
            {"labels": {"alertname": "C", "odd name": "x y"}},
        )
        for query, names in FILTERED:
            pairs = [tuple(part.split("=", 1)) for part in query.split("&") if part]
            _, alerts = await served.get("/api/v2/alerts", params=pairs)
            _, groups = await served.get("/api/v2/alerts/groups", params=pairs)
            grouped = [alert for group in groups for alert in group["alerts"]]
            for found in (alerts, grouped):
                assert sorted(one["labels"]["alertname"] for one in found) == list(names), query


async def test_groups_have_the_labels_and_receivers_of_routes(serving: Serving) -> None:
    routes = [
        {"receivers": ["ops", "pager"], "match": {"severity": "P0"}, "group_by": ["alertname", "severity"]},
        {"receivers": ["ops"], "match": {"team": "x"}, "group_by": ["team"]},
    ]
    receivers = {name: {"provider": "console"} for name in ("ops", "pager")}
    tables = {"routes": routes, "receivers": receivers, "severities": {"page": "P0"}}
    async with serving(tables) as served:
        await post(
            served,
            {"labels": {"alertname": "A", "severity": "Page"}},
            {"labels": {"alertname": "B", "team": "x"}},
            {"labels": {"alertname": "C", "team": "x", "severity": "ticket"}},
            {"labels": {"alertname": "D"}},
        )
        _, groups = await served.get("/api/v2/alerts/groups")
        found = [
            (g["labels"], g["receiver"]["name"], [a["labels"]["alertname"] for a in g["alerts"]])
            for g in groups
        ]
        assert sorted(found, key=str) == sorted(
            [
                ({}, "unrouted", ["D"]),
                ({"alertname": "A", "severity": "Page"}, "ops", ["A"]),
                ({"alertname": "A", "severity": "Page"}, "pager", ["A"]),
                ({"team": "x"}, "ops", sorted("BC", key=dict(fingerprints(groups)).__getitem__)),
            ],
            key=str,
        )
        assert await served.get("/api/v2/receivers") == (
            200,
            [{"name": "ops"}, {"name": "pager"}, {"name": "unrouted"}],
        )


def fingerprints(groups: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(a["labels"]["alertname"], a["fingerprint"]) for group in groups for a in group["alerts"]]


async def test_status_and_the_old_api(serving: Serving) -> None:
    async with serving() as served:
        _, status = await served.get("/api/v2/status")
        assert status["cluster"] == {"status": "disabled", "peers": []}
        assert status["versionInfo"]["version"] == "0.25.0"
        assert "route:" in status["config"]["original"]
        for path in ("silences", "receivers", "alerts/groups", f"silence/{UNKNOWN}"):
            assert (await served.get(f"/api/v1/{path}"))[0] == 410
        assert (await served.ask("POST", "/api/v1/alerts", json=[]))[0] == 410
        assert (await served.get("/alertmanager/api/v2/status"))[0] == 404
        _, metrics = await served.get("/metrics")
        assert 'alertmanager_build_info{version="0.25.0"} 1.0' in metrics
