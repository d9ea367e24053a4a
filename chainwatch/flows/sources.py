"""Where the events of the steps of flows come from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import product

from chainwatch.chain.decode.abi import topic0
from chainwatch.chain.watch import NetworkWatch
from chainwatch.checker.flow import Flow, WatchedStep
from chainwatch.model import ANY_TOPIC, WITH_TRANSACTION, EventSource


def sources_of(
    flows: Iterable[Flow], watches: Mapping[str, NetworkWatch]
) -> dict[WatchedStep, frozenset[EventSource]]:
    """Return the addresses and first topics of each step's events (`Step.watched_as`), by where the step happens."""
    found: dict[WatchedStep, frozenset[EventSource]] = {}
    steps = {(s.contract, s.event, s.watched_as, s.reads_transaction) for f in flows for s in f.all_steps}
    for network, watch in watches.items():
        for contract, event, watched_as, reads_transaction in steps:
            topic = topic0(event) or ANY_TOPIC
            topics = [topic, WITH_TRANSACTION + topic] if reads_transaction else [topic]
            addresses = [w.address for w in watch.contracts if w.name == contract]
            if addresses:
                found[network, contract, watched_as] = frozenset(product(addresses, topics))
    return found
