"""What invariants keep of an event: the arguments that are measured, and whether it satisfies conditions. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from chainwatch.checker.expression import Condition, EvaluationError, compile_condition
from chainwatch.checker.extractor import EventKind
from chainwatch.checker.path import Path
from chainwatch.checker.syntax import ConditionError
from chainwatch.model import AbiEvent, Event, FieldPath


@dataclass(frozen=True, eq=False)
class Where:
    """A condition on an event. ``fact`` is the name under which an event keeps whether it holds."""

    condition: Condition
    fields: frozenset[FieldPath]
    """The arguments that it reads."""

    @property
    def fact(self) -> str:
        """No argument has such a name."""
        return f"?{self.condition.source}"

    def holds(self, event: Event) -> bool:
        """Return whether ``event`` counts: not where the condition has no answer."""
        try:
            return self.condition.evaluate(event)
        except EvaluationError:
            return False


class EventTrigger(NamedTuple):
    """Events at whose blocks an invariant is checked: of a kind, perhaps only those with the fact ``where``."""

    kind: EventKind
    where: str | None = None


@dataclass(frozen=True)
class EventMeasure:
    """What is taken of the events of one kind in the ``within`` seconds up to a block.

    ``argument`` is None for a count; ``where`` is the fact that those have which count.
    """

    kind: EventKind
    take: Literal["count", "sum", "last"]
    argument: str | None
    within: float
    where: str | None = None


class EventReads(NamedTuple):
    """What is kept of the events of ``kind``: arguments by the names under which they are measured, and conditions."""

    kind: EventKind
    arguments: tuple[Path, ...] = ()
    conditions: tuple[Where, ...] = ()

    @property
    def fields(self) -> frozenset[FieldPath]:
        """The arguments that must be decoded."""
        read = frozenset(path.steps for path in self.arguments)
        return read.union(*(one.fields for one in self.conditions))

    def facts(self, event: Event) -> dict[str, Any]:
        """Return what is kept of ``event``; what is not there is left out."""
        found: dict[str, Any] = {one.fact: 1 for one in self.conditions if one.holds(event)}
        for path in self.arguments:
            try:
                found[path.text] = path.get(event.args)
            except EvaluationError:
                continue
        return found


def compile_where(source: str, event: AbiEvent) -> Where:
    """Compile a condition on ``event``. Raises ``ConditionError``."""
    condition = compile_condition(source, event)
    if any(path.of_transaction for path in condition.paths):
        raise ConditionError(
            "transactions are not read for invariants", source, 0, "read arguments of the event"
        )
    names = {param.name for param in event.inputs}
    fields = frozenset(path.steps for path in condition.paths if path.steps[0] in names)
    return Where(condition, fields)
