"""Invariants on real nodes: raised within a block, ended, undone by a reorg, found by a replay."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from chainwatch.cli import main
from chainwatch.commands import invariants as invariants_commands
from chainwatch.config import read_dict
from chainwatch.plan import Plan, make_plan
from chainwatch.replay import session
from chainwatch.replay.session import Wanted
from chainwatch.rule_engine.replaying import GivenSamples, rules_over_history
from chainwatch.store import accepted_values, invariants
from chainwatch.store.accepted_values import BY_NOBODY, Accepted
from chainwatch.store.database import Database
from chainwatch.store.invariants import Check, Reading
from chainwatch.support.keccak import keccak256
from tests.integration.test_monitor import checkpoint, raised, running, until
from tests.support.anvil import Anvil

pytestmark = pytest.mark.anvil

SAFE = "0x" + "5a" * 20
TOKEN = "0x" + "70" * 20
EMITTER = "0x" + "e0" * 20
SLOT_ZERO = "0x60005460005260206000f3"
"""Code that returns what is in its storage at slot 0, whatever is called."""
REVERTS = "0x60006000fd"
TOTAL = "function totalSupply() view returns (uint256)"
ABI = [
    {"type": "event", "name": "Moved", "inputs": [{"name": "amount", "type": "uint256", "indexed": False}]},
]
MOVED = keccak256(b"Moved(uint256)")

INVARIANTS: dict[str, Any] = {
    "floor": {
        "severity": "P0",
        "values": {"funds": {"network": "alpha", "address": SAFE, "balance": True}},
        "assert": "funds >= 10",
    },
    "backed": {
        "values": {
            "locked": {"network": "alpha", "address": TOKEN, "call": TOTAL},
            "minted": {"network": "beta", "address": TOKEN, "call": TOTAL},
        },
        "assert": "locked >= minted",
    },
    "code": {
        "values": {
            "hash": {"network": "alpha", "address": TOKEN, "code_hash": True},
            "slot": {"network": "alpha", "address": TOKEN, "storage": 0},
            "at": {"network": "alpha", "block": "timestamp"},
        },
        "assert": f'hash == "0x{keccak256(bytes.fromhex(SLOT_ZERO[2:])).hex()}" and at > 0 and uint(slot) >= 0',
    },
    "quiet": {
        "values": {
            "moved": {
                "network": "alpha",
                "contract": "mover",
                "event": "Moved",
                "take": "sum",
                "of": "amount",
                "within": "1h",
            },
        },
        "every": {"contract": "mover", "event": "Moved"},
        "assert": "moved <= 100",
    },
}


class Chains:
    """Two nodes, with a token on each."""

    def __init__(self, alpha: Anvil, beta: Anvil, folder: Path) -> None:
        self.alpha, self.beta, self.folder = alpha, beta, folder
        for node in (alpha, beta):
            node.rpc("anvil_setCode", TOKEN, SLOT_ZERO)
            self.mint(node, 100)
        alpha.rpc("anvil_setBalance", SAFE, hex(100))
        alpha.set_emitter(EMITTER)
        for node in (alpha, beta):
            node.mine()
        (folder / "mover.json").write_text(json.dumps(ABI))

    def mint(self, node: Anvil, supply: int) -> None:
        node.rpc("anvil_setStorageAt", TOKEN, "0x0", "0x" + supply.to_bytes(32).hex())

    def move(self, amount: int) -> None:
        self.alpha.emit(EMITTER, [MOVED], amount.to_bytes(32))

    def plan(self, **tables: Any) -> Plan:
        config = {
            "store": {"url": f"sqlite:///{self.folder / 'monitor.db'}"},
            "networks": {
                "alpha": {
                    "chain_id": 1,
                    "rpc": [self.alpha.http_url],
                    "poll_interval": "100ms",
                    "start_block": 0,
                },
                "beta": {
                    "chain_id": 10,
                    "rpc": [self.beta.http_url],
                    "poll_interval": "100ms",
                    "start_block": 0,
                },
            },
            "contracts": {"mover": {"abi": str(self.folder / "mover.json"), "address": EMITTER}},
            "invariants": INVARIANTS,
            "receivers": {"ops": {"provider": "console"}},
            "routes": [{"receivers": ["ops"]}],
            **tables,
        }
        return make_plan(read_dict(config))

    @asynccontextmanager
    async def monitored(self) -> AsyncIterator[Database]:
        plan = self.plan()
        with closing(Database.open(plan.settings.store.url.get_secret_value(), durable=False)) as database:
            async with running(plan, database):
                yield database


@pytest.fixture
def chains(anvil_factory: Callable[..., Anvil], tmp_path: Path) -> Chains:
    return Chains(anvil_factory(chain_id=1), anvil_factory(chain_id=10), tmp_path)


def states(database: Database, name: str = "InvariantViolated") -> dict[str, tuple[str, str]]:
    return {a.labels["invariant"]: (a.state, a.reason) for a in reversed(raised(database, name))}


def checked(database: Database, name: str) -> int:
    with database.reading() as connection:
        return max((c.block for c in invariants.checks(connection, name) if c.holds is not None), default=-1)


async def test_breaches_are_raised_within_a_block_and_end(chains: Chains) -> None:
    alpha, beta = chains.alpha, chains.beta
    async with chains.monitored() as database:
        await until(lambda: checked(database, "floor") == alpha.height and checked(database, "backed") >= 0)
        assert states(database) == {}

        alpha.rpc("anvil_setBalance", SAFE, hex(9))
        alpha.mine()
        await until(lambda: states(database).get("floor") == ("firing", ""))
        (alert,) = raised(database, "InvariantViolated")
        assert alert.labels["severity"] == "P0"
        assert alert.annotations["values"] == "funds = 9"
        assert alert.annotations["block"] == str(alpha.height)

        alpha.rpc("anvil_setBalance", SAFE, hex(10))
        alpha.mine()
        await until(lambda: states(database)["floor"] == ("resolved", "holds again"))

        chains.mint(beta, 101)
        beta.mine()
        await until(lambda: states(database).get("backed") == ("firing", ""))
        chains.mint(alpha, 101)
        alpha.mine()
        await until(lambda: states(database)["backed"] == ("resolved", "holds again"))

        chains.move(60)
        await until(lambda: checked(database, "quiet") == alpha.height)
        chains.move(41)
        await until(lambda: states(database).get("quiet") == ("firing", ""))

        alpha.rpc("anvil_setCode", TOKEN, REVERTS)
        alpha.mine()
        await until(lambda: states(database).get("code") == ("firing", ""))
        with database.reading() as connection:
            last = invariants.checks(connection, "backed")[-1]
        assert last.holds is None
        assert last.error is None or "revert" in last.error
    assert set(states(database)) == {"floor", "backed", "quiet", "code"}


async def test_a_breach_in_a_block_that_is_gone_ends_and_a_restart_changes_nothing(
    chains: Chains,
) -> None:  # S4
    alpha = chains.alpha
    async with chains.monitored() as database:
        await until(lambda: checked(database, "floor") == alpha.height)
        alpha.rpc("anvil_setBalance", SAFE, hex(9))
        alpha.mine()
        await until(lambda: states(database).get("floor") == ("firing", ""))
    async with chains.monitored() as database:  # as after a restart
        await until(lambda: checkpoint(database, "alpha") == alpha.height)
        assert states(database)["floor"] == ("firing", "")
        alpha.reorg(1)
        await until(lambda: ("resolved", "reorg") in _all(database))
        alpha.rpc("anvil_setBalance", SAFE, hex(10))
        alpha.mine()
        await until(lambda: checked(database, "floor") == alpha.height)
        assert "firing" not in {state for state, _ in _all(database)}


def _all(database: Database) -> list[tuple[str, str]]:
    return [(a.state, a.reason) for a in raised(database, "InvariantViolated")]


async def test_a_replay_checks_events_and_the_last_block_and_finds_the_same_twice(
    chains: Chains, tmp_path: Path
) -> None:  # S7
    chains.move(60)
    chains.move(41)
    chains.alpha.rpc("anvil_setBalance", SAFE, hex(9))
    for node in (chains.alpha, chains.beta):
        await asyncio.to_thread(node.mine)
    plan = chains.plan()
    reports = []
    for number in range(2):
        url = f"sqlite:///{tmp_path / f'replay{number}.db'}"
        reports.append(
            await session.replay(plan, Wanted((), (), ()), url, durable=False, show_progress=False)
        )
    found = {a["labels"]["invariant"]: a["annotations"]["values"] for a in reports[0]["alerts"]}
    assert found == {"floor": "funds = 9", "quiet": "moved = 101"}
    assert reports[0] == reports[1]


@pytest.mark.parametrize(("every", "more"), [(1, 0), (4, 300)])
async def test_a_replay_checks_each_so_many_blocks_and_finds_when_it_held_last(
    chains: Chains, tmp_path: Path, every: int, more: int
) -> None:  # S7
    """Also of blocks that are older than any reorg reaches, by ``more`` blocks."""
    alpha, beta = chains.alpha, chains.beta

    def mine(count: int) -> None:
        for _ in range(count):
            for node in (alpha, beta):
                node.increase_time(2)
                node.mine()

    mine(5)
    broken = alpha.height  # whose state is changed
    alpha.rpc("anvil_setBalance", SAFE, hex(9))
    mine(10)
    alpha.rpc("anvil_setBalance", SAFE, hex(10))
    chains.mint(beta, 101)
    mine(9)
    for node in (alpha, beta):
        node.rpc("anvil_mine", hex(more), "0x2")
    plan = chains.plan()
    reports = []
    for number in range(2):
        url = f"sqlite:///{tmp_path / f'replay{number}.db'}"
        wanted = Wanted((), (), (), sample_every=every)
        reports.append(await session.replay(plan, wanted, url, durable=False, show_progress=False))
    assert reports[0] == reports[1]
    found = {a["labels"]["invariant"]: a for a in reports[0]["alerts"]}
    assert found.keys() == {"floor", "backed"}
    assert found["floor"]["ends_at"] > found["floor"]["starts_at"]
    assert found["backed"]["ends_at"] is None
    assert int(found["floor"]["annotations"]["block"]) == -(-broken // every) * every
    assert int(found["floor"]["annotations"]["held_block"]) == broken - 1
    assert found["backed"]["annotations"]["values"] == "locked = 100, minted = 101"


async def test_a_replay_evaluates_rules_over_the_values_of_all_checks(
    chains: Chains, tmp_path: Path
) -> None:  # S7
    for number in range(1, 41):  # more checks than stay in memory
        chains.alpha.increase_time(2)
        chains.alpha.rpc("anvil_setBalance", SAFE, hex(90 if number == 11 else 100 + number))
        chains.alpha.mine()
    held = 'count_over_time(chainwatch_invariant_holds{invariant="floor"}[1h]) > 0'
    plan = chains.plan(
        rules=[
            {"alert": "Low", "query": 'chainwatch_invariant_value{value="funds"} < 100'},
            {"alert": "Checked", "query": held},
        ]
    )
    reports = []
    for number in range(2):
        url = f"sqlite:///{tmp_path / f'ruled{number}.db'}"
        wanted = Wanted((), (), (), sample_every=1)
        over = rules_over_history(plan, GivenSamples(()))
        reports.append(
            await session.replay(plan, wanted, url, rules=over, durable=False, show_progress=False)
        )
    assert reports[0] == reports[1]
    found = {a["labels"]["alertname"]: a for a in reports[0]["alerts"]}
    assert found["Checked"]["ends_at"] is None
    assert found["Low"]["labels"]["invariant"] == "floor"
    assert found["Low"]["labels"]["network"] == "alpha"
    assert 0 < found["Low"]["ends_at"] - found["Low"]["starts_at"] <= 4


def test_the_commands_show_invariants_and_read_them_now(
    chains: Chains, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(
        f"""
[store]
url = "sqlite:///monitor.db"
[networks.alpha]
chain_id = 1
rpc = ["{chains.alpha.http_url}"]
[invariants.floor]
severity = "P0"
values.funds = {{ network = "alpha", address = "{SAFE}", balance = true }}
assert = "funds / 10 >= 5"
[invariants.same]
values.funds = {{ network = "alpha", address = "{SAFE}", balance = true }}
assert = "is_accepted(funds)"
[invariants.token]
values.supply = {{ network = "alpha", address = "{SAFE}", call = "{TOTAL}" }}
assert = "supply > 0"
"""
    )
    Database.open(f"sqlite:///{tmp_path / 'monitor.db'}", durable=False).close()

    def run(*words: str, input: str | None = None) -> Result:
        return CliRunner().invoke(main, ["--config", str(config), "invariants", *words], input=input)

    rows = json.loads(run("list", "--json").stdout)
    assert [(row["name"], row["state"], row["origin"]) for row in rows] == [
        ("floor", "waiting", "file"),
        ("same", "waiting", "file"),
        ("token", "waiting", "file"),
    ]
    unchecked = run("accept", "same")
    assert (unchecked.exit_code, "no check of it was answered yet" in unchecked.stderr) == (1, True)
    url = f"sqlite:///{tmp_path / 'monitor.db'}"
    with closing(Database.open(url, durable=False)) as database, database.transaction() as connection:
        for block, funds in ((1, 90), (2, 100)):
            at = ("alpha", block, 1_000 + block)
            invariants.add_checks(connection, [("same", Check(*at, positions={"alpha": block}, holds=True))])
            reading = Reading("same", *at[:2], bytes(32), at[2], False, {"funds": funds})
            invariants.add_readings(connection, [reading])
        first = Accepted("same", "alpha", 1, 1_001, b"reads", {"funds": 90}, BY_NOBODY, 1_001.0)
        accepted_values.save(connection, first)
    assert "compares with funds = 90: read first, at block 1 of alpha" in run("show", "same").stdout
    assert "has read funds = 100: `chainwatch invariants accept`" in run("show", "same").stdout
    unasked = run("accept", "same")
    assert (unasked.exit_code, "add --values 'funds = 100'" in unasked.stderr) == (2, True)
    others = run("accept", "same", "--values", "funds = 90")
    assert (others.exit_code, "funds = 100; not funds = 90" in others.stderr) == (1, True)
    monkeypatch.setattr(invariants_commands, "can_ask", lambda: True)
    refused = run("accept", "same", input="n\n")
    assert (refused.exit_code, "same has read funds = 100: accept that?" in refused.stderr) == (1, True)
    assert "compares with funds = 90: read first" in run("show", "same").stdout
    accepted = run("accept", "same", "--by", "carol", input="y\n")
    assert accepted.stdout == "same: accepted funds = 100, as of block 2 of alpha\n"
    assert "compares with funds = 100: accepted by carol, at block 2" in run("show", "same").stdout
    assert "funds / 10 >= 5" in run("show", "floor").stdout
    held = run("test", "floor", "--json")
    assert held.exit_code == 0
    assert json.loads(held.stdout)["values"] == "funds = 100"
    first = json.loads(run("test", "floor", "--at", "0", "--json").stdout)
    assert first["blocks"] == {"alpha": 0}
    nothing = run("test", "token")
    assert nothing.exit_code == 1
    assert "returned nothing" in nothing.stdout
    assert 'no invariant is called "flor"' in run("show", "flor").stderr.replace("'", '"')
