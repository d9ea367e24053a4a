"""Names to addresses: bounded, remembered, and in nobody's way."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from chainwatch.alerting.providers import Server, Transport
from chainwatch.chain.transport import open_session as open_endpoint_session
from chainwatch.support import dns
from chainwatch.support.dns import Resolver, SystemResolver
from tests.support.timeless import timeless
from tests.support.waiting import PATIENCE


class Backend(AbstractResolver):
    """Answers with ``addresses``; a name that is not there hangs or fails."""

    def __init__(self) -> None:
        self.addresses: dict[str, list[str]] = {}
        self.error: Exception | None = None
        self.asked: list[str] = []
        self.under_way = 0
        self.most = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            if host not in self.addresses:
                if self.error is not None:
                    raise self.error
                await asyncio.Event().wait()
            await asyncio.sleep(0.01)
            return [
                ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
                for address in self.addresses[host]
            ]
        finally:
            self.under_way -= 1

    async def close(self) -> None:
        pass


@pytest.fixture
def backend() -> Backend:
    return Backend()


@pytest.fixture
async def resolver(backend: Backend) -> AsyncIterator[Resolver]:
    resolver = Resolver(backend)
    yield resolver
    await resolver.close()


async def addresses(resolver: AbstractResolver, host: str, port: int = 443) -> list[tuple[str, int]]:
    return [(found["host"], found["port"]) for found in await resolver.resolve(host, port)]


async def test_a_name_is_looked_up_once_and_remembered(backend: Backend, resolver: Resolver) -> None:
    backend.addresses["node"] = ["10.0.0.1"]
    found = await asyncio.gather(*[addresses(resolver, "node", port) for port in (80, 443)])
    assert found == [[("10.0.0.1", 80)], [("10.0.0.1", 443)]]
    await addresses(resolver, "node")
    assert backend.asked == ["node"]


async def test_addresses_are_looked_up_again_later(
    backend: Backend, resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dns, "GOOD_FOR", 0.0)
    backend.addresses["node"] = ["10.0.0.1"]
    await addresses(resolver, "node")
    backend.addresses["node"] = ["10.0.0.2"]
    assert await addresses(resolver, "node") == [("10.0.0.2", 443)]


async def test_a_failure_is_remembered_briefly(
    backend: Backend, resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend.error = OSError(None, "Domain name not found")
    for _ in range(3):
        with pytest.raises(OSError, match="Domain name not found"):
            await resolver.resolve("gone")
    assert backend.asked == ["gone"]
    monkeypatch.setattr(dns, "BAD_FOR", 0.0)
    with pytest.raises(OSError):
        await resolver.resolve("lost")
    backend.addresses["lost"] = ["10.0.0.3"]
    assert await addresses(resolver, "lost") == [("10.0.0.3", 443)]


async def test_old_addresses_serve_while_no_new_ones_are_to_be_had(
    backend: Backend, resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dns, "GOOD_FOR", 0.0)
    backend.addresses["node"] = ["10.0.0.1"]
    await addresses(resolver, "node")
    del backend.addresses["node"]
    backend.error = OSError(None, "Could not contact DNS servers")
    assert await addresses(resolver, "node") == [("10.0.0.1", 443)]
    monkeypatch.setattr(dns, "STALE_FOR", 0.0)
    monkeypatch.setattr(dns, "BAD_FOR", 0.0)
    resolver._known.clear()
    with pytest.raises(OSError):
        await resolver.resolve("node")


@pytest.mark.parametrize(
    "error", [UnicodeError("label too long"), ValueError("x"), RuntimeError(), KeyError()]
)
async def test_whatever_a_lookup_raises_the_name_is_unknown(
    backend: Backend, resolver: Resolver, error: Exception
) -> None:
    backend.error = error
    with pytest.raises(OSError, match=type(error).__name__):
        await resolver.resolve("odd")


@timeless
async def test_a_lookup_ends_in_time_and_others_do_not_wait_for_it(backend: Backend) -> None:  # S8
    resolver = Resolver(backend)
    backend.addresses["node"] = ["10.0.0.1"]
    hanging = [asyncio.create_task(resolver.resolve(f"hangs-{n}")) for n in range(24)]
    await asyncio.sleep(0)
    begun = asyncio.get_running_loop().time()
    assert await addresses(resolver, "node")
    assert asyncio.get_running_loop().time() - begun < 0.1
    failures = await asyncio.gather(*hanging, return_exceptions=True)
    assert all("does not answer" in str(failure) for failure in failures)
    assert asyncio.get_running_loop().time() - begun < dns.LONGEST_LOOKUP + 0.1
    await resolver.close()


async def test_so_many_lookups_are_under_way_at_most(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dns, "AT_ONCE", 4)
    monkeypatch.setattr(dns, "LONGEST_LOOKUP", 0.05)
    resolver = Resolver(backend)
    await asyncio.gather(*[resolver.resolve(f"hangs-{n}") for n in range(20)], return_exceptions=True)
    assert backend.most == 4
    await resolver.close()


async def test_who_waits_no_longer_leaves_the_lookup_to_the_next(
    backend: Backend, resolver: Resolver
) -> None:
    backend.addresses["node"] = ["10.0.0.1"]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await resolver.resolve("node")
    assert await addresses(resolver, "node")
    assert backend.asked == ["node"]


async def test_local_names_and_addresses_are_known_without_a_name_server() -> None:
    resolver = Resolver()
    try:
        assert ("127.0.0.1", 443) in await addresses(resolver, "localhost")
        assert await addresses(resolver, "127.0.0.1") == [("127.0.0.1", 443)]
    finally:
        await resolver.close()


async def test_the_system_looks_names_up_where_c_ares_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> AbstractResolver:
        raise RuntimeError("no inotify watches left")

    monkeypatch.setattr(aiohttp, "AsyncResolver", broken)
    monkeypatch.setattr(dns._backend, "__defaults__", (broken,))
    resolver = Resolver()
    try:
        assert ("127.0.0.1", 443) in await addresses(resolver, "localhost")
    finally:
        await resolver.close()


async def test_the_systems_lookups_have_threads_of_their_own() -> None:  # S8
    release = threading.Event()
    hanging = threading.Semaphore(0)

    def hang(*_: object, **__: object) -> list[object]:
        hanging.release()
        release.wait(5 * PATIENCE)
        return []

    system = SystemResolver(hang)
    tasks = [asyncio.create_task(system.resolve(f"hangs-{n}")) for n in range(40)]
    try:
        await asyncio.sleep(0)  # now all are handed to threads
        assert hanging.acquire(timeout=30)
        async with asyncio.timeout(PATIENCE):
            await asyncio.to_thread(lambda: None)
        assert sum(t.name.startswith("chainwatch-dns") for t in threading.enumerate()) <= dns.SYSTEM_THREADS
    finally:
        release.set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await system.close()


@pytest.fixture
def no_getaddrinfo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The C library's lookups hang, as they do where a name server takes questions and answers none."""
    release = threading.Event()
    real = socket.getaddrinfo

    def hang(host: str, *args: object, **settings: object) -> object:
        if host in ("127.0.0.1", "::1"):
            return real(host, *args, **settings)  # type: ignore[arg-type]
        release.wait(PATIENCE / 2)
        raise OSError("released")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    yield
    release.set()


@pytest.mark.parametrize("kind", ["endpoint", "receiver"])
async def test_no_session_looks_names_up_in_shared_threads(kind: str, no_getaddrinfo: None) -> None:  # S8
    async def serve(_request: web.Request) -> web.Response:
        return web.Response(text="here")

    app = web.Application()
    app.router.add_get("/", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://localhost:{runner.addresses[0][1]}/"
    async with asyncio.timeout(PATIENCE):
        if kind == "endpoint":
            async with open_endpoint_session() as session, session.get(url) as answer:
                assert await answer.text() == "here"
        else:
            async with Transport() as transport:
                await transport.reach(
                    Server(url, allow_private=True), who="the receiver", within=PATIENCE / 4
                )
    await runner.cleanup()
