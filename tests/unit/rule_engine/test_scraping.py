"""Scrapes of a real server: what is asked, what an answer becomes, and every fault that a target may have."""

from __future__ import annotations

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from chainwatch.config.scrape import ScrapeSettings
from chainwatch.promql.series import is_stale
from chainwatch.rule_engine import scraping
from chainwatch.rule_engine.intake import Intake
from chainwatch.rule_engine.scraping import Client, Scrapes, Target
from chainwatch.tsdb.tsdb import Tsdb
from tests.support import mail
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE, eventually

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class World:
    """A target's server, and the samples that its scrapes give."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.requests: list[web.Request] = []
        self.answer: Answer = lambda _: text("a 1")
        self.tsdb = Tsdb()
        loaded = asyncio.Event()
        loaded.set()
        self.intake = Intake(self.tsdb, loaded)
        self.now = 1_795_316_389.0

    def target(self, **settings: Any) -> tuple[Target, Client]:
        table = self.table(**settings)
        return Target(table, table.targets[0], self.intake, lambda: self.now), Client(table)

    def table(self, **settings: Any) -> ScrapeSettings:
        return ScrapeSettings.model_validate({"job": "j", "targets": f"127.0.0.1:{self.port}", **settings})

    async def scrape(self, **settings: Any) -> dict[str, float]:
        """Scrape once; return the newest values by name, those apart that have ended."""
        target, client = self.target(**settings)
        self.now += 1
        try:
            await target.scrape(client)
        finally:
            await client.close()
        return self.values()

    def values(self) -> dict[str, float]:
        found = {one.labels["__name__"]: one.values[-1] for one in self.tsdb.select(())}
        return {name: value for name, value in found.items() if not is_stale(value)}


async def text(body: str | bytes, **options: Any) -> web.Response:
    content = body.encode() if isinstance(body, str) else body
    return web.Response(body=content, **{"content_type": "text/plain", **options})


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with serving() as world:
        yield world


@asynccontextmanager
async def serving(tls: ssl.SSLContext | None = None) -> AsyncIterator[World]:
    world = World(free_port())

    async def handle(request: web.Request) -> web.StreamResponse:
        world.requests.append(request)
        return await world.answer(request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", world.port, ssl_context=tls).start()
    try:
        yield world
    finally:
        await runner.cleanup()


async def test_an_answer_becomes_samples_with_a_report(world: World) -> None:
    world.answer = lambda _: text("# HELP a What\na 1\nb 2")
    values = await world.scrape(labels={"env": "x"})
    assert (values["a"], values["b"], values["up"]) == (1, 2, 1)
    assert (values["scrape_samples_scraped"], values["scrape_samples_post_metric_relabeling"]) == (2, 2)
    assert (values["scrape_series_added"], 0 < values["scrape_duration_seconds"] < PATIENCE) == (2, True)
    instance = f"127.0.0.1:{world.port}"
    assert {
        str(dict(one.labels).items() >= {"job": "j", "instance": instance, "env": "x"}.items())
        for one in world.tsdb.select(())
    } == {"True"}
    assert world.tsdb.metadata("a")["a"].help == "What"


async def test_a_target_says_what_became_of_its_newest_scrape(world: World) -> None:
    target, client = world.target()
    assert (target.status.scraped_at, target.status.error) == (None, "")
    await target.scrape(client)
    first = target.status
    assert (first.error, first.took > 0) == ("", True)
    world.now += 1
    world.answer = lambda _: text("no metric", status=500)
    await target.scrape(client)
    await client.close()
    failed = target.status
    assert "500" in failed.error
    assert failed.scraped_at is not None
    assert first.scraped_at is not None
    assert failed.scraped_at > first.scraped_at


async def test_what_is_asked(world: World) -> None:
    await world.scrape(path="/probe?module=http", token="t0ken", timeout="2s")
    request = world.requests[0]
    assert (request.path_qs, request.headers["Authorization"]) == ("/probe?module=http", "Bearer t0ken")
    assert request.headers["X-Prometheus-Scrape-Timeout-Seconds"] == "2"
    assert "version=1.0.0" in request.headers["Accept"]
    await world.scrape(username="ü", password="p")
    assert world.requests[1].headers["Authorization"] == "Basic w7w6cA=="


async def test_both_formats_and_compression_are_read(world: World) -> None:
    world.answer = lambda _: text("a_total 3\n# EOF", content_type="application/openmetrics-text")
    assert (await world.scrape())["a_total"] == 3
    world.answer = lambda _: text(gzip.compress(b"b 4"), headers={"Content-Encoding": "gzip"})
    assert (await world.scrape())["b"] == 4


async def _hangs(_: web.Request) -> web.StreamResponse:
    await asyncio.sleep(60)
    raise AssertionError


async def _drips(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"a")
        await asyncio.sleep(0.02)


async def _breaks_off(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "100"})
    await response.prepare(request)
    await response.write(b"a 1\n")
    assert request.transport is not None
    request.transport.abort()
    return response


FAULTS: dict[str, tuple[Answer, str]] = {
    "status": (lambda _: text("a 1", status=500), "HTTP status 500"),
    "redirect": (
        lambda _: text("", status=302, headers={"Location": "/other"}),
        "redirects are not followed",
    ),
    "hangs": (_hangs, "no whole answer within 1 seconds"),
    "drips": (_drips, "no whole answer within 1 seconds"),
    "breaks off": (_breaks_off, "no answer that can be read"),
    "malformed": (lambda _: text("a 1\n<html>"), "line 2: no metric name"),
    "no UTF-8": (lambda _: text(b"a\xff 1"), "no UTF-8"),
    "too many samples": (lambda _: text("a 1\nb 1\nc 1\nd 1"), "more than 3 samples"),
    "too many labels": (lambda _: text('a{b="1",c="2",d="3",e="4",f="5"} 1'), "6 labels, the limit is 5"),
    "too large": (lambda _: text("#" * 2_001), "more than 2000 bytes"),
    "bomb": (
        lambda _: text(gzip.compress(b"#" * 10_000_000), headers={"Content-Encoding": "gzip"}),
        "more than 2000 bytes",
    ),
    "false compression": (
        lambda _: text("a 1", headers={"Content-Encoding": "gzip"}),
        "no answer that can be read",
    ),
    "half a compression": (
        lambda _: text(gzip.compress(b"a 1\nb 1\n")[:-9], headers={"Content-Encoding": "gzip"}),
        "the end of the gzip body is missing",
    ),
    "another compression": (
        lambda _: text("a 1", headers={"Content-Encoding": "br"}),
        'the compression "br" is not read',
    ),
    "no end": (lambda _: text("a 1", content_type="application/openmetrics-text"), "the end is missing"),
}


async def test_every_fault_ends_the_series_and_is_reported(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(scraping._log, "warning", lambda _, **said: warnings.append(said["reason"]))
    limits = {"sample_limit": 3, "label_limit": 5, "body_size_limit": 2_000}
    target, client = world.target(interval="5m", timeout="1m", **limits)
    impatient = Client(world.table(timeout="1s", **limits))
    for fault, (answer, reason) in FAULTS.items():
        world.answer = lambda _: text("good 1")
        await target.scrape(client)
        assert (world.values()["good"], world.values()["up"]) == (1, 1)
        world.answer = answer
        await target.scrape(impatient if "within" in reason else client)
        assert ("good" in world.values(), world.values()["up"]) == (False, 0), fault
        assert reason in warnings[-1], fault
    assert len(warnings) == len(FAULTS)
    await client.close()
    await impatient.close()


async def test_a_target_cannot_speak_in_place_of_its_report(world: World) -> None:
    target, client = world.target()
    for answer, up in ((lambda _: text("up 7\n"), 1), (_breaks_off, 0), (_breaks_off, 0)):
        world.answer = answer
        world.now += 1
        await target.scrape(client)
        assert world.values()["up"] == up
    await client.close()


async def test_nobody_there_is_reported_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(scraping._log, "warning", lambda _, **said: warnings.append(said["reason"]))
    world.port = free_port()
    target, client = world.target()
    for _ in range(3):
        await target.scrape(client)
    await client.close()
    assert (world.values()["up"], len(warnings), "cannot connect" in warnings[0]) == (0, 1, True)


async def test_certificates_are_checked(tmp_path: Path) -> None:
    authority, key = mail.certificate(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(authority, key)
    async with serving(tls) as world:
        assert (await world.scrape(scheme="https"))["up"] == 0
        assert (await world.scrape(scheme="https", insecure=True))["up"] == 1
        assert (await world.scrape(scheme="https", ca=authority, server_name="localhost"))["up"] == 1
        assert (await world.scrape(scheme="https", ca=authority, server_name="other"))["up"] == 0
        assert (await world.scrape(scheme="https", ca=tmp_path / "missing.pem"))["up"] == 0


async def test_targets_are_scraped_on_and_those_that_are_configured_no_more_end(world: World) -> None:
    scrapes = Scrapes(world.intake)
    kept = {"job": "kept", "interval": "50ms"}
    tables = [world.table(**kept), world.table(job="gone", interval="50ms")]
    tasks = scrapes.tasks(tables, lambda: world.now)
    assert set(tasks) == {"scrape kept", "scrape gone"}
    running = [asyncio.ensure_future(task()) for task in tasks.values()]

    def ended() -> dict[tuple[str, str], bool]:
        newest = {
            (one.labels["job"], one.labels["__name__"]): one.values[-1] for one in world.tsdb.select(())
        }
        return {series: is_stale(value) for series, value in newest.items()}

    # a scrape that took longer than its interval has ended all but the report until the next one
    await eventually(lambda: len(world.requests) >= 6 and not any(ended().values()))
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    tasks = scrapes.tasks([world.table(**kept)], lambda: world.now)
    assert set(tasks) == {"scrape kept", "ended scrapes"}
    await tasks["ended scrapes"]()
    assert all(is_ended == (job == "gone") for (job, _), is_ended in ended().items())
    assert ("gone", "up") in ended()
    assert set(scrapes.tasks([world.table(**kept)], lambda: world.now)) == {"scrape kept"}
