"""How many events a second `chainwatch replay` takes from a node into a database, and what bounds it.

The node answers from memory in a process of its own. A replay is measured as a whole command, with the start of
Python; stages and ceilings are measured in one process with no other work, so that the ratios hold on any machine.
"""

from __future__ import annotations

import argparse
import asyncio
import compileall
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import msgspec
import psycopg
from eth_abi.decoding import ContextFramesBytesIO
from eth_abi.registry import registry

from chainwatch.alerting.engine.alert_engine import AlertEngine
from chainwatch.chain import wire
from chainwatch.chain.decode.abi import load_abi
from chainwatch.chain.history import read_range
from chainwatch.chain.pool import Pool
from chainwatch.chain.rpc import Endpoint
from chainwatch.chain.transport import open_session
from chainwatch.chain.watch import NetworkWatch
from chainwatch.model import Occurrence, RawLog, Transfer, event_id
from chainwatch.pipeline.pipeline import Pipeline
from chainwatch.plan import Plan, load_plan
from chainwatch.replay import replay
from chainwatch.replay import session as replay_run
from chainwatch.store import blocks as store_blocks
from chainwatch.store import transfers as store_transfers
from chainwatch.store.database import Database
from chainwatch.support.garbage import collect_seldom
from chainwatch.support.keccak import keccak256
from scripts.bench import connext_history, recorded_node
from tests.support.postgres import PostgresServer

ROOT = Path(__file__).parents[2]
PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20


class Measured(NamedTuple):
    """One replay as a command, with the process that reads for it: seconds of wall clock and of CPU, memory in MB."""

    events: int
    seconds: float
    cpu_seconds: float
    peak_mb: float

    def to_json(self) -> dict[str, float]:
        return {**self._asdict(), "events_per_second": self.events / self.seconds}


def main() -> None:
    options = _options()
    collect_seldom()
    # as an installed package is: where Python writes no bytecode, every start would compile the sources again
    compileall.compile_dir(ROOT / "chainwatch", quiet=1)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        urls = stack.enter_context(
            recorded_node.running(connext_history.record, options.logs, options.blocks, options.seed)
        )
        config = folder / "config.toml"
        config.write_text(connext_history.config(urls))
        server = stack.enter_context(PostgresServer()) if "postgresql" in options.into else None
        figures: dict[str, Any] = {"replay": {}, "stages": {}}
        for kind in options.into:
            with server.database() if kind == "postgresql" and server else nullcontext(None) as url:
                figures["replay"][kind] = _command(config, url).to_json()
            with server.database() if kind == "postgresql" and server else nullcontext(None) as url:
                figures["stages"][kind] = _stages(config, url or f"sqlite:///{folder / 'stages.db'}")
            if options.stored:
                figures.setdefault("grown", {})[kind] = _grown(config, folder, server, kind, options.stored)
        with server.database() if server else nullcontext(None) as url:
            figures["ceilings"] = _ceilings(load_plan(config, {}), folder, url)
    print(json.dumps(figures, indent=2) if options.json else _readable(figures))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--logs", type=int, default=200_000)
    parser.add_argument("--blocks", type=int, default=4_000, help="of both networks together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--into", nargs="+", choices=("sqlite", "postgresql"), default=["sqlite", "postgresql"]
    )
    parser.add_argument(
        "--stored",
        type=int,
        default=0,
        help="also replay into a database that holds so many transfers already",
    )
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _command(config: Path, url: str | None) -> Measured:
    """`chainwatch replay` in a process of its own; ``url`` None: into its own temporary database."""
    database = ["--database", url] if url else []
    command = [str(ROOT / "scripts/replay.py"), "--json", *database]
    environment = os.environ | {"CHAINWATCH_CONFIG": str(config), "PYTHONPATH": str(ROOT)}
    os.sync()  # or the system would write back what was measured before
    started = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen([sys.executable, *command], stdout=output, env=environment)
        with _peak_memory(process.pid) as peak_mb:
            _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        if status:
            raise SystemExit(f"the replay ended with {os.waitstatus_to_exitcode(status)}")
        output.seek(0)
        report = json.load(output)
    return Measured(report["events"], seconds, usage.ru_utime + usage.ru_stime, peak_mb())


def _grown(
    config: Path, folder: Path, server: PostgresServer | None, kind: str, stored: int
) -> dict[str, float]:
    """Events a second into an empty database, and into one with ``stored`` other transfers."""
    rates = []
    for number in (0, stored):
        with server.database() if kind == "postgresql" and server else nullcontext(None) as url:
            url = url or f"sqlite:///{folder / f'grown-{number}.db'}"
            with closing(Database.open(url, durable=False)) as database:
                _fill(database, number)
            measured = _command(config, url)
            rates.append(measured.events / measured.seconds)
    return {"stored": stored, "empty": rates[0], "grown": rates[1], "ratio": rates[1] / rates[0]}


def _fill(database: Database, number: int) -> None:
    """Store ``number`` complete transfers of a flow that is not configured any more."""
    made = Transfer(
        "gone", "", status="complete", occurrences=(Occurrence("sent", "a", 1, 0, 1, bytes(32), {}),) * 3
    )
    for start in range(0, number, 10_000):
        some = range(start, min(start + 10_000, number))
        changed = [
            (Transfer("gone", ""), msgspec.structs.replace(made, key=f"0x{keccak256(b'%d' % i).hex()}"))
            for i in some
        ]
        with database.transaction() as connection:
            store_transfers.save(connection, changed)


@contextmanager
def _peak_memory(pid: int) -> Iterator[Callable[[], float]]:
    """Watches the memory of a process and its children; gives the most that they had together, in MB."""
    peak, ended = 0.0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(0.05):
            peak = max(peak, _memory_mb(pid))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield lambda: peak
    finally:
        ended.set()
        watching.join()


def _memory_mb(pid: int) -> float:
    """What a process and its children have in memory; 0 when it is gone."""
    try:
        pids = [str(pid), *Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return sum(int(Path(f"/proc/{p}/statm").read_text().split()[1]) for p in pids) * PAGE_MB
    except OSError:
        return 0.0


# --- stages -------------------------------------------------------------------------------------------


def _stages(config: Path, url: str) -> dict[str, float]:
    """The CPU-seconds of each stage of one replay in this process, and the whole in seconds of wall clock.

    ``rest`` is HTTP, commits, the report and what ties the stages together.
    """
    spent: dict[str, float] = {}
    with ExitStack() as stack:
        for name, owner, attribute in (
            ("parse", wire, "parse_logs_answer"),
            ("parse", wire, "to_raw_logs"),
            ("decode", NetworkWatch, "decode_all"),
            ("process", Pipeline, "process"),
            ("alerts", AlertEngine, "apply"),
            ("store", store_blocks, "save_logs"),
            ("store", store_blocks, "save_checkpoint"),
            ("store", store_blocks, "checkpoints"),
            ("store", store_transfers, "load"),
            ("store", store_transfers, "save"),
            ("store", store_transfers, "due_before"),
            ("store", store_transfers, "load_ids"),
        ):
            stack.enter_context(_timed(spent, name, owner, attribute))
        stack.enter_context(patch.object(replay, "is_worthwhile", lambda _ranges: False))
        plan = load_plan(config, {})
        began, cpu = time.perf_counter(), time.process_time()
        wanted = replay_run.Wanted((), (), ())
        asyncio.run(replay_run.replay(plan, wanted, url, durable=False, show_progress=False))
        cpu, whole = time.process_time() - cpu, time.perf_counter() - began
    spent["check"] = spent.pop("process") - spent["store"] - spent["alerts"]
    return {**spent, "rest": cpu - sum(spent.values()), "cpu": cpu, "wall": whole}


@contextmanager
def _timed(spent: dict[str, float], name: str, owner: Any, attribute: str) -> Iterator[None]:
    """Adds up in ``spent[name]`` the CPU time of this thread inside a function."""
    work = getattr(owner, attribute)
    spent.setdefault(name, 0.0)

    def timed(*args: Any, **kwargs: Any) -> Any:
        started = time.thread_time()
        try:
            return work(*args, **kwargs)
        finally:
            spent[name] += time.thread_time() - started

    with patch.object(owner, attribute, timed):
        yield


# --- ceilings -----------------------------------------------------------------------------------------


def _ceilings(plan: Plan, folder: Path, postgres_url: str | None) -> dict[str, float]:
    """Logs or rows a second of one stage alone."""
    read: dict[str, list[RawLog]] = {}
    seconds = _seconds(lambda: asyncio.run(_fetch(plan, read)))
    logs = [log for some in read.values() for log in some]
    rows = [_row(number, log) for number, some in enumerate(read.values()) for log in some]
    sample = logs[: len(logs) // 10]
    watch = next(iter(plan.watches.values()))
    found = {
        "fetch_parse": len(logs) / seconds,
        "decode": len(logs) / _seconds(lambda: [w.decode_all(read[n]) for n, w in plan.watches.items()]),
        "eth_abi_decode": len(sample) / _seconds(lambda: [*map(_eth_abi_decoder(watch), sample)]),
        "insert_sqlite": len(rows) / _seconds(lambda: _insert_sqlite(folder / "raw.db", rows)),
    }
    if postgres_url is not None:
        found["copy_postgresql"] = len(rows) / _seconds(lambda: _copy_postgresql(postgres_url, rows))
    return found


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


async def _fetch(plan: Plan, into: dict[str, list[RawLog]]) -> None:
    """Read all logs of all networks as a replay does, without decoding them."""

    async def read(pool: Pool, watch: NetworkWatch) -> None:
        head = await pool.ask(Endpoint.head)
        first = pool.network.start_block or 0
        async for _ in read_range(pool, watch, first, head.number, first_ever=True):
            pass

    def keep(watch: NetworkWatch, logs: Sequence[RawLog]) -> tuple[tuple[()], tuple[()]]:
        into.setdefault(watch.network, []).extend(logs)
        return (), ()

    async with AsyncExitStack() as stack:
        stack.enter_context(patch.object(NetworkWatch, "decode_all", keep))
        session = await stack.enter_async_context(open_session())
        networks = plan.settings.networks
        pools = {n: await stack.enter_async_context(Pool(networks[n], session)) for n in plan.watches}
        await asyncio.gather(*(read(pools[n], watch) for n, watch in plan.watches.items()))


def _eth_abi_decoder(watch: NetworkWatch) -> Callable[[RawLog], object]:
    """Decodes logs with eth_abi; its decoders are looked up once, which is its better side."""
    # eth_abi's streams have no types
    stream: Callable[[bytes], Any] = ContextFramesBytesIO
    readers: dict[bytes, tuple[Any, Any]] = {}
    for event in (
        load_abi(connext_history.ABI).event(name) for name in ("XCalled", "Executed", "Reconciled")
    ):
        topics = [p.canonical_type for p in event.inputs if p.indexed]
        data = [p.canonical_type for p in event.inputs if not p.indexed]
        decoders = registry.get_tuple_decoder(*topics), registry.get_tuple_decoder(*data)
        readers[keccak256(event.signature.encode())] = decoders

    def decode(log: RawLog) -> object:
        read_topics, read_data = readers[log.topics[0]]
        return read_topics(stream(b"".join(log.topics[1:]))), read_data(stream(log.data))

    return decode


_ROW = ("id", "timestamp", "contract", "tx_hash", "address", "topics", "data")


def _row(network: int, log: RawLog) -> tuple[Any, ...]:
    position = event_id(network, log.block_number, log.log_index)
    return position, log.timestamp, "connext", log.tx_hash, log.address, b"".join(log.topics), log.data


def _insert_sqlite(path: Path, rows: Sequence[tuple[Any, ...]]) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute(
            f"CREATE TABLE logs ({', '.join(_ROW)}, PRIMARY KEY (id))".replace("id,", "id INTEGER,", 1)
        )
        connection.executemany(f"INSERT INTO logs VALUES ({', '.join('?' * len(_ROW))})", rows)


def _copy_postgresql(url: str, rows: Sequence[tuple[Any, ...]]) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(
            "CREATE TABLE raw (id int8 PRIMARY KEY, timestamp int8, contract text, tx_hash bytea, address bytea, "
            "topics bytea, data bytea)"
        )
        with connection.cursor() as cursor, cursor.copy("COPY raw FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["int8", "int8", "text", "bytea", "bytea", "bytea", "bytea"])
            for row in rows:
                copy.write_row(row)


def _readable(figures: Mapping[str, Any]) -> str:
    lines = ["replay                events/s   seconds  CPU s   peak MB"]
    for name, found in figures["replay"].items():
        lines.append(
            f"  into {name:<12} {found['events_per_second']:>10,.0f} {found['seconds']:>9.2f} "
            f"{found['cpu_seconds']:>6.2f} {found['peak_mb']:>9.0f}"
        )
    for name, found in figures["stages"].items():
        lines.append(f"CPU-seconds into {name}: " + ", ".join(f"{k} {v:.2f}" for k, v in found.items()))
    for name, found in figures.get("grown", {}).items():
        lines.append(
            f"  into {name:<12} {found['grown']:>10,.0f} with {found['stored']:,} transfers stored, "
            f"{found['ratio']:.2f} of {found['empty']:,.0f} into an empty file"
        )
    lines.append("alone, logs or rows a second")
    lines += [f"  {name:<17} {rate:>10,.0f}" for name, rate in figures["ceilings"].items()]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
