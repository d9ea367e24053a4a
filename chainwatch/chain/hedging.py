"""One read from several endpoints in turn: the next is asked when one fails, or takes longer than usual."""

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
"""Reads that may be made twice at once at first, and how many more each read allows: where all endpoints have become slow,
asking them twice would make them slower."""


class Hedges:
    """How many more reads may go to a second endpoint while the first may still answer."""

    def __init__(self) -> None:
        self._left = MOST_HEDGES

    def count_read(self) -> None:
        """Count one more read."""
        self._left = min(MOST_HEDGES, self._left + HEDGES_A_QUESTION)

    def take(self) -> bool:
        """Use one up; false where none is left."""
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
    """Return the answers until they are ``enough``, or all there are, and the failures, in the order they came.

    The next of ``members`` is asked once all before it have failed, have answered, or are late. A member that is still
    late when the answers are enough is cancelled, and counts as hanging until it answers in time. Raises `RangeTooWide`
    at once: a smaller range may work.
    """
    hedges.count_read()
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
                        running[slow].note_late()
                    return answers, failures
        return answers, failures
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _failure(task: asyncio.Task[T], member: Member) -> RpcError | None:
    if task.cancelled():  # by what the endpoint is connected through, not by this function
        return member.note_cancelled()
    error = task.exception()
    if isinstance(error, RpcError):
        return bare(error)
    if error is not None:
        raise error
    return None
