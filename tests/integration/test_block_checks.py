"""Invariants on whole blocks, on a real node: transactions that go astray, and ETH from nothing."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from chainwatch.alert_model import Alert
from chainwatch.config import read_dict
from chainwatch.plan import Plan, make_plan
from chainwatch.store import invariants
from chainwatch.store.database import Database
from chainwatch.support.keccak import checksum_address
from tests.integration.test_monitor import checkpoint, raised, running, until
from tests.support.altered import Altered
from tests.support.anvil import Anvil
from tests.support.protocols.chain import Chain

pytestmark = pytest.mark.anvil

ETHER = 10**18
RICH = "0x" + "c0" * 20
SELFDESTRUCT = bytes.fromhex("6002600c60003960026000f333ff")
"""Creates a contract that gives what it is paid back to the caller, and destroys itself."""


class Richer:
    """Answers a larger balance of `RICH` in all blocks but those ``before``; with ``fails``, errors to that and to calls."""

    before: set[str] | None = None
    fails = False

    def alter(self, call: dict[str, Any], answer: dict[str, Any]) -> None:
        is_rich = call["method"] == "eth_getBalance" and call["params"][0].lower() == RICH
        if self.fails and (is_rich or call["method"] == "eth_call"):
            answer.pop("result", None)
            answer["error"] = {"code": -32000, "message": "not today"}
            return
        if is_rich and self.before is not None and call["params"][1]["blockHash"] not in self.before:
            answer["result"] = hex(int(answer["result"], 16) + 3 * ETHER)


def plan_of(folder: Path, node: Anvil, url: str, **tables: Any) -> Plan:
    network = {"chain_id": node.chain_id, "rpc": [url], "poll_interval": "50ms", "start_block": 0}
    config = {
        "store": {"url": f"sqlite:///{folder / 'monitor.db'}"},
        "networks": {"alpha": network},
        "invariants": {name: {"network": "alpha", **table} for name, table in tables.items()},
        "receivers": {"ops": {"provider": "console"}},
        "routes": [{"receivers": ["ops"]}],
    }
    return make_plan(read_dict(config))


def is_read(database: Database, node: Anvil, name: str) -> bool:
    with database.reading() as connection:
        return (
            invariants.cursors(connection, "alpha").get(name) == node.height == checkpoint(database, "alpha")
        )


def alerts(database: Database) -> list[Alert]:
    return raised(database, "InvariantViolated")[::-1]


async def test_eth_that_comes_from_nothing_is_raised_and_what_moves_is_not(
    anvil_factory: Callable[..., Anvil], tmp_path: Path
) -> None:
    an_hour_ago = str(int(time.time()) - 3_600)
    node = anvil_factory(chain_id=1, arguments=("--timestamp", an_hour_ago))
    chain, richer = Chain.at(node), Richer()
    altered = Altered(node, richer.alter)
    node.rpc("anvil_setBalance", RICH, hex(ETHER))
    plan = plan_of(tmp_path, node, altered.url, eth={"kind": "eth_conservation"})
    url = plan.settings.store.url.get_secret_value()
    with closing(Database.open(url, durable=False)) as database:
        async with altered.served(), running(plan, database):
            await until(lambda: is_read(database, node, "eth"))
            gone = chain.deploy(SELFDESTRUCT)
            pay(node, chain.account, gone, ETHER)
            pay(node, chain.account, RICH, ETHER)
            node.mine()
            await until(lambda: is_read(database, node, "eth"))
            assert alerts(database) == []
            richer.before = {node.block(number)["hash"] for number in range(node.height + 1)}
            richer.fails = True
            pay(node, chain.account, RICH, 1)
            await until(lambda: checkpoint(database, "alpha") == node.height)
            await asyncio.sleep(0.5)
            assert not is_read(database, node, "eth")
            assert alerts(database) == raised(database, "TaskFailed") == []
            richer.fails = False
            pay(node, chain.account, RICH, 2)
            await until(lambda: is_read(database, node, "eth"))
            (alert,) = alerts(database)
            block = str(node.height - 1)
            assert alert.annotations["block"] == block
            said = re.fullmatch(
                rf"block {block} of alpha: at least ([0-9.]+) ETH came from nothing in this block",
                alert.annotations["summary"],
            )
            assert said is not None
            assert 2.99 < float(said[1]) <= 3  # less what the block has burned
            await until(
                lambda: alerts(database)[0].state == "resolved"
            )  # 5 minutes after a block of an hour ago


async def test_what_cannot_be_read_of_a_target_is_no_fault_of_its_sender(
    anvil_factory: Callable[..., Anvil], tmp_path: Path
) -> None:
    node = anvil_factory(chain_id=1)
    failing = Richer()
    altered = Altered(node, failing.alter)
    watched, other, factory = node.rpc("eth_accounts")[:3]
    astray = {"kind": "transactions", "senders": [watched], "games": factory}
    plan = plan_of(tmp_path, node, altered.url, astray=astray)
    url = plan.settings.store.url.get_secret_value()
    with closing(Database.open(url, durable=False)) as database:
        async with altered.served(), running(plan, database):
            await until(lambda: is_read(database, node, "astray"))
            failing.fails = True
            pay(node, watched, other, 0)
            await until(lambda: checkpoint(database, "alpha") == node.height)
            await asyncio.sleep(0.5)
            assert alerts(database) == []
            failing.fails = False
            await until(lambda: len(alerts(database)) == 1)


async def test_each_transaction_that_goes_astray_is_one_alert_across_restarts_and_reorgs(
    anvil_factory: Callable[..., Anvil], tmp_path: Path
) -> None:
    node = anvil_factory(chain_id=1)
    watched, other = node.rpc("eth_accounts")[:2]
    astray = {"kind": "transactions", "senders": [watched], "targets": [other]}
    plan = plan_of(tmp_path, node, node.http_url, astray=astray)
    url = plan.settings.store.url.get_secret_value()

    def faults(database: Database) -> list[str]:
        return [alert.annotations["summary"].partition(": ")[2] for alert in alerts(database)]

    with closing(Database.open(url, durable=False)) as database:
        async with running(plan, database):
            await until(lambda: is_read(database, node, "astray"))
            pay(node, watched, other, ETHER)
            pay(node, other, RICH, ETHER)
            pay(node, watched, RICH, 2 * ETHER)
            await until(lambda: is_read(database, node, "astray"))
            target = checksum_address(bytes.fromhex(RICH[2:]))
            went = f"it went to {target} with 2 ETH, which is none of its targets"
            assert faults(database) == [went]
        with node.one_block():  # while nothing runs
            pay(node, watched, RICH, 0)
            node.rpc("eth_sendTransaction", {"from": watched, "input": "0xfe", "gas": hex(10**6)})
        node.mine(40)
        missed = [f"it went to {target}, which is none of its targets", "it created a contract"]
        async with running(plan, database):
            await until(lambda: is_read(database, node, "astray"))
            assert faults(database) == [went, *missed]
            pay(node, watched, RICH, 0)
            await until(lambda: is_read(database, node, "astray"))
            assert len(alerts(database)) == 4
            node.reorg(1)
            await until(lambda: alerts(database)[-1].state == "resolved")
            assert alerts(database)[-1].reason == "reorg"


def pay(node: Anvil, sender: str, to: str, wei: int) -> None:
    sent = {"from": sender, "to": to, "value": hex(wei), "gas": hex(10**6)}
    node.rpc("eth_sendTransaction", sent)
