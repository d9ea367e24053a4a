"""Opening steps from before the first watched block: looked up by key in the origin's earlier blocks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

from chainwatch.chain.errors import ChainError
from chainwatch.chain.history import block_at, find_logs
from chainwatch.chain.pool import Pool
from chainwatch.checker.flow import ORIGIN, UNKNOWN_NETWORK, Flow
from chainwatch.model import Checkpoint, Event, Searched, Transfer
from chainwatch.plan import Plan

KEYS_AT_ONCE = 100
"""Keys that one ``eth_getLogs`` filter may name."""


async def search_openings(
    plan: Plan,
    pools: Mapping[str, Pool],
    checkpoints: Mapping[str, Checkpoint],
    waiting: Iterable[Transfer],
) -> AsyncIterator[Searched]:
    """Look for the opening steps of ``waiting`` up to a flow's lookback before each origin's first watched block.

    Yields what was found, and for which transfers the search is done. Raises ``ChainError`` for a network that cannot be
    asked, after the searches on all others.
    """
    failed: ChainError | None = None
    flows = {flow.name: flow for flow in plan.flows}
    groups: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for transfer in waiting:
        if transfer.flow in flows:
            origins = _origins(flows[transfer.flow], transfer)
            groups.setdefault((transfer.flow, origins), []).append(transfer.key)
    for (flow_name, origins), keys in groups.items():
        flow = flows[flow_name]
        for start in range(0, len(keys), KEYS_AT_ONCE):
            some = keys[start : start + KEYS_AT_ONCE]
            try:
                events = [
                    event
                    for origin in origins
                    for event in await _search(plan, pools, checkpoints, flow, origin, some)
                ]
            except ChainError as error:
                failed = error
                continue
            yield Searched(flow_name, tuple(some), tuple(events))
    if failed is not None:
        raise failed


async def _search(
    plan: Plan,
    pools: Mapping[str, Pool],
    checkpoints: Mapping[str, Checkpoint],
    flow: Flow,
    origin: str,
    keys: Sequence[str],
) -> list[Event]:
    checkpoint, watch = checkpoints.get(origin), plan.watches.get(origin)
    if checkpoint is None or watch is None or checkpoint.first_block == 0:
        return []
    pool = pools[origin]
    first = await block_at(pool, max(0, checkpoint.first_timestamp - flow.lookback))
    last = checkpoint.first_block - 1
    if first > last:
        return []
    found: list[Event] = []
    topic0 = plan.decoders[flow.opening.contract].topic0s
    for contract in watch.contracts:
        if contract.name != flow.opening.contract:
            continue
        topics = [topic0, *flow.search_topics(keys)]
        for log in await find_logs(pool, contract.address, topics, first, last):
            event = watch.decode(log)
            if isinstance(event, Event) and event.signature == flow.opening.event.signature:
                found.append(event)
    return found


def _origins(flow: Flow, transfer: Transfer) -> tuple[str, ...]:
    """The networks on which the opening step of ``transfer`` may be."""
    claims = {str(o.facts[ORIGIN]) for o in transfer.occurrences if ORIGIN in o.facts}
    known = tuple(sorted(c for c in claims if not c.startswith(UNKNOWN_NETWORK)))
    return known or flow.origins
