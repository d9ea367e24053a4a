"""Reads history in a process of its own, so that fetching and decoding take nothing from checking and storing.

The process runs `main`. It gets its work on standard input, in one pickle, and answers on standard
output with frames: their length, then a pickle. Both ends are ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import signal
import struct
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from typing import BinaryIO, NamedTuple

from chainwatch import logs
from chainwatch.chain.errors import ChainError
from chainwatch.chain.pool import Pool
from chainwatch.chain.transport import open_session
from chainwatch.config import ConfigError, Settings
from chainwatch.model import SiftedBatch
from chainwatch.plan import Plan, plan_again
from chainwatch.reading import Range, few_collections, read_ranges

WORTH_A_PROCESS = 1_000
"""Blocks from which on a replay gains more by a second process than its start costs."""
BUFFERED = 1 << 20
"""Bytes that this process takes from the other's pipe before they are asked for."""

_LENGTH = struct.Struct(">Q")


def is_worthwhile(ranges: Sequence[Range]) -> bool:
    """Whether to read ``ranges`` in a process of its own: they are long, and there is a second processor."""
    return _processors() > 1 and sum(r.last - r.first + 1 for r in ranges) >= WORTH_A_PROCESS


@contextlib.asynccontextmanager
async def reader(plan: Plan, ranges: Sequence[Range]) -> AsyncIterator[AsyncIterator[SiftedBatch]]:
    """Read ``ranges`` in another process, which ends with the context; what it gives is that of `read_ranges`.

    A ``ChainError`` there is raised here, with its text; so is one when the process dies.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from chainwatch.reader import main; main()",
        stdin=PIPE,
        stdout=PIPE,
        limit=BUFFERED,
    )
    try:
        assert process.stdin is not None
        with contextlib.suppress(ConnectionError):  # it died: told when it is read from
            process.stdin.write(pickle.dumps(_Work(plan.settings, tuple(ranges))))
            await process.stdin.drain()
            process.stdin.close()
        yield _received(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


def _processors() -> int:
    """Those that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


async def _received(process: Process) -> AsyncIterator[SiftedBatch]:
    assert process.stdout is not None
    while True:
        try:
            (length,) = _LENGTH.unpack(await process.stdout.readexactly(_LENGTH.size))
            item = pickle.loads(await process.stdout.readexactly(length))  # noqa: S301 - from our own process
        except asyncio.IncompleteReadError:
            status = await process.wait()
            raise ChainError(f"the process that reads the chains has ended with status {status}") from None
        match item:
            case SiftedBatch():
                yield item
            case _Failure():
                raise ChainError(item.message)
            case None:
                return


# --- the other process -----------------------------------------------------------------------------------


class _Work(NamedTuple):
    settings: Settings
    ranges: tuple[Range, ...]


class _Failure(NamedTuple):
    message: str


def main() -> None:
    """The whole life of the reading process."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # a terminal sends it to both; the one that we work for ends us
    work: _Work = pickle.load(sys.stdin.buffer)  # noqa: S301 - from our own process
    logs.configure(work.settings.log, logs.secrets_in(work.settings))
    with contextlib.suppress(BrokenPipeError), few_collections():  # the one that we work for is gone
        asyncio.run(_send_all(work, sys.stdout.buffer))


async def _send_all(work: _Work, out: BinaryIO) -> None:
    networks = work.settings.networks
    try:
        plan = plan_again(work.settings)
        async with contextlib.AsyncExitStack() as stack:
            session = await stack.enter_async_context(open_session())
            pools = {
                r.network: await stack.enter_async_context(Pool(networks[r.network], session))
                for r in work.ranges
            }
            async for sifted in read_ranges(plan, pools, work.ranges):
                await asyncio.to_thread(_send, out, sifted)
    except (ChainError, ConfigError) as error:
        _send(out, _Failure(str(error)))
    else:
        _send(out, None)


def _send(out: BinaryIO, item: SiftedBatch | _Failure | None) -> None:
    data = pickle.dumps(item, pickle.HIGHEST_PROTOCOL)
    out.write(_LENGTH.pack(len(data)))
    out.write(data)
    out.flush()
