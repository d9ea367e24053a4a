"""Where the events of the steps of flows come from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import product

from chainwatch.chain.decode.abi import topic0
from chainwatch.chain.watch import NetworkWatch
from chainwatch.checker.extractor import EventKind
from chainwatch.checker.flow import Flow, FlowExtractor, WatchedStep
from chainwatch.model import ANY_TOPIC, WITH_TRANSACTION, AbiEvent, EventSource
from chainwatch.pipeline.joined import Joined


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


def _sources(
    watch: NetworkWatch, contract: str, event: AbiEvent, with_transactions: bool
) -> frozenset[EventSource]:
    topic = topic0(event) or ANY_TOPIC
    topics = [topic, WITH_TRANSACTION + topic] if with_transactions else [topic]
    return frozenset(product([w.address for w in watch.contracts if w.name == contract], topics))
