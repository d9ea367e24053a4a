"""Minutes of an outage in milliseconds: an event loop whose clock jumps, and endpoints without sockets."""

from __future__ import annotations

import asyncio
import functools
import json
import math
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, ParamSpec, TypeVar
from urllib.parse import urlsplit

import aiohttp
from pydantic import SecretStr

from chainwatch.chain.errors import HttpStatusError, RateLimited, RpcTimeout
from chainwatch.chain.transport import BATCH, HTTP_TOO_MANY
from tests.fakenode import FakeChain, FakeNode

P = ParamSpec("P")
T = TypeVar("T")

ANSWER_TIME = 0.01
"""Seconds until an answer."""


class _Jumping(selectors.SelectSelector):
    now = 1_700_000_000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "nothing will ever happen again"
            self.now = max(self.now + timeout, math.nextafter(self.now, math.inf))
        return ready


class _TimelessLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def run_timeless(main: Coroutine[Any, Any, T]) -> T:
    """Runs ``main``, which must not open sockets, on a clock that goes on to the next timer at once."""
    with asyncio.Runner(loop_factory=_TimelessLoop) as runner:
        return runner.run(main)


def timeless(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """The test as `run_timeless` runs it."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        run_timeless(test(*args, **kwargs))

    return run


class Wire:
    """In the place of `HttpTransport`: the ``nodes`` by host, none of them listening; when each call was made.

    ``trouble`` by host gives the error of one call by its method, or None.
    """

    def __init__(self, **nodes: FakeChain) -> None:
        self.nodes = {host: FakeNode(chain) for host, chain in nodes.items()}
        self.trouble: dict[str, Callable[[str], Exception | bytes | None]] = {}
        self.mend()
        self.calls: list[tuple[float, str, str]] = []
        self.transport = type("WireTransport", (_Transport,), {"wire": self})
        """The class to put in the place of `HttpTransport`."""

    def mend(self) -> None:
        """Ends all trouble."""
        self.trouble = dict.fromkeys(self.nodes, _no_trouble)

    def count(self, host: str, since: float) -> int:
        """How many calls ``host`` got from then on."""
        return sum(1 for at, to, _ in self.calls if to == host and at >= since)


class _Transport:
    largest_batch = BATCH
    wire: ClassVar[Wire]

    def __init__(
        self,
        name: str,
        url: SecretStr,
        session: aiohttp.ClientSession,
        on_date: Callable[[float], None] | None = None,
    ) -> None:
        self.name = name
        self._host = urlsplit(url.get_secret_value()).hostname or ""

    async def exchange(self, body: bytes, id: int, seconds: float, calls: int = 1) -> bytes:
        asked = json.loads(body)
        for call in asked if isinstance(asked, list) else [asked]:
            at = asyncio.get_running_loop().time()
            self.wire.calls.append((at, self._host, call["method"]))
        await asyncio.sleep(ANSWER_TIME)
        for call in asked if isinstance(asked, list) else [asked]:
            spoilt = self.wire.trouble[self._host](call["method"])
            if spoilt is SILENCE:
                await asyncio.sleep(seconds)
            if isinstance(spoilt, Exception):
                raise spoilt
            if spoilt is not None:
                return spoilt
        answers: object = self.wire.nodes[self._host]._answers(asked)
        return json.dumps(answers).encode()


SILENCE = RpcTimeout("node", "no whole answer in time")
"""The trouble of a node that is connected to, takes every question, and never answers."""


def _no_trouble(method: str) -> None:
    return None


def status(code: int, retry_after: float | None = None) -> Exception:
    """What an answer with this HTTP status is to `HttpTransport`."""
    if code == HTTP_TOO_MANY:
        return RateLimited("node", f"HTTP status {code}", retry_after)
    return HttpStatusError("node", code)


def error(code: int, message: str) -> bytes:
    """A JSON-RPC error."""
    return json.dumps({"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": message}}).encode()
