"""A real Prometheus scrapes the server as the example configures it; its rules and the board find their metrics."""

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from chainwatch.model import Occurrence, Transfer
from chainwatch.store import endpoints, transfers
from chainwatch.store.endpoints import StoredEndpoint
from chainwatch.support import counters
from tests.support.missing import missing
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE
from tests.unit.api.conftest import Served, Serving
from tests.unit.api.test_metrics import BRIDGE, _saw

EXAMPLES = Path(__file__).parents[3] / "examples"
VARIABLES = {"$network": ".*", "$flow": ".*", "$__rate_interval": "1m"}
RAISED = {"ChainwatchTransfersOverdue", "ChainwatchEndpointDown", "ChainwatchNetworkNotSeen"}
METRICS = re.compile(r"\b((?:chainwatch|process|alertmanager)_\w+)")


@pytest.fixture(scope="module")
def program() -> str:
    found = shutil.which("prometheus")
    if found is None:
        missing("prometheus", "Debian's package prometheus has it")
    return found


def board_expressions() -> Iterator[str]:
    board = json.loads((EXAMPLES / "grafana" / "chainwatch.json").read_text())
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            expression = target["expr"]
            for name, value in VARIABLES.items():
                expression = expression.replace(name, value)
            yield expression


def rule_expressions() -> Iterator[str]:
    groups = yaml.safe_load((EXAMPLES / "prometheus" / "chainwatch.rules.yml").read_text())["groups"]
    for group in groups:
        for rule in group["rules"]:
            yield rule["expr"]


@asynccontextmanager
async def prometheus(program: str, folder: Path, port: int) -> AsyncIterator[str]:
    """The address of a Prometheus with the example's configuration, which scrapes ``port`` every second."""
    shutil.copy(EXAMPLES / "prometheus" / "chainwatch.rules.yml", folder)
    config = (EXAMPLES / "prometheus" / "prometheus.yml").read_text()
    assert "127.0.0.1:9095" in config
    config = config.replace("127.0.0.1:9095", f"127.0.0.1:{port}").replace("15s", "1s")
    (folder / "prometheus.yml").write_text(config)
    address = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        [
            program,
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address={address}",
            "--log.level=error",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"http://{address}"
    finally:
        process.kill()
        process.wait()


async def ask(client: aiohttp.ClientSession, url: str, path: str, **query: str) -> Any:
    """The ``data`` of an answer of Prometheus' API; None while there is none."""
    try:
        async with client.get(f"{url}/api/v1/{path}", params=query) as answer:
            found = await answer.json(content_type=None)
    except (aiohttp.ClientError, ValueError):
        return None
    assert found["status"] == "success", (query, found)
    return found["data"]


async def until_scraped(client: aiohttp.ClientSession, url: str) -> None:
    """Wait for a scrape, and for the alerts that are to be raised by it."""
    async with asyncio.timeout(PATIENCE):
        while True:
            data = await ask(client, url, "query", query='up{job="chainwatch"} == 1')
            rules = await ask(client, url, "rules")
            active = {
                r["name"] for g in (rules or {"groups": ()})["groups"] for r in g["rules"] if r["alerts"]
            }
            if data and data["result"] and active >= RAISED:
                return
            await asyncio.sleep(0.2)


def fill(served: Served) -> None:
    """Have something of every family."""
    _saw(served.running.database, "a")
    counters.CALLS["a", "eth_getLogs", "answered"] += 1
    counters.REFUSALS["a", "eth_getLogs"] += 1
    counters.STEP_SECONDS.observe(("connext", "execute"), 50)
    counters.CRASHES["network x",] += 1
    facts = {"@amount": 5, "@asset": "0x" + "00" * 20}
    step = Occurrence("xcall", "a", 5, 0, 1_700_000_000, b"t" * 32, facts)
    sent = Transfer("connext", "1", 0, "overdue", "a", "b", 1_700_000_000, (step,))
    with served.running.database.transaction() as connection:
        transfers.save(connection, [(Transfer("connext", "1"), sent)])
        endpoint = StoredEndpoint("a[0] node", "a", "http", "down", 5, 1, 0.2, 0.1, 1.7e9, None, 1.7e9)
        endpoints.save(connection, [endpoint], [])


@pytest.mark.slow
async def test_a_real_prometheus_scrapes_and_every_expression_finds_its_metrics(
    serving: Serving, program: str, tmp_path: Path
) -> None:
    async with serving(BRIDGE) as served:
        fill(served)
        async with prometheus(program, tmp_path, served.port) as url:
            await until_scraped(served.client, url)
            names = set(await ask(served.client, url, "label/__name__/values"))
            expressions = [*board_expressions(), *rule_expressions()]
            for expression in expressions:
                assert set(METRICS.findall(expression)) <= names, expression
                assert await ask(served.client, url, "query", query=expression) is not None
            rules = [r for g in (await ask(served.client, url, "rules"))["groups"] for r in g["rules"]]
            assert {r["name"]: r["health"] for r in rules} == {r["name"]: "ok" for r in rules}
            targets = (await ask(served.client, url, "targets"))["activeTargets"]
            assert [target["lastError"] for target in targets] == [""]
    assert len(expressions) > 30


def test_promtool_takes_the_rules_and_the_configuration() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        missing("promtool", "Debian's package prometheus has it")
    for what, name in (("rules", "chainwatch.rules.yml"), ("config", "prometheus.yml")):
        checked = subprocess.run(
            [promtool, "check", what, str(EXAMPLES / "prometheus" / name)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert checked.returncode == 0, checked.stderr
