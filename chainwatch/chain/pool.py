"""A network's endpoints: each is verified before it is used, the next one takes over when one fails.

HTTP endpoints answer questions in the configured order, WebSocket endpoints wake the observer and answer only when no
HTTP endpoint can. One that fails is set aside and asked for its chain id, at growing and jittered intervals, until
it answers rightly: only then is it used again.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

import aiohttp
from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_random_exponential

from chainwatch.chain.errors import (
    AnswerTooBig,
    Disputed,
    ForeignChain,
    HttpStatusError,
    NodeError,
    NotThere,
    RangeTooWide,
    RateLimited,
    RpcError,
    TransportError,
    Unavailable,
    WrongChain,
)
from chainwatch.chain.pace import PacedTransport
from chainwatch.chain.quiet import QuietLog
from chainwatch.chain.rpc import Endpoint
from chainwatch.chain.transport import HttpTransport, endpoint_name, is_websocket, secret_parts
from chainwatch.chain.websocket import WebSocketTransport
from chainwatch.chain.wire import Call
from chainwatch.config import NetworkSettings

T = TypeVar("T")

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
LONGEST_PAUSE_LIMITED = 60.0
LONGEST_RETRY_AFTER = 3600.0
REFUSED_PAUSE = 30.0
"""Seconds until an endpoint that failed is tried again: first, at most, at most when it is overloaded or says how long,
and when it served another chain."""

VERIFY_TIMEOUT = 5.0

WEIGHT = 0.1
"""Weight of the newest question in the averages of latency and error ratio."""

DEGRADED_RATIO = 0.1

FROZEN_LATENCY = 2.0
HEAD_SLACK = 10.0
"""Seconds that an answer may take on average, and that a head may be older than two block times, until it is frozen."""

DOWN_AFTER = 300.0
"""Seconds after which an endpoint that is still frozen counts as down."""

PROBE_EVERY = 10.0
"""Seconds between two questions for the head of a frozen endpoint."""

PEACE = 10.0
"""Seconds that a WebSocket must last for its next reconnection to be prompt again."""


class EndpointStatus(NamedTuple):
    """An endpoint as an operator sees it.

    ``state``: ok, degraded (over 10 % errors), frozen (slow, or its head is old: asked last), down (frozen for five
    minutes, or it does not answer and is not asked), or refused (another chain). ``max_rps`` is the rate that is kept to.
    ``latency`` and ``last_answer_at`` are in seconds; the texts hold no secrets.
    """

    name: str
    state: str
    kind: str
    questions: int
    errors: int
    error_ratio: float
    latency: float | None
    last_answer_at: float | None
    last_error: str | None
    max_block_range: int | None
    max_rps: float | None = None


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
    ) -> None:
        """``last_first``: asked in the reverse of the configured order, as a second opinion."""
        self.network = network
        self._clock = clock
        self._listeners: list[Callable[[], None]] = []
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
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
        for member in self._usable():
            if member.endpoint is not than:
                try:
                    return await member.measure(read)
                except RangeTooWide:
                    raise
                except RpcError:
                    continue  # kept in the books by `measure`
        return None

    def on_news(self, listener: Callable[[], None]) -> None:
        """``listener`` is called when a WebSocket tells of a new block, and when an endpoint comes back."""
        self._listeners.append(listener)

    def resubscribe(self) -> None:
        """Opens the WebSockets anew: they were silent about blocks that are there."""
        for member in self._members:
            if member.kind == "websocket" and member.usable:
                member.set_aside("its subscription went silent", 0.0)

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
    def last_answer_at(self) -> float | None:
        """The clock's value at the last good answer of any endpoint."""
        return max((m.last_answer_at for m in self._members if m.last_answer_at is not None), default=None)

    @property
    def endpoints(self) -> tuple[EndpointStatus, ...]:
        """Every endpoint's status, in the configured order."""
        return tuple(member.status for member in sorted(self._members, key=lambda member: member.index))

    def _member(self, index: int, session: aiohttp.ClientSession) -> _Member:
        return _Member(self.network, index, session, self._clock, self._tell, self._member_changed)

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()

    def _member_changed(self) -> None:
        self._changed.set()
        self._tell()

    async def _ask_each(self, read: Callable[[Endpoint], Awaitable[T]]) -> T:
        failure: RpcError | None = None
        for member in self._usable():
            try:
                return await member.measure(read)
            except RangeTooWide:
                raise
            except RpcError as error:
                failure = failure if isinstance(failure, Disputed) else error
        raise failure or self._unavailable()

    async def _ask_several(self, read: Callable[[Endpoint], Awaitable[T]]) -> T:
        answers: list[T] = []
        failure: RpcError | None = None
        for member in self._usable():
            try:
                answers.append(await member.measure(read))
            except RangeTooWide:
                raise
            except RpcError as error:
                failure = error
            else:
                if answers.count(answers[-1]) == self.network.agreement:
                    return answers[-1]
        if not answers:
            raise failure or self._unavailable()
        reason = f"; {failure}" if failure else ""
        raise Disputed(
            self.network.name,
            f"{self.network.agreement} endpoints must agree, but of {len(answers)} answers "
            f"{max(answers.count(answer) for answer in answers)} are the same{reason}",
        )

    def _usable(self) -> list[_Member]:
        """Those that can be asked in their order, frozen ones last."""
        return sorted([m for m in self._members if m.usable], key=lambda member: member.frozen)

    def _unavailable(self) -> Unavailable:
        self._refuse_wrong_chain()
        troubles = "; ".join(f"{m.name}: {m.last_error or 'not verified yet'}" for m in self._members)
        return Unavailable(self.network.name, f"no endpoint can be asked now ({troubles})")

    def _refuse_wrong_chain(self) -> None:
        found = {m.name: m.found for m in self._members if m.state == "refused" and m.found is not None}
        if len(found) == len(self._members):
            raise WrongChain(self.network.name, self.network.chain_id, found)


def _patient(seconds: float) -> AsyncRetrying:
    return AsyncRetrying(
        retry=retry_if_exception(lambda e: isinstance(e, RpcError) and not isinstance(e, RangeTooWide)),
        stop=stop_after_delay(seconds),
        wait=wait_random_exponential(multiplier=FIRST_PAUSE, max=LONGEST_PAUSE),
        reraise=True,
    )


class _Member:
    """One endpoint in its pool. ``state``: new, ok, down, refused; it is asked only while it is ok."""

    def __init__(
        self,
        network: NetworkSettings,
        index: int,
        session: aiohttp.ClientSession,
        clock: Callable[[], float],
        on_news: Callable[[], None],
        on_change: Callable[[], None],
    ) -> None:
        url = network.rpc[index]
        self.index = index
        self.name = endpoint_name(network.name, index, url)
        self.kind = "websocket" if is_websocket(url) else "http"
        self.state = "new"
        self.found: int | None = None
        self.last_error: str | None = None
        self.last_answer_at: float | None = None
        self._transport: HttpTransport | WebSocketTransport = (
            WebSocketTransport(self.name, url, session, on_news)
            if self.kind == "websocket"
            else HttpTransport(self.name, url, session)
        )
        self._paced = PacedTransport(self._transport, network.max_rps)
        self.endpoint = Endpoint(self._paced, network.request_timeout, secret_parts(url))
        self._oldest_head = None if network.block_time is None else 2 * network.block_time + HEAD_SLACK
        self._frozen_since: float | None = None
        self._expected = network.chain_id
        self._timeout = min(network.request_timeout, VERIFY_TIMEOUT)
        self._clock = clock
        self._on_change = on_change
        self._log = QuietLog(network=network.name, endpoint=self.name)
        self._aside = asyncio.Event()
        self._pause = 0.0
        self._failures = 0
        self._questions = 0
        self._errors = 0
        self._error_ratio = 0.0
        self._latency: float | None = None

    @property
    def usable(self) -> bool:
        return self.state == "ok"

    @property
    def frozen(self) -> bool:
        """Whether its answers take too long, or its head should have had a child long ago."""
        head, now = self.endpoint.last_head, self._clock()
        slow = self._paced.took is not None and self._paced.took > FROZEN_LATENCY and self._is_slow()
        old = head is not None and self._oldest_head is not None and now - head.timestamp > self._oldest_head
        if not slow and not old:
            self._frozen_since = None
        elif self._frozen_since is None:
            self._frozen_since = now
        return self._frozen_since is not None

    def _is_slow(self) -> bool:
        return self._latency is not None and self._latency > FROZEN_LATENCY

    def _health(self) -> str:
        if self.state != "ok":
            return "down" if self.state == "new" else self.state
        if self.frozen and self._frozen_since is not None:
            return "down" if self._clock() - self._frozen_since >= DOWN_AFTER else "frozen"
        return "degraded" if self._error_ratio > DEGRADED_RATIO else "ok"

    @property
    def status(self) -> EndpointStatus:
        return EndpointStatus(
            name=self.name,
            state=self._health(),
            kind=self.kind,
            questions=self._questions,
            errors=self._errors,
            error_ratio=self._error_ratio,
            latency=self._latency,
            last_answer_at=self.last_answer_at,
            last_error=self.last_error,
            max_block_range=self.endpoint.max_range,
            max_rps=self._paced.rate,
        )

    async def measure(self, read: Callable[[Endpoint], Awaitable[T]]) -> T:
        """What ``read`` gets from the endpoint; keeps the books, and sets it aside when it failed by its own fault."""
        start = time.perf_counter()
        self._questions += 1
        try:
            answer = await read(self.endpoint)
        except RangeTooWide as error:
            if error.timed_out:
                self._failed(error)
            raise
        except NotThere as error:
            self.last_answer_at = self._clock()
            self._failed(error)
            raise
        except RpcError as error:
            self._failed(error)
            raise
        took = time.perf_counter() - start
        self._latency = took if self._latency is None else self._latency + WEIGHT * (took - self._latency)
        self._error_ratio *= 1 - WEIGHT
        self._failures = 0
        self.last_answer_at = self._clock()
        return answer

    def set_aside(self, why: str, pause: float) -> None:
        """Not asked again until it has been verified anew, ``pause`` seconds from now."""
        if self.usable:
            self.state = "down"
            self.last_error = why
            self._pause = pause
            self._aside.set()

    async def keep_up(self) -> None:
        """For ever: verify, use until it is set aside, pause."""
        while True:
            try:
                await self._use()
            except RpcError as error:
                self._note(error)
                self._failures += 1
                self.state = (
                    "refused" if isinstance(error, ForeignChain) or self.state == "refused" else "down"
                )
                self._pause = self._pause_after(error)
                self._on_change()
            await asyncio.sleep(self._pause)

    async def _use(self) -> None:
        if isinstance(self._transport, HttpTransport):
            await self._verify()
            while not self._aside.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(PROBE_EVERY):
                        await self._aside.wait()
                if self.usable and self.frozen:
                    await self._probe()
            return
        async with self._transport.connected() as closed:
            await self.endpoint.ask(Call("eth_subscribe", ("newHeads",)), self._timeout)
            await self._verify()
            aside = asyncio.create_task(self._aside.wait())
            await asyncio.wait((closed, aside), timeout=PEACE, return_when=asyncio.FIRST_COMPLETED)
            if not closed.done() and not aside.done():
                self._failures = 0
                await asyncio.wait((closed, aside), return_when=asyncio.FIRST_COMPLETED)
            aside.cancel()
            if closed.done():
                raise TransportError(self.name, "the WebSocket was closed")

    async def _probe(self) -> None:
        """A frozen endpoint is asked last, so it has to be asked otherwise whether it is still frozen."""
        with contextlib.suppress(RpcError):  # kept in the books by `measure`
            await self.measure(lambda endpoint: endpoint.head(self._timeout))
        self._on_change()

    async def _verify(self) -> None:
        self._aside.clear()
        self.found = await self.endpoint.chain_id(self._timeout)
        if self.found != self._expected:
            raise ForeignChain(
                self.name, f"serves chain {self.found}, but chain_id {self._expected} is configured: refused"
            )
        self.state = "ok"
        self._log.over(self._clock(), "endpoint is back")
        self._on_change()

    def _note(self, error: RpcError) -> None:
        self._errors += 1
        self.last_error = error.what
        if isinstance(error, RateLimited):
            self._paced.too_often()
        if not isinstance(error, NotThere):
            if self.usable:  # an outage is one error, however long
                self._error_ratio += WEIGHT * (1 - self._error_ratio)
            self._log.trouble(self._clock(), "endpoint failed", error)

    def _failed(self, error: RpcError) -> None:
        """A question failed: `NotThere` and the like are about the question, all else about the endpoint."""
        self._note(error)
        if not isinstance(error, NotThere | NodeError | AnswerTooBig):
            self._failures += 1
            self.set_aside(error.what, self._pause_after(error))

    def _pause_after(self, error: RpcError) -> float:
        if isinstance(error, RateLimited) and error.retry_after is not None:
            return min(error.retry_after, LONGEST_RETRY_AFTER)
        if isinstance(error, ForeignChain):
            return REFUSED_PAUSE if self.state == "refused" else 0.0
        overloaded = isinstance(error, RateLimited) or (
            isinstance(error, HttpStatusError) and error.status == 503
        )
        longest = LONGEST_PAUSE_LIMITED if overloaded else LONGEST_PAUSE
        exponential: float = min(FIRST_PAUSE * 2 ** min(self._failures, 12), longest)
        return exponential * random.uniform(0.5, 1.0)
