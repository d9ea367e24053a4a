"""A real Prometheus writes its samples into chainwatch by remote write, and is scraped by it."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from chainwatch.promql.series import Series
from chainwatch.rule_engine.scraping import REPORTS
from chainwatch.support.counters import SAMPLES, SAMPLES_REFUSED
from tests.support.missing import missing
from tests.support.ports import free_port
from tests.support.waiting import eventually
from tests.unit.api.conftest import Served, serving_on

CONFIG = """
global: {scrape_interval: 1s, external_labels: {cluster: "c1"}}
scrape_configs:
- job_name: prometheus
  static_configs: [{targets: ["ADDRESS"]}]
- job_name: nobody
  static_configs: [{targets: ["127.0.0.1:1"]}]
remote_write:
- url: URL/api/v1/write
  queue_config: {batch_send_deadline: 200ms}
  metadata_config: {send_interval: 1s}
"""


@asynccontextmanager
async def prometheus(folder: Path, address: str, url: str) -> AsyncIterator[None]:
    """Run a Prometheus at ``address`` that scrapes itself every second, and writes to ``url``."""
    program = shutil.which("prometheus")
    if program is None:
        missing("prometheus", "Debian's package prometheus has it")
    (folder / "prometheus.yml").write_text(CONFIG.replace("ADDRESS", address).replace("URL", url))
    options = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    process = subprocess.Popen(
        [program, *options, f"--web.listen-address={address}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()


@asynccontextmanager
async def taking_samples(served: Served) -> AsyncIterator[None]:
    """Run what takes samples beside the server."""
    tasks = [asyncio.ensure_future(task()) for task in served.rules.companions(served.running).values()]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def found(served: Served, **labels: str) -> list[Series]:
    return [one for one in served.rules.tsdb.select(()) if labels.items() <= dict(one.labels).items()]


def up(served: Served, job: str) -> list[Series]:
    return found(served, __name__="up", job=job)


async def test_what_prometheus_scrapes_arrives_and_it_is_scraped_itself(
    sqlite_url: str, tmp_path: Path
) -> None:
    refused = dict(SAMPLES_REFUSED)
    before = SAMPLES["remote write",]
    address = f"127.0.0.1:{free_port()}"
    table = {"job": "scraped", "targets": address, "interval": "1s"}
    async with (
        serving_on(sqlite_url)({"scrape": [table]}, loads=True) as served,
        taking_samples(served),
        prometheus(tmp_path, address, served.url),
    ):
        for job in ("prometheus", "scraped"):
            await eventually(lambda job=job: any(len(one.values) > 2 for one in up(served, job)))  # type: ignore[misc]
        await eventually(lambda: served.rules.tsdb.metadata("prometheus_build_info"))
        expected = await count(address)
        await eventually(lambda: len(found(served, job="prometheus")) >= expected)
        await eventually(lambda: len(found(served, job="scraped")) >= expected - 10)
        written = found(served, job="prometheus")
        assert {one.labels["cluster"] for one in written} == {"c1"}
        assert {one.labels["__name__"] for one in written} >= set(REPORTS) - {"scrape_series_added"}
        await eventually(lambda: [one.values[-1] for one in up(served, "nobody")] == [0])
        await eventually(lambda: [one.values[-1] for one in up(served, "scraped")] == [1])
        assert served.rules.tsdb.metadata("prometheus_build_info")["prometheus_build_info"].type == "gauge"
    assert SAMPLES["remote write",] > before + 1000
    assert dict(SAMPLES_REFUSED) == refused


async def count(address: str) -> float:
    """How many series Prometheus has of its own job."""
    async with aiohttp.ClientSession() as client:
        query = {"query": 'count({job="prometheus"})'}
        async with client.get(f"http://{address}/api/v1/query", params=query) as answer:
            return float((await answer.json())["data"]["result"][0]["value"][1])
