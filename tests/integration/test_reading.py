"""History read by a process of its own: the same batches, and every end of it noticed."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from msgspec.structs import replace
from pydantic import SecretStr

from chainwatch.chain.errors import ChainError
from chainwatch.chain.pool import Pool
from chainwatch.chain.transport import open_session
from chainwatch.chain.watch import NetworkWatch
from chainwatch.model import FLOWS, Batch, Header, LogRow, PackedLogs, SiftedBatch
from chainwatch.plan import Plan, load_plan
from chainwatch.replay.reader import frames, process, ranges, worker
from chainwatch.replay.reader.ranges import Range, read_ranges
from chainwatch.store.packed_logs import pack_logs
from scripts.bench.recorded_node import RecordedNode, serve
from tests.support import bridge
from tests.support.waiting import PATIENCE

RANGES = [Range(n.name, n.start, n.block_at(bridge.BEGIN + 30 * bridge.DAY)) for n in bridge.NETWORKS]


@pytest.fixture
async def plan(tmp_path: Path) -> AsyncIterator[Plan]:
    nodes = {name: RecordedNode(chain) for name, chain in bridge.recordings(bridge.history(3, 400)).items()}
    async with TestServer(serve({f"/{name}": node for name, node in nodes.items()})) as server:
        bridge.write_abi(tmp_path)
        path = tmp_path / "config.toml"
        path.write_text(bridge.config({name: str(server.make_url(f"/{name}")) for name in nodes}))
        yield load_plan(path, {})


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """The processes that are started from now on."""
    processes: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen

    def started_and_noted(*args: Any, **options: Any) -> subprocess.Popen[bytes]:
        processes.append(start(*args, **options))
        return processes[-1]

    monkeypatch.setattr(subprocess, "Popen", started_and_noted)
    return processes


@pytest.fixture(autouse=True)
def two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "processors", lambda: 2)


async def _read_here(plan: Plan) -> list[SiftedBatch]:
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(open_session())
        networks = plan.settings.networks
        pools = {n: await stack.enter_async_context(Pool(networks[n], session)) for n in networks}
        return [sifted async for sifted in read_ranges(plan, pools, RANGES)]


async def _read_elsewhere(plan: Plan) -> list[SiftedBatch]:
    with process.started() as other:
        assert other is not None
        return await _all(other.read(plan, RANGES))


async def _all(batches: AsyncIterator[SiftedBatch]) -> list[SiftedBatch]:
    return [sifted async for sifted in batches]


def _rows(sifted: SiftedBatch) -> list[LogRow]:
    assert not isinstance(sifted.logs, PackedLogs)
    return sifted.logs


def _in_blocks(batches: list[SiftedBatch]) -> dict[str, tuple[list[Any], list[Any]]]:
    """The logs and occurrences of each network, however the blocks were cut into batches."""
    return {
        r.network: (
            [log for b in batches if b.batch.network == r.network for log in _rows(b)],
            [
                (key, occurrence)
                for b in batches
                if b.batch.network == r.network
                for key, some in b.found[FLOWS].items()
                for occurrence in some
            ],
        )
        for r in RANGES
    }


async def test_another_process_reads_the_same_logs_for_the_same_transfers(plan: Plan) -> None:
    here, elsewhere = await _read_here(plan), await _read_elsewhere(plan)

    found = _in_blocks(elsewhere)
    assert sum(len(logs) for logs, _ in found.values()) > 50
    assert {name: logs for name, (logs, _) in found.items()} == {
        name: logs for name, (logs, _) in _in_blocks(here).items()
    }
    for name, (_, occurrences) in _in_blocks(here).items():
        assert sorted(occurrences, key=repr) == sorted(found[name][1], key=repr)


async def test_the_batches_of_all_networks_come_in_the_order_of_time(plan: Plan) -> None:
    times = [sifted.batch.last.timestamp for sifted in await _read_elsewhere(plan)]

    assert len(times) > 3
    assert times == sorted(times)


async def test_the_process_ends_with_the_context_however_far_it_came(
    plan: Plan, started: list[subprocess.Popen[bytes]]
) -> None:
    with process.started() as other:
        assert other is not None
        await anext(other.read(plan, RANGES))

    assert [one.returncode is not None for one in started] == [True]


async def test_what_the_process_cannot_do_is_raised_with_its_reason(plan: Plan) -> None:
    for contract in plan.settings.contracts.values():
        Path(contract.abi).unlink(missing_ok=True)

    with pytest.raises(ChainError, match="abi"):
        await _read_elsewhere(plan)


@pytest.mark.parametrize("ids", [None, {"alpha": 7}])
async def test_what_was_read_before_the_end_comes_whole_before_its_reason(
    plan: Plan, monkeypatch: pytest.MonkeyPatch, ids: dict[str, int] | None
) -> None:
    """While a batch still goes through the pipe, which is full, the next one turns out to be unreadable."""
    last = Header(2, bytes(32), bytes(32), 2)
    rows: list[LogRow] = [(1, 1, "bridge", bytes(32), bytes(20), b"", bytes(100_000), None)] * 100
    batch = SiftedBatch(Batch("alpha", 1, last), 100, rows, {}, [])
    expected = batch if ids is None else replace(batch, logs=pack_logs(7, rows))

    async def read_and_fail(*_: object) -> AsyncIterator[SiftedBatch]:
        yield batch
        raise ChainError("the node has burnt down")

    monkeypatch.setattr(worker, "read_ranges", read_and_fail)
    source, out = os.pipe()
    with os.fdopen(source, "rb"), os.fdopen(out, "wb"):
        sending = asyncio.create_task(worker._send_all(frames.Work(plan.settings, tuple(RANGES), ids), out))
        await asyncio.sleep(0.2)

        received = [await asyncio.to_thread(frames.receive, source) for _ in range(2)]
        await sending

    assert received == [expected, frames.Failure("the node has burnt down")]


@pytest.mark.parametrize("megabytes", [0.5, 3, 40])
async def test_what_waits_to_be_sent_is_bounded_by_its_size(megabytes: float) -> None:
    """A frame that is larger than all the room goes alone."""
    outbox, frame = worker._Outbox(), (b"", bytes(int(megabytes * 2**20)))
    waiting = 0

    async def fill() -> None:
        nonlocal waiting
        while True:
            await outbox.put(frame)
            waiting += 1

    filling = asyncio.create_task(fill())
    await asyncio.sleep(0.01)
    filling.cancel()

    assert waiting == max(1, min(worker.AHEAD, int(worker.AHEAD / (1 + int(megabytes)))))


async def test_a_network_that_cannot_be_read_says_why_while_others_are_being_read(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All networks begin at once."""
    broken, *_ = (r.network for r in RANGES)

    async def read_range(_pool: object, watch: NetworkWatch, *_: object, **__: object) -> AsyncIterator[Any]:
        await asyncio.sleep(0 if watch.network == broken else 60)
        raise ChainError(f"{watch.network} is gone")
        yield

    monkeypatch.setattr(ranges, "read_range", read_range)

    with pytest.raises(ChainError, match=f"{broken} is gone"):
        await _read_here(plan)


async def test_a_process_that_dies_ends_the_reading_with_an_error_and_not_early(
    plan: Plan, started: list[subprocess.Popen[bytes]]
) -> None:
    with process.started() as other:
        assert other is not None
        started[0].kill()
        with pytest.raises(ChainError, match="ended with status -9"):
            await _all(other.read(plan, RANGES))


async def test_a_process_that_is_stopped_and_goes_on_loses_nothing(
    plan: Plan, started: list[subprocess.Popen[bytes]]
) -> None:
    """As by Ctrl-Z, a debugger or a frozen container: a write into the pipe is cut short then."""

    async def stop_again_and_again() -> None:
        while True:
            started[0].send_signal(signal.SIGSTOP)
            await asyncio.sleep(0.002)
            started[0].send_signal(signal.SIGCONT)
            await asyncio.sleep(0.002)

    with process.started() as other:
        assert other is not None
        stopping = asyncio.create_task(stop_again_and_again())
        found = await _all(other.read(plan, RANGES))
        stopping.cancel()

    assert _in_blocks(found) == _in_blocks(await _read_elsewhere(plan))


async def test_who_stops_waiting_for_a_node_that_hangs_is_not_held_up(
    plan: Plan, started: list[subprocess.Popen[bytes]]
) -> None:
    async def hang(request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    app = web.Application()
    app.router.add_post("/", hang)
    async with TestServer(app, shutdown_timeout=0.1) as server:
        for network in plan.settings.networks.values():
            network.rpc[:] = [SecretStr(str(server.make_url("/")))]
        with process.started() as other:
            assert other is not None
            waiting = asyncio.create_task(_all(other.read(plan, RANGES)))
            await asyncio.sleep(0.2)

            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waiting
            status = await asyncio.wait_for(asyncio.to_thread(started[0].wait), PATIENCE)

    assert status == -signal.SIGKILL


async def test_what_lies_in_the_working_directory_is_not_taken_for_a_library(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("asyncio", "msgspec", "chainwatch"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('taken for a library')")
    monkeypatch.chdir(tmp_path)

    assert sum(batch.decoded for batch in await _read_elsewhere(plan)) > 50


async def test_what_is_printed_by_the_other_process_is_no_answer(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import atexit, os, threading, time\n"
        "def say():\n"
        "    while True:\n"
        "        print('a warning', flush=True)\n"
        "        time.sleep(0.001)\n"
        "threading.Timer(0.3, say).start()\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    assert sum(batch.decoded for batch in await _read_elsewhere(plan)) > 50


async def test_it_reads_before_it_is_asked_for_what_it_read(plan: Plan) -> None:
    with process.started() as other:
        assert other is not None
        await other.begin(plan, RANGES)

        found = await _all(other.read(plan, RANGES))

    assert _in_blocks(found) == _in_blocks(await _read_elsewhere(plan))


async def test_a_process_that_does_not_start_is_an_error(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")

    with pytest.raises(ChainError, match="ended with status 1"):
        await _read_elsewhere(plan)


@pytest.mark.parametrize(("blocks", "worthwhile"), [(999, False), (1_000, True)])
def test_short_ranges_are_not_worth_another_process(blocks: int, worthwhile: bool) -> None:
    ranges = [Range("alpha", 1, blocks - 400), Range("beta", 101, 500)]

    assert process.is_worthwhile(ranges) == worthwhile


async def test_where_there_is_one_processor_nothing_is_started(
    monkeypatch: pytest.MonkeyPatch, started: list[subprocess.Popen[bytes]]
) -> None:
    monkeypatch.setattr(process, "processors", lambda: 1)

    with process.started() as other:
        assert other is None
    assert started == []
