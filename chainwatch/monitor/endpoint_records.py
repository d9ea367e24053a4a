"""What is stored of endpoints while they are asked, for other processes: their present state, and the last day's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import sqlalchemy as sa

from chainwatch.chain.status import EndpointStatus, NetworkStatus
from chainwatch.store import endpoints
from chainwatch.store.endpoints import PERIOD, Period, StoredEndpoint

SAVE_EVERY = 5.0
"""Seconds after which endpoints are stored again though the state of none has changed."""
WORST = ("ok", "degraded", "frozen", "down", "refused")
"""The states of endpoints, each worse than those before it."""


class _Begun(NamedTuple):
    """What an endpoint's counters were when a period began, and its worst state since."""

    at: int
    reads: int
    errors: int
    state: str


class EndpointRecords:
    """Follows the endpoints of all networks: call `follow` often, and store what it returns.

    Pure: of a period that began before this process, only what this process saw is known.
    """

    def __init__(self) -> None:
        self._begun: dict[str, _Begun] = {}
        self._states: dict[str, str] = {}
        self._saved_at = float("-inf")
        self._pruned = 0

    def follow(self, observed: Mapping[str, NetworkStatus], now: float) -> Changes | None:
        """Return what is to be stored ``now`` (Unix seconds); None where nothing has changed a short time after the last."""
        every = ((name, one) for name, status in observed.items() for one in status.endpoints)
        statuses = [(name, one) for name, one in every if _is_tried(one)]
        at = int(now) // PERIOD * PERIOD
        for _, one in statuses:
            self._note(one, at)
        states = {one.name: one.state for _, one in statuses}
        if not states or (states == self._states and 0 <= now - self._saved_at < SAVE_EVERY):
            return None
        self._states, self._saved_at = states, now
        has_to_prune, self._pruned = at != self._pruned, at
        return Changes(
            [_endpoint(network, one, now) for network, one in statuses],
            [self._period(network, one) for network, one in statuses],
            tuple(states) if has_to_prune else (),
            now - endpoints.KEPT_FOR,
        )

    def _note(self, one: EndpointStatus, at: int) -> None:
        begun = self._begun.get(one.name)
        if begun is None or begun.at != at or one.questions < begun.reads:
            restarted = begun is None or one.questions < begun.reads
            reads, errors = (0, 0) if restarted else (one.questions, one.errors)
            begun = _Begun(at, reads, errors, one.state)
        self._begun[one.name] = begun._replace(state=worst((begun.state, one.state)))

    def _period(self, network: str, one: EndpointStatus) -> Period:
        begun = self._begun[one.name]
        reads, errors = one.questions - begun.reads, one.errors - begun.errors
        return Period(one.name, begun.at, network, begun.state, reads, max(0, errors), one.latency)


class Changes(NamedTuple):
    """What is to be stored. ``present``: the names of all endpoints, where others and old periods are to be deleted."""

    endpoints: list[StoredEndpoint]
    periods: list[Period]
    present: tuple[str, ...]
    kept_from: float

    def save(self, connection: sa.Connection) -> None:
        """Store them."""
        endpoints.save(connection, self.endpoints, self.periods)
        if self.present:
            endpoints.prune(connection, self.kept_from, self.present)


def worst(states: Iterable[str]) -> str:
    """Return the worst of the states of an endpoint."""
    return max(states, key=WORST.index)


def _is_tried(one: EndpointStatus) -> bool:
    """Return whether the endpoint has answered or failed since the process began: before, it only seems to be down."""
    return one.state == "ok" or one.last_answer_at is not None or one.last_error is not None


def _endpoint(network: str, one: EndpointStatus, now: float) -> StoredEndpoint:
    return StoredEndpoint(
        one.name,
        network,
        one.kind,
        one.state,
        one.questions,
        one.errors,
        one.error_ratio,
        one.latency,
        one.last_answer_at,
        one.last_error,
        now,
    )
