"""One endpoint in its pool: verified before it is used, set aside when it fails, with statistics of its health.

While it is set aside it is asked for its chain id, at growing and jittered intervals, until the answer is right.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import aiohttp

from chainwatch.chain.chain_time import ChainTime
from chainwatch.chain.errors import (
    AnswerTooBig,
    ChainError,
    ForeignChain,
    HttpStatusError,
    NodeError,
    NotThere,
    RangeTooWide,
    RateLimited,
    RpcError,
    RpcTimeout,
    TransportError,
    Unforeseen,
    bare,
)
from chainwatch.chain.latency import Latencies
from chainwatch.chain.pace import PacedTransport
from chainwatch.chain.quiet import QuietLog
from chainwatch.chain.rpc import Endpoint
from chainwatch.chain.status import EndpointStatus
from chainwatch.chain.transport import HttpTransport, endpoint_name, is_websocket
from chainwatch.chain.websocket import WebSocketTransport
from chainwatch.chain.wire import Call
from chainwatch.config import NetworkSettings
from chainwatch.support.redaction import Redactor, parts_of_url
from chainwatch.support.supervise import failure_of, place_of

T = TypeVar("T")

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
LONGEST_PAUSE_LIMITED = 60.0
LONGEST_RETRY_AFTER = 3600.0
REFUSED_PAUSE = 30.0
"""Seconds until an endpoint that failed is tried again: at first; at most; at most when it is overloaded; at most when it
names a time itself; and when it served another chain."""

VERIFY_TIMEOUT = 5.0
UNAVAILABLE = 503

WEIGHT = 0.1
"""Weight of the newest read in the averages of latency and error ratio."""

DEGRADED_RATIO = 0.1

FROZEN_LATENCY = 2.0
HEAD_SLACK = 10.0
"""Seconds that an answer may take on average, and by which a head may be older than two block times, before the endpoint
counts as frozen."""

DOWN_AFTER = 300.0
"""Seconds after which an endpoint that is still frozen counts as down."""

PROBE_EVERY = 10.0
"""Seconds between two probes of an endpoint that is frozen or hangs; a WebSocket that stays open so long counts as up."""

PEACE = 10.0
"""Seconds without a refusal for overload after which the next pause is short again."""


class Member:
    """One endpoint in its pool. ``state``: new, ok, down, refused; it is asked only while it is ok."""

    def __init__(
        self,
        network: NetworkSettings,
        index: int,
        session: aiohttp.ClientSession,
        clock: Callable[[], float],
        on_news: Callable[[], None],
        on_change: Callable[[], None],
        chain_time: ChainTime | None,
        peers: list[Latencies] | None = None,
    ) -> None:
        url = network.rpc[index]
        self.index = index
        self.name = endpoint_name(network.name, index, url)
        self.kind = "websocket" if is_websocket(url) else "http"
        self.state = "new"
        self.found: int | None = None
        self.contradicted = False
        """Whether other endpoints have shown that it has another chain."""
        self.last_error: str | None = None
        self.last_answer_at: float | None = None
        on_date = None if chain_time is None else partial(chain_time.saw_date, self.name)
        self._transport: HttpTransport | WebSocketTransport = (
            WebSocketTransport(self.name, url, session, on_news)
            if self.kind == "websocket"
            else HttpTransport(self.name, url, session, on_date)
        )
        self._paced = PacedTransport(self._transport, network.max_rps, peers)
        redact = Redactor(parts_of_url(url.get_secret_value()))
        self.endpoint = Endpoint(self._paced, network.request_timeout, redact, self._note_result)
        self._oldest_head = None if network.block_time is None else 2 * network.block_time + HEAD_SLACK
        self._frozen_since: float | None = None
        self._expected = network.chain_id
        self._timeout = min(network.request_timeout, VERIFY_TIMEOUT)
        self._clock = clock
        self._chain_time = chain_time or ChainTime(clock)
        self._on_change = on_change
        self._log = QuietLog(network=network.name, endpoint=self.name)
        self._aside = asyncio.Event()
        self._pause = 0.0
        self._failures = 0
        self._complaints = 0
        self._complained_at = float("-inf")
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
        old = (
            head is not None
            and self._oldest_head is not None
            and self._chain_time.now() - head.timestamp > self._oldest_head
        )
        if not slow and not old:
            self._frozen_since = None
        elif self._frozen_since is None:
            self._frozen_since = now
        return self._frozen_since is not None

    def _is_slow(self) -> bool:
        return self._latency is not None and self._latency > FROZEN_LATENCY

    @property
    def hangs(self) -> bool:
        """Whether the endpoint left a call unanswered and has not answered one of that kind since: then it is asked last."""
        return self._paced.hangs_since is not None

    @property
    def is_slowed(self) -> bool:
        """Whether the endpoint refused a call for overload a short time ago: others are asked first."""
        return self._paced.is_slowed

    @property
    def until_late(self) -> float:
        """Seconds until a call that is under way takes longer than usual; 0 when one does."""
        return self._paced.until_late

    def note_late(self) -> None:
        """Note that another endpoint has answered while this one takes too long."""
        self._paced.give_up()
        self._count(RpcTimeout(self.name, "no answer in the usual time: another endpoint was asked"))

    def note_cancelled(self) -> RpcError:
        """Return the failure that stands for a read that was cancelled from within."""
        error = Unforeseen(self.name, "the call was cancelled from within")
        self._failed(error)
        return error

    def _health(self) -> str:
        if self.state != "ok":
            return "down" if self.state == "new" else self.state
        if (hangs_since := self._paced.hangs_since) is not None:
            return "down" if asyncio.get_running_loop().time() - hangs_since >= DOWN_AFTER else "frozen"
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
        """Return what ``read`` gets from the endpoint, and update its statistics; set it aside for a failure of its own.

        Raises `ChainError` whatever ``read`` raised: an exception of another class becomes `Unforeseen`.
        """
        start = time.perf_counter()
        self._questions += 1
        try:
            answer = await read(self.endpoint)
        except RangeTooWide as error:
            if error.timed_out:
                self._failed(error)
            raise bare(error) from None
        except NotThere as error:
            self.last_answer_at = self._clock()
            self._failed(error)
            raise bare(error) from None
        except RpcError as error:
            self._failed(error)
            raise bare(error) from None
        except (asyncio.CancelledError, ChainError):
            raise
        except BaseException as error:  # noqa: BLE001 - one endpoint's answer must not end what reads the others'
            unforeseen = _unforeseen(self.name, error)
            self._failed(unforeseen)
            raise unforeseen from None
        took = time.perf_counter() - start
        self._latency = took if self._latency is None else self._latency + WEIGHT * (took - self._latency)
        self._error_ratio *= 1 - WEIGHT
        self._failures = 0
        self.last_answer_at = self._clock()
        return answer

    def _note_result(self) -> None:
        """Note that a part of a long read was answered: it is no outage, unless the read before it failed."""
        if self.usable and not self._failures:
            self.last_answer_at = self._clock()

    def set_aside(self, why: str, pause: float) -> None:
        """Stop asking the endpoint until it is verified again, ``pause`` seconds from now."""
        if self.usable:
            self.state = "down"
            self.last_error = why
            self._pause = pause
            self._aside.set()

    async def keep_up(self) -> None:
        """Verify the endpoint, use it until it is set aside, pause, and so on for ever."""
        while True:
            error = await failure_of(self._use)
            if error is not None:
                self._lost_touch(error if isinstance(error, RpcError) else _unforeseen(self.name, error))
                del error  # it holds the answer that it is about
            await asyncio.sleep(self._pause)

    def _lost_touch(self, error: RpcError) -> None:
        self._note(error)
        self._failures += 1
        self.state = "refused" if isinstance(error, ForeignChain) or self.state == "refused" else "down"
        self._pause = self._pause_after(error)
        self._on_change()

    async def _use(self) -> None:
        if isinstance(self._transport, HttpTransport):
            await self._verify()
            await self._maintain()
            return
        async with self._transport.connected() as closed:
            await self.endpoint.rpc.call(Call("eth_subscribe", ("newHeads",)), self._timeout)
            await self._verify()
            await self._maintain(closed)
            if closed.done():
                raise TransportError(self.name, "the WebSocket was closed")

    async def _maintain(self, *closed: asyncio.Task[None]) -> None:
        """Return when the endpoint is set aside or ``closed``; until then probe it while it is asked last."""
        aside = asyncio.create_task(self._aside.wait())
        ends = (aside, *closed)
        try:
            while not any(end.done() for end in ends):
                await asyncio.wait(ends, timeout=PROBE_EVERY, return_when=asyncio.FIRST_COMPLETED)
                if closed and not any(end.done() for end in ends):
                    self._failures = 0
                if self.usable and (self.hangs or self.frozen):
                    await self._probe()
        finally:
            aside.cancel()

    async def _probe(self) -> None:
        """Repeat the call that failed: the endpoint is asked last, so perhaps no other call shows if it answers again."""
        if not self.hangs:
            with contextlib.suppress(RpcError):  # counted by `measure`
                await self.measure(lambda endpoint: endpoint.head(self._timeout))
            self._on_change()
            return
        with contextlib.suppress(RpcError):
            await self._paced.ask_again()
        if not self.hangs:
            self._log.recovered(self._clock(), "endpoint is back")
            self._on_change()

    async def _verify(self) -> None:
        self._aside.clear()
        self.found = await self.endpoint.chain_id(self._timeout)
        if self.found != self._expected:
            raise ForeignChain(
                self.name, f"serves chain {self.found}, but chain_id {self._expected} is configured: refused"
            )
        self.state = "ok"
        self._log.recovered(self._clock(), "endpoint is back")
        self._on_change()

    def _count(self, error: RpcError) -> None:
        self._errors += 1
        self.last_error = error.what
        if self.usable:  # an outage is one error, however long
            self._error_ratio += WEIGHT * (1 - self._error_ratio)
        self._log.failed(self._clock(), "endpoint failed", error)

    def _note(self, error: RpcError) -> None:
        if isinstance(error, RateLimited):
            self._paced.slow_down()
        if _is_overloaded(error):
            now = asyncio.get_running_loop().time()
            self._complaints = self._complaints + 1 if now - self._complained_at < self._pause + PEACE else 1
            self._complained_at = now
        if isinstance(error, NotThere):  # about the block
            self._errors += 1
            self.last_error = error.what
        else:
            self._count(error)

    def _failed(self, error: RpcError) -> None:
        """Count a failed read. `NotThere` and the like are about what was asked for, all else is the endpoint's fault."""
        self._note(error)
        if not isinstance(error, NotThere | NodeError | AnswerTooBig):
            self._failures += 1
            self.set_aside(error.what, self._pause_after(error))

    def _pause_after(self, error: RpcError) -> float:
        """Return the pause: longer with each failure since the last answer, or for overload with each refusal."""
        if isinstance(error, ForeignChain):
            return REFUSED_PAUSE if self.state == "refused" else 0.0
        if not _is_overloaded(error):
            return _growing(self._failures, LONGEST_PAUSE)
        named = error.retry_after if isinstance(error, RateLimited | HttpStatusError) else None
        return max(min(named or 0.0, LONGEST_RETRY_AFTER), _growing(self._complaints, LONGEST_PAUSE_LIMITED))


def _unforeseen(name: str, error: BaseException) -> Unforeseen:
    """Make an error without the text of ``error``, which may hold anything (S9, S10)."""
    return Unforeseen(name, f"the call failed by {type(error).__name__}{place_of(error)}")


def _is_overloaded(error: RpcError) -> bool:
    return isinstance(error, RateLimited) or (
        isinstance(error, HttpStatusError) and error.status == UNAVAILABLE
    )


def _growing(times: int, longest: float) -> float:
    exponential: float = min(FIRST_PAUSE * 2 ** min(times, 12), longest)
    return exponential * random.uniform(0.5, 1.0)
