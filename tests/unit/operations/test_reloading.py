"""Which configurations may follow the one that runs, and what is said of the others."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import structlog

from chainwatch.model import Batch, Checkpoint
from chainwatch.operations import reloading
from chainwatch.operations.reloading import Reloads
from chainwatch.plan import load_plan
from chainwatch.store.database import Database
from tests.support.flows import header
from tests.support.storing import store_batch
from tests.support.waiting import PATIENCE

CONFIG = """
[store]
url = "${STORE}"
[networks.alpha]
chain_id = 1
rpc = ["http://localhost:1/old-s3cret-key"]
[receivers.ops]
provider = "console"
[[routes]]
receivers = ["ops"]
"""


@pytest.fixture(autouse=True)
def _fresh_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is bound to the output of this test, as reading a configuration binds them for good."""
    monkeypatch.setattr(reloading, "_log", structlog.get_logger())


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "config.toml"
    file.write_text(CONFIG)
    return file


@pytest.fixture
def database(sqlite_url: str) -> Iterator[Database]:
    with closing(Database.open(sqlite_url, durable=False)) as opened:
        yield opened


@pytest.fixture
def reloads(config: Path, database: Database, sqlite_url: str) -> Reloads:
    environ = {"STORE": sqlite_url}
    return Reloads(config, environ, database, load_plan(config, environ))


async def refusal(reloads: Reloads, capsys: pytest.CaptureFixture[str]) -> str:
    """What is said when the configuration is read now, which nobody gets."""
    reloads.ask()
    waiting = asyncio.create_task(reloads.next())
    said = ""
    async with asyncio.timeout(PATIENCE):
        while "refused" not in said:
            await asyncio.sleep(0.01)
            captured = capsys.readouterr()
            said += captured.out + captured.err
    assert not waiting.done()
    waiting.cancel()
    return said


async def test_a_good_configuration_follows_and_the_secrets_of_both_stay_out_of_the_log(
    reloads: Reloads, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # S9
    config.write_text(CONFIG.replace("old-s3cret-key", "new-s3cret-key"))
    reloads.ask()
    plan = await asyncio.wait_for(reloads.next(), PATIENCE)
    assert plan.settings.networks["alpha"].rpc[0].get_secret_value().endswith("new-s3cret-key")
    logging.getLogger().warning(
        "asked http://localhost:1/old-s3cret-key and http://localhost:1/new-s3cret-key"
    )
    assert "s3cret" not in capsys.readouterr().err


async def test_one_question_has_one_answer(reloads: Reloads) -> None:
    reloads.ask()
    reloads.ask()
    await asyncio.wait_for(reloads.next(), PATIENCE)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reloads.next(), 0.1)


async def test_another_chain_behind_a_known_name_is_refused(
    reloads: Reloads, config: Path, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    last = header(7, 1_700_000_000)
    with database.transaction() as connection:
        batch = Batch("alpha", 7, last, headers=(last,))
        store_batch(connection, batch, Checkpoint("alpha", last, 5, last.timestamp, last.timestamp))
    config.write_text(CONFIG.replace("chain_id = 1", "chain_id = 2"))
    assert "holds network 'alpha' with chain_id 1" in await refusal(reloads, capsys)


async def test_another_database_is_refused(
    reloads: Reloads, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(CONFIG.replace("${STORE}", "sqlite:///other.db"))
    assert "restart chainwatch to use another database" in await refusal(reloads, capsys)


async def test_whatever_goes_wrong_what_runs_goes_on(
    reloads: Reloads, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("5ecret")

    with monkeypatch.context() as broken:
        broken.setattr(reloading, "load_plan", fail)
        said = await refusal(reloads, capsys)
    assert "KeyError" in said
    assert "5ecret" not in said
    reloads.ask()
    assert await asyncio.wait_for(reloads.next(), PATIENCE)


async def test_what_may_be_a_mistake_is_logged_once(
    config: Path, database: Database, sqlite_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = config.parent / "a.yml"
    rules.write_text("groups: [{name: a, rules: [{alert: A, expr: up}]}]")
    config.write_text(f'rule_files = ["*.yml", "none/*.yml"]\n{CONFIG}')
    environ = {"STORE": sqlite_url}
    reloads = Reloads(config, environ, database, load_plan(config, environ))
    assert "none/*.yml names no file" in "".join(capsys.readouterr())
    rules.write_text("")
    reloads.ask()
    await asyncio.wait_for(reloads.next(), PATIENCE)
    said = "".join(capsys.readouterr())
    assert "a.yml has no rules" in said
    assert "names no file" not in said
