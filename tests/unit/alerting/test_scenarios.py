"""The scenarios by which alerting is measured from the outside, with the clock as an argument."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import sqlalchemy as sa

from chainwatch.alert_model import Silence as StoredSilence
from chainwatch.alerting.delivery import retry
from chainwatch.alerting.delivery.notification import NotifiedAlert, load
from chainwatch.alerting.engine import intake
from chainwatch.alerting.engine.alert_engine import AlertEngine
from chainwatch.alerting.engine.submission import parse
from chainwatch.alerting.policy.policies import Policies
from chainwatch.config import read_dict
from chainwatch.store.alerting import claims, expiries, outbox, silences
from chainwatch.store.database import Database
from tests.support.scenarios import (
    SCENARIOS,
    Alert,
    Arrival,
    Expire,
    Push,
    Reload,
    Restart,
    Scenario,
    Silence,
    deviation,
)

BEGIN = 1_700_000_000.0


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name.partition(":")[0])
def test_scenario(scenario: Scenario) -> None:
    with _playing(scenario) as player:
        player.play()
        assert deviation(scenario, player.received) < 0.011  # two batches are sent ten milliseconds apart


class _Player:
    """Plays a scenario against the alert manager and the queues' rows, at the moments at which something is due."""

    def __init__(self, scenario: Scenario, database: Database) -> None:
        self._scenario = scenario
        self._database = database
        self._manager = self._made(scenario.route)
        self._breakers = {name: retry.Breaker() for name in scenario.receivers}
        self._due_at = math.inf
        self.received: list[Arrival] = []

    def play(self) -> None:
        """From the first act until everything was received."""
        number = itertools.count()
        moments = [(act.at, next(number), act) for act in self._scenario.acts]
        heapq.heapify(moments)
        while True:
            next_act = moments[0][0] if moments else math.inf
            now = min(next_act, self._due_at - BEGIN, self._next_attempt())
            if now > self._scenario.ends:
                return
            with self._database.transaction() as connection:
                if moments and now == next_act:
                    self._do(connection, heapq.heappop(moments)[2], BEGIN + now)
                else:
                    taken = intake.expired(connection, BEGIN + now)
                    self._manager.take(connection, taken, BEGIN + now)
                self._due_at = self._next_time(connection, BEGIN + now)
                self._deliver(connection, BEGIN + now)

    def _do(self, connection: sa.Connection, act: object, now: float) -> None:
        match act:
            case Push(_, alerts):
                for round_ in intake.rounds(parse([_sent(alert) for alert in alerts])):
                    taken = intake.take(connection, round_, now, self._scenario.resolve_timeout)
                    self._manager.take(connection, taken, now)
            case Silence(_, match, starts, ends):
                silences.add(
                    connection, StoredSilence(match, BEGIN + starts, BEGIN + ends, "me", "", created_at=now)
                )
            case Expire():
                silences.expire(connection, [s.id for s in silences.active(connection, now)], now)
            case Reload(_, route):
                self._manager = self._made(route)
                self._manager.reroute(connection, now, reloaded=True)
            case Restart():
                self._manager = self._made(self._scenario.route)
                self._manager.reroute(connection, now)

    def _made(self, route: Mapping[str, Any]) -> AlertEngine:
        urls = dict.fromkeys(self._scenario.receivers, "http://127.0.0.1:1")
        settings = read_dict(self._scenario.config(urls, route), {}, watches=False).settings()
        sends_resolved = {name: one.send_resolved for name, one in settings.receivers.items()}
        return AlertEngine(settings.routes, sends_resolved, 0, Policies.of(settings))

    def _next_time(self, connection: sa.Connection, now: float) -> float:
        times = (self._manager.flush(connection, now), expiries.next_due(connection))
        return min((time for time in times if time is not None), default=math.inf)

    # --- the queues, each a loop over its rows --------------------------------------------------------------

    def _next_attempt(self) -> float:
        times = []
        with self._database.reading() as connection:
            for name, breaker in self._breakers.items():
                claim = claims.claim(connection, name, 0.0, 1)
                if claim.next_ready is not None:
                    times.append((breaker.probe_at or claim.next_ready) - BEGIN)
        return min(times, default=math.inf)

    def _deliver(self, connection: sa.Connection, now: float) -> None:
        for name, breaker in self._breakers.items():
            is_down = now < BEGIN + self._scenario.down_until.get(name, 0.0)
            ready_by = math.inf if breaker.is_open else now
            while breaker.permits(0, 1, now) and (found := claims.claim(connection, name, ready_by, 1).found):
                (queued,) = found
                if is_down:
                    breaker.failed(now)
                    wait = retry.backoff(queued.attempts + 1, 0.5)
                    outbox.mark_failed(connection, queued, "down", now + wait)
                    continue
                breaker.succeeded()
                outbox.mark_delivered(connection, [(queued.id, now)])
                alerts = tuple(_heard(alert) for alert in load(connection, queued).alerts)
                self.received.append(Arrival(now - BEGIN, name, alerts))


@contextmanager
def _playing(scenario: Scenario) -> Iterator[_Player]:
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        database = Database.open(f"sqlite:///{Path(folder) / 'alerts.db'}", durable=False)
        try:
            yield _Player(scenario, database)
        finally:
            database.close()


def _sent(alert: Alert) -> dict[str, Any]:
    sent: dict[str, Any] = {"labels": alert.labels, "annotations": alert.annotations}
    if alert.starts is not None:
        sent["startsAt"] = BEGIN + alert.starts
    if alert.ends is not None:
        sent["endsAt"] = BEGIN + alert.ends
    return sent


def _heard(alert: NotifiedAlert) -> Alert:
    ends = None if alert.ends_at is None else alert.ends_at - BEGIN
    return Alert(alert.labels, alert.starts_at - BEGIN, ends, alert.annotations)
