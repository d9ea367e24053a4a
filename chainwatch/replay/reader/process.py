"""Reads history in another process, so that fetching and decoding take no time from checking and storing.

That process runs `chainwatch.replay.reader.worker`. The process gets its work on standard input and answers through a pipe.
This module imports little, so that both processes can import the rest at the same time.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from chainwatch.chain.errors import ChainError
from chainwatch.model import SiftedBatch
from chainwatch.replay.reader import frames

if TYPE_CHECKING:
    from chainwatch.plan import Plan
    from chainwatch.replay.reader.ranges import Range

WORTH_A_PROCESS = 1_000
"""From this many blocks on a second process saves more time than its start takes."""


class Reader:
    """The other process, while it runs. Use ``started``."""

    def __init__(self, process: subprocess.Popen[bytes], source: int) -> None:
        self._process = process
        self._source = source
        self._begun: frames.Work | None = None

    async def begin(self, plan: Plan, ranges: Sequence[Range], ids: dict[str, int] | None = None) -> None:
        """Let it begin to read ``ranges`` before `read` is called. To be called once.

        ``ids``: see `frames.Work`.
        """
        self._begun = frames.Work(plan.settings, tuple(ranges), ids)
        await asyncio.to_thread(self._ask, self._begun)

    async def read(
        self, plan: Plan, ranges: Sequence[Range], ids: dict[str, int] | None = None
    ) -> AsyncGenerator[SiftedBatch]:
        """Yield the batches of `read_ranges`. To be called once, with what `begin` was called with, if it was.

        A ``ChainError`` in the other process is raised here, with its text; so is one when the process dies.
        """
        if self._begun is None:
            await self.begin(plan, ranges, ids)
        assert self._begun is not None
        assert (self._begun.ranges, self._begun.ids) == (tuple(ranges), ids)
        try:
            while (item := await asyncio.to_thread(self._receive)) is not None:
                yield item
        finally:
            self._process.kill()  # or a thread would wait for what is not needed any more

    def _ask(self, work: frames.Work) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it died: raised when it is read from
            frames.send(self._process.stdin.fileno(), frames.packed(work))

    def _receive(self) -> SiftedBatch | None:
        try:
            item = frames.receive(self._source)
        except EOFError:
            status = self._process.wait()
            raise ChainError(f"the process that reads the chains has ended with status {status}") from None
        if isinstance(item, frames.Failure):
            raise ChainError(item.message)
        assert not isinstance(item, frames.Work)
        return item


@contextlib.contextmanager
def started() -> Iterator[Reader | None]:
    """Start the other process, which waits for its work and ends with the context; None on a single processor."""
    if processors() == 1:
        yield None
        return
    source, out = os.pipe()
    process = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-P", "-c", _program(out)],
        stdin=subprocess.PIPE,
        stdout=_STDERR,  # what a library prints must not come between frames
        pass_fds=[out],
        start_new_session=True,  # a terminal's Ctrl-C is for this process alone, which ends the other
    )
    os.close(out)
    try:
        yield Reader(process, source)
    finally:
        process.kill()
        process.communicate()
        os.close(source)


def is_worthwhile(ranges: Sequence[Range]) -> bool:
    """Return whether ``ranges`` are long enough to be read by another process."""
    return sum(r.last - r.first + 1 for r in ranges) >= WORTH_A_PROCESS


def processors() -> int:
    """Return how many processors this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_STDERR = 2


def _program(out: int) -> str:
    """Return the program of the other process: with the module path of this one, but without the working directory."""
    here = str(Path(__file__).parents[2])
    places = [place for place in sys.path if place]
    places += [here] if here not in places else []
    return (
        f"import sys; sys.path[:] = {places!r}\n"
        "from chainwatch.support.garbage import collect_seldom; collect_seldom()\n"
        f"from chainwatch.replay.reader.worker import main; main({out})"
    )
