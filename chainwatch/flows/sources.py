"""Where the events of the steps of flows come from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from chainwatch.chain.decode.abi import topic0
from chainwatch.chain.watch import NetworkWatch
from chainwatch.checker.flow import Flow, WatchedStep
from chainwatch.model import ANY_TOPIC, EventSource


def sources_of(
    flows: Iterable[Flow], watches: Mapping[str, NetworkWatch]
) -> dict[WatchedStep, frozenset[EventSource]]:
    """Return the addresses and first topics of each step's events, by where the step happens."""
    found: dict[WatchedStep, frozenset[EventSource]] = {}
    for network, watch in watches.items():
        for contract, event in {(s.contract, s.event) for flow in flows for s in flow.all_steps}:
            topic = topic0(event) or ANY_TOPIC
            if here := frozenset((w.address, topic) for w in watch.contracts if w.name == contract):
                found[network, contract, event.signature] = here
    return found
