"""What a checker watches, and what it makes of events: the half of a checker that needs no database. Pure.

The other half is `chainwatch.pipeline.checker.Checker`. This one runs wherever events are read, in a replay in the process
that reads, so that what an extractor finds must be picklable.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

import msgspec

from chainwatch.model import (
    Batch,
    Event,
    FieldPath,
    LogRow,
    SiftedBatch,
    Signal,
    TransactionRow,
    UndecodedLog,
    event_id,
    log_row,
    to_hex,
)

EventKind: TypeAlias = tuple[str, str]
"""What an event is: the contract's configured name and the event's signature."""


class WatchedEvent(NamedTuple):
    """An event that a checker wants to see on every network where ``contract`` (its configured name) has an address.

    ``signature`` is the event's (``Name(type,…)``), ``reads`` are the arguments to decode: others are left out.
    ``transaction``: whether the transaction that emitted it is read too.
    """

    contract: str
    signature: str
    reads: frozenset[FieldPath]
    transaction: bool = False


T = TypeVar("T")


class Extracted(NamedTuple, Generic[T]):
    """What an extractor found in events, and signals about events that it could not judge."""

    found: T
    signals: list[Signal]


class Extractor(Protocol):
    """What one kind of check is compiled to from the configuration."""

    @property
    def name(self) -> str:
        """The checker's name, unlike any other's: ``flows``."""

    @property
    def watched(self) -> Sequence[WatchedEvent]:
        """The events to watch. An event that several checkers watch is read and stored once."""

    @property
    def networks(self) -> Collection[str]:
        """The networks to follow even where no watched event can happen: those whose state the checker reads."""

    def extract(self, events: Iterable[Event], beside: Iterable[Event] = ()) -> Extracted[Any]:
        """Return what the checker needs of ``events``, which may be of any checker: skip those that it does not watch.

        ``beside`` are events of the same transactions that may be read together with these, but were looked at before.
        Both together are whole transactions, as far as these are watched.
        """


def sift(extractors: Iterable[Extractor], batch: Batch) -> SiftedBatch:
    """Return ``batch`` with what each of ``extractors`` found in place of its events."""
    extracted = {extractor.name: extractor.extract(batch.events) for extractor in extractors}
    signals = [signal for one in extracted.values() for signal in one.signals]
    signals += [undecodable(log) for log in batch.undecoded]
    rest = msgspec.structs.replace(batch, events=(), undecoded=())
    found = {name: one.found for name, one in extracted.items()}
    return SiftedBatch(
        rest,
        len(batch.events),
        log_rows(batch.events, batch.undecoded),
        found,
        signals,
        transaction_rows(batch.events, batch.undecoded),
    )


def log_rows(events: Iterable[Event], undecoded: Iterable[UndecodedLog]) -> list[LogRow]:
    """Return the logs of ``events`` and ``undecoded`` as rows."""
    rows = [log_row(event.contract, event.log) for event in events]
    return rows + [log_row(one.contract, one.log, one.error) for one in undecoded]


def transaction_rows(events: Iterable[Event], undecoded: Iterable[UndecodedLog]) -> list[TransactionRow]:
    """Return the transactions of ``events`` and ``undecoded`` that were read as rows, each once."""
    logs = [one.log for one in events] + [one.log for one in undecoded]
    rows = {
        (event_id(0, log.block_number, 0), log.tx_hash): log.transaction
        for log in logs
        if log.transaction is not None
    }
    return [
        (*key, one.sender, one.to, one.value.to_bytes(-(-one.value.bit_length() // 8)), one.input, one.size)
        for key, one in rows.items()
    ]


def undecodable(undecoded: UndecodedLog) -> Signal:
    """Return the signal about a log that does not decode."""
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


def cannot_judge(flow: str, step: str, event: Event, error: Exception) -> Signal:
    """Return the signal about an event that lacks a value which its step needs."""
    return Signal(
        labels={
            "alertname": "FlowEvaluationFailed",
            "flow": flow,
            "step": step,
            "network": event.network,
            "severity": "P2",
        },
        starts_at=event.log.timestamp,
        annotations={
            "summary": f"{flow}: an event of step {step} cannot be evaluated",
            "description": f"{error}. The event is stored, but counts for no transfer.",
            "tx_hash": to_hex(event.log.tx_hash),
        },
        source="event",
    )
