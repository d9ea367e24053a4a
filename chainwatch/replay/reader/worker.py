"""The process that reads history for a replay; it runs `main`. See `chainwatch.replay.reader.process`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import AsyncGenerator, Mapping

import msgspec

from chainwatch import logs
from chainwatch.chain.errors import ChainError
from chainwatch.chain.pool import Pool
from chainwatch.chain.transport import open_session
from chainwatch.config import ConfigError
from chainwatch.model import PackedLogs, SiftedBatch
from chainwatch.plan import plan_again
from chainwatch.replay.reader import frames
from chainwatch.replay.reader.ranges import read_ranges
from chainwatch.store.packed_logs import pack_logs

AHEAD = 16
"""Megabytes that may wait to be sent, while the replay is busy with its database."""

PIPE_SIZE = 1 << 20
"""Bytes that the pipe takes: most batches fit."""

_log = logging.getLogger(__name__)


def main(out: int) -> None:
    """Read what standard input asks for, and send it to the file descriptor ``out``."""
    _widen(out)
    try:
        work = frames.receive(sys.stdin.fileno())
    except EOFError:
        return  # the replay has ended
    assert isinstance(work, frames.Work)
    logs.configure(work.settings.log, logs.secrets_in(work.settings))
    try:
        asyncio.run(_send_all(work, out))
    except* BrokenPipeError:
        _log.debug("the replay has ended before all was read")


async def _send_all(work: frames.Work, out: int) -> None:
    outbox = _Outbox()
    end: frames.Failure | None = None
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(outbox.send_all(out))
        try:
            async with contextlib.aclosing(_read(work)) as batches:
                async for sifted in batches:
                    await outbox.put(frames.packed(sifted))
        except (ChainError, ConfigError) as error:
            end = frames.Failure(str(error))
        await outbox.put(frames.packed(end))
        outbox.end()


class _Outbox:
    """Frames that wait to be sent."""

    def __init__(self) -> None:
        self._frames: asyncio.Queue[frames.Frame | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(AHEAD)

    async def put(self, frame: frames.Frame) -> None:
        """Add ``frame`` as soon as there is room for it."""
        for _ in range(_megabytes(frame)):
            await self._room.acquire()
        self._frames.put_nowait(frame)

    def end(self) -> None:
        """Let `send_all` end after the last frame."""
        self._frames.put_nowait(None)

    async def send_all(self, out: int) -> None:
        """Send every frame, until the end. Raises ``BrokenPipeError`` when the replay has ended."""
        while (frame := await self._frames.get()) is not None:
            await asyncio.to_thread(frames.send, out, frame)
            for _ in range(_megabytes(frame)):
                self._room.release()


def _megabytes(frame: frames.Frame) -> int:
    """Return the size of ``frame``, rounded up, but not more than `AHEAD`."""
    return min(AHEAD, 1 + sum(map(len, frame)) // 2**20)


async def _read(work: frames.Work) -> AsyncGenerator[SiftedBatch]:
    networks = work.settings.networks
    plan = plan_again(work.settings)
    async with contextlib.AsyncExitStack() as stack:
        session = await stack.enter_async_context(open_session())
        pools = {
            r.network: await stack.enter_async_context(Pool(networks[r.network], session))
            for r in work.ranges
        }
        batches = read_ranges(plan, pools, work.ranges)
        async for sifted in await stack.enter_async_context(contextlib.aclosing(batches)):
            yield sifted if work.ids is None else _packed(sifted, work.ids)


def _packed(sifted: SiftedBatch, ids: Mapping[str, int]) -> SiftedBatch:
    assert not isinstance(sifted.logs, PackedLogs)
    return msgspec.structs.replace(sifted, logs=pack_logs(ids[sifted.batch.network], sifted.logs))


def _widen(out: int) -> None:
    """Let the pipe take as many bytes as most batches have, where the system can."""
    if sys.platform == "linux":
        import fcntl

        with contextlib.suppress(OSError):  # over this user's limit: the default works too
            fcntl.fcntl(out, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
