"""Flows: which events are steps of which transfers. Compiled once from the configuration; pure.

What the events of one transfer mean together is decided in `chainwatch.checker.transfer`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import msgspec

from chainwatch.checker.expression import Condition
from chainwatch.checker.path import EvaluationError, Path
from chainwatch.checker.verify import Verify
from chainwatch.model import (
    AbiEvent,
    Batch,
    Event,
    FieldPath,
    LogRow,
    Occurrence,
    SiftedBatch,
    Signal,
    UndecodedLog,
    log_row,
    to_hex,
)

ORIGIN = "@origin"
DESTINATION = "@destination"
AMOUNT = "@amount"
ASSET = "@asset"
FAILED_CHECKS = "@failed"
"""Facts that are not paths: the networks an event names, its amount and asset, what built-in checks found wrong by name."""

EXCLUDED = "@excluded"
"""The fact of an opening event that its step's ``where`` leaves out: its transfer is not to be watched."""

UNKNOWN_NETWORK = "?"
"""Marks a value that names no configured network, as in ``?1869640809``."""


StepPlace: TypeAlias = tuple[str, str, str]
"""Where events of a step happen: network, contract and the event's signature."""


@dataclass(frozen=True)
class Step:
    """One step of a flow, ready to take events."""

    flow: str
    name: str
    contract: str
    event: AbiEvent
    key: tuple[Callable[[Event], str], ...]
    facts: tuple[tuple[str, Callable[[Event], Any]], ...]
    places: frozenset[str]
    """The networks on which its contract is: it can be seen nowhere else."""
    only_on: frozenset[str] | None = None
    """Events on other networks do not count; None where the configuration alone leaves every network."""
    where: Condition | None = None
    checks: tuple[tuple[str, Verify], ...] = ()
    """Built-in checks of this step's events, by name."""
    read_later: tuple[Condition, ...] = ()
    """For the opening step: the assertions that will ask for its values."""
    expected_on: str = ""
    """For an expected step: ``origin``, ``destination`` or a network's name."""
    within: int = 0
    severity: str = ""
    assertion: Condition | None = None
    may_repeat: bool = False
    away_from: str = ""
    """Where it counts only when an opening step asks for it: the one network from which the configuration lets transfers
    come, so that what arrives there is of other transfers, such as those of the other direction."""

    def counts_on(self, network: str, claimed: str) -> bool:
        """Whether an event seen on ``network`` can be this step; ``claimed`` is the origin that it names, or empty."""
        if self.only_on is not None and network not in self.only_on:
            return False
        return self.expected_on != "origin" or claimed in ("", network)

    def occurrence(self, event: Event) -> tuple[str, Occurrence] | None:
        """The transfer's key and the occurrence of this step that ``event`` is; None when it does not count.

        Raises `EvaluationError` when the event lacks a value that the configuration names.
        """
        if self.only_on is not None and event.network not in self.only_on:
            return None
        facts: dict[str, Any] = {}
        if self.where is not None and not self.where.evaluate(event):
            if self.expected_on:
                return None
            facts[EXCLUDED] = True  # remembered, so that the steps that follow it are no orphans
        for name, get in self.facts:
            facts[name] = get(event)
        if self.expected_on == "origin" and not self.counts_on(event.network, facts.get(ORIGIN, "")):
            return None
        if self.assertion is not None:
            facts |= self.assertion.facts(event)
        for assertion in self.read_later:
            facts |= assertion.opening_facts(event)
        if self.checks:
            failed = {name: wrong for name, verify in self.checks if (wrong := verify(event.args))}
            if failed:
                facts[FAILED_CHECKS] = failed
        key = self.key[0](event) if len(self.key) == 1 else "/".join(part(event) for part in self.key)
        log = event.log
        return key, Occurrence(
            self.name, event.network, log.block_number, log.log_index, log.timestamp, log.tx_hash, facts
        )


@dataclass(frozen=True)
class Flow:
    """A compiled flow."""

    name: str
    opening: Step
    expected: tuple[Step, ...]
    origins: tuple[str, ...]
    """The networks on which a transfer can open."""
    orphan_grace: int
    clock_skew: int
    """Seconds by which the networks' clocks may differ."""
    orphan_severity: str
    lookback: int
    openings_may_repeat: bool
    runbook_url: str | None
    search: tuple[Path | None, ...] | None
    """For each indexed argument of the opening event the key's path that it is, or None; None where no part of
    the key is indexed, so that a node cannot be asked for one transfer."""
    steps: Mapping[str, Step] = field(default_factory=dict)
    reads: Mapping[str, frozenset[FieldPath]] = field(default_factory=dict)
    """By the signatures of its events, the values that the flow reads."""

    @property
    def all_steps(self) -> tuple[Step, ...]:
        """The opening step, then the expected ones."""
        return (self.opening, *self.expected)

    def search_topics(self, keys: Sequence[str]) -> list[tuple[bytes, ...] | None]:
        """The topics after the first by which ``eth_getLogs`` finds the opening events of ``keys`` (and perhaps others).

        Only for a flow with ``search``.
        """
        assert self.search is not None
        topics: list[tuple[bytes, ...] | None] = []
        parts = [key.split("/") for key in keys]
        order = {path.text: i for i, path in enumerate(self._key_paths) if path is not None}
        for path in self.search:
            if path is None:
                topics.append(None)
            else:
                topics.append(tuple(sorted({_topic(p[order[path.text]], path.type) for p in parts})))
        while topics and topics[-1] is None:
            topics.pop()
        return topics

    _key_paths: tuple[Path | None, ...] = ()


class Extracted(NamedTuple):
    """The occurrences found in some events, by flow and key, and the alerts about events that could not be judged."""

    occurrences: dict[tuple[str, str], list[Occurrence]]
    troubles: list[Signal]


def extract(
    steps: Mapping[tuple[str, str], Sequence[Step]],
    events: Iterable[Event],
) -> Extracted:
    """Which transfers ``events`` belong to. ``steps`` are those of all flows, as `index_steps` gives them."""
    found: dict[tuple[str, str], list[Occurrence]] = {}
    troubles: list[Signal] = []
    for event in events:
        hits: list[_Hit] = []
        for step in steps.get((event.contract, event.signature), ()):
            try:
                hit = step.occurrence(event)
            except EvaluationError as error:
                troubles.append(_trouble(step, event, error))
                continue
            if hit is not None:
                hits.append((step, *hit))
        for step, key, occurrence in hits if len(hits) < 2 else _distinguished(hits):
            found.setdefault((step.flow, key), []).append(occurrence)
    return Extracted(found, troubles)


_Hit = tuple[Step, str, Occurrence]
"""A step that an event is, the transfer's key, the occurrence."""


def _distinguished(hits: Sequence[_Hit]) -> list[_Hit]:
    """``hits`` of one event without those that others of the same flow show to be none."""
    return [hit for hit in hits if not any(_rules_out(other, hit) for other in hits if other is not hit)]


def _rules_out(other: _Hit, hit: _Hit) -> bool:
    """Whether the event is the step ``other`` and so cannot be ``hit``: one event serves for both ends of a transfer."""
    (step, key, occurrence), (other_step, other_key, other_occurrence) = hit, other
    if step.flow != other_step.flow:
        return False
    if EXCLUDED in occurrence.facts:
        return True  # told apart by ``where``
    if key != other_key or EXCLUDED in other_occurrence.facts:
        return False
    if not step.expected_on:  # an opening step that names another origin is what arrived from there
        return is_stray_opening(occurrence)
    opens_here = not other_step.expected_on and not is_stray_opening(other_occurrence)
    return opens_here and expected_network(step, other_occurrence) != occurrence.network


def is_stray_opening(opening: Occurrence) -> bool:
    """Whether an opening step names another network as its origin than the one on which it was seen."""
    claimed: str = opening.facts.get(ORIGIN, opening.network)
    return claimed != opening.network


def expected_network(step: Step, opening: Occurrence) -> str:
    """The network on which ``opening`` asks for ``step``; empty or marked as unknown where that is none."""
    if step.expected_on == "destination":
        destination: str = opening.facts.get(DESTINATION, "")
        return destination
    return opening.network if step.expected_on == "origin" else step.expected_on


def sift(steps: Mapping[tuple[str, str], Sequence[Step]], batch: Batch) -> SiftedBatch:
    """What the events of ``batch`` are to the flows whose ``steps`` `index_steps` gave."""
    occurrences, troubles = extract(steps, batch.events)
    troubles += [undecodable(log) for log in batch.undecoded]
    logs = log_rows(batch.events, batch.undecoded)
    rest = msgspec.structs.replace(batch, events=(), undecoded=())
    return SiftedBatch(rest, len(batch.events), logs, occurrences, troubles)


def log_rows(events: Iterable[Event], undecoded: Iterable[UndecodedLog]) -> list[LogRow]:
    """What is stored of ``events`` and ``undecoded``: the logs alone."""
    rows = [log_row(event.contract, event.log) for event in events]
    return rows + [log_row(one.contract, one.log, one.error) for one in undecoded]


def undecodable(undecoded: UndecodedLog) -> Signal:
    """The alert about a log that does not decode."""
    return Signal(
        labels={
            "alertname": "LogUndecodable",
            "network": undecoded.network,
            "contract": undecoded.contract,
            "severity": "P2",
        },
        starts_at=undecoded.log.timestamp,
        annotations={
            "summary": f"a log of {undecoded.contract} on {undecoded.network} does not decode with its ABI",
            "description": f"{undecoded.error}. It is stored as it is, counts for nothing, and reading goes on.",
            "tx_hash": to_hex(undecoded.log.tx_hash),
        },
        source="event",
    )


def index_steps(flows: Iterable[Flow]) -> dict[tuple[str, str], list[Step]]:
    """All steps of ``flows`` by contract name and event signature."""
    index: dict[tuple[str, str], list[Step]] = {}
    for flow in flows:
        for step in (flow.opening, *flow.expected):
            index.setdefault((step.contract, step.event.signature), []).append(step)
    return index


def _topic(text: str, abi_type: str) -> bytes:
    """The 32-byte topic of an indexed value given as a key's text (contract ABI specification, "Events")."""
    if abi_type == "bool":
        return int(text == "true").to_bytes(32, "big")
    if text.startswith("0x"):
        raw = bytes.fromhex(text[2:])
        return raw.rjust(32, b"\0") if abi_type == "address" else raw.ljust(32, b"\0")
    return int(text).to_bytes(32, "big", signed=int(text) < 0)


def _trouble(step: Step, event: Event, error: EvaluationError) -> Signal:
    return Signal(
        labels={
            "alertname": "FlowEvaluationFailed",
            "flow": step.flow,
            "step": step.name,
            "network": event.network,
            "severity": "P2",
        },
        starts_at=event.log.timestamp,
        annotations={
            "summary": f"{step.flow}: an event of step {step.name} cannot be evaluated",
            "description": f"{error}. The event is stored, but counts for no transfer.",
            "tx_hash": to_hex(event.log.tx_hash),
        },
        source="event",
    )
