"""The request sequences of Karma and Grafana, in a browser or through a proxy, and a real Prometheus that alerts here."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.missing import missing
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE
from tests.unit.api.conftest import Served, Serving

KARMA = "https://karma.example.org"
SILENCE = {
    "matchers": [{"name": "alertname", "value": "Down", "isRegex": False, "isEqual": True}],
    "startsAt": "2026-01-01T00:00:00.000Z",
    "endsAt": "2099-01-01T00:15:00.000Z",
    "createdBy": "anna@example.org",
    "comment": "ACK! This alert was acknowledged using karma",
}


async def test_karma_reads_alerts_and_silences(serving: Serving) -> None:
    async with serving() as served:
        await served.ask("POST", "/api/v2/alerts", json=[{"labels": {"alertname": "Down", "job": "x"}}])
        _, text = await served.get("/metrics")
        families = {family.name: family for family in text_string_to_metric_families(text)}
        (build,) = families["alertmanager_build_info"].samples
        assert tuple(map(int, build.labels["version"].split("."))) >= (0, 22, 0)
        assert await served.get("/api/v2/silences") == (200, [])
        ((status, (group,)),) = (await served.get("/api/v2/alerts/groups"),)
        assert status == 200
        (alert,) = group["alerts"]
        assert group["receiver"] == {"name": "ops"}
        assert alert["labels"] == {"alertname": "Down", "job": "x"}
        assert alert["annotations"] == {}
        assert alert["status"] == {"state": "active", "silencedBy": [], "inhibitedBy": [], "mutedBy": []}
        assert {"startsAt", "fingerprint"} <= alert.keys()


async def test_karma_silences_from_the_browser_of_an_allowed_origin_only(serving: Serving) -> None:
    async with serving(allowed_origins=[KARMA]) as served:
        for origin, allowed in ((KARMA, True), ("https://elsewhere.example", False)):
            asking = {
                "Origin": origin,
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "content-type",
            }
            url = f"{served.url}/api/v2/silences"
            async with served.client.options(url, headers=asking) as answer:
                assert answer.ok == allowed
                assert answer.headers.get("Access-Control-Allow-Origin") == (origin if allowed else None)
            async with served.client.post(url, json=SILENCE, headers={"Origin": origin}) as answer:
                assert answer.status == (200 if allowed else 403)
                assert answer.content_type == "application/json"
                assert answer.headers.get("Access-Control-Allow-Origin") == (origin if allowed else None)
        _, (silence,) = await served.get("/api/v2/silences")
        headers = {"Origin": KARMA}
        edited = {**SILENCE, "id": silence["id"], "startsAt": silence["startsAt"], "comment": "longer"}
        status, same = await served.ask("POST", "/api/v2/silences", json=edited, headers=headers)
        assert (status, same) == (200, {"silenceID": silence["id"]})
        assert (await served.ask("DELETE", f"/api/v2/silence/{silence['id']}", headers=headers))[0] == 200
        (ended,) = (await served.get("/api/v2/silences"))[1]
        assert (ended["status"], ended["comment"]) == ({"state": "expired"}, "longer")


async def test_grafana_finds_no_mimir_and_reads_everything(serving: Serving) -> None:
    async with serving() as served:
        assert (await served.get("/alertmanager/api/v2/status"))[0] == 404
        assert (await served.get("/api/v2/status"))[0] == 200
        status, made = await served.ask("POST", "/api/v2/silences", json=SILENCE)
        assert status == 200
        assert (await served.get(f"/api/v2/silence/{made['silenceID']}"))[1]["comment"] == SILENCE["comment"]
        query = "active=true&silenced=true&inhibited=true&filter=alertname%3D%22Down%22"
        assert await served.get(f"/api/v2/alerts/groups?{query}") == (200, [])
        assert await served.get(f"/api/v2/alerts?{query}") == (200, [])
        assert [s["id"] for s in (await served.get("/api/v2/silences"))[1]] == [made["silenceID"]]
        yaml = {"Content-Type": "application/yaml"}
        assert (await served.ask("POST", "/api/v2/alerts", data="- labels: {a: b}", headers=yaml))[0] == 415


# --- Prometheus -----------------------------------------------------------------------------------------

RULES = """
groups:
  - name: chainwatch
    interval: 200ms
    rules:
      - alert: Down
        expr: up{job="gone"} == 0
        labels: {severity: page}
        annotations: {summary: "{{ $labels.instance }} is down"}
%s
"""
MANY = 300


def rules(*, many: bool) -> str:
    extra = [
        f'      - {{alert: Many, expr: "vector(1)", labels: {{number: "{number}"}}}}'
        for number in range(MANY)
    ]
    return RULES % ("\n".join(extra) if many else "")


class Prometheus:
    """Debian's, with an ``alerting:`` section that names ``port``."""

    def __init__(self, folder: Path, port: int) -> None:
        program = shutil.which("prometheus")
        if program is None:
            missing("Prometheus", "Debian's package prometheus has it")
        self.port = free_port()
        self._rules = folder / "rules.yml"
        config = {
            "global": {"scrape_interval": "200ms", "scrape_timeout": "100ms", "evaluation_interval": "200ms"},
            "rule_files": [str(self._rules)],
            "scrape_configs": [
                {"job_name": "gone", "static_configs": [{"targets": [f"127.0.0.1:{free_port()}"]}]}
            ],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}]},
        }
        (folder / "prometheus.yml").write_text(json.dumps(config))
        self._command = [
            program,
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--web.enable-lifecycle",
            "--rules.alert.resend-delay=2s",  # an alert ends where none comes within four times of it
            "--log.level=error",
        ]

    @asynccontextmanager
    async def running(self, text: str) -> AsyncIterator[None]:
        self._rules.write_text(text)
        process = subprocess.Popen(self._command)
        try:
            yield
        finally:
            process.kill()
            process.wait()

    async def follow(self, text: str) -> None:
        self._rules.write_text(text)
        async with aiohttp.request("POST", f"http://127.0.0.1:{self.port}/-/reload") as answer:
            assert answer.status == 200


Alerts = list[dict[str, Any]]


async def until(served: Served, found: Callable[[Alerts], bool]) -> Alerts:
    alerts: Alerts
    async with asyncio.timeout(PATIENCE):
        while not found(alerts := (await served.get("/api/v2/alerts"))[1]):
            await asyncio.sleep(0.1)
    return alerts


def named(alerts: Alerts, name: str) -> Alerts:
    return [one for one in alerts if one["labels"]["alertname"] == name]


@pytest.mark.slow
async def test_a_real_prometheus_fires_resends_and_resolves(serving: Serving, tmp_path: Path) -> None:
    async with serving() as served:
        prometheus = Prometheus(tmp_path, served.port)
        async with prometheus.running(rules(many=True)):
            alerts = await until(served, lambda a: len(named(a, "Many")) == MANY and bool(named(a, "Down")))
            (down,) = named(alerts, "Down")
            assert down["labels"]["severity"] == "page"
            assert down["annotations"] == {"summary": f"{down['labels']['instance']} is down"}
            assert "up%7Bjob" in down["generatorURL"]
            later = await until(served, lambda a: named(a, "Down")[0]["updatedAt"] > down["updatedAt"])
            assert named(later, "Down")[0]["startsAt"] == down["startsAt"]
            assert named(later, "Down")[0]["fingerprint"] == down["fingerprint"]
            await prometheus.follow(rules(many=False).replace('up{job="gone"} == 0', 'up{job="gone"} == 2'))
            left = await until(served, lambda a: not named(a, "Down"))
            assert all(one["labels"]["alertname"] == "Many" for one in left)
        async with aiohttp.request("GET", f"{served.url}/v1/alerts?name=Down") as answer:
            (row,) = (await answer.json())["rows"]
            assert (row["state"], row["reason"]) == ("resolved", "resolved by its sender")
