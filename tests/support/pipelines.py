"""Pipelines of flows alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import sqlalchemy as sa

from chainwatch.checker.flow import Flow, WatchedStep
from chainwatch.config import NetworkSettings
from chainwatch.flows.checker import Changed, FlowChecker
from chainwatch.model import EventSource
from chainwatch.pipeline.checker import Page
from chainwatch.pipeline.pipeline import Alerts, Decoder, Pipeline


def flow_pipeline(
    flows: Iterable[Flow],
    networks: Mapping[str, NetworkSettings],
    decode: Decoder,
    alerts: Alerts,
    saved: Callable[[Sequence[Changed]], None] | None = None,
    sources: Mapping[WatchedStep, frozenset[EventSource]] | None = None,
) -> Pipeline:
    """A pipeline whose only checker follows ``flows``; the rest as for `FlowChecker` and `Pipeline`."""
    watched: dict[str, frozenset[EventSource]] = {}
    for (network, _, _), some in (sources or {}).items():
        watched[network] = watched.get(network, frozenset()) | some
    checker = FlowChecker(flows, sources=sources or {}, saved=saved)
    return Pipeline([checker], networks, decode, alerts, watched)


def judge_transfers_again(
    pipeline: Pipeline, connection: sa.Connection, after: int, limit: int, now: float
) -> int | None:
    """`Pipeline.judge_again` for transfers of every flow."""
    return pipeline.judge_again(connection, pipeline.checkers[0], Page(None, after, limit), now)
