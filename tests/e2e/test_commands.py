"""What the commands print and how they end, on what a real run has left."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chainwatch import __version__
from chainwatch.model import TRANSFER_STATUSES
from tests.support.missing import missing
from tests.support.ports import free_port
from tests.support.process import Chainwatch
from tests.support.receiver import Answer
from tests.support.waiting import eventually
from tests.support.world import SECRET, World

pytestmark = pytest.mark.anvil

HEX_HASH = 2 + 64


async def test_looking_at_a_run_shows_what_is_promised(world: World) -> None:
    watch = world.configure(within="2s")
    watch.start()
    await leave_one_of_each(world)
    assert_status(await watch.read("status"))
    assert_transfers(await watch.read("transfers"))
    assert_alerts(await watch.read("alerts"))
    assert_queue(await watch.read("queue", "list"))
    assert_latency(await watch.read("report", "latency"))
    await assert_tables_are_for_people(watch)
    await assert_filters_narrow_what_is_listed(watch)


async def leave_one_of_each(world: World) -> None:
    """One transfer is complete, one late, one overdue, one an orphan, and all is notified."""
    done, late, _, nobodys = world.open(), world.open(), world.open(), world.transfer()
    world.execute(done)
    world.reconcile(done)
    await world.until_notified(4, "TransferOverdue", "firing")
    with world.optimism.one_block():
        world.execute(late)
        world.reconcile(late)
    world.execute(nobodys)
    await world.until_notified(2, "TransferOverdue", "resolved")
    await world.until_notified(1, "TransferOrphan", "firing")
    await world.until_all_notified()


def assert_status(status: dict[str, Any]) -> None:
    assert {"networks", "transfers", "alerts", "queues"} <= status.keys()
    assert [(n["name"], n["chain_id"]) for n in status["networks"]] == [("ethereum", 1), ("optimism", 10)]
    for network in status["networks"]:
        keys = {"name", "chain_id", "checkpoint", "head", "lag_blocks", "seen_until", "state"}
        assert keys <= network.keys()
        assert network["checkpoint"].keys() == {"number", "hash", "timestamp"}
        assert len(network["checkpoint"]["hash"]) == HEX_HASH
        assert network["head"] == network["checkpoint"]["number"]
        assert network["lag_blocks"] == 0
        assert network["seen_until"] >= network["checkpoint"]["timestamp"]
        assert network["state"] == "live"
    statuses = {name: count for name, count in status["transfers"].items() if count}
    assert statuses == {"complete": 2, "overdue": 1, "orphan": 1}
    assert status["transfers"].keys() == set(TRANSFER_STATUSES)
    assert status["alerts"]["firing"] == {"P0": 1, "P1": 1, "P2": 1, "P3": 1}  # P3 is the watchdog
    [queue] = status["queues"]
    assert queue == {"receiver": "hook", "pending": 0, "delivered": 7, "dead": 0, "dropped": 0}


def assert_transfers(transfers: list[dict[str, Any]]) -> None:
    by_status = {t["status"]: t for t in transfers}
    assert sorted(t["status"] for t in transfers) == ["complete", "complete", "orphan", "overdue"]
    keys = {"flow", "key", "status", "origin", "destination", "opened_at", "steps", "deadlines"}
    assert all(t.keys() == keys for t in transfers)
    overdue = by_status["overdue"]
    assert (overdue["flow"], overdue["origin"], overdue["destination"]) == ("connext", "ethereum", "optimism")
    assert len(overdue["key"]) == HEX_HASH
    due_at = overdue["opened_at"] + 2
    assert overdue["deadlines"] == [
        {"step": "execute", "due_at": due_at, "state": "overdue"},
        {"step": "reconcile", "due_at": due_at, "state": "overdue"},
    ]
    assert overdue["steps"].keys() == {"xcall"}
    xcall = overdue["steps"]["xcall"]
    shown = {"amount", "asset", "amount_formatted", "tx_url"}
    assert xcall.keys() == {"network", "block", "timestamp", "tx_hash", "late_by", *shown}
    assert (xcall["amount"], xcall["amount_formatted"], xcall["tx_url"]) == (str(10**18), None, None)
    assert (xcall["network"], xcall["timestamp"]) == ("ethereum", overdue["opened_at"])
    assert len(xcall["tx_hash"]) == HEX_HASH
    assert by_status["orphan"]["opened_at"] is None
    assert by_status["orphan"]["steps"].keys() == {"execute"}
    late_by = {s["late_by"] for t in transfers if t["opened_at"] for s in t["steps"].values()}
    assert late_by - {0}, "one was late"
    for transfer in transfers:
        for step in transfer["deadlines"]:
            if step["state"] in ("met", "late"):
                seen = transfer["steps"][step["step"]]
                assert seen["late_by"] == max(0, seen["timestamp"] - step["due_at"])


def assert_alerts(alerts: list[dict[str, Any]]) -> None:
    names = sorted((a["labels"]["alertname"], a["state"]) for a in alerts)
    assert names == [
        *[("TransferOrphan", "firing")],
        *[("TransferOverdue", "firing")] * 2,
        *[("TransferOverdue", "resolved")] * 2,
        ("Watchdog", "firing"),
    ]
    for alert in alerts:
        assert {"labels", "annotations", "starts_at", "ends_at", "fingerprint"} <= alert.keys()
        assert (alert["ends_at"] is None) == (alert["state"] == "firing")
        assert isinstance(alert["starts_at"], int)


def assert_queue(notifications: list[dict[str, Any]]) -> None:
    assert {n["status"] for n in notifications} == {"delivered"}
    assert {n["receiver"] for n in notifications} == {"hook"}
    keys = [n["idempotency_key"] for n in notifications]
    assert len(set(keys)) == len(keys) == 7


def assert_latency(rows: list[dict[str, Any]]) -> None:
    columns = {"flow", "origin", "destination", "step", "count", "p50", "p90", "p99", "max", "overdue"}
    assert [row["step"] for row in rows] == ["execute", "reconcile"]
    for row in rows:
        assert row.keys() == columns
        assert (row["origin"], row["destination"], row["count"]) == ("ethereum", "optimism", 2)
        assert row["overdue"] == 2
        assert row["p50"] <= row["p90"] <= row["p99"] <= row["max"]


async def assert_tables_are_for_people(watch: Chainwatch) -> None:
    for command in (["status"], ["transfers"], ["alerts"], ["queue", "list"], ["report", "latency"]):
        done = await watch.command(*command)
        assert (done.code, done.err) == (0, "")
        assert not done.out.lstrip().startswith(("{", "["))


async def assert_filters_narrow_what_is_listed(watch: Chainwatch) -> None:
    assert [t["status"] for t in await watch.read("transfers", "--status", "orphan")] == ["orphan"]
    [key] = [t["key"] for t in await watch.read("transfers", "--status", "overdue")]
    assert [t["key"] for t in await watch.read("transfers", "--key", key)] == [key]
    assert len(await watch.read("transfers", "--limit", "2")) == 2
    assert len(await watch.read("alerts", "--firing", "--name", "TransferOverdue")) == 2
    assert len(await watch.read("alerts", "--severity", "critical")) == 1
    assert (await watch.command("transfers", "--status", "lost")).code == 2


async def test_notifications_can_be_tried_again_or_dropped(world: World) -> None:
    world.receiver.usual = lambda _: Answer(429, headers={"Retry-After": "3600"})
    watch = world.configure(within="1s")
    watch.start()
    world.open()
    waiting = await world.until("queue", "list", holds=lambda found: [n["attempts"] for n in found] == [1, 1])
    assert all("429" in n["last_error"] for n in waiting)
    assert await watch.stop() == 0
    first, second = sorted(n["id"] for n in waiting)

    dropped = await watch.command("queue", "drop", str(first))
    assert (dropped.code, dropped.out) == (0, "1 dropped\n")
    retried = await watch.command("queue", "retry", str(second))
    assert (retried.code, retried.out) == (0, "1 to be retried\n")
    world.receiver.usual = lambda _: Answer()
    world.receiver.requests.clear()
    watch.start()
    await eventually(lambda: len(world.notified) == 1)
    ends = {first: "dropped", second: "delivered"}
    await world.until("queue", "list", holds=lambda found: {n["id"]: n["status"] for n in found} == ends)
    assert (await watch.command("queue", "retry")).code == 2
    assert (await watch.command("queue", "retry", str(second), "--receiver", "hook")).code == 2


async def test_check_online_asks_every_endpoint(world: World) -> None:
    good = await world.configure().command("check", "--online")
    assert good.code == 0
    dead = f"http://127.0.0.1:{free_port()}/{SECRET}"
    rpc = [*world.urls(world.ethereum), *world.urls(world.optimism, ["http"]), dead]
    bad = world.configure(ethereum_rpc=rpc)
    done = await bad.command("check", "--online", "--json")
    assert done.code == 1
    found = {row["endpoint"].partition(" ")[0]: row for row in json.loads(done.out)["endpoints"]}
    assert [row["ok"] for row in found.values()] == [True, True, False, False, True, True]
    assert (found["ethereum[0]"]["chain_id"], found["ethereum[0]"]["head"]) == (1, 0)
    assert found["ethereum[0]"]["log_range"] >= 1
    assert "chain 10" in found["ethereum[2]"]["problem"]
    assert found["ethereum[3]"]["problem"]
    assert (await bad.command("check")).code == 0


async def test_a_store_that_is_not_there_is_a_failure_not_a_traceback(world: World) -> None:
    watch = world.configure(store="postgresql://nobody@127.0.0.1:1/none")
    for command in ("run", "status"):
        done = await watch.command(command)
        assert done.code == 1
        assert done.err
        assert "Traceback" not in done.err


async def test_version_help_and_completion(tmp_path: Path) -> None:
    watch = Chainwatch(tmp_path, "")
    assert (await watch.command("--version")).out == f"chainwatch, version {__version__}\n"
    for shell in ("bash", "zsh", "fish"):
        done = await watch.command("completion", shell)
        assert done.code == 0
        assert "_CHAINWATCH_COMPLETE" in done.out
    assert (await watch.command("--help")).code == 0
    assert (await watch.command("no-such-command")).code == 2


def test_the_installed_command_is_the_same() -> None:
    script = Path(sys.executable).with_name("chainwatch")
    if not script.exists():
        missing("the command chainwatch", "the package is not installed in this environment")
    done = subprocess.run([script, "--version"], capture_output=True, text=True)
    assert done.stdout == f"chainwatch, version {__version__}\n"


async def test_a_configuration_named_in_the_environment_is_used(world: World) -> None:
    watch = world.configure()
    environ = {**watch.environ, "CHAINWATCH_CONFIG": str(watch.config)}
    done = subprocess.run([sys.executable, "-m", "chainwatch", "check"], env=environ, capture_output=True)
    assert done.returncode == 0
