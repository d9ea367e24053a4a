"""Judges transfers of the small bridge in `tests.support.flows` without a database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from chainwatch.checker import transfer as transfers
from chainwatch.checker.coverage import Coverage
from chainwatch.checker.flow import Flow, extract, index_steps
from chainwatch.checker.transfer import Settled, settle
from chainwatch.model import Event, Occurrence, Signal, Transfer

FIRST_BLOCK = {"alpha": (0, 0), "beta": (0, 0), "gamma": (0, 0)}


def coverage(
    alpha: int = 0, beta: int = 0, gamma: int = 0, first: Mapping[str, tuple[int, int]] = FIRST_BLOCK
) -> Coverage:
    """How far each network was seen."""
    return Coverage({"alpha": alpha, "beta": beta, "gamma": gamma}, first)


def occurrences(compiled: Flow, events: Iterable[Event]) -> list[Occurrence]:
    found = extract(index_steps([compiled]), events)
    assert not found.signals
    return [o for of_key in found.found.values() for o in of_key]


def judged(
    compiled: Flow, events: Iterable[Event], seen: Coverage, before: Transfer | None = None
) -> Settled:
    current = transfers.with_events(before or Transfer("bridge", "7"), occurrences(compiled, events))
    return settle(compiled, current, seen, now=max(seen.seen.values()))


def names(settled: Settled) -> list[str]:
    return [s.labels["alertname"] for s in settled.signals]


def only(settled: Settled) -> Signal:
    (signal,) = settled.signals
    return signal
