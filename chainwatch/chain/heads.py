"""The newest block of a network: which endpoint's head counts, and whether the head stands still or has gone back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from chainwatch.chain.chain_time import ChainTime, Moment
from chainwatch.chain.errors import NotThere, RpcError
from chainwatch.chain.member import HEAD_SLACK
from chainwatch.chain.pool import Pool
from chainwatch.chain.rpc import Endpoint
from chainwatch.config import NetworkSettings
from chainwatch.model import Header

HEAD_TIMEOUT = 5.0
"""Seconds to wait for the head at most: a node that does not answer is to be noticed soon."""

COMPARE_EVERY = 5.0
"""Seconds after which all endpoints are asked for their heads where blocks come on demand: the first may be stuck."""

COMPARED_WITHIN = 0.5
"""Seconds for which blocks wait for the heads of all endpoints; slower ones are compared at a later look."""


class Heads:
    """The head of ``network`` as the endpoints of ``pool`` answer it; ``clock`` gives Unix seconds."""

    def __init__(
        self, network: NetworkSettings, pool: Pool, clock: Callable[[], float], chain_time: ChainTime
    ) -> None:
        self.head: Header | None = None
        """The newest head, None before the first."""
        self.behind_since: float | None = None
        """Since when the newest head is below the last block read."""
        self._network = network
        self._pool = pool
        self._clock = clock
        self._chain_time = chain_time
        self._timeout = min(network.request_timeout, HEAD_TIMEOUT)
        self._looked_at: float | None = None
        """When the head was last asked for, by the monotonic clock."""
        self._compared: Moment | None = None
        """When all endpoints were last asked for their heads, which have been answered since."""
        self._comparing: tuple[Moment, asyncio.Task[list[Header]]] | None = None
        """When they were asked for those that are still being answered."""

    async def newest(self, last: Header | None, *, failing: bool) -> Header:
        """Return the head of the first endpoint that is not behind ``last``, the last block read; else of the least behind.

        While reading is ``failing``, the lowest head above ``last``, if there is one: an endpoint may announce blocks
        that do not exist. Raises `RpcError`.
        """
        if failing:
            read_up_to = -1 if last is None else last.number
            fitting = [head for head in await self._all() if head.number >= read_up_to]
            if fitting:
                return min(fitting, key=lambda head: (head.number == read_up_to, head.number))
        heads: list[Header] = []

        async def read(endpoint: Endpoint) -> Header:
            head = await endpoint.head(self._timeout)
            heads.append(head)
            if (last is not None and head.number < last.number) or self._is_old(head):
                raise NotThere(endpoint.name, f"its head, block {head.number}, is behind")
            return head

        try:
            return await self._pool.ask(read)
        except RpcError:
            if not heads:
                raise
            return max(heads, key=lambda head: head.number)

    async def compare(
        self, head: Header, asked: Moment, *, now: bool, failing: bool
    ) -> tuple[Header, Moment | None]:
        """Return the newest head, and the moment at which no endpoint had a newer one, None before there is one.

        ``head`` was asked for at ``asked``. Where blocks come on demand, no age of ``head`` separates a quiet chain
        from a stuck endpoint: all are asked, every few seconds or ``now``, and no block waits long for a slow one.
        """
        if self._network.block_time is not None or self._pool.alone or failing:
            return head, asked  # while failing, all were asked already
        compared = self._compared
        is_due = compared is None or now or asked.monotonic - compared.monotonic >= COMPARE_EVERY
        if self._comparing is None and is_due:
            self._comparing = asked, asyncio.create_task(self._all())
        if self._comparing is not None:
            begun, heads = self._comparing
            await asyncio.wait((heads,), timeout=COMPARED_WITHIN if begun is asked else 0.0)
            if heads.done():
                self._comparing, self._compared = None, begun
                head = max([head, *heads.result()], key=lambda head: head.number)
        return head, self._compared

    def close(self) -> None:
        """Ask no more."""
        if self._comparing is not None:
            self._comparing[1].cancel()
            self._comparing = None

    def is_new(self, head: Header) -> bool:
        """Return whether ``head`` is above the newest one known; false before there is one."""
        return self.head is not None and head.number > self.head.number

    def note(self, head: Header, last: Header | None, asked: Moment) -> None:
        """Keep ``head``, asked for at ``asked``, as the newest; ``last`` is the last block read."""
        if self._looked_at is not None and self.is_new(head):
            self._chain_time.saw_head(self._network.name, head.timestamp, asked.monotonic - self._looked_at)
        self._looked_at = asked.monotonic
        if last is None or head.number >= last.number:
            self.behind_since = None
        elif self.behind_since is None:
            self.behind_since = self._clock()
        self.head = head

    @property
    def stalled(self) -> bool:
        """Whether the head has not moved for `stall_after`, or has been below the last block read for `blind_after`."""
        return self._is_thrown_back() or (
            self._network.stall_after is not None
            and self.head is not None
            and self._chain_time.now() - self.head.timestamp > self._network.stall_after
        )

    async def _all(self) -> list[Header]:
        return await self._pool.ask_all(lambda endpoint: endpoint.head(self._timeout))

    def _is_thrown_back(self) -> bool:
        """Return whether the newest head has been below the last block read for longer than a node lags for a moment."""
        return self.behind_since is not None and self._clock() - self.behind_since > self._network.blind_after

    def _is_old(self, head: Header) -> bool:
        """Return whether ``head`` should have had a child long ago: this endpoint may be the only one without it."""
        block_time = self._network.block_time
        return (
            block_time is not None and self._chain_time.now() - head.timestamp > 2 * block_time + HEAD_SLACK
        )
