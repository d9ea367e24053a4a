"""What is stored of networks while they are observed: states and endpoints, for other processes, and limits of endpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

import msgspec
import sqlalchemy as sa

from chainwatch.chain.status import NetworkStatus
from chainwatch.monitor.endpoint_records import EndpointRecords
from chainwatch.store import blocks, schema
from chainwatch.store.blocks import NetworkState
from chainwatch.store.database import Database
from chainwatch.store.retrying import retrying

STATES_EVERY = 5.0
"""Seconds after which the state of a network is stored again though it has not changed."""
RANGES_PROPERTY = "block_ranges"
"""The property that holds the most blocks of one request for logs, by endpoint, as JSON."""


class NetworkRecords:
    """Stores what has changed. Waits while the database refuses for a passing reason."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._states: dict[str, NetworkState] = {}
        self._endpoints = EndpointRecords()
        self.ranges: dict[str, int] = {}
        """Endpoint → the most blocks of one request for logs, as stored."""

    async def load(self) -> None:
        """Read the ranges that an earlier process has found out."""
        stored = await retrying(
            lambda: self._database.read(lambda c: schema.get_property(c, RANGES_PROPERTY))
        )
        self.ranges = msgspec.json.decode(stored or "{}", type=dict[str, int])

    async def save(self, observed: Mapping[str, NetworkStatus], now: float) -> None:
        """Store the states, endpoints and ranges that have changed by ``now`` (Unix seconds by this machine's clock).

        An unchanged state is stored from time to time, because readers take an old one for a process that has stopped.
        """
        states = [_state(name, status, now) for name, status in observed.items()]
        changed = [state for state in states if is_news(state, self._states.get(state.name))]
        if changed:
            await self._write(partial(blocks.save_states, states=changed))
            self._states |= {state.name: state for state in changed}
        if (endpoints := self._endpoints.follow(observed, now)) is not None:
            await self._write(endpoints.save)
        ranges = self.ranges | _ranges(observed.values())
        if ranges != self.ranges:
            value = msgspec.json.encode(ranges).decode()
            await self._write(lambda c: schema.set_property(c, RANGES_PROPERTY, value))
            self.ranges = ranges

    async def _write(self, job: Callable[[sa.Connection], None]) -> None:
        await retrying(lambda: self._database.write(job))


def is_news(state: NetworkState, stored: NetworkState | None) -> bool:
    """Return whether ``state`` differs from the ``stored`` one, or that one is old."""
    return (
        stored is None
        or abs(state.updated_at - stored.updated_at) >= STATES_EVERY
        or state._replace(updated_at=0.0) != stored._replace(updated_at=0.0)
    )


def _state(network: str, status: NetworkStatus, now: float) -> NetworkState:
    number, timestamp = (status.head.number, status.head.timestamp) if status.head else (None, None)
    return NetworkState(network, status.state, number, timestamp, status.last_error, now)


def _ranges(observed: Iterable[NetworkStatus]) -> dict[str, int]:
    return {
        endpoint.name: endpoint.max_block_range
        for status in observed
        for endpoint in status.endpoints
        if endpoint.max_block_range is not None
    }
