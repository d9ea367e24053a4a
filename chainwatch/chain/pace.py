"""Limits the calls to an endpoint: to the configured rate, and to a lower one once it has refused calls as too many."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from chainwatch.chain.errors import AnswerTooBig, NoRoomForAnswer, RpcTimeout
from chainwatch.chain.latency import LEAST_PATIENCE, Latencies, kind_of, patience
from chainwatch.chain.transport import Transport

LEAST = 5.0
"""The lowest rate (calls a second) that is learned: an endpoint that allows fewer is set aside for a while each time."""

FASTER_AFTER = 15.0
FASTER_BY = 1.5
"""Seconds without a refusal after which a learned rate is raised, and the factor."""

FORGIVE_AFTER = 600.0
"""Seconds after which an unanswered request no longer counts: perhaps no node could answer it."""

SLOWED_FOR = 60.0
"""Seconds after a refusal during which other endpoints are asked first."""

WINDOW = 1.0
"""Seconds in which no more calls are sent than are allowed a second, whenever one begins to count."""

MARGIN = 0.02
"""Seconds that a window is longer: requests do not all take the same time to arrive."""


class Request(NamedTuple):
    """A request to an endpoint, sent at ``begun`` on the loop's clock."""

    body: bytes
    id: int
    calls: int
    kind: str
    begun: float


class PacedTransport:
    """``transport`` with at most ``most`` calls in any second (None: any number), fewer after `slow_down`.

    Each call of a batch counts, as providers count them. The latencies of its answers are kept and compared with ``peers``,
    those of all endpoints of the network, to which they are added.
    """

    def __init__(
        self, transport: Transport, most: float | None, peers: list[Latencies] | None = None
    ) -> None:
        self.name = transport.name
        self._unanswered: dict[str, Request] = {}
        """The first request of each kind without an answer in time, or with far too large a one, until one of that kind is
        answered."""
        self.rate = most
        """Calls a second that are allowed now; None for any number."""
        self.took: float | None = None
        """Seconds that the last answer took, without the wait before its request."""
        self._transport = transport
        self._most = most
        self._turn = asyncio.Lock()
        """Held by the request that is sent next: a large one does not wait for as long as there are small ones."""
        self._sent: deque[tuple[float, int]] = deque()
        """When requests of the last window were sent, on the loop's clock, and the calls of each."""
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
        begun = await self._wait_for_turn(calls)
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
        """Count the oldest request under way as unanswered."""
        if self._under_way:
            self._left_unanswered(min(self._under_way, key=lambda request: request.begun))

    @property
    def hangs_since(self) -> float | None:
        """When the oldest unanswered request was sent, on the loop's clock; None when there is none."""
        oldest = asyncio.get_running_loop().time() - FORGIVE_AFTER
        return min((r.begun for r in self._unanswered.values() if r.begun > oldest), default=None)

    async def ask_again(self) -> None:
        """Repeat the unanswered requests, which must be answered as quickly as is usual. Raises what `exchange` does."""
        for request in list(self._unanswered.values()):
            await self.exchange(request.body, request.id, self._patience(request), request.calls)

    async def _wait_for_turn(self, calls: int) -> float:
        """Return once ``calls`` more may be sent, with the time on the loop's clock; they count as sent then."""
        loop = asyncio.get_running_loop()
        async with self._turn:
            wait = self._free_at(calls, loop.time()) - loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
            now = loop.time()
            self._sent.append((now, calls))
            return now

    def _free_at(self, calls: int, now: float) -> float:
        """Return when ``calls`` more may be sent; more than a window allows count as all that it allows."""
        length = WINDOW if self.rate is None else max(WINDOW, 1 / self.rate) + MARGIN
        while self._sent and now - self._sent[0][0] >= length:
            self._sent.popleft()
        if self.rate is None:
            return now
        allowed = max(1, int(self.rate))
        spare = allowed - min(calls, allowed) - sum(sent for _, sent in self._sent)
        free_at = now
        for at, sent in self._sent:
            if spare >= 0:
                break
            spare += sent
            free_at = at + length
        return free_at

    def _left_unanswered(self, request: Request) -> None:
        known = self._unanswered.get(request.kind)
        if known is None or request.begun - known.begun >= FORGIVE_AFTER:
            self._unanswered[request.kind] = request

    def _patience(self, request: Request) -> float:
        return patience(request.kind, self._latencies, self._peers)

    def slow_down(self) -> None:
        """Halve the rate of the last second, as the endpoint refused a call as one too many."""
        now = asyncio.get_running_loop().time()
        sent = sum(calls for at, calls in self._sent if now - at <= WINDOW) / WINDOW
        if not sent:
            return  # it was a connection that was too much
        least = LEAST if self._most is None else min(LEAST, self._most)
        self.rate = max(least, min(sent, self.rate or sent) / 2)
        self._complained_at = self._raised_at = now

    @property
    def is_slowed(self) -> bool:
        """Whether the endpoint refused calls a short time ago, so that it gets fewer than configured."""
        now = asyncio.get_running_loop().time()
        return self.rate != self._most and now - self._complained_at < SLOWED_FOR

    def _go_faster(self) -> None:
        now = asyncio.get_running_loop().time()
        if self.rate is None or self.rate == self._most or now - self._raised_at < FASTER_AFTER:
            return
        self._raised_at = now
        faster = self.rate * FASTER_BY
        self.rate = faster if self._most is None else min(faster, self._most)


_CONTRACT_CALL = b'"method":"eth_call"'
