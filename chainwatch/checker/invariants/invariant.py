"""An invariant as compiled: what is read of which networks, and the condition on it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from chainwatch.checker.expression import Condition, EvaluationError
from chainwatch.checker.extractor import EventKind
from chainwatch.checker.invariants.flow_measure import FlowMeasure
from chainwatch.checker.invariants.history_parser import earlier, window_of
from chainwatch.config.for_each import Element
from chainwatch.config.invariant_values import PREVIOUS
from chainwatch.model import AbiParam, Event, Header, RawLog

NO_BYTES = b""

NO_PAST: Mapping[int, Any] = MappingProxyType({})

Values = Mapping[str, Any]
"""Values by name, as conditions read them: integers, booleans, bytes, text, checksummed addresses, lists, dicts."""


class StateRead(NamedTuple):
    """What is read of ``address``: the result of a call with ``data``, its balance, its storage at ``slot``, its code, its
    nonce, a ``field`` of its proof; or a ``field`` of the block.
    """

    kind: Literal["call", "balance", "storage", "code", "nonce", "proof", "block"]
    address: bytes = NO_BYTES
    data: bytes = NO_BYTES
    slot: int = 0
    field: str = ""


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
    block: Literal["number", "timestamp", "hash"] | None = None
    """What it is of the block, if that is known without reading it."""
    events: EventMeasure | None = None
    flow: FlowMeasure | None = None
    """What it is of a flow's transfers, on all its networks together."""

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

    element: Element | None = None
    """What it is one of, if it is made of an element of a list."""

    @property
    def title(self) -> str:
        """What its alerts call it: the table's name in the configuration."""
        return self.name if self.element is None else self.element.family

    @cached_property
    def networks(self) -> tuple[str, ...]:
        """The networks that it reads."""
        return tuple(dict.fromkeys(network for value in self.values for network in value.networks))

    @cached_property
    def reads_previous(self) -> bool:
        """Whether its condition reads values of the check before."""
        return any(path.steps[0] == PREVIOUS for path in self.condition.paths)

    @property
    def is_searchable(self) -> bool:
        """Whether its answer follows from the state at any one block of its network."""
        is_state = all(value.reads or value.block is not None for value in self.values)
        return is_state and len(self.networks) == 1 and not (self.reads_previous or self.windows)

    def on(self, network: str) -> tuple[InvariantValue, ...]:
        """Return the values that are read, wholly or in part, on ``network``."""
        return tuple(value for value in self.values if network in value.networks)

    @property
    def reads_flows(self) -> bool:
        """Whether a value is one of a flow's transfers."""
        return any(value.flow is not None for value in self.values)

    @property
    def windows(self) -> frozenset[int]:
        """How many seconds earlier its condition reads values."""
        return frozenset(seconds for path in self.condition.paths if (seconds := window_of(path)) is not None)

    def holds(
        self, values: Values, previous: Values | None, past: Mapping[int, Values | None] = NO_PAST
    ) -> bool:
        """Return whether it holds. What needs values of the past that are not known yet holds.

        ``past`` has the values as they were some seconds earlier. Raises ``EvaluationError`` where the condition has no
        answer, such as at a division by zero.
        """
        args: dict[str, Any] = {**values, PREVIOUS: _known(previous)}
        args |= {earlier(seconds): _known(past.get(seconds)) for seconds in self.windows}
        try:
            return self.condition.evaluate(Event("", "", "", "", args, _NO_LOG))
        except _NotYet:
            return True
        except (TypeError, AttributeError) as error:  # a fraction where only an integer has a meaning
            raise EvaluationError(f"cannot evaluate `{self.condition.source}`: {error}") from error


class _NotYet(Exception):
    """A condition reads values of the past that are not known yet."""


class _Unknown(dict[str, Any]):
    def __missing__(self, name: str) -> Any:
        raise _NotYet


def _known(values: Values | None) -> dict[str, Any]:
    return _Unknown() if values is None else dict(values)


def gather(invariant: Invariant, contents: Mapping[str, Values], at: str) -> Values:
    """Return the values of ``invariant`` from what was read on each of its networks.

    ``at`` is the network at whose block it is checked: what belongs to all networks together stands there.
    """
    found = {}
    for value in invariant.values:
        networks = (at,) if value.flow is not None else value.networks
        parts = [contents[network][value.name] for network in networks]
        found[value.name] = sum(parts) if len(parts) > 1 else parts[0]
    return found


def of_block(invariant: Invariant, header: Header, network: str) -> dict[str, Any]:
    """Return the values that the block itself has."""
    known = {"number": header.number, "timestamp": header.timestamp, "hash": header.hash}
    return {value.name: known[value.block] for value in invariant.on(network) if value.block is not None}


_NO_LOG = RawLog(0, b"", 0, 0, b"", b"", (), b"")
