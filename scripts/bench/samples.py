"""How quickly samples are taken, how small they are kept, and what it costs to have them on disk; each beside its mark.

``python -m scripts.bench.samples`` measures in process, on one core. Time is simulated: two hours of 10,000 series every
15 s are appended, stored and saved as fast as that goes. ``--large`` adds an hour of 1,000,000 series in memory;
``--database URL`` stores elsewhere than in a new SQLite file.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import math
import random
import resource
import tempfile
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from chainwatch.promql.series import Labels
from chainwatch.rule_engine.persistence import Persistence
from chainwatch.store.database import Database
from chainwatch.tsdb.chunks import encode
from chainwatch.tsdb.model import TsdbLimits
from chainwatch.tsdb.stored import CHUNK
from chainwatch.tsdb.tsdb import Tsdb

STEP = 15_000
NOW = 1_700_000_000_000
SERIES = 10_000
LARGE = 1_000_000
HOURS = 2
AN_HOUR = 3_600_000 // STEP

Kind = Callable[[random.Random, float], float]
"""Makes a value of the one before."""

KINDS: dict[str, Kind] = {
    "counter of requests": lambda chance, v: 0.0 if chance.random() < 0.001 else v + chance.randrange(100),
    "counter of bytes": lambda chance, v: v + chance.randrange(100_000),
    "counter of seconds": lambda chance, v: round(v + chance.random() / 50, 6),
    "counter that rests": lambda chance, v: v + (chance.random() < 0.05),
    "bucket that never grows": lambda chance, v: v,
    "gauge, whole numbers": lambda chance, v: 1e6 + chance.randrange(50),
    "gauge, per cent": lambda chance, v: round(chance.random() * 100, 2),
    "flag": lambda chance, v: float(chance.random() < 0.02),
    "balance in wei": lambda chance, v: (v if v > 1e17 else 3.2e18) - chance.randrange(100) * 1e13,
    "block's timestamp": lambda chance, v: max(v, 1.7e9) + 15,
    "random walk, 0.001": lambda chance, v: round(v + chance.gauss(0, 0.05), 3),
    "random walk, all digits": lambda chance, v: v + chance.gauss(0, 1),
}
REALISTIC = (
    ("counter of requests", 20),
    ("bucket that never grows", 25),
    ("counter that rests", 12),
    ("flag", 8),
    ("counter of bytes", 8),
    ("gauge, whole numbers", 8),
    ("counter of seconds", 5),
    ("gauge, per cent", 4),
    ("block's timestamp", 3),
    ("balance in wei", 3),
    ("random walk, 0.001", 2),
    ("random walk, all digits", 2),
)
"""How often, by hundred, a server's series are of each kind: most are buckets and counters that rest."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--database", metavar="URL")
    asked = parser.parse_args()
    row("bytes a sample, realistic mixture", print_sizes(), "≤ 2.5")
    row("samples a second, one in each append of 10,000", measure_ingest(1), "≥ 300,000")
    row("samples a second, 100 of each series", measure_ingest(100), "≥ 300,000")
    with tempfile.TemporaryDirectory() as folder:
        url = asked.database or f"sqlite:///{Path(folder) / 'samples.db'}"
        share, size, seconds, spent = asyncio.run(measure_disk(url))
    row("10,000 series every 15 s: share of a core, %", share * 100, "≤ 2")
    row("10,000 series every 15 s: MB in the database after 2 h", size / 1e6, "")
    row("restart with 10,000 series: s", seconds, "≤ 2")
    row("  of which on a processor", spent, "")
    if asked.large:
        measure_large()


def row(name: str, value: float, mark: str) -> None:
    """Print one figure beside its mark."""
    shown = f"{value:14,.0f}" if value >= 100 else f"{value:14.2f}"
    print(f"{name:55} {shown}   {mark}", flush=True)


def print_sizes() -> float:
    """Print the bytes of a sample by kind; return those of the realistic mixture."""
    chance = random.Random(1)
    sizes = {}
    for name, kind in KINDS.items():
        chunks = [encode(times_of(chance), values_of(chance, kind)) for _ in range(200)]
        sizes[name] = sum(map(len, chunks)) / (len(chunks) * CHUNK)
        row(f"  {name}", sizes[name], "")
    return math.fsum(sizes[name] * weight for name, weight in REALISTIC) / 100


def times_of(chance: random.Random) -> array[int]:
    """Return times as they are scraped: mostly exactly an interval apart."""
    jitter = 0 if chance.random() < 0.7 else 3
    return array("q", (NOW + n * STEP + (chance.randint(-jitter, jitter)) for n in range(CHUNK)))


def values_of(chance: random.Random, kind: Kind) -> array[float]:
    """Return the values of a series of one kind."""
    return array("d", values(chance, kind, CHUNK))


def values(chance: random.Random, kind: Kind, count: int) -> Iterator[float]:
    """Yield ``count`` values of one kind, beginning anywhere."""
    value = float(chance.randrange(10 ** chance.randrange(1, 7)))
    for _ in range(count):
        value = float(kind(chance, value))
        yield value


def labels_of(number: int) -> Labels:
    """Return labels as a server's series have them."""
    return Labels(
        {
            "__name__": f"metric_{number % 100}_total",
            "instance": f"host-{number // 100}:9100",
            "job": f"job-{number % 5}",
            "zone": f"zone-{number // 1000 % 10}",
        }
    )


def measure_ingest(together: int) -> float:
    """Return samples a second that are appended to 10,000 series, ``together`` of each at once, and made chunks of."""
    chance = random.Random(2)
    tsdb = Tsdb(journal=True)
    names = [labels_of(n) for n in range(SERIES)]
    now, spent, rounds = NOW, 0.0, max(3, 300 // together)
    for _ in range(rounds):
        times = [now + n * STEP for n in range(1, together + 1)]
        now = times[-1]
        batch = [(one, times, [float(chance.randrange(1000)) for _ in times]) for one in names]
        gc.disable()
        began = time.process_time()
        tsdb.append(batch, now)
        spent += time.process_time() - began
        gc.enable()
        tsdb.take_entries()
    return rounds * together * SERIES / spent


async def measure_disk(url: str) -> tuple[float, int, float, float]:
    """Store two hours of 10,000 series; return the share of a core, the bytes in the database, the seconds of a restart
    on the clock and on a processor.
    """
    kinds = random.Random(3).choices(
        *zip(*((KINDS[name], weight) for name, weight in REALISTIC), strict=True), k=SERIES
    )
    chance = random.Random(4)
    streams = [values(chance, kind, AN_HOUR * HOURS) for kind in kinds]
    names = [labels_of(n) for n in range(SERIES)]
    now, seconds, spent = NOW, 0.0, 0.0
    with closing(Database.open(url)) as database:
        tsdb = Tsdb(journal=True)
        persistence = Persistence(tsdb, asyncio.Event(), lambda: now / 1000, lambda: seconds)
        await persistence.load(database)
        tsdb.keep([])
        for turn in range(AN_HOUR * HOURS):
            now += STEP
            batch = [(one, [now], [next(stream)]) for one, stream in zip(names, streams, strict=True)]
            began = time.process_time()
            tsdb.append(batch, now)
            for _ in range(15):
                seconds += 1
                await persistence.step(database)
            if turn >= AN_HOUR:
                spent += time.process_time() - began
        with database.reading() as connection:
            size = sum(
                int(
                    connection.exec_driver_sql(
                        f"SELECT coalesce(sum(length({column})), 0) FROM {table}"
                    ).scalar_one()
                )
                for table, column in (("sample_batches", "samples"), ("sample_chunks", "samples"))
            )
    with closing(Database.open(url)) as database:
        tsdb = Tsdb(journal=True)
        began, busy = time.perf_counter(), time.process_time()
        await Persistence(tsdb, asyncio.Event()).load(database)
        restart, busy = time.perf_counter() - began, time.process_time() - busy
        assert len(tsdb) == SERIES
    return spent / (AN_HOUR * (HOURS - 1) * STEP / 1000), size, restart, busy


def measure_large() -> None:
    """Print the memory of an hour of 1,000,000 series every 15 s, and how quickly they were taken."""
    tsdb = Tsdb(TsdbLimits(series=LARGE, bytes=1 << 40))
    chance = random.Random(5)
    kinds = chance.choices(
        *zip(*((KINDS[name], weight) for name, weight in REALISTIC), strict=True), k=SERIES
    )
    listed = [list(values(chance, kind, AN_HOUR)) for kind in kinds]
    times = [NOW + n * STEP for n in range(AN_HOUR)]
    before, spent = resident(), 0.0
    gc.freeze()
    for start in range(0, LARGE, SERIES):
        batch = [(labels_of(start + n), times, listed[n]) for n in range(SERIES)]
        began = time.process_time()
        tsdb.append(batch, times[-1])
        spent += time.process_time() - began
    del batch
    taken = resident() - before
    row("1,000,000 series for 1 h at 15 s: GB", taken / 1e9, "")
    row("  bytes a series", taken / LARGE, "")
    row("  bytes a sample", taken / LARGE / AN_HOUR, "")
    row("  samples a second", LARGE * AN_HOUR / spent, "")


def resident() -> int:
    """Return the most memory that this process had so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
