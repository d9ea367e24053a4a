"""Replays that are interrupted, resumed or refused."""

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import pytest

from chainwatch.chain import history
from chainwatch.chain.errors import ChainError
from chainwatch.chain.watch import NetworkWatch
from chainwatch.model import Logs, UndecodedLog
from chainwatch.pipeline import pipeline
from chainwatch.plan import load_plan
from chainwatch.replay import replay, session
from chainwatch.replay.errors import ReplayError
from chainwatch.replay.replay import Progress
from chainwatch.replay.session import Wanted
from chainwatch.store import blocks
from chainwatch.store.errors import StoreError
from scripts.bench.recorded_node import Recording
from tests.support.bridge import ALPHA, BETA
from tests.support.replays import Bridge


class Interrupt(BaseException):
    """Stands for Ctrl-C."""


def interrupting(events: int, _show: bool) -> AbstractContextManager[Callable[[Progress], None]]:
    """A progress bar that interrupts the replay after so many events."""

    def progress(now: Progress) -> None:
        if now.events > events:
            raise Interrupt

    return nullcontext(progress)


async def test_logs_that_do_not_decode_fill_a_transaction_as_others_do(
    chains: dict[str, Recording], watched: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    await watched.serve(chains)
    monkeypatch.setattr(replay, "is_worthwhile", lambda _ranges: False)
    monkeypatch.setattr(replay, "EVENTS_A_COMMIT", 200)
    monkeypatch.setattr(history, "GOOD_PAGE", 50)
    monkeypatch.setattr(
        NetworkWatch,
        "decode",
        lambda self, log: UndecodedLog(self.network, "bridge", log, "as its ABI is wrong"),
    )
    transactions = 0
    process = pipeline.Pipeline.process

    def counted(self: pipeline.Pipeline, *arguments: Any) -> pipeline.Outcome:
        nonlocal transactions
        transactions += 1
        return process(self, *arguments)

    monkeypatch.setattr(pipeline.Pipeline, "process", counted)

    report = await watched.replay()

    logs = sum(len(chain.logs) for chain in chains.values())
    assert report["events"] == 0
    assert transactions > logs // 400


async def test_s7_an_interrupted_replay_goes_on_to_the_same_bytes(
    chains: dict[str, Recording], watched: Bridge, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await watched.serve(chains)
    uninterrupted = json.dumps(await watched.replay())
    monkeypatch.setattr(replay, "EVENTS_A_COMMIT", 200)
    for events, resume in ((300, False), (900, True), (1_500, True)):
        with monkeypatch.context() as patched:
            patched.setattr(session, "_bar", partial(interrupting, events))
            with pytest.raises(Interrupt):
                await watched.replay(database_url, Wanted((), (), (), resume=resume))

    report = await watched.replay(database_url, Wanted((), (), (), resume=True))

    assert json.dumps(report) == uninterrupted


async def test_s7_a_replay_that_was_finished_is_reported_again_by_resuming(
    chains: dict[str, Recording], watched: Bridge, sqlite_url: str
) -> None:
    await watched.serve(chains)
    first = await watched.replay(sqlite_url)

    assert await watched.replay(sqlite_url, Wanted((), (), (), resume=True)) == first


async def test_a_replay_refuses_a_database_that_is_in_use(
    chains: dict[str, Recording], watched: Bridge, database_url: str
) -> None:
    await watched.serve(chains)
    before = await watched.replay(database_url, Wanted(("alpha",), (), ("17001000",)))

    with pytest.raises(ReplayError, match="a replay never touches a live database"):
        await watched.replay(database_url)
    assert await watched.replay(database_url, Wanted(("alpha",), (), (), resume=True)) == before


async def test_there_is_nothing_to_resume_in_a_fresh_database(
    chains: dict[str, Recording], watched: Bridge, sqlite_url: str
) -> None:
    await watched.serve(chains)

    with pytest.raises(ReplayError, match="holds no replay to go on with"):
        await watched.replay(sqlite_url, Wanted((), (), (), resume=True))


async def test_a_replay_of_networks_that_are_not_asked_for_is_not_resumed(
    chains: dict[str, Recording], watched: Bridge, sqlite_url: str
) -> None:
    await watched.serve(chains)
    await watched.replay(sqlite_url, Wanted((), (), ("2023-04-01",)))

    with pytest.raises(ReplayError, match="networks that the config has not: beta"):
        await watched.replay(sqlite_url, Wanted(("alpha",), (), (), resume=True))


async def test_a_replay_is_not_resumed_with_other_flows(
    chains: dict[str, Recording], watched: Bridge, sqlite_url: str
) -> None:
    """Its first part was judged by those that it began with."""
    await watched.serve(chains)
    config = watched.folder / "config.toml"
    await watched.replay(sqlite_url)
    begun = watched.plan()
    config.write_text(config.read_text().replace('within = "', 'within = "1', 1))
    changed = load_plan(config, {})

    with pytest.raises(ReplayError, match="configured otherwise than when the replay began"):
        await session.replay(
            changed, Wanted((), (), (), resume=True), sqlite_url, durable=False, show_progress=False
        )
    await session.replay(
        begun, Wanted((), (), (), resume=True), sqlite_url, durable=False, show_progress=False
    )


async def test_a_database_that_fails_ends_the_replay_with_its_reason(
    chains: dict[str, Recording], watched: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though more batches are read than wait for it."""
    await watched.serve(chains)
    monkeypatch.setattr(history, "GOOD_PAGE", 10)
    saved = []

    def save_logs(_connection: Any, _number: int, rows: Logs) -> None:
        saved.append(rows)
        if len(saved) > 3:
            raise StoreError("the disk is full")

    monkeypatch.setattr(blocks, "save_logs", save_logs)

    with pytest.raises(StoreError, match="the disk is full"):
        await asyncio.wait_for(watched.replay(), 20)


async def test_a_wrong_chain_ends_the_replay(chains: dict[str, Recording], watched: Bridge) -> None:
    await watched.serve({ALPHA.name: chains["alpha"], BETA.name: chains["beta"]._replace(chain_id=5)})

    with pytest.raises(ChainError, match="chain 5"):
        await watched.replay()
