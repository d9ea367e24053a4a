"""Joins: which other event of the same transaction, its sibling, gives a step more values. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from chainwatch.checker.extractor import EventKind
from chainwatch.checker.path import EvaluationError
from chainwatch.model import AbiEvent, Event

if TYPE_CHECKING:
    from chainwatch.checker.expression import Condition

Pick: TypeAlias = Literal["before", "after", "only"]


@dataclass(frozen=True, eq=False)
class Join:
    """A sibling of a step: an event of the same transaction, whose values are read as ``name.argument``.

    ``pick``: the nearest ``before`` or ``after`` the step's event, or the ``only`` one of the transaction. Events that do
    not satisfy ``where`` are passed over.
    """

    name: str
    contract: str
    event: AbiEvent
    pick: Pick
    where: Condition | None = None

    @property
    def kind(self) -> EventKind:
        """Which events can be the sibling."""
        return self.contract, self.event.signature

    def __str__(self) -> str:
        where = f" that satisfies `{self.where.source}`" if self.where is not None else ""
        return f"{self.event.name} of {self.contract}{where}"


def with_siblings(
    joined: Collection[EventKind],
    siblings: Collection[EventKind],
    events: Iterable[Event],
    beside: Iterable[Event] = (),
) -> Iterator[Event]:
    """Yield ``events`` in their order, those of the kinds ``joined`` with what reads their siblings.

    ``siblings`` are the kinds of these, which are looked for among ``events`` and ``beside``.
    """
    every = list(events)
    transactions: dict[tuple[str, int, bytes], _Transaction] = {}
    for event in chain(every, beside):
        if (event.contract, event.signature) in siblings:
            transactions.setdefault(_place(event), _Transaction()).add(event)
    for event in every:
        if (event.contract, event.signature) in joined:
            found = transactions.get(_place(event)) or _Transaction()
            yield event._replace(siblings=_Siblings(event, found))
        else:
            yield event


def _place(event: Event) -> tuple[str, int, bytes]:
    return event.network, event.log.block_number, event.log.tx_hash


class _Siblings(dict["Join", Event]):
    """The siblings of one event, each found when it is first read; raises `EvaluationError` where there is none."""

    def __init__(self, event: Event, transaction: _Transaction) -> None:
        super().__init__()
        self._event = event
        self._transaction = transaction

    def __missing__(self, join: Join) -> Event:
        found = self[join] = self._transaction.sibling(join, self._event.log.log_index)
        return found


class _Candidate(NamedTuple):
    """An event that may be a sibling, and why its ``where`` has no answer, if so."""

    event: Event
    error: EvaluationError | None


class _Transaction:
    """The events of one transaction that may be siblings."""

    def __init__(self) -> None:
        self._events: dict[int, Event] = {}
        """By log index."""
        self._matching: dict[Join, tuple[list[int], list[_Candidate]]] = {}
        """What was asked for before, so that many events of one transaction take no quadratic time."""

    def add(self, event: Event) -> None:
        self._events[event.log.log_index] = event

    def sibling(self, join: Join, index: int) -> Event:
        """Return the sibling by ``join`` of the event at the log index ``index``; raises `EvaluationError`."""
        if join not in self._matching:
            found = list(self._candidates(join))
            self._matching[join] = [c.event.log.log_index for c in found], found
        event, error = _PICKS[join.pick](join, index, *self._matching[join])
        if error is not None:
            raise EvaluationError(f"`where` of the sibling {join.name}: {error}") from error
        return event

    def _candidates(self, join: Join) -> Iterator[_Candidate]:
        kind = join.kind
        for _, event in sorted(self._events.items()):
            if (event.contract, event.signature) == kind:
                try:
                    if join.where is None or join.where.evaluate(event):
                        yield _Candidate(event, None)
                except EvaluationError as error:
                    yield _Candidate(event, error)  # it matters only if it would be picked


def _before(join: Join, index: int, positions: list[int], found: list[_Candidate]) -> _Candidate:
    at = bisect_left(positions, index)
    if at == 0:
        raise _missing(join, "before it")
    return found[at - 1]


def _after(join: Join, index: int, positions: list[int], found: list[_Candidate]) -> _Candidate:
    at = bisect_right(positions, index)
    if at == len(positions):
        raise _missing(join, "after it")
    return found[at]


def _only(join: Join, index: int, positions: list[int], found: list[_Candidate]) -> _Candidate:
    own = bisect_left(positions, index)
    itself = own < len(positions) and positions[own] == index
    if len(found) == itself:
        raise _missing(join, "beside it")
    if len(found) > 1 + itself:
        count = len(found) - itself
        what = f'{join.name}: its transaction has {count} events {join}, and pick = "only" allows one'
        raise EvaluationError(what)
    return found[1 if itself and own == 0 else 0]


def _missing(join: Join, where: str) -> EvaluationError:
    return EvaluationError(f"{join.name}: its transaction has no event {join} {where}")


_PICKS: dict[Pick, Callable[[Join, int, list[int], list[_Candidate]], _Candidate]] = {
    "before": _before,
    "after": _after,
    "only": _only,
}
