"""Scrapes other programs' metrics, with the series by which Prometheus reports on its scrapes."""

from __future__ import annotations

import asyncio
import hashlib
import math
import ssl
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import NamedTuple

import aiohttp
import structlog
from aiohttp import hdrs

from chainwatch.config.scrape import ScrapeSettings
from chainwatch.ingestion import gzipped
from chainwatch.ingestion.model import IngestionError, SeriesSamples, TooLarge
from chainwatch.ingestion.names import quoted
from chainwatch.ingestion.scraped import SeriesLimits, TargetSeries
from chainwatch.ingestion.text import OPENMETRICS, KnownSeries, parse_exposition
from chainwatch.monitor.companions import Tasks
from chainwatch.promql.series import Labels
from chainwatch.rule_engine.intake import SCRAPE, Intake, next_time
from chainwatch.support.dns import Connector
from chainwatch.support.http_client import Redirected, refuse_redirects

REPORTS = (
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
)
"""The series about scrapes."""
ACCEPT = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
HTTP_OK = 200

_log = structlog.get_logger(__name__)


class ScrapeError(Exception):
    """A target's answer cannot be used; the message says why."""


class TargetStatus(NamedTuple):
    """A target, and what became of its newest scrape. ``scraped_at``: Unix ms, None before the first; ``took``: seconds.

    ``error`` says why it failed; empty if it did not.
    """

    settings: ScrapeSettings
    address: str
    labels: Labels
    scraped_at: int | None
    took: float
    error: str


class Scrapes:
    """All targets of a process: those that a new configuration has no more are ended."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._targets: dict[Labels, Target] = {}

    def tasks(self, tables: Sequence[ScrapeSettings], clock: Callable[[], float]) -> Tasks:
        """Return the tasks of one monitor, one for each table, and one that ends targets of the monitor before.

        ``clock`` gives Unix seconds.
        """
        before, self._targets = self._targets, {}
        jobs = {}
        for settings in tables:
            targets = [Target(settings, address, self._intake, clock) for address in settings.targets]
            for target in targets:
                if (known := before.pop(target.labels, None)) is not None:
                    target.follow(known)
                self._targets[target.labels] = target
            jobs[f"scrape {settings.job}"] = partial(_scrape_all, settings, targets)
        if not before:
            return jobs
        return {**jobs, "ended scrapes": partial(_end_all, list(before.values()))}

    def statuses(self) -> list[TargetStatus]:
        """Return how all targets stand."""
        return [target.status for target in self._targets.values()]


class Target:
    """One target of a table ``[[scrape]]``. ``clock`` gives Unix seconds."""

    def __init__(
        self, settings: ScrapeSettings, address: str, intake: Intake, clock: Callable[[], float]
    ) -> None:
        self._settings = settings
        self._address = address
        self._intake = intake
        self._clock = clock
        self._known = KnownSeries()
        limits = SeriesLimits(
            settings.label_limit, settings.label_name_length_limit, settings.label_value_length_limit
        )
        labels = Labels({"instance": address, **settings.labels, "job": settings.job})
        self._series = TargetSeries(labels, limits, settings.honor_labels, settings.honor_timestamps)
        self._time = 0
        self._said = ""
        """Why the newest scrape failed; empty if it did not."""
        self._scraped_at: int | None = None
        self._took = 0.0

    @property
    def labels(self) -> Labels:
        """The labels of the target."""
        return self._series.labels

    @property
    def status(self) -> TargetStatus:
        """How it stands."""
        return TargetStatus(
            self._settings, self._address, self.labels, self._scraped_at, self._took, self._said
        )

    def follow(self, before: Target) -> None:
        """Go on where the target of the same labels has ended, in an earlier configuration."""
        self._series.live, self._time, self._said = before._series.live, before._time, before._said
        self._scraped_at, self._took = before._scraped_at, before._took

    async def scrape_on(self, client: Client) -> None:
        """Scrape once an interval, at this target's own moment of it, until cancelled."""
        interval = self._settings.interval
        loop = asyncio.get_running_loop()
        moment = loop.time() + _offset(self.labels, interval)
        while True:
            await asyncio.sleep(moment - loop.time())
            await self.scrape(client)
            late = max(0.0, loop.time() - moment)
            moment += interval * (1 + math.floor(late / interval))

    async def scrape(self, client: Client) -> None:
        """Scrape now: append the samples, or the ends of the series where the target does not answer."""
        now = self._next_time()
        began = time.monotonic()
        body, is_openmetrics, problem = b"", False, ""
        try:
            body, is_openmetrics = await client.fetch(self._address)
        except ScrapeError as error:
            problem = str(error)
        took = time.monotonic() - began
        problem = await self._intake.run(
            SCRAPE, partial(self._append, body, is_openmetrics, problem, took, now)
        )
        if problem and not self._said:
            _log.warning("a scrape failed", job=self._settings.job, target=self._address, reason=problem)
        elif self._said and not problem:
            _log.info("scrapes succeed again", job=self._settings.job, target=self._address)
        self._said, self._scraped_at, self._took = problem, now, took

    async def end(self) -> None:
        """End the series of a target that is not scraped any more, those about its scrapes among them."""
        now = self._next_time()
        self._series.live |= {
            labels for labels, _, _ in self._series.report(dict.fromkeys(REPORTS, 0.0), now)
        }
        await self._intake.run(SCRAPE, lambda: self._intake.append(SCRAPE, self._series.fail(now), now))

    def _next_time(self) -> int:
        self._time = next_time(self._clock, self._time)
        return self._time

    def _append(self, body: bytes, is_openmetrics: bool, problem: str, took: float, now: int) -> str:
        """Append what a scrape has given; return why it failed, if it did. Runs where samples are appended."""
        scraped, added = 0, 0
        samples: list[SeriesSamples] = []
        if not problem:
            try:
                limit = self._settings.sample_limit
                exposition = parse_exposition(
                    body, is_openmetrics=is_openmetrics, samples_max=limit, known=self._known
                )
                scraped = len(exposition.samples)
                samples, added = self._series.take(exposition, now)
                self._intake.describe(exposition.metadata)
            except IngestionError as error:
                problem = str(error)
        if problem:
            samples = self._series.fail(now)
        values = (float(not problem), took, scraped, scraped, added)
        report = self._series.report(dict(zip(REPORTS, values, strict=True)), now)
        # the report first: its series keep their values, whatever the target exposes by their names
        self._intake.append(SCRAPE, [*report, *samples], now)
        return problem


class Client:
    """Asks the targets of one table ``[[scrape]]``; follows no redirects, so that only they get its secrets."""

    def __init__(self, settings: ScrapeSettings) -> None:
        self._settings = settings
        self._session = aiohttp.ClientSession(
            connector=Connector(),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=_headers(settings),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,  # it takes the half of a body for all of it
            trust_env=False,
            middlewares=(refuse_redirects,),
        )
        self._tls: ssl.SSLContext | None = None
        self._making_tls = asyncio.Lock()

    async def fetch(self, address: str) -> tuple[bytes, bool]:
        """Return the answer of the target at ``address``, decompressed, and whether it is OpenMetrics.

        Raises ``ScrapeError``, whose text holds no secret.
        """
        settings = self._settings
        try:
            async with asyncio.timeout(settings.patience):
                return await self._fetch(address)
        except TimeoutError:
            raise ScrapeError(f"no whole answer within {settings.patience:g} seconds") from None
        except Redirected as error:
            raise ScrapeError(str(error)) from None
        except aiohttp.ClientConnectorCertificateError as error:
            raise ScrapeError(f"its certificate is refused: {error.certificate_error}") from None
        except ssl.SSLError as error:
            raise ScrapeError(
                f"TLS failed: {getattr(error, 'reason', None) or type(error).__name__}"
            ) from None
        except aiohttp.ClientConnectorError as error:
            raise ScrapeError(f"cannot connect: {error.strerror or 'refused'}") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise ScrapeError(f"no answer that can be read ({type(error).__name__})") from None

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def _fetch(self, address: str) -> tuple[bytes, bool]:
        settings = self._settings
        tls = await self._secured() if settings.scheme == "https" else True
        url = f"{settings.scheme}://{address}{settings.path}"
        async with self._session.get(
            url, ssl=tls, server_hostname=settings.server_name, allow_redirects=False
        ) as answer:
            if answer.status != HTTP_OK:
                raise ScrapeError(f"HTTP status {answer.status}")
            body = bytearray()
            async for part in answer.content.iter_any():
                body += part
                if len(body) > settings.body_size_limit:
                    raise ScrapeError(_too_large(settings))
            encoding = answer.headers.get(hdrs.CONTENT_ENCODING, "identity").lower()
            return await self._decompressed(bytes(body), encoding), answer.content_type == OPENMETRICS

    async def _decompressed(self, body: bytes, encoding: str) -> bytes:
        if encoding == "identity":
            return body
        if encoding not in ("gzip", "x-gzip"):
            raise ScrapeError(f"the compression {quoted(encoding)} is not read")
        try:
            return await asyncio.to_thread(gzipped.decompress, body, self._settings.body_size_limit)
        except TooLarge:
            raise ScrapeError(_too_large(self._settings)) from None
        except IngestionError as error:
            raise ScrapeError(f"no answer that can be read: {error}") from None

    async def _secured(self) -> ssl.SSLContext:
        """Return the TLS side, made off the event loop, again after files could not be read. Raises ``ScrapeError``."""
        async with self._making_tls:
            if self._tls is None:
                try:
                    self._tls = await asyncio.to_thread(_tls, self._settings)
                except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
                    reason = getattr(error, "strerror", None) or type(error).__name__
                    raise ScrapeError(f"ca, cert or key cannot be used: {reason}") from None
            return self._tls


async def _scrape_all(settings: ScrapeSettings, targets: Sequence[Target]) -> None:
    async with _client(settings) as client, asyncio.TaskGroup() as group:
        for target in targets:
            group.create_task(target.scrape_on(client))


async def _end_all(targets: Sequence[Target]) -> None:
    for target in targets:
        await target.end()


@asynccontextmanager
async def _client(settings: ScrapeSettings) -> AsyncIterator[Client]:
    client = Client(settings)
    try:
        yield client
    finally:
        await client.close()


def _too_large(settings: ScrapeSettings) -> str:
    return f"more than {settings.body_size_limit} bytes (body_size_limit)"


def _headers(settings: ScrapeSettings) -> dict[str, str]:
    headers = {
        "User-Agent": "chainwatch",
        "Accept": ACCEPT,
        "Accept-Encoding": "gzip",
        "X-Prometheus-Scrape-Timeout-Seconds": f"{settings.patience:g}",
    }
    if settings.token is not None:
        headers["Authorization"] = f"Bearer {settings.token.get_secret_value()}"
    if settings.username is not None and settings.password is not None:
        password = settings.password.get_secret_value()
        headers["Authorization"] = aiohttp.encode_basic_auth(settings.username, password, encoding="utf-8")
    return headers


def _tls(settings: ScrapeSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.ca)
    if settings.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if settings.cert is not None:
        # without a password, an encrypted key would ask for one on the terminal
        context.load_cert_chain(settings.cert, settings.key, password="")
    return context


def _offset(labels: Labels, interval: float) -> float:
    """Return when within an interval (seconds) a target is scraped: the same after each start, spread over targets."""
    digest = hashlib.blake2b(repr(labels.pairs).encode(), digest_size=8).digest()
    return interval * int.from_bytes(digest) / 2**64
