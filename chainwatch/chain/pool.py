"""A network's endpoints: the next one takes over when one fails.

HTTP endpoints are asked in the configured order; WebSocket endpoints wake the observer, and are asked only when no HTTP
endpoint can answer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from types import TracebackType
from typing import Self, TypeVar

import aiohttp
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

from chainwatch.chain.chain_time import ChainTime
from chainwatch.chain.errors import Disputed, NotThere, RangeTooWide, RpcError, Unavailable, WrongChain
from chainwatch.chain.hedging import Hedges, ask_in_turn
from chainwatch.chain.latency import Latencies
from chainwatch.chain.member import FIRST_PAUSE, Member
from chainwatch.chain.rpc import Endpoint
from chainwatch.chain.status import EndpointStatus
from chainwatch.config import NetworkSettings

T = TypeVar("T")

AVOIDED_FOR = 120.0
"""Seconds for which an endpoint is not asked that others have shown to be wrong."""

LONGEST_WAIT = 2.0
"""The most seconds between two tries of a read with patience: an endpoint that failed is set aside for longer anyway."""

HELD_PATIENCE = 10.0
"""The most seconds for which a read is retried whose blocks are missing or disputed."""


class Pool:
    """The endpoints of one network: ``async with Pool(settings, session) as pool``, or `start` and `close`.

    ``session`` is shared by all networks (`chainwatch.chain.transport.open_session`).
    """

    def __init__(
        self,
        network: NetworkSettings,
        session: aiohttp.ClientSession,
        clock: Callable[[], float] = time.time,
        last_first: bool = False,
        chain_time: ChainTime | None = None,
    ) -> None:
        """``last_first``: asked in the reverse of the configured order, as a second opinion.

        ``chain_time`` gets the dates of the answers, and decides how old a head is; without it ``clock`` does.
        """
        self.network = network
        self._clock = clock
        self._chain_time = chain_time
        self._listeners: list[Callable[[], None]] = []
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._hedges = Hedges()
        self.announcements = 0
        """How many messages the subscriptions of the WebSockets have sent."""
        self._latencies: list[Latencies] = []
        members = [self._member(index, session) for index in range(len(network.rpc))]
        if last_first:
            members.reverse()
        self._members = sorted(members, key=lambda member: member.kind == "websocket")

    async def start(self) -> None:
        """Begin to verify and to maintain the endpoints; return as soon as one is usable or all have been tried.

        Raises `WrongChain` when all of them answer for other chains.
        """
        self._tasks = [asyncio.create_task(m.keep_up(), name=m.name) for m in self._members]
        while not any(m.usable for m in self._members) and any(m.state == "new" for m in self._members):
            self._changed.clear()
            await self._changed.wait()
        self._refuse_wrong_chain()

    async def all_tried(self) -> None:
        """Return when every endpoint has been verified or has failed once."""
        while any(m.state == "new" for m in self._members):
            self._changed.clear()
            await self._changed.wait()

    async def close(self) -> None:
        """Close all connections; safe to call twice."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def ask(self, read: Callable[[Endpoint], Awaitable[T]], patience: float = 0.0) -> T:
        """Return what ``read`` gets from the first endpoint that answers, retried for ``patience`` seconds.

        Raises the last `RpcError`; `RangeTooWide` at once, since a smaller range may work; `WrongChain`.
        """
        return await _patient(patience)(self._ask_each, read)

    async def ask_agreeing(self, read: Callable[[Endpoint], Awaitable[T]], patience: float = 0.0) -> T:
        """Return the same, but as many endpoints as the network's ``agreement`` must give the same answer.

        Raises also `Disputed` when too few did.
        """
        ask = self._ask_each if self.network.agreement == 1 else self._ask_several
        return await _patient(patience)(ask, read)

    async def ask_another(self, read: Callable[[Endpoint], Awaitable[T]], than: Endpoint) -> T | None:
        """Return what ``read`` gets from an endpoint other than ``than``; None when no other answers.

        Raises `RangeTooWide`: the other may answer a smaller range.
        """
        others = [m for m in self._usable() if m.endpoint is not than and not m.hangs]
        answers, _ = await ask_in_turn(others, read, bool, self._hedges)
        return answers[0] if answers else None

    async def ask_all(self, read: Callable[[Endpoint], Awaitable[T]]) -> list[T]:
        """Return what ``read`` gets from each endpoint that answers."""
        answers, _ = await ask_in_turn(
            [m for m in self._usable() if not m.hangs], read, lambda _: False, self._hedges
        )
        return answers

    def add_listener(self, listener: Callable[[], None]) -> None:
        """Have ``listener`` called when a WebSocket announces a block, and when an endpoint becomes usable or fails."""
        self._listeners.append(listener)

    def resubscribe(self) -> None:
        """Open the WebSockets anew: they announced none of the last blocks."""
        for member in self._members:
            if member.kind == "websocket" and member.usable:
                member.set_aside("its subscription went silent", 0.0)

    def avoid(self, endpoint: Endpoint, why: str) -> None:
        """Do not ask ``endpoint`` for a while: others have shown that it is wrong."""
        for member in self._members:
            if member.endpoint is endpoint:
                member.contradicted = True
                member.set_aside(why, AVOIDED_FOR)

    @property
    def whole(self) -> bool:
        """Whether every endpoint that serves this chain is usable now: what they agree on is final."""
        return all(member.usable or member.state == "refused" for member in self._members)

    def has_others(self, asked: Collection[Endpoint]) -> bool:
        """Return whether an endpoint is usable now that is not among ``asked``: it may have come back meanwhile."""
        return any(member.usable and member.endpoint not in asked for member in self._members)

    @property
    def contradicted(self) -> bool:
        """Whether a usable endpoint has been shown to be wrong by others."""
        return any(member.usable and member.contradicted for member in self._members)

    @property
    def subscribed(self) -> bool:
        """Whether a WebSocket is subscribed to new blocks."""
        return any(member.kind == "websocket" and member.usable for member in self._members)

    def remember(self, ranges: Mapping[str, int]) -> None:
        """Set the most blocks of one `eth_getLogs` that earlier runs found, by the endpoint's name."""
        for member in self._members:
            member.endpoint.max_range = ranges.get(member.name)

    @property
    def alone(self) -> bool:
        """Whether no more than one endpoint is usable now."""
        return sum(member.usable for member in self._members) <= 1

    @property
    def now(self) -> float:
        """The time according to the chains (Unix seconds), else the clock's."""
        return self._clock() if self._chain_time is None else self._chain_time.now()

    def refutes(self, timestamp: float) -> bool:
        """Return whether other networks and the clock show that no block here can have been made at ``timestamp`` yet."""
        return self._chain_time is not None and self._chain_time.refutes(self.network.name, timestamp)

    @property
    def last_answer_at(self) -> float | None:
        """The clock's value at the last good answer of any endpoint."""
        return max((m.last_answer_at for m in self._members if m.last_answer_at is not None), default=None)

    @property
    def endpoints(self) -> tuple[EndpointStatus, ...]:
        """Every endpoint's status, in the configured order."""
        return tuple(member.status for member in sorted(self._members, key=lambda member: member.index))

    def _member(self, index: int, session: aiohttp.ClientSession) -> Member:
        return Member(
            self.network,
            index,
            session,
            self._clock,
            self._count_announcement,
            self._member_changed,
            self._chain_time,
            self._latencies,
        )

    def _count_announcement(self) -> None:
        self.announcements += 1
        self._notify_listeners()

    def _notify_listeners(self) -> None:
        for listener in self._listeners:
            listener()

    def _member_changed(self) -> None:
        self._changed.set()
        self._notify_listeners()

    async def _ask_each(self, read: Callable[[Endpoint], Awaitable[T]]) -> T:
        answers, failures = await ask_in_turn(self._usable(), read, bool, self._hedges)
        if answers:
            return answers[0]
        disputed = [failure for failure in failures if isinstance(failure, Disputed)]
        raise [*failures, *disputed[:1]][-1] if failures else self._unavailable()

    async def _ask_several(self, read: Callable[[Endpoint], Awaitable[T]]) -> T:
        agreement = self.network.agreement
        answers, failures = await ask_in_turn(
            self._usable(), read, lambda some: some.count(some[-1]) >= agreement, self._hedges
        )
        if not answers:
            raise failures[-1] if failures else self._unavailable()
        if answers.count(answers[-1]) >= agreement:
            return answers[-1]
        reason = f"; {failures[-1]}" if failures else ""
        raise Disputed(
            self.network.name,
            f"{agreement} endpoints must agree, but of {len(answers)} answers "
            f"{max(answers.count(answer) for answer in answers)} are the same{reason}",
        )

    def _usable(self) -> list[Member]:
        """Return the usable ones in their order; those that refused calls, are frozen or hang come last, in this order."""
        usable = [member for member in self._members if member.usable]
        return sorted(usable, key=lambda member: (member.hangs, member.frozen, member.is_slowed))

    def _unavailable(self) -> Unavailable:
        self._refuse_wrong_chain()
        reasons = "; ".join(f"{m.name}: {m.last_error or 'not verified yet'}" for m in self._members)
        return Unavailable(self.network.name, f"no endpoint is usable now ({reasons})")

    def _refuse_wrong_chain(self) -> None:
        found = {m.name: m.found for m in self._members if m.state == "refused" and m.found is not None}
        if len(found) == len(self._members):
            raise WrongChain(self.network.name, self.network.chain_id, found)


def _patient(seconds: float) -> AsyncRetrying:
    def over(state: RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome is not None else None
        patience = min(seconds, HELD_PATIENCE) if isinstance(error, NotThere) else seconds
        return (state.seconds_since_start or 0.0) >= patience

    return AsyncRetrying(
        retry=retry_if_exception(lambda e: isinstance(e, RpcError) and not isinstance(e, RangeTooWide)),
        stop=over,
        wait=wait_random_exponential(multiplier=FIRST_PAUSE, max=LONGEST_WAIT),
        reraise=True,
    )
