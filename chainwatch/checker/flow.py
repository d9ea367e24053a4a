"""Flows: which events are steps of which transfers. Compiled once from the configuration; pure.

What the events of one transfer mean together is decided in `chainwatch.checker.transfer`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

from chainwatch.checker.calldata import Calldata, TransactionUnread
from chainwatch.checker.expression import Condition
from chainwatch.checker.extractor import EventKind, Extracted, WatchedEvent, cannot_judge
from chainwatch.checker.joins import Join, with_siblings
from chainwatch.checker.path import EvaluationError, Path
from chainwatch.checker.transfer_keys import event_key, topic_of
from chainwatch.checker.verify import Verify
from chainwatch.model import (
    FLOWS,
    AbiEvent,
    Event,
    FieldPath,
    Occurrence,
    Signal,
)

ORIGIN = "@origin"
DESTINATION = "@destination"
AMOUNT = "@amount"
ASSET = "@asset"
FAILED_CHECKS = "@failed"
"""Facts that are not paths: the networks, amount and asset that an event names; by built-in check, what is wrong."""

ALIAS = "@alias"
"""The second name that a step gives its transfer."""

SHARED = "@shared"
"""The key of another transfer whose step gave it the same alias earlier: later steps count for that one."""

COVERS = "@covers"
"""The first and the last integer in which the keys end of the transfers of which an event is a step."""

ITEM, ITEM_INDEX = "item", "item_index"
"""What expressions call an element of an event's array, and its position."""

EXCLUDED = "@excluded"
"""The fact of an opening event that its step's ``where`` leaves out: its transfer is not watched."""

UNKNOWN_NETWORK = "?"
"""Marks a value that names no configured network, as in ``?1869640809``."""


WatchedStep: TypeAlias = tuple[str, str, str]
"""The events of a step on one network: the network, the contract's name, `Step.watched_as`."""


@dataclass(frozen=True)
class Step:
    """One compiled step of a flow."""

    flow: str
    name: str
    contract: str
    event: AbiEvent
    key: tuple[Callable[[Event], str], ...]
    facts: tuple[tuple[str, Callable[[Event], Any]], ...]
    networks: frozenset[str]
    """The networks on which its contract has an address: its events cannot be seen elsewhere."""
    only_on: frozenset[str] | None = None
    """Events on other networks do not count; None where the configuration allows every network."""
    where: Condition | None = None
    checks: tuple[tuple[str, Verify], ...] = ()
    """Built-in checks of this step's events, by name."""
    joins: tuple[Join, ...] = ()
    """The siblings whose values it reads: without each of them its event cannot be judged."""
    call: Calldata | None = None
    """Reads the arguments of the function that the configuration names."""
    transactions: frozenset[EventKind] = frozenset()
    """Which of its event and its siblings are read with the transactions that emitted them."""
    read_later: tuple[Condition, ...] = ()
    """For the opening step: the assertions of later steps, which read its values."""
    expected_on: str = ""
    """For an expected step: ``origin``, ``destination`` or a network's name."""
    within: int = 0
    severity: str = ""
    assertion: Condition | None = None
    may_repeat: bool = False
    each: Callable[[Event], Sequence[Any]] | None = None
    """Reads the array whose elements are steps of one transfer each; None where the event is a step of one."""
    covers: tuple[Callable[[Event], int], Callable[[Event], int]] | None = None
    """Read the first and the last integer that its event covers: it is a step of all transfers whose keys end in these."""
    alias: tuple[Callable[[Event], str], ...] = ()
    """The parts of a second name that its events give the transfer."""
    by: str = ""
    """The step whose alias its key is; empty where the key is the transfer's own."""
    may_be_orphan: bool = False
    """Its events may also belong to transfers that the flow does not watch."""
    away_from: str = ""
    """On this network the step counts only if an opening step expects it there; empty for none. That network is the only one
    on which transfers open: other events there belong to other transfers, such as those of the other direction.
    """

    @property
    def kind(self) -> EventKind:
        """Which events can be this step."""
        return self.contract, self.event.signature

    @cached_property
    def watched_as(self) -> str:
        """What must be watched for it: the event's signature, then its siblings and transactions where it reads such."""
        more = sorted({f" with {contract} {signature}" for contract, signature in _kinds(self.joins)})
        more += sorted(
            f" with transactions of {contract} {signature}" for contract, signature in self.transactions
        )
        return self.event.signature + "".join(more)

    def counts_on(self, network: str, claimed: str) -> bool:
        """Return whether an event on ``network`` can be this step; ``claimed`` is the origin that it names, or empty."""
        if self.only_on is not None and network not in self.only_on:
            return False
        return self.expected_on != "origin" or claimed in ("", network)

    def occurrence(self, event: Event) -> tuple[str, Occurrence] | None:
        """Return the transfer's key and the occurrence of this step that ``event`` is; None when it does not count.

        Raises `EvaluationError` when the event lacks a value that the configuration names.
        """
        if self.only_on is not None and event.network not in self.only_on:
            return None
        is_excluded = self.where is not None and not self.where.evaluate(event)
        if is_excluded and self.expected_on:
            return None
        try:
            return self._occurrence(event, {EXCLUDED: True} if is_excluded else {})
        except EvaluationError:
            if is_excluded:
                return None  # without a key it is of no transfer
            raise

    def items(self, event: Event) -> Iterator[Event]:
        """Yield ``event`` once for each element of the array of ``each``, with that to read; raises `EvaluationError`."""
        assert self.each is not None
        for index, item in enumerate(self.each(event)):
            yield event._replace(args=event.args | {ITEM: item, ITEM_INDEX: index})

    def item_occurrences(self, event: Event) -> tuple[list[tuple[str, Occurrence]], EvaluationError | None]:
        """Return `occurrence` of each element of an event with ``each``, and the first error of one; raises as `items`."""
        found: list[tuple[str, Occurrence]] = []
        error: EvaluationError | None = None
        for one in self.items(event):
            try:
                hit = self.occurrence(one)
            except EvaluationError as failed:
                error = error or failed
                continue
            if hit is not None:
                found.append(hit)
        return found, error

    def _occurrence(self, event: Event, facts: dict[str, Any]) -> tuple[str, Occurrence] | None:
        """Return `occurrence` of an event that ``where`` lets through, or leaves out as an opening with the fact of that.

        That is stored, so that the steps which follow it are no orphans.
        """
        for name, get in self.facts:
            try:
                facts[name] = get(event)
            except EvaluationError:
                if EXCLUDED not in facts:
                    raise  # what does not count need not have the values of what does
        if self.expected_on == "origin" and not self.counts_on(event.network, facts.get(ORIGIN, "")):
            return None
        if self.joins and EXCLUDED not in facts:
            for join in self.joins:
                event.siblings[join]
        if self.assertion is not None:
            facts |= self.assertion.facts(event)
        for assertion in self.read_later:
            facts |= assertion.opening_facts(event)
        if self.checks:
            failed = {name: wrong for name, verify in self.checks if (wrong := verify(event.args))}
            if failed:
                facts[FAILED_CHECKS] = failed
        if self.covers is not None:
            facts[COVERS] = self._covered(event)
        if self.alias:
            facts[ALIAS] = "/".join(part(event) for part in self.alias)
        key = self.key[0](event) if len(self.key) == 1 else "/".join(part(event) for part in self.key)
        log = event.log
        item = 0 if self.each is None else event.args[ITEM_INDEX]
        return key, Occurrence(
            self.name, event.network, log.block_number, log.log_index, log.timestamp, log.tx_hash, facts, item
        )

    def _covered(self, event: Event) -> list[int]:
        assert self.covers is not None
        first, last = (read(event) for read in self.covers)
        if last < first:
            raise EvaluationError(f"{self.name} covers {first}..{last}, which is empty")
        return [first, last]


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
    """By indexed argument of the opening event: the part of the key that it is, or None. None as a whole where no part
    of the key is indexed, so that a node cannot be asked for one transfer."""
    numbered: bool = False
    """Whether the k-th opening of a key goes with the k-th event of each other step."""
    steps: Mapping[str, Step] = field(default_factory=dict)
    reads: Mapping[str, frozenset[FieldPath]] = field(default_factory=dict)
    """By the signatures of its events, the values that the flow reads."""

    @property
    def all_steps(self) -> tuple[Step, ...]:
        """The opening step, then the expected ones."""
        return (self.opening, *self.expected)

    @property
    def is_resolved(self) -> bool:
        """Whether the key of an event alone does not say to which transfer it belongs."""
        return self.numbered or any(step.alias or step.covers for step in self.expected)

    def alias_is_local(self, step: Step) -> bool:
        """Return whether the alias that ``step`` gives is looked for on its own network only, where later steps must be."""
        return all(other.expected_on == step.expected_on for other in self.expected if other.by == step.name)

    @property
    def has_ranges(self) -> bool:
        """Whether a step covers ranges of keys."""
        return any(step.covers for step in self.expected)

    def search_topics(self, keys: Sequence[str]) -> list[tuple[bytes, ...] | None]:
        """Return the topics after the first by which ``eth_getLogs`` finds the opening events of ``keys`` (and others).

        Only for a flow with ``search``.
        """
        assert self.search is not None
        topics: list[tuple[bytes, ...] | None] = []
        parts = [(event_key(key) if self.is_resolved else key).split("/") for key in keys]
        order = {path.text: i for i, path in enumerate(self._key_paths) if path is not None}
        for path in self.search:
            if path is None:
                topics.append(None)
            else:
                topics.append(tuple(sorted({topic_of(p[order[path.text]], path.type) for p in parts})))
        while topics and topics[-1] is None:
            topics.pop()
        return topics

    _key_paths: tuple[Path | None, ...] = ()


Found: TypeAlias = dict[tuple[str, str], list[Occurrence]]
"""Occurrences by transfer (flow, key), in the order of the events."""


class FlowExtractor:
    """The `Extractor` of flows."""

    name = FLOWS
    networks = frozenset[str]()
    """None: transfers follow from events alone."""

    def __init__(self, flows: Sequence[Flow]) -> None:
        self.flows = tuple(flows)
        self._index = index_steps(self.flows)

    @property
    def watched(self) -> list[WatchedEvent]:
        """The events of all steps and their siblings."""
        return [
            WatchedEvent(*kind, flow.reads.get(kind[1], frozenset()), kind in step.transactions)
            for flow in self.flows
            for step in flow.all_steps
            for kind in (step.kind, *(join.kind for join in step.joins))
        ]

    @property
    def joined(self) -> Mapping[EventKind, frozenset[EventKind]]:
        """For the events of steps with joins: which events can be their siblings."""
        return self._index.joined

    def extract(self, events: Iterable[Event], beside: Iterable[Event] = ()) -> Extracted[Found]:
        """See `Extractor`."""
        return extract(self._index, events, beside)


class StepIndex(NamedTuple):
    """The steps of flows, by the kinds of their events."""

    steps: Mapping[EventKind, Sequence[Step]]
    joined: Mapping[EventKind, frozenset[EventKind]]
    """For the events of steps with joins: which events can be their siblings."""
    siblings: frozenset[EventKind]
    """All of these siblings."""


def extract(index: StepIndex, events: Iterable[Event], beside: Iterable[Event] = ()) -> Extracted[Found]:
    """Return which transfers ``events`` belong to: their occurrences by flow and key.

    Siblings are looked for among ``events`` and ``beside``: together whole transactions.
    """
    if index.joined:
        events = with_siblings(index.joined, index.siblings, events, beside)
    steps = index.steps
    found: Found = {}
    signals: list[Signal] = []
    for event in events:
        hits: list[_Hit] = []
        for step in steps.get((event.contract, event.signature), ()):
            try:
                if step.each is not None:
                    items, failed = step.item_occurrences(event)
                    for key, occurrence in items:
                        found.setdefault((step.flow, key), []).append(occurrence)
                    if failed is not None:
                        signals.append(cannot_judge(step.flow, step.name, event, failed))
                    continue
                hit = step.occurrence(event)
            except TransactionUnread:
                continue  # stored before the flow read transactions: the back-fill reads it again with its own
            except EvaluationError as error:
                signals.append(cannot_judge(step.flow, step.name, event, error))
                continue
            if hit is not None:
                hits.append((step, *hit))
        for step, key, occurrence in hits if len(hits) < 2 else _distinguished(hits):
            found.setdefault((step.flow, key), []).append(occurrence)
    return Extracted(found, signals)


_Hit = tuple[Step, str, Occurrence]
"""A step that an event is, the transfer's key, the occurrence."""


def _distinguished(hits: Sequence[_Hit]) -> list[_Hit]:
    """Return ``hits`` of one event without those that another hit of the same flow rules out."""
    return [hit for hit in hits if not any(_rules_out(other, hit) for other in hits if other is not hit)]


def _rules_out(other: _Hit, hit: _Hit) -> bool:
    """Return whether the event is the step ``other`` and so not ``hit``, where one event serves both ends of a transfer."""
    (step, key, occurrence), (other_step, other_key, other_occurrence) = hit, other
    if step.flow != other_step.flow:
        return False
    if EXCLUDED in occurrence.facts:
        return True  # ``where`` says which of the two it is
    if key != other_key or EXCLUDED in other_occurrence.facts:
        return False
    if not step.expected_on:  # an opening step that names another origin is what arrived from there
        return is_stray_opening(occurrence)
    opens_here = not other_step.expected_on and not is_stray_opening(other_occurrence)
    return opens_here and expected_network(step, other_occurrence) != occurrence.network


def is_stray_opening(opening: Occurrence) -> bool:
    """Return whether an opening step names as its origin another network than the one on which it was seen."""
    claimed: str = opening.facts.get(ORIGIN, opening.network)
    return claimed != opening.network


def expected_network(step: Step, opening: Occurrence) -> str:
    """Return the network on which ``opening`` expects ``step``; empty or marked as unknown if that is not configured."""
    if step.expected_on == "destination":
        destination: str = opening.facts.get(DESTINATION, "")
        return destination
    return opening.network if step.expected_on == "origin" else step.expected_on


def index_steps(flows: Iterable[Flow]) -> StepIndex:
    """Return all steps of ``flows`` as `extract` needs them."""
    index: dict[EventKind, list[Step]] = {}
    joined: dict[EventKind, frozenset[EventKind]] = {}
    for flow in flows:
        for step in flow.all_steps:
            index.setdefault(step.kind, []).append(step)
            if step.joins:
                joined[step.kind] = joined.get(step.kind, frozenset()) | _kinds(step.joins)
    return StepIndex(index, joined, frozenset().union(*joined.values()))


def _kinds(joins: Iterable[Join]) -> frozenset[EventKind]:
    return frozenset(join.kind for join in joins)
