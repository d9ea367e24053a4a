"""A network's endpoints: the next one takes over when one fails.

HTTP endpoints answer questions in the configured order, WebSocket endpoints wake the observer and answer only when no
HTTP endpoint can.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Self, TypeVar

import aiohttp
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

from chainwatch.chain.chain_time import ChainTime
from chainwatch.chain.errors import Disputed, NotThere, RangeTooWide, RpcError, Unavailable, WrongChain
from chainwatch.chain.hedging import Hedges, ask_in_turn
from chainwatch.chain.latency import Latencies
from chainwatch.chain.member import FIRST_PAUSE, EndpointStatus, Member
from chainwatch.chain.rpc import Endpoint
from chainwatch.config import NetworkSettings

T = TypeVar("T")

LEFT_ALONE = 120.0
"""Seconds for which an endpoint with another history than the others is not asked."""

LONGEST_WAIT = 2.0
"""Seconds between two tries of a patient question at most: an endpoint that failed is set aside for longer by itself."""

HELD_PATIENCE = 10.0
"""Seconds for which a question about blocks that are not there, or whose logs are in dispute, is asked anew at most."""


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

        ``chain_time`` gets the dates of the answers, and says how old a head is; without it ``clock`` does.
        """
        self.network = network
        self._clock = clock
        self._chain_time = chain_time
        self._listeners: list[Callable[[], None]] = []
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._hedges = Hedges()
        self.heard = 0
        """How often a WebSocket has told of something."""
        self._latencies: list[Latencies] = []
        members = [self._member(index, session) for index in range(len(network.rpc))]
        if last_first:
            members.reverse()
        self._members = sorted(members, key=lambda member: member.kind == "websocket")

    async def start(self) -> None:
        """Begins to verify and to keep up the endpoints; returns as soon as one can be used or all have been tried.

        Raises `WrongChain` when all of them answer for other chains.
        """
        self._tasks = [asyncio.create_task(m.keep_up(), name=m.name) for m in self._members]
        while not any(m.usable for m in self._members) and any(m.state == "new" for m in self._members):
            self._changed.clear()
            await self._changed.wait()
        self._refuse_wrong_chain()

    async def all_tried(self) -> None:
        """Returns when every endpoint has been verified or has failed once."""
        while any(m.state == "new" for m in self._members):
            self._changed.clear()
            await self._changed.wait()

    async def close(self) -> None:
        """Closes all connections; safe to call twice."""
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
        """What ``read`` gets from the first endpoint that answers it, tried anew for ``patience`` seconds.

        Raises the last `RpcError`; `RangeTooWide` at once, since a smaller question may do; `WrongChain`.
        """
        return await _patient(patience)(self._ask_each, read)

    async def agree(self, read: Callable[[Endpoint], Awaitable[T]], patience: float = 0.0) -> T:
        """The same, but as many endpoints as the network's ``agreement`` says must have given that answer.

        Raises also `Disputed` when they did not.
        """
        ask = self._ask_each if self.network.agreement == 1 else self._ask_several
        return await _patient(patience)(ask, read)

    async def second(self, read: Callable[[Endpoint], Awaitable[T]], than: Endpoint) -> T | None:
        """What ``read`` gets from an endpoint other than ``than``; None when none can be asked or answers.

        Raises `RangeTooWide`: the other may answer a smaller question.
        """
        others = [m for m in self._usable() if m.endpoint is not than and not m.hangs]
        answers, _ = await ask_in_turn(others, read, bool, self._hedges)
        return answers[0] if answers else None

    async def every(self, read: Callable[[Endpoint], Awaitable[T]]) -> list[T]:
        """What ``read`` gets from all endpoints that can be asked and answer."""
        answers, _ = await ask_in_turn(
            [m for m in self._usable() if not m.hangs], read, lambda _: False, self._hedges
        )
        return answers

    def on_news(self, listener: Callable[[], None]) -> None:
        """``listener`` is called when a WebSocket tells of a new block, and when an endpoint comes back."""
        self._listeners.append(listener)

    def resubscribe(self) -> None:
        """Opens the WebSockets anew: they were silent about blocks that are there."""
        for member in self._members:
            if member.kind == "websocket" and member.usable:
                member.set_aside("its subscription went silent", 0.0)

    def leave_alone(self, endpoint: Endpoint, why: str) -> None:
        """Asks ``endpoint`` no more for a while: others have shown that it is wrong."""
        for member in self._members:
            if member.endpoint is endpoint:
                member.contradicted = True
                member.set_aside(why, LEFT_ALONE)

    @property
    def whole(self) -> bool:
        """Whether every endpoint that serves this chain can be asked now: what they all say is final."""
        return all(member.usable or member.state == "refused" for member in self._members)

    @property
    def contradicted(self) -> bool:
        """Whether others have shown an endpoint to be wrong that can be asked now, while one of them cannot."""
        return not self.whole and any(member.usable and member.contradicted for member in self._members)

    @property
    def woken(self) -> bool:
        """Whether a WebSocket is subscribed to new blocks."""
        return any(member.kind == "websocket" and member.usable for member in self._members)

    def remember(self, ranges: Mapping[str, int]) -> None:
        """Takes up the most blocks of one `eth_getLogs` that endpoints, by name, were found to give in earlier runs."""
        for member in self._members:
            member.endpoint.max_range = ranges.get(member.name)

    @property
    def alone(self) -> bool:
        """Whether no more than one endpoint can be asked now."""
        return sum(member.usable for member in self._members) <= 1

    @property
    def now(self) -> float:
        """The time as far as the chains tell it, else the clock's."""
        return self._clock() if self._chain_time is None else self._chain_time.now()

    def refutes(self, timestamp: float) -> bool:
        """Whether other networks and the clock show that no block of this one can have been made at ``timestamp`` yet."""
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
            self._hear,
            self._member_changed,
            self._chain_time,
            self._latencies,
        )

    def _hear(self) -> None:
        self.heard += 1
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
        """Those that can be asked in their order; after them those that want fewer calls, are frozen, and that hang."""
        usable = [member for member in self._members if member.usable]
        return sorted(usable, key=lambda member: (member.hangs, member.frozen, member.is_slowed))

    def _unavailable(self) -> Unavailable:
        self._refuse_wrong_chain()
        troubles = "; ".join(f"{m.name}: {m.last_error or 'not verified yet'}" for m in self._members)
        return Unavailable(self.network.name, f"no endpoint can be asked now ({troubles})")

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
