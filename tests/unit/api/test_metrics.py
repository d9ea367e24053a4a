"""Metrics as Prometheus reads them: both formats, few labels, one read for many scrapers."""

import asyncio
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from chainwatch.api import metrics
from chainwatch.model import Batch, Checkpoint, Header
from chainwatch.operations.measures import measure
from chainwatch.store import blocks
from chainwatch.store.blocks import NetworkState
from chainwatch.store.database import Database
from tests.support.missing import missing
from tests.support.storing import store_batch
from tests.unit.api.conftest import Served, Serving

NETWORKS: dict[str, Any] = {
    "networks": {name: {"chain_id": id, "rpc": ["http://127.0.0.1:1"]} for id, name in enumerate("ab", 1)}
}


def samples(text: str) -> dict[tuple[str, tuple[str, ...]], float]:
    """(name, values of its labels) → number."""
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in parse_text(text)
        for sample in family.samples
    }


async def text_of(served: Served, **options: Any) -> str:
    status, text = await served.get("/metrics", **options)
    assert status == 200
    return str(text)


async def test_both_formats_are_parsed_and_hold_the_same_families(serving: Serving) -> None:
    async with serving(NETWORKS) as served:
        async with served.client.get(f"{served.url}/metrics") as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            plain = list(parse_text(await answer.text()))
        accept = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"}
        async with served.client.get(f"{served.url}/metrics", headers=accept) as answer:
            assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
            open_ = list(parse_openmetrics(await answer.text()))  # type: ignore[no-untyped-call]
        assert {f.name for f in open_} == {f.name.removesuffix("_info") for f in plain}
        assert sum("network" in s.labels for f in plain for s in f.samples) > 0


@pytest.mark.parametrize(
    "accept", ["", "*/*", ";;,", "application/openmetrics-text;version=x\tq", "text/plain;version=9e9"]
)
async def test_any_accept_header_is_answered(serving: Serving, accept: str) -> None:
    async with serving() as served:
        assert "chainwatch_build_info" in await text_of(served, headers={"Accept": accept})


async def test_promtool_is_content(serving: Serving) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        missing("promtool", "Debian's package prometheus has it")
    async with serving(NETWORKS) as served:
        _saw(served.running.database, "a")
        text = await text_of(served)
        checked = subprocess.run(
            [promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False
        )
        assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def _saw(database: Database, network: str) -> None:
    with database.transaction() as connection:
        last = Header(90, b"\1" * 32, b"\2" * 32, 1_700_000_000)
        checkpoint = Checkpoint(network, last, 5, 1_600_000_000, 1_700_000_005)
        store_batch(connection, Batch(network, 90, last, headers=(last,)), checkpoint)
        state = NetworkState(network, "live", 100, 1_700_000_100, None, 4e9)
        blocks.save_states(connection, [state])


async def test_networks_have_their_blocks_and_times(serving: Serving) -> None:
    async with serving(NETWORKS) as served:
        _saw(served.running.database, "a")
        found = samples(await text_of(served))
        assert found["chainwatch_network_head_block", ("a",)] == 100
        assert found["chainwatch_network_checkpoint_block", ("a",)] == 90
        assert found["chainwatch_network_lag_blocks", ("a",)] == 10
        assert found["chainwatch_network_seen_until_timestamp_seconds", ("a",)] == 1_700_000_005
        assert found["chainwatch_network_seen_age_seconds", ("a",)] > 0
        assert found["chainwatch_network_state", ("a", "live")] == 1
        assert found["chainwatch_network_state", ("b", "stopped")] == 1
        assert ("chainwatch_network_head_block", ("b",)) not in found


async def test_many_scrapers_cost_one_read(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = 0

    def counted(*args: Any) -> Any:
        nonlocal reads
        reads += 1
        return measure(*args)

    monkeypatch.setattr(metrics, "measure", counted)
    monkeypatch.setattr(metrics, "FRESH_FOR", 60.0)
    async with serving() as served:
        await asyncio.gather(*(text_of(served) for _ in range(20)))
        assert reads == 1


async def test_numbers_are_read_again_when_they_are_old(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "FRESH_FOR", 0.0)
    monkeypatch.setattr(metrics, "SHARE", 0)
    async with serving(NETWORKS) as served:
        assert ("chainwatch_network_head_block", ("a",)) not in samples(await text_of(served))
        _saw(served.running.database, "a")
        assert ("chainwatch_network_head_block", ("a",)) in samples(await text_of(served))


async def test_a_crash_of_a_task_is_counted(serving: Serving) -> None:
    async with serving() as served:
        served.running.alerting.supervisor.crashes["network x"] = 3
        assert samples(await text_of(served))["chainwatch_task_crashes_total", ("network x",)] == 3


async def test_a_database_that_refuses_is_a_problem(serving: Serving) -> None:
    async with serving() as served:
        served.running.database.close()
        assert (await served.get("/metrics"))[0] == 503


async def test_the_page_has_every_metric_and_no_other(serving: Serving) -> None:
    page = (Path(__file__).parents[3] / "docs" / "api.md").read_text()
    written = set(re.findall(r"^\| `(chainwatch_\w+)`", page, re.MULTILINE))
    async with serving(NETWORKS) as served:
        text = await text_of(served)
    families = re.findall(r"^# TYPE (chainwatch_\w+)", text, re.MULTILINE)
    assert set(families) == written
    assert len(families) == len(set(families))
