"""An invariant as compiled: what is read of which networks, and the condition on it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Any, Literal, NamedTuple

from chainwatch.checker.expression import Condition, EvaluationError
from chainwatch.checker.invariants.differences import Comparison, Unit
from chainwatch.checker.invariants.event_facts import EventMeasure, EventReads, EventTrigger
from chainwatch.checker.invariants.flow_measure import FlowMeasure
from chainwatch.checker.invariants.history_parser import KEPT_ACCEPTED, NotYet, earlier, window_of
from chainwatch.config.for_each import Element
from chainwatch.config.invariant_values import ACCEPTED, PREVIOUS
from chainwatch.model import AbiParam, Event, Header, RawLog

NO_BYTES = b""

Values = Mapping[str, Any]
"""Values by name, as conditions read them: integers, booleans, bytes, text, checksummed addresses, lists, dicts."""


class StateRead(NamedTuple):
    """What is read of ``address``: the result of a call with ``data``, its balance, its storage at ``slot``, its code, its
    nonce, a ``field`` of its proof; or a ``field`` of the block; or by HTTP the document at the URL ``field``, where
    ``slot`` is 1 if that may be a private address.
    """

    kind: Literal["call", "balance", "storage", "code", "nonce", "proof", "block", "http"]
    address: bytes = NO_BYTES
    data: bytes = NO_BYTES
    slot: int = 0
    field: str = ""


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
    event_reads: EventReads | None = None
    """What must be kept of these events."""
    trigger: EventTrigger | None = None
    """Events at whose blocks its invariant is checked, too."""
    unit: Unit | None = None
    """Of amounts: what they are counted in, where that is known."""
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
    every: Literal["block"] | float | EventTrigger
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
    events: tuple[EventReads, ...] = ()
    """What is kept of events for its values, and to know when it is checked."""
    comparisons: tuple[Comparison, ...] = ()
    """Those of its condition, of which at least one is false where it does not hold; empty where others decide."""

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

    @cached_property
    def reads_accepted(self) -> bool:
        """Whether its condition reads values that were accepted."""
        return any(path.steps[0] == ACCEPTED for path in self.condition.paths)

    @cached_property
    def reads_hash(self) -> bytes:
        """What stands for all that it reads: another one where the same names stand for other values."""
        read = [
            (
                one.name,
                one.param.canonical_type,
                one.networks,
                sorted(one.reads.items()),
                one.block,
                one.events,
            )
            for one in self.values
        ]
        return sha256(repr(read).encode()).digest()

    @property
    def is_searchable(self) -> bool:
        """Whether its answer follows from the state at any one block of its network."""
        is_state = all(value.reads or value.block is not None for value in self.values)
        return is_state and len(self.networks) == 1 and not (self.reads_previous or self.reads_stored)

    def on(self, network: str) -> tuple[InvariantValue, ...]:
        """Return the values that are read, wholly or in part, on ``network``."""
        return self._values_on.get(network, ())

    @cached_property
    def _values_on(self) -> dict[str, tuple[InvariantValue, ...]]:
        return {
            network: tuple(value for value in self.values if network in value.networks)
            for network in self.networks
        }

    @cached_property
    def is_of_one_state(self) -> bool:
        """Whether it reads one network only, and something there that endpoints are to be asked for."""
        return len(self.networks) == 1 and any(value.reads for value in self.values)

    @cached_property
    def reads_stored(self) -> bool:
        """Whether it needs what is read from the database for each check: transfers, or values of the past."""
        return self.reads_accepted or bool(self.windows) or any(one.flow is not None for one in self.values)

    @cached_property
    def windows(self) -> frozenset[int]:
        """How many seconds earlier its condition reads values."""
        return frozenset(seconds for path in self.condition.paths if (seconds := window_of(path)) is not None)

    def holds(self, values: Values, previous: Values | None) -> bool:
        """Return whether it holds. What needs values of the past that are not known yet holds.

        ``values`` may hold those of the past, too, as `gather` returns them. Raises ``EvaluationError`` where the condition
        has no answer, such as at a division by zero.
        """
        try:
            return self.condition.evaluate(self._read(values, previous))
        except NotYet:
            return True
        except (TypeError, AttributeError) as error:  # a fraction where only an integer has a meaning
            raise EvaluationError(f"cannot evaluate `{self.condition.source}`: {error}") from error

    def differences(self, values: Values) -> list[str]:
        """Return by how much the sides of its comparisons differ that are false, as texts."""
        read = self._read(values, None)
        return [text for one in self.comparisons if (text := one.describe(read))]

    def _read(self, values: Values, previous: Values | None) -> Event:
        """Return what its condition reads."""
        args: dict[str, Any] = {**values, PREVIOUS: _known(previous)}
        args[ACCEPTED] = _known(values.get(KEPT_ACCEPTED))
        args |= {name: _known(values.get(name)) for name in map(earlier, self.windows)}
        return Event("", "", "", "", args, _NO_LOG)


class _Unknown(dict[str, Any]):
    def __missing__(self, name: str) -> Any:
        raise NotYet


def _known(values: Values | None) -> dict[str, Any]:
    return _Unknown() if values is None else dict(values)


def gather(invariant: Invariant, contents: Mapping[str, Values], at: str) -> Values:
    """Return the values of ``invariant`` from what was read on each of its networks, and those of the past.

    ``at`` is the network at whose block it is checked: what belongs to all networks together stands there.
    """
    found = {}
    for value in invariant.values:
        networks = (at,) if value.flow is not None else value.networks
        parts = [contents[network][value.name] for network in networks]
        found[value.name] = sum(parts) if len(parts) > 1 else parts[0]
    if invariant.windows:
        found |= {name: contents[at].get(name) for name in map(earlier, invariant.windows)}
    if invariant.reads_accepted:
        found[KEPT_ACCEPTED] = contents[at].get(KEPT_ACCEPTED)
    return found


def of_block(invariant: Invariant, header: Header, network: str) -> dict[str, Any]:
    """Return the values that the block itself has."""
    known = {"number": header.number, "timestamp": header.timestamp, "hash": header.hash}
    return {value.name: known[value.block] for value in invariant.on(network) if value.block is not None}


_NO_LOG = RawLog(0, b"", 0, 0, b"", b"", (), b"")
