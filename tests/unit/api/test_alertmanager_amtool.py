"""Alertmanager's own command line against chainwatch: what it adds, queries, changes and shows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.amtool import Amtool
from tests.unit.api.conftest import Serving

pytestmark = pytest.mark.slow

TABLES: dict[str, Any] = {
    "receivers": {"ops": {"provider": "console"}, "pager": {"provider": "console"}},
    "severities": {"page": "P0"},
    "routes": [
        {"receivers": ["pager"], "match": {"severity": "P0"}, "group_by": ["alertname"]},
        {"receivers": ["ops", "pager"], "match": {"severity": "P1"}},
        {"receivers": ["ops"], "match": {"team": "=~a|b"}, "mute_times": ["night"]},
    ],
    "intervals": {"night": {"zone": "Europe/Berlin", "times": ["22:00-07:00"]}},
    "inhibit": [{"source": {"alertname": "Blind"}, "target": {"alertname": "Late"}, "equal": ["network"]}],
}


async def test_alerts_are_added_queried_and_keep_their_labels(serving: Serving) -> None:
    async with serving(TABLES) as served:
        amtool = Amtool(served.url)
        await amtool("alert", "add", "Down", "severity=page", "host=db-1", "--annotation=summary=it is down")
        await amtool("alert", "add", "Slow", "severity=none", "--generator-url=http://prom.example/graph")
        await amtool("alert", "add", "host=unnamed")
        found = json.loads(await amtool("alert", "query", "-o", "json"))
        assert sorted((one["labels"] for one in found), key=str) == [
            {"alertname": "Down", "severity": "page", "host": "db-1"},
            {"alertname": "Slow", "severity": "none"},
            {"host": "unnamed"},
        ]
        by_name = {one["labels"].get("alertname", ""): one for one in found}
        assert by_name["Down"]["annotations"] == {"summary": "it is down"}
        assert by_name["Down"]["receivers"] == [{"name": "pager"}]
        assert by_name["Slow"]["generatorURL"] == "http://prom.example/graph"
        (one,) = json.loads(await amtool("alert", "query", "severity=~pa.*", "host!=db-2", "-o", "json"))
        assert one["labels"]["alertname"] == "Down"
        assert json.loads(await amtool("alert", "query", "severity=P0", "-o", "json")) == []
        assert "it is down" in await amtool("alert", "query", "-o", "extended")
        await amtool("alert", "add", "Down", "severity=page", "host=db-1", "--end=2020-01-01T00:00:00Z")
        assert "Down" not in await amtool("alert", "query")


async def test_silences_are_added_changed_imported_and_ended(serving: Serving) -> None:
    async with serving(TABLES) as served:
        amtool = Amtool(served.url)
        await amtool("alert", "add", "Down", "severity=page")
        made = (
            "silence",
            "add",
            "--author=anna",
            "--comment=works",
            "--duration=1h",
            "severity=~p.+",
            "x!=y",
        )
        id_ = (await amtool(*made)).strip()
        (shown,) = json.loads(await amtool("silence", "query", "-o", "json"))
        assert (shown["id"], shown["createdBy"], shown["comment"]) == (id_, "anna", "works")
        assert shown["matchers"] == [
            {"name": "severity", "value": "p.+", "isRegex": True, "isEqual": True},
            {"name": "x", "value": "y", "isRegex": False, "isEqual": False},
        ]
        assert "Down" not in await amtool("alert", "query")
        (hidden,) = json.loads(await amtool("alert", "query", "--silenced", "-o", "json"))
        assert hidden["status"]["state"] == "suppressed"
        assert hidden["status"]["silencedBy"] == [id_]

        assert id_ in await amtool("silence", "update", "--duration=3h", "--comment=longer", id_)
        exported = await amtool("silence", "query", "-o", "json")
        assert json.loads(exported)[0]["comment"] == "longer"
        await amtool("silence", "expire", id_)
        assert json.loads(await amtool("silence", "query", "-o", "json")) == []
        assert "Down" in await amtool("alert", "query")
        await amtool("silence", "expire", id_)
        (ended,) = json.loads(await amtool("silence", "query", "--expired", "-o", "json"))
        assert ended["status"]["state"] == "expired"

        await amtool("silence", "import", "--force", stdin=exported)
        (imported,) = json.loads(await amtool("silence", "query", "-o", "json"))
        assert imported["id"] != id_
        assert imported["matchers"] == shown["matchers"]


async def test_the_configuration_is_shown_and_routes_are_tested(serving: Serving) -> None:
    async with serving(TABLES) as served:
        amtool = Amtool(served.url)
        assert "inhibit_rules" in await amtool("config", "show")
        assert "pager" in await amtool("config", "routes")
        for labels, receivers in (
            (["severity=page"], {"pager"}),
            (["severity=CRITICAL", "team=a"], {"pager"}),
            (["severity=high"], {"ops", "pager"}),
            (["severity=odd", "team=b"], {"ops"}),
            (["severity=odd", "team=c"], {"unrouted"}),
            (["alertname=Watchdog", "severity=page"], {"unrouted"}),
        ):
            printed = await amtool("config", "routes", "test", *labels)
            assert set(printed.strip().split(",")) == receivers, labels


async def test_what_is_refused_is_explained(serving: Serving) -> None:
    async with serving(TABLES) as served:
        amtool = Amtool(served.url)
        unknown = await amtool.run("silence", "expire", "9e7a40f4-1f22-4c2c-9ef3-3e2b8a6c4e51")
        assert unknown.code != 0
        assert "404" in unknown.err
        past = await amtool.run("silence", "add", "--comment=c", "--end=2020-01-01T00:00:00Z", "a=b")
        assert past.code != 0
