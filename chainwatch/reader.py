"""Reads history in a process of its own, so that fetching and decoding take nothing from checking and storing.

The process runs `main`. It gets its work on standard input, in one pickle, and answers on standard
output with frames: their length, then a pickle. Both ends are ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import struct
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import BinaryIO, NamedTuple

import msgspec

from chainwatch import logs
from chainwatch.chain.errors import ChainError
from chainwatch.chain.pool import Pool
from chainwatch.chain.transport import open_session
from chainwatch.config import ConfigError, Settings
from chainwatch.model import SiftedBatch, StoredLog
from chainwatch.plan import Plan, plan_again
from chainwatch.reading import Range, few_collections, read_ranges

WORTH_A_PROCESS = 1_000
"""Blocks from which on a replay gains more by a second process than its start costs."""
PIPE_SIZE = 1 << 20
BUFFERED = 4 << 20
"""Bytes that the pipe takes, and that this process takes from it before they are asked for."""

_LENGTH = struct.Struct(">Q")


class Reader:
    """The other process, while it runs. Use ``started``."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def read(self, plan: Plan, ranges: Sequence[Range]) -> AsyncGenerator[SiftedBatch]:
        """What `read_ranges` gives. To be called once.

        A ``ChainError`` in the other process is raised here, with its text; so is one when the process dies.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(ConnectionError):  # it died: told when it is read from
            self._process.stdin.write(pickle.dumps(_Work(plan.settings, tuple(ranges))))
            await self._process.stdin.drain()
            self._process.stdin.close()
        while (item := await self._receive()) is not None:
            if isinstance(item, _Failure):
                raise ChainError(item.message)
            yield item

    async def _receive(self) -> SiftedBatch | _Failure | None:
        assert self._process.stdout is not None
        try:
            (length,) = _LENGTH.unpack(await self._process.stdout.readexactly(_LENGTH.size))
            data = await self._process.stdout.readexactly(length)
        except asyncio.IncompleteReadError:
            status = await self._process.wait()
            raise ChainError(f"the process that reads the chains has ended with status {status}") from None
        return _unpacked(data)


@contextlib.asynccontextmanager
async def started() -> AsyncIterator[Reader | None]:
    """Start the other process, which waits for its work and ends with the context; None where there is one processor."""
    if processors() == 1:
        yield None
        return
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from chainwatch.reader import main; main()",
        stdin=PIPE,
        stdout=PIPE,
        limit=BUFFERED,
        start_new_session=True,  # a terminal's Ctrl-C is for this process, which ends the other
    )
    try:
        yield Reader(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


def is_worthwhile(ranges: Sequence[Range]) -> bool:
    """Whether ``ranges`` are long enough to be read by another process."""
    return sum(r.last - r.first + 1 for r in ranges) >= WORTH_A_PROCESS


def processors() -> int:
    """Those that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# --- the other process -----------------------------------------------------------------------------------


class _Work(NamedTuple):
    settings: Settings
    ranges: tuple[Range, ...]


class _Failure(NamedTuple):
    message: str


def main() -> None:
    """The whole life of the reading process."""
    try:
        work: _Work = pickle.load(sys.stdin.buffer)  # noqa: S301 - from our own process
    except EOFError:
        return  # the one that we work for is gone
    _widen(sys.stdout.buffer)
    logs.configure(work.settings.log, logs.secrets_in(work.settings))
    with contextlib.suppress(BrokenPipeError), few_collections():  # gone as well
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
            sending = None
            async for sifted in read_ranges(plan, pools, work.ranges):
                if sending is not None:
                    await sending
                sending = asyncio.create_task(asyncio.to_thread(_send, out, sifted))
            if sending is not None:
                await sending
    except (ChainError, ConfigError) as error:
        _send(out, _Failure(str(error)))
    else:
        _send(out, None)


def _widen(out: BinaryIO) -> None:
    """Let the pipe take as many bytes as a batch has, where the system knows how."""
    if sys.platform == "linux":
        import fcntl

        with contextlib.suppress(OSError):  # over this user's limit: it works as it is
            fcntl.fcntl(out, fcntl.F_SETPIPE_SZ, PIPE_SIZE)


def _send(out: BinaryIO, item: SiftedBatch | _Failure | None) -> None:
    data = _packed(item)
    out.write(_LENGTH.pack(len(data)))
    out.write(data)
    out.flush()


# --- what goes between the two ---------------------------------------------------------------------------

_Logs = list[StoredLog]
_pack_logs = msgspec.msgpack.Encoder().encode
_unpack_logs = msgspec.msgpack.Decoder(_Logs).decode
"""Logs make up most of it, and this takes a third of the time that pickle does."""


def _packed(item: SiftedBatch | _Failure | None) -> bytes:
    if not isinstance(item, SiftedBatch):
        return pickle.dumps((None, item))
    logs = _pack_logs(item.logs)
    return pickle.dumps((logs, msgspec.structs.replace(item, logs=[])), pickle.HIGHEST_PROTOCOL)


def _unpacked(data: bytes) -> SiftedBatch | _Failure | None:
    logs, item = pickle.loads(data)  # noqa: S301 - from our own process
    return msgspec.structs.replace(item, logs=_unpack_logs(logs)) if isinstance(item, SiftedBatch) else item
