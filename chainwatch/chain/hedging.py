"""One question to several endpoints in turn: to the next one when one fails, and beside one that takes longer than usual."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from chainwatch.chain.errors import RangeTooWide, RpcError, bare
from chainwatch.chain.member import Member
from chainwatch.chain.rpc import Endpoint

T = TypeVar("T")

MOST_HEDGES = 10.0
HEDGES_A_QUESTION = 0.1
"""Questions that may be asked twice at once before they are few, and how many more each question allows: where all
endpoints have become slow, asking them twice would make them slower."""


class Hedges:
    """How many more questions may be put to a second endpoint while the first may still answer."""

    def __init__(self) -> None:
        self._left = MOST_HEDGES

    def question(self) -> None:
        """One more was asked."""
        self._left = min(MOST_HEDGES, self._left + HEDGES_A_QUESTION)

    def take(self) -> bool:
        """Whether there was one."""
        if self._left < 1:
            return False
        self._left -= 1
        return True


async def ask_in_turn(
    members: Sequence[Member],
    read: Callable[[Endpoint], Awaitable[T]],
    enough: Callable[[list[T]], bool],
    hedges: Hedges,
) -> tuple[list[T], list[RpcError]]:
    """The answers up to the one that made them ``enough`` or to the last, and the failures, as they came.

    The next of ``members`` is asked once all that were asked have failed, have answered, or are late. Who was late when
    there was enough is cut short and has to prove itself. Raises `RangeTooWide` at once: a smaller question may do.
    """
    hedges.question()
    waiting = deque(members)
    running: dict[asyncio.Task[T], Member] = {}
    late: set[asyncio.Task[T]] = set()
    answers: list[T] = []
    failures: list[RpcError] = []
    try:
        while waiting or running:
            if waiting and len(late) == len(running) and (not running or hedges.take()):
                member = waiting.popleft()
                running[asyncio.create_task(member.measure(read), name=member.name)] = member
            seconds = [running[task].until_late for task in running.keys() - late]
            done, _ = await asyncio.wait(
                running, timeout=min(seconds, default=None), return_when=asyncio.FIRST_COMPLETED
            )
            late = {task for task in running.keys() - done if task in late or running[task].until_late <= 0}
            for task in done:
                member = running.pop(task)
                error = _failure(task, member)
                if isinstance(error, RangeTooWide):
                    raise error
                if error is not None:
                    failures.append(error)
                    continue
                answers.append(task.result())
                if enough(answers):
                    for slow in late:
                        running[slow].lost()
                    return answers, failures
        return answers, failures
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _failure(task: asyncio.Task[T], member: Member) -> RpcError | None:
    if task.cancelled():  # not by us: it comes out of what the endpoint was asked through
        return member.was_cut_short()
    error = task.exception()
    if isinstance(error, RpcError):
        return bare(error)
    if error is not None:
        raise error
    return None
