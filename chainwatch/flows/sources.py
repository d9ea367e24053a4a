"""Where the events of the steps of flows come from, and since when they are watched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product

from chainwatch.chain.decode.abi import topic0
from chainwatch.chain.watch import NetworkWatch
from chainwatch.checker.coverage import Coverage, Watched
from chainwatch.checker.extractor import EventKind
from chainwatch.checker.flow import Flow, FlowExtractor, WatchedStep
from chainwatch.model import ANY_TOPIC, WITH_TRANSACTION, AbiEvent, EventSource, Occurrence
from chainwatch.pipeline.joined import Joined
from chainwatch.pipeline.unit_of_work import Work
from chainwatch.store.watched import WatchedSet


def sources_of(
    flows: Iterable[Flow], watches: Mapping[str, NetworkWatch]
) -> dict[WatchedStep, frozenset[EventSource]]:
    """Return the sources of each step's event, its siblings and their transactions, by where the step happens."""
    steps = {(step.contract, step.watched_as): step for flow in flows for step in flow.all_steps}
    found: dict[WatchedStep, frozenset[EventSource]] = {}
    for network, watch in watches.items():
        for (contract, watched_as), step in steps.items():
            if here := _sources(watch, contract, step.event, step.kind in step.transactions):
                siblings = [
                    _sources(watch, join.contract, join.event, join.kind in step.transactions)
                    for join in step.joins
                ]
                found[network, contract, watched_as] = here.union(*siblings)
    return found


def joined_by(extractor: FlowExtractor, sources: Mapping[WatchedStep, frozenset[EventSource]]) -> Joined:
    """Return the events that steps of ``extractor`` read together with siblings; ``sources`` as `sources_of` gives them."""
    needed: dict[tuple[str, EventKind], frozenset[EventSource]] = {}
    kinds = {
        (s.contract, s.watched_as): s.kind for flow in extractor.flows for s in flow.all_steps if s.joins
    }
    for (network, contract, watched_as), some in sources.items():
        if (kind := kinds.get((contract, watched_as))) is not None:
            needed[network, kind] = needed.get((network, kind), frozenset()) | some
    return Joined(extractor.joined, needed)


def coverage_of(work: Work, sources: Mapping[WatchedStep, frozenset[EventSource]]) -> Coverage:
    """Return how far networks are read, with since when the events of each step, from ``sources``, are watched."""
    watched: dict[WatchedStep, Watched] = {}
    for place, some in sources.items():
        known = work.watched.get(place[0], {})
        if found := [known[source] for source in some if source in known]:
            watched[place] = _watched_together(found)
    return Coverage(work.seen, work.first, watched)


def incomplete_networks(flow: Flow, coverage: Coverage) -> set[str]:
    """Return the networks with stored events of ``flow`` whose siblings or transactions are still to be read."""
    return {
        network
        for step in flow.all_steps
        for network in step.networks
        if (step.joins or step.transactions) and coverage.watch_of(network, step).unread_until is not None
    }


def is_before_watch(flow: Flow, occurrence: Occurrence, coverage: Coverage) -> bool:
    """Return whether ``occurrence`` is an opening from before the first block watched, as only a search finds."""
    is_opening = occurrence.step == flow.opening.name
    return is_opening and occurrence.block < coverage.watch_of(occurrence.network, flow.opening).block


def _sources(
    watch: NetworkWatch, contract: str, event: AbiEvent, with_transactions: bool
) -> frozenset[EventSource]:
    topic = topic0(event) or ANY_TOPIC
    topics = [topic, WITH_TRANSACTION + topic] if with_transactions else [topic]
    return frozenset(product([w.address for w in watch.contracts if w.name == contract], topics))


def _watched_together(rows: Sequence[WatchedSet]) -> Watched:
    """Return since when all of ``rows`` are watched."""
    block, timestamp = max((row.first_block, row.first_timestamp) for row in rows)
    unread = [row.gap_timestamp for row in rows if row.gap_timestamp is not None]
    return Watched(block, timestamp, max(unread, default=None))
