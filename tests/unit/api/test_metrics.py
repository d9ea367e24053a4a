"""Metrics as Prometheus reads them: both formats, few labels, one read for many scrapers."""

import asyncio
import re
import shutil
import subprocess
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from chainwatch.api import metrics
from chainwatch.checker.flow import AMOUNT, ASSET
from chainwatch.model import Batch, Checkpoint, Header, Occurrence, Transfer
from chainwatch.operations.measures import OTHERS, measure
from chainwatch.store import blocks, endpoints, transfers
from chainwatch.store.blocks import NetworkState
from chainwatch.store.database import Database
from chainwatch.store.endpoints import StoredEndpoint
from chainwatch.support import counters
from tests.support import connext
from tests.support.missing import missing
from tests.support.storing import store_batch
from tests.unit.api.conftest import Served, Serving

NETWORKS: dict[str, Any] = {
    "networks": {name: {"chain_id": id, "rpc": ["http://127.0.0.1:1"]} for id, name in enumerate("ab", 1)}
}

ROOT = Path(__file__).parents[3]
BRIDGE: dict[str, Any] = {
    "networks": {
        name: {**settings, "domain": settings["chain_id"], "currency": {"symbol": "ETH", "decimals": 18}}
        for name, settings in NETWORKS["networks"].items()
    },
    "contracts": {
        "connext": {"abi": str(ROOT / "abi" / "connext.json"), "address": connext.ETHEREUM.address}
    },
    **tomllib.loads(connext.flow("3h")),
}


def samples(text: str) -> dict[tuple[str, tuple[str, ...]], float]:
    """(name, values of its labels in the order of their names) → number."""
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


async def test_what_the_process_counts_goes_on_after_a_reload(serving: Serving) -> None:
    def count() -> None:
        counters.CRASHES["network x",] += 1
        counters.BLOCKS_READ["a",] += 7
        counters.CALLS["a", "eth_getLogs", "answered"] += 2
        counters.REFUSALS["a", "eth_getLogs"] += 1
        counters.ATTEMPTS["ops", "failed"] += 3
        counters.TRANSACTION_SECONDS.observe(("write",), 0.002)

    names = {
        ("chainwatch_task_crashes_total", ("network x",)): 1,
        ("chainwatch_blocks_read_total", ("a",)): 7,
        ("chainwatch_rpc_calls_total", ("eth_getLogs", "a", "answered")): 2,
        ("chainwatch_rpc_refusals_total", ("eth_getLogs", "a")): 1,
        ("chainwatch_notification_attempts_total", ("failed", "ops")): 3,
    }
    count()
    async with serving(NETWORKS) as served:
        before = samples(await text_of(served))
    count()
    async with serving(NETWORKS) as served:
        after = samples(await text_of(served))
    assert {name: after[name] - before[name] for name in names} == names
    written = ("chainwatch_database_transaction_seconds_count", ("write",))
    assert after[written] > before[written]
    assert before["chainwatch_logs_read_total", ("b",)] == 0


async def test_labels_are_those_of_the_configuration(serving: Serving) -> None:
    counters.ATTEMPTS["somebody", "dead"] += 1
    counters.BLOCKS_READ["elsewhere",] += 1
    counters.STEP_SECONDS.observe(("unknown flow", "x"), 1)
    async with serving(NETWORKS) as served:
        text = await text_of(served)
    assert not re.search("somebody|elsewhere|unknown flow", text)


async def test_routes_have_their_transfers_amounts_and_ages(serving: Serving) -> None:
    now = int(time.time())
    facts = {AMOUNT: 15 * 10**17, ASSET: "0x" + "00" * 20}

    def transfer(key: str, status: str, destination: str) -> Transfer:
        step = Occurrence("send", "a", 5, 0, now - 60, b"t" * 32, facts)
        return Transfer("connext", key, 0, status, "a", destination, now - 60, (step,))

    some = [transfer("1", "open", "b"), transfer("2", "overdue", "b"), transfer("3", "complete", "?99")]
    async with serving(BRIDGE) as served:
        with served.running.database.transaction() as connection:
            transfers.save(connection, [(Transfer(t.flow, t.key), t) for t in some])
        found = samples(await text_of(served))
    assert found["chainwatch_transfers", ("b", "connext", "a", "overdue")] == 1
    assert found["chainwatch_transfers", (OTHERS, "connext", "a", "complete")] == 1
    assert found["chainwatch_transfers", ("b", "connext", "a", "orphan")] == 0
    assert found["chainwatch_transfers_in_flight", ("b", "connext", "a")] == 2
    assert found["chainwatch_transfers_in_flight", ("", "connext", "")] == 0
    assert found["chainwatch_transfers_in_flight_amount", ("ETH", "b", "connext", "a")] == 3.0
    assert found["chainwatch_transfers_oldest_age_seconds", ("b", "connext", "a")] >= 60


async def test_more_than_ten_families_are_by_network(serving: Serving) -> None:
    async with serving(NETWORKS) as served:
        _saw(served.running.database, "a")
        with served.running.database.transaction() as connection:
            endpoint = StoredEndpoint("a[0] node", "a", "http", "ok", 5, 1, 0.2, 0.1, 1.7e9, None, 1.7e9)
            endpoints.save(connection, [endpoint], [])
        found = samples(await text_of(served))
        families = parse_text(await text_of(served))
    assert found["chainwatch_endpoint_state", ("a[0] node", "a", "ok")] == 1
    assert sum(any("network" in s.labels for s in family.samples) for family in families) >= 10


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
