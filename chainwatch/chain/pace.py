"""How often an endpoint is asked: as configured at most, and less once it has said that it is too often."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from aiolimiter import AsyncLimiter

from chainwatch.chain.errors import AnswerTooBig, NoRoomForAnswer, RpcTimeout
from chainwatch.chain.latency import LEAST_PATIENCE, Latencies, kind_of, patience
from chainwatch.chain.transport import Transport

LEAST = 5.0
"""Calls a second below which nothing is learned: an endpoint that wants fewer is set aside for a while each time."""

FASTER_AFTER = 15.0
FASTER_BY = 1.5
"""Seconds without a complaint after which a learned rate is raised, and the factor."""

FORGIVE_AFTER = 600.0
"""Seconds after which a request that was left unanswered counts no more: it may be one that no node could answer."""

SLOWED_FOR = 60.0
"""Seconds after a complaint during which others are asked first."""

WINDOW = 1.0


class Request(NamedTuple):
    """What an endpoint was sent, at ``begun`` on the loop's clock."""

    body: bytes
    id: int
    calls: int
    kind: str
    begun: float


class PacedTransport:
    """``transport`` with at most ``most`` calls a second (None: as many as there are), fewer after `too_often`.

    Each call of a batch counts, as it does for those who sell them. How long answers take is kept and compared with
    ``peers``, the latencies of all endpoints of the network, to which this one's are added.
    """

    def __init__(
        self, transport: Transport, most: float | None, peers: list[Latencies] | None = None
    ) -> None:
        self.name = transport.name
        self._unanswered: dict[str, Request] = {}
        """The first request of each kind that it did not answer in time, or with far too much, until it answers one of
        that kind."""
        self.rate = most
        """Calls a second that are allowed now; None for any number."""
        self.took: float | None = None
        """Seconds that the last answer took, without the wait before it was asked for."""
        self._transport = transport
        self._most = most
        self._limiter = _limiter(most)
        self._turn = asyncio.Lock()
        """Whose turn it is: the limiter by itself lets large requests wait for as long as there are small ones."""
        self._recent: deque[tuple[float, int]] = deque(maxlen=10_000)
        self._complained_at = 0.0
        self._raised_at = 0.0
        self._latencies = Latencies()
        self._peers: Sequence[Latencies] = [] if peers is None else peers
        if peers is not None:
            peers.append(self._latencies)
        self._under_way: set[Request] = set()

    @property
    def largest_batch(self) -> int:
        """Calls of one batch: no more than may be made in a second."""
        most = self._transport.largest_batch
        return most if self.rate is None else max(1, min(most, int(self.rate)))

    async def exchange(self, body: bytes, id: int, seconds: float, calls: int = 1) -> bytes:
        """See `Transport`."""
        self._go_faster()
        if self._limiter is not None:
            async with self._turn:
                await self._limiter.acquire(min(calls, self._limiter.max_rate))
        begun = asyncio.get_running_loop().time()
        self._recent.append((begun, calls))
        request = Request(body, id, calls, kind_of(body, calls), begun)
        self._under_way.add(request)
        try:
            answer = await self._transport.exchange(body, id, seconds, calls)
        except NoRoomForAnswer:
            raise
        except (RpcTimeout, AnswerTooBig) as error:  # neither gives anything, and both take long
            if (
                isinstance(error, RpcTimeout) or _CONTRACT_CALL not in body
            ):  # a contract may return any amount
                self._left_unanswered(request)
            raise
        finally:
            self._under_way.discard(request)
        self.took = asyncio.get_running_loop().time() - begun
        in_time = self.took <= self._patience(request)
        self._latencies.note(request.kind, self.took)
        if in_time:
            self._unanswered.pop(request.kind, None)
        return answer

    @property
    def until_late(self) -> float:
        """Seconds until a request under way has taken longer than usual; 0 when one has, the least when there is none."""
        now = asyncio.get_running_loop().time()
        left = (request.begun + self._patience(request) - now for request in self._under_way)
        return max(0.0, min(left, default=LEAST_PATIENCE))

    def give_up(self) -> None:
        """What is under way for longest is not waited for any longer."""
        if self._under_way:
            self._left_unanswered(min(self._under_way, key=lambda request: request.begun))

    @property
    def hangs_since(self) -> float | None:
        """When the oldest request was sent that it left unanswered, on the loop's clock; None when there is none."""
        oldest = asyncio.get_running_loop().time() - FORGIVE_AFTER
        return min((r.begun for r in self._unanswered.values() if r.begun > oldest), default=None)

    async def ask_again(self) -> None:
        """Send what was not answered once more: it is to be answered as quickly as is usual. Raises what `exchange` does."""
        for request in list(self._unanswered.values()):
            await self.exchange(request.body, request.id, self._patience(request), request.calls)

    def _left_unanswered(self, request: Request) -> None:
        known = self._unanswered.get(request.kind)
        if known is None or request.begun - known.begun >= FORGIVE_AFTER:
            self._unanswered[request.kind] = request

    def _patience(self, request: Request) -> float:
        return patience(request.kind, self._latencies, self._peers)

    def too_often(self) -> None:
        """The endpoint wants fewer calls: half of those that it got in the last second."""
        now = asyncio.get_running_loop().time()
        sent = sum(calls for at, calls in self._recent if now - at <= WINDOW) / WINDOW
        if not sent:
            return  # it was a connection that was too much
        least = LEAST if self._most is None else min(LEAST, self._most)
        self._set_rate(max(least, min(sent, self.rate or sent) / 2))
        self._complained_at = self._raised_at = now

    @property
    def is_slowed(self) -> bool:
        """Whether the endpoint complained a short time ago, so that it gets fewer calls than it might."""
        now = asyncio.get_running_loop().time()
        return self.rate != self._most and now - self._complained_at < SLOWED_FOR

    def _go_faster(self) -> None:
        now = asyncio.get_running_loop().time()
        if self.rate is None or self.rate == self._most or now - self._raised_at < FASTER_AFTER:
            return
        self._raised_at = now
        faster = self.rate * FASTER_BY
        self._set_rate(faster if self._most is None else min(faster, self._most))

    def _set_rate(self, rate: float) -> None:
        self.rate = rate
        self._limiter = _limiter(rate)


_CONTRACT_CALL = b'"method":"eth_call"'


def _limiter(rate: float | None) -> AsyncLimiter | None:
    """Lets ``rate`` calls through each second, in bursts of a second's worth."""
    if rate is None:
        return None
    burst = max(1.0, rate)
    return AsyncLimiter(burst, burst / rate)
