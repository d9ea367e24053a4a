"""An invariant as compiled: what is read of which networks, and the condition on it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from chainwatch.checker.expression import Condition, EvaluationError
from chainwatch.checker.extractor import EventKind
from chainwatch.config.invariants import PREVIOUS
from chainwatch.model import AbiParam, Event, Header, RawLog

NO_BYTES = b""

Values = Mapping[str, Any]
"""Values by name, as conditions read them: integers, booleans, bytes, text, checksummed addresses, lists, dicts."""


class StateRead(NamedTuple):
    """What is read of ``address``: the result of a call with ``data``, its balance, its storage at ``slot``, its code."""

    kind: Literal["call", "balance", "storage", "code"]
    address: bytes
    data: bytes = NO_BYTES
    slot: int = 0


class EventMeasure(NamedTuple):
    """What is taken of the events of one kind in the ``within`` seconds up to a block; ``argument`` is None for a count."""

    kind: EventKind
    take: Literal["count", "sum", "last"]
    argument: str | None
    within: float


@dataclass(frozen=True)
class InvariantValue:
    """One value: its ABI type (``param``), and what it is made of on each of its networks."""

    param: AbiParam
    networks: tuple[str, ...]
    reads: Mapping[str, StateRead] = field(default_factory=dict)
    """What is read of the state, by network; empty for a value of the block or of events."""
    parse: Callable[[bytes | int], Any] = lambda value: value
    """Makes the value of what was read; raises ``ValueError``."""
    block: Literal["number", "timestamp"] | None = None
    events: EventMeasure | None = None

    @property
    def name(self) -> str:
        """The name under which the condition reads it."""
        return self.param.name


@dataclass(frozen=True)
class Invariant:
    """A condition on values. ``every``: each block, a period in seconds, or an event. Times are seconds of chain time."""

    name: str
    severity: str
    every: Literal["block"] | float | EventKind
    values: tuple[InvariantValue, ...]
    condition: Condition
    hold_for: float = 0.0
    align: float = 30.0
    runbook_url: str | None = None
    message: str = ""
    """What a person wants to read in its alerts."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Labels of its alerts beside those that all have."""

    @property
    def networks(self) -> tuple[str, ...]:
        """The networks that it reads."""
        return tuple(dict.fromkeys(network for value in self.values for network in value.networks))

    @property
    def reads_previous(self) -> bool:
        """Whether its condition reads values of the check before."""
        return any(path.steps[0] == PREVIOUS for path in self.condition.paths)

    def on(self, network: str) -> tuple[InvariantValue, ...]:
        """Return the values that are read, wholly or in part, on ``network``."""
        return tuple(value for value in self.values if network in value.networks)

    def holds(self, values: Values, previous: Values | None) -> bool:
        """Return whether it holds. At the first check, what reads ``previous`` values holds.

        Raises ``EvaluationError`` where the condition has no answer, such as at a division by zero.
        """
        if previous is None and self.reads_previous:
            return True
        args = {**values, PREVIOUS: dict(previous or {})}
        try:
            return self.condition.evaluate(Event("", "", "", "", args, _NO_LOG))
        except (TypeError, AttributeError) as error:  # a fraction where only an integer has a meaning
            raise EvaluationError(f"cannot evaluate `{self.condition.source}`: {error}") from error


def gather(invariant: Invariant, contents: Mapping[str, Values]) -> Values:
    """Return the values of ``invariant`` from what was read on each of its networks."""
    found = {}
    for value in invariant.values:
        parts = [contents[network][value.name] for network in value.networks]
        found[value.name] = sum(parts) if len(parts) > 1 else parts[0]
    return found


def of_block(invariant: Invariant, header: Header, network: str) -> dict[str, Any]:
    """Return the values that the block itself has."""
    numbers = {"number": header.number, "timestamp": header.timestamp}
    return {value.name: numbers[value.block] for value in invariant.on(network) if value.block is not None}


_NO_LOG = RawLog(0, b"", 0, 0, b"", b"", (), b"")
