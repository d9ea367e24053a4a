"""Searches the origin's blocks before the first watched one for opening steps, by their keys."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import NamedTuple

from chainwatch.chain.errors import ChainError, NotThere
from chainwatch.chain.history import PATIENCE, block_at, find_logs, read_range
from chainwatch.chain.pool import Pool
from chainwatch.chain.transactions import with_transactions
from chainwatch.chain.watch import NetworkWatch
from chainwatch.checker.coverage import Coverage
from chainwatch.checker.flow import ORIGIN, UNKNOWN_NETWORK, Flow
from chainwatch.model import Event, Searched, Transfer

KEYS_AT_ONCE = 100
"""Keys that one ``eth_getLogs`` filter may name."""


async def search_openings(
    flows: Iterable[Flow],
    watches: Mapping[str, NetworkWatch],
    pools: Mapping[str, Pool],
    coverage: Coverage,
    waiting: Iterable[Transfer],
) -> AsyncIterator[Searched]:
    """Search for the opening steps of ``waiting``, up to a flow's lookback before they were first watched on each origin.

    Yields what was found for which transfers. Raises ``ChainError`` for a network that cannot be asked, after the searches
    on all others.
    """
    failed: ChainError | None = None
    by_name = {flow.name: flow for flow in flows}
    groups: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for transfer in waiting:
        if transfer.flow in by_name:
            origins = _origins(by_name[transfer.flow], transfer)
            groups.setdefault((transfer.flow, origins), []).append(transfer.key)
    for (flow_name, origins), keys in groups.items():
        flow = by_name[flow_name]
        try:
            ranges = [await _search_range(watches, pools, coverage, flow, origin) for origin in origins]
            for start in range(0, len(keys), KEYS_AT_ONCE):
                some = keys[start : start + KEYS_AT_ONCE]
                events = [event for r in ranges if r for event in await r.search(some)]
                yield Searched(flow_name, tuple(some), tuple(events))
        except ChainError as error:
            failed = error
    if failed is not None:
        raise failed


class _SearchRange(NamedTuple):
    """The blocks ``first``..``last`` of one network, which are searched for opening steps of ``flow``."""

    flow: Flow
    pool: Pool
    watch: NetworkWatch
    first: int
    last: int

    async def search(self, keys: Sequence[str]) -> list[Event]:
        """Return the opening events of ``keys``, and perhaps of other keys."""
        opening = self.flow.opening
        found: list[Event] = []
        for contract in self.watch.contracts:
            if contract.name != opening.contract:
                continue
            topics = [contract.decoder.topic0s, *self.flow.search_topics(keys)]
            logs = await find_logs(self.pool, contract.address, topics, self.first, self.last)
            if not opening.joins:
                logs = await with_transactions(self.pool, self.watch, logs, PATIENCE)
            for log in logs:
                event = self.watch.decode(log)
                if isinstance(event, Event) and event.signature == opening.event.signature:
                    found.append(event)
        return await self._with_siblings(found) if opening.joins else found

    async def _with_siblings(self, openings: Sequence[Event]) -> list[Event]:
        """Return the watched events of the transactions of ``openings``, for their siblings are needed, too."""
        transactions = {opening.log.tx_hash for opening in openings}
        found: list[Event] = []
        for block in sorted({opening.log.block_number for opening in openings}):
            async for batch in read_range(self.pool, self.watch, block, block):
                found += [event for event in batch.events if event.log.tx_hash in transactions]
        known = {event.log._replace(transaction=None) for event in found}
        if any(opening.log not in known for opening in openings):
            raise NotThere(self.pool.network.name, "a block was replaced while its logs were read")
        return found


async def _search_range(
    watches: Mapping[str, NetworkWatch],
    pools: Mapping[str, Pool],
    coverage: Coverage,
    flow: Flow,
    origin: str,
) -> _SearchRange | None:
    """Return what to search on ``origin``; None where there is nothing before the first block watched."""
    watch = watches.get(origin)
    watched_from, since, _ = coverage.watch_of(origin, flow.opening)
    if watch is None or watched_from == 0:
        return None
    first = await block_at(pools[origin], max(0, since - flow.lookback))
    last = watched_from - 1
    return _SearchRange(flow, pools[origin], watch, first, last) if first <= last else None


def _origins(flow: Flow, transfer: Transfer) -> tuple[str, ...]:
    """Return the networks on which the opening step of ``transfer`` may be."""
    claims = {str(o.facts[ORIGIN]) for o in transfer.occurrences if ORIGIN in o.facts}
    known = tuple(sorted(c for c in claims if not c.startswith(UNKNOWN_NETWORK)))
    return known or flow.origins
