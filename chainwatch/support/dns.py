"""Host names to addresses, by a resolver with threads of its own: a name server that hangs delays nothing else.

c-ares (through aiodns) asks the name servers of ``/etc/resolv.conf`` and honours ``/etc/hosts``.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import aiohttp
import structlog
from aiohttp.abc import AbstractResolver, ResolveResult

LONGEST_LOOKUP = 5.0
"""Seconds."""

AT_ONCE = 128
"""The most lookups that one session has under way; more wait for their turn."""

GOOD_FOR = 60.0
BAD_FOR = 5.0
STALE_FOR = 3600.0
"""Seconds for which addresses are kept, a failure is, and old addresses are while new ones cannot be looked up."""

SYSTEM_THREADS = 4
"""Threads of a session for lookups by the system, where c-ares cannot start."""

_log = structlog.get_logger("chainwatch.support.dns")


class Connector(aiohttp.TCPConnector):
    """aiohttp's connector without a limit of connections, with a `Resolver` of its own. ``settings``: those of aiohttp."""

    def __init__(self, **settings: Any) -> None:
        self._names = Resolver()
        super().__init__(resolver=self._names, use_dns_cache=False, limit=0, **settings)

    async def close(self, *, abort_ssl: bool = False) -> None:
        """Close all connections, and end the lookups."""
        await super().close(abort_ssl=abort_ssl)
        await self._names.close()


class _Known(NamedTuple):
    results: list[ResolveResult]
    until: float
    found_at: float
    error: str = ""


class Resolver(AbstractResolver):
    """Looks up each name once for all callers that wait, within `LONGEST_LOOKUP`, and keeps the result."""

    def __init__(self, backend: AbstractResolver | None = None) -> None:
        self._backend = backend or _backend()
        self._known: dict[tuple[str, int], _Known] = {}
        self._looking: dict[tuple[str, int], asyncio.Task[_Known]] = {}
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of ``host``. Raises ``OSError`` when there are none, or no answer in time."""
        key = (host, family)
        known = self._known.get(key)
        if known is None or known.until <= asyncio.get_running_loop().time():
            # not cancelled with its caller: the next caller would begin again
            known = await asyncio.shield(self._look_up(key))
        if not known.results:
            raise OSError(None, known.error)
        return [{**result, "port": port} for result in known.results]

    async def close(self) -> None:
        """End the lookups under way."""
        looking = list(self._looking.values())
        for task in looking:
            task.cancel()
        await asyncio.gather(*looking, return_exceptions=True)
        await self._backend.close()

    def _look_up(self, key: tuple[str, int]) -> asyncio.Task[_Known]:
        task = self._looking.get(key)
        if task is None:
            task = self._looking[key] = asyncio.create_task(self._learn(*key))
            task.add_done_callback(lambda _: self._looking.pop(key, None))
        return task

    async def _learn(self, host: str, family: int) -> _Known:
        loop = asyncio.get_running_loop()
        results: list[ResolveResult] = []
        error = "no such name"
        try:
            async with asyncio.timeout(LONGEST_LOOKUP), self._turns:
                results = await self._backend.resolve(host, 0, socket.AddressFamily(family))
        except TimeoutError:
            error = "the name server does not answer"
        except Exception as failure:  # noqa: BLE001 - a library's boundary: names can be anything, and so can answers
            error = (failure.strerror if isinstance(failure, OSError) else None) or type(failure).__name__
        now = loop.time()
        before = self._known.get((host, family))
        if results:
            known = _Known(results, now + GOOD_FOR, now)
        elif before is not None and now - before.found_at < STALE_FOR:
            known = before._replace(until=now + BAD_FOR, error=error)
        else:
            known = _Known([], now + BAD_FOR, float("-inf"), error)
        self._known[host, family] = known
        return known


def _backend(make: Callable[[], AbstractResolver] = aiohttp.AsyncResolver) -> AbstractResolver:
    try:
        return make()
    except Exception as error:  # noqa: BLE001 - the system may not need what c-ares lacks here
        _log.warning("c-ares cannot start: the system looks names up", error=str(error))
        return SystemResolver()


class SystemResolver(AbstractResolver):
    """The C library's ``getaddrinfo``, in a few threads of its own."""

    def __init__(self, look_up: Callable[..., list[Any]] = socket.getaddrinfo) -> None:
        self._look_up = look_up
        self._threads = ThreadPoolExecutor(SYSTEM_THREADS, thread_name_prefix="chainwatch-dns")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of ``host``. Raises ``OSError``."""
        look_up = partial(self._look_up, host, port, type=socket.SOCK_STREAM, family=family)
        infos = await asyncio.get_running_loop().run_in_executor(self._threads, look_up)
        return [
            ResolveResult(
                hostname=host,
                host=address[0],
                port=port,
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST,
            )
            for kind, _, protocol, _, address in infos
        ]

    async def close(self) -> None:
        """Do nothing: threads end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)
