"""The texts in a flow's configuration against the ABIs of its events: paths, conditions, checks, networks. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chainwatch.abi_model import AbiEvent, AbiParam
from chainwatch.checker.calldata import Calldata
from chainwatch.checker.expression import (
    MAX_STORED_BITS,
    Condition,
    Scope,
    Value,
    compile_condition,
    compile_value,
)
from chainwatch.checker.flow import ITEM, ITEM_INDEX, UNKNOWN_NETWORK
from chainwatch.checker.parser import ContractAddresses
from chainwatch.checker.path import Path, array_of, compile_path
from chainwatch.checker.syntax import ConditionError
from chainwatch.checker.terms import bits_of, kind_of
from chainwatch.checker.verify import CHECKS, CheckError, Verify
from chainwatch.config import FlowSettings, NetworkSettings, OpeningSettings, StepSettings
from chainwatch.config.toml_lines import KeyPath
from chainwatch.model import AbiFunction, Event, FieldPath, to_hex
from chainwatch.support.spelling import did_you_mean, nearest

_ADDRESS_BYTES = 20
"""Bytes of fewer may hold the number of a network."""

EventLookup = Callable[[str, str], AbiEvent]
"""Contract and event (name or signature) to the ABI's event; raises ``LookupError`` with a message for a person."""

FunctionLookup = Callable[[str, str], AbiFunction]
"""Contract and function (name, signature or ``function name(type argument, …)``) to the function; raises the same."""


Warn = Callable[[KeyPath, str, str], None]
"""Called with the path of keys to what can match nothing, what is wrong with it, and how to fix it."""


@dataclass(frozen=True)
class FlowProblem:
    """A mistake in a flow's configuration: where (a path of keys), what is wrong, and how to fix it."""

    path: KeyPath
    message: str
    hint: str = ""


class FlowTerms:
    """Compiles the texts of one flow and gathers every problem. ``at`` is always a path of keys within the flow."""

    def __init__(
        self,
        settings: FlowSettings,
        networks: Mapping[str, NetworkSettings],
        event: EventLookup,
        function: FunctionLookup,
        warn: Warn,
        contracts: ContractAddresses,
    ) -> None:
        self.settings = settings
        self.networks = networks
        self.problems: list[FlowProblem] = []
        self.reads: dict[str, set[FieldPath]] = {}
        """By the signatures of events, the values that are read."""
        self.transactions: set[str] = set()
        """The signatures of the events of whose transactions something is read."""
        self._lookup = event
        self._function = function
        self._warn = warn
        self._by_value = _networks_by_value(networks, settings.network_by)
        self._contracts = contracts

    def event(self, settings: OpeningSettings | StepSettings, at: KeyPath) -> AbiEvent | None:
        """Return the event of a step; None, with the problem noted, where there is none."""
        event = self.event_of(settings.contract or self.settings.contract, settings.event, at)
        if event is None or settings.each is None:
            return event
        return self._with_item(settings.each, event, (*at, "each"))

    def event_of(self, contract: str, name: str, at: KeyPath) -> AbiEvent | None:
        """Return the event ``name`` of ``contract``; None, with the problem noted, where there is none."""
        try:
            return self._lookup(contract, name)
        except LookupError as error:
            self.problem((*at, "event"), str(error.args[0]))
            return None

    def _with_item(self, text: str, event: AbiEvent, at: KeyPath) -> AbiEvent:
        """Return ``event`` with an element of its array ``text``, and that element's position."""
        try:
            array = compile_path(text, event)
        except ConditionError as error:
            self.problem(at, error.message, error.hint)
            return event
        element = array_of(array.type)
        if element is None:
            self.problem(at, f"{text} is {array.type}, not an array", array.note)
            return event
        if taken := [p.name for p in event.inputs if p.name in (ITEM, ITEM_INDEX)]:
            self.problem(at, f"{event.name} has an argument {taken[0]!r}, which would hide the element's")
        item = AbiParam(ITEM, element[0], components=array.param.components)
        self._note_reads(event, array)
        return event.extended((item, AbiParam(ITEM_INDEX, "uint256")))

    def items(self, text: str | None, event: AbiEvent) -> Callable[[Event], Sequence[Any]] | None:
        """Return what reads the array ``text`` of an event; None where there is no such."""
        if text is None:
            return None
        try:
            return compile_path(text, event).reader()
        except ConditionError:
            return None

    def call(self, settings: OpeningSettings | StepSettings, at: KeyPath) -> Calldata | None:
        """Return what reads the arguments of the function that a step names; None where it names none, or there is none."""
        if settings.call is None:
            return None
        try:
            return Calldata(self._function(settings.contract or self.settings.contract, settings.call))
        except LookupError as error:
            self.problem((*at, "call"), str(error.args[0]))
            return None

    def value(self, text: str, scope: Scope, at: KeyPath) -> Value | None:
        """Return the path to one value, or the expression of it: not of a tuple or an array."""
        try:
            value = self.value_of(text, scope, at)
        except ConditionError as error:
            if _PATH.fullmatch(text):
                self.problem(at, error.message, error.hint)
            else:
                self.problem(at, str(error))
            return None
        self._note_reads(scope.event, *value.paths)
        if value.type.startswith("tuple") or value.type.endswith("]"):
            self.problem(at, f"{text} is {value.type}; a single value is needed")
            return None
        return value

    def value_of(self, text: str, scope: Scope, at: KeyPath) -> Value:
        """Return `value`, without a note of what it reads; raises `ConditionError`."""
        return compile_value(text, scope, self._attributes(at), self._contracts)

    def contracts_at(self, at: KeyPath) -> set[str]:
        """Return the contract that emits the event of the step that ``at`` is in; those of all steps where it is in none."""
        match at:
            case ("opens", *_):
                steps: Sequence[OpeningSettings | StepSettings] = [self.settings.opens]
            case ("expects", int(index), *_):
                steps = [self.settings.expects[index]]
            case _:
                steps = [self.settings.opens, *self.settings.expects]
        return {step.contract or self.settings.contract for step in steps}

    def addresses(self, contract: str, networks: Iterable[str]) -> set[str]:
        """Return the checksummed addresses of a configured contract on any of ``networks``."""
        known = self._contracts.get(contract, {})
        return {address for network in networks for address in known.get(network, ())}

    def _attributes(self, *places: KeyPath) -> dict[str, dict[str, int | str]]:
        """Return the attributes of the networks on which the events of the steps that ``places`` are in are watched."""
        contracts = {name for at in places for name in self.contracts_at(at)}
        watched = {n for name in contracts for n in self._contracts.get(name, ())} or self.networks.keys()
        return {
            name: {**network.attributes, "chain_id": network.chain_id, "name": network.name}
            for name, network in self.networks.items()
            if name in watched
        }

    def network_attribute(self, attribute: str, at: KeyPath) -> Callable[[Event], str]:
        """Read an attribute of an event's network as text."""
        values = {name: known.get(attribute) for name, known in self._attributes(at).items()}
        if missing := [name for name, value in values.items() if value is None]:
            self.problem(at, f"network {missing[0]} has no attribute {attribute!r}")
        texts = {name: str(value) for name, value in values.items()}
        return lambda event: texts[event.network]

    def network_of(self, text: str, scope: Scope, at: KeyPath) -> Callable[[Event], str]:
        """Return what reads from an event the name of the network that ``text`` (a name, or an expression) stands for."""
        if text in self.networks:
            return lambda _event: text
        value = self.value(text, scope, at)
        if value is None:
            if near := nearest(text, self.networks):
                self.problem(at, f"{text!r} is no network's name either", f"did you mean {near}?")
            return lambda _event: UNKNOWN_NETWORK
        values = [network.attribute(self.settings.network_by) for network in self.networks.values()]
        if any(v is not None for v in values) and not any(_can_hold(value, v) for v in values):
            by = self.settings.network_by
            message = f"{text} is {value.type}, but no network's {by} can be one: it names no network"
            are_numbers = all(isinstance(v, int) for v in values if v is not None)
            is_number = kind_of(value.type) == "bytes" and 0 < value.length < _ADDRESS_BYTES
            mend = f"write uint({text})" if are_numbers and is_number else ""
            self.problem(at, message, value.note or mend or f"network_by is {by!r}")
        else:
            self._warn_of_values(text, value, at)
        get, by_value = value.read, self._by_value

        def name(event: Event) -> str:
            found = get(event)
            if known := by_value.get(found):
                return known
            text = to_hex(found) if isinstance(found, bytes) else str(found)
            return by_value.get(text.lower()) or f"{UNKNOWN_NETWORK}{text}"

        return name

    def _warn_of_values(self, text: str, value: Value, at: KeyPath) -> None:
        by = self.settings.network_by
        for name, network in self.networks.items():
            named = network.attribute(by)
            if named is not None and not _can_hold(value, named):
                is_small = value.type.startswith("uint") and value.bits < bits_of(value.type)
                what = f"at most {2**value.bits - 1}" if is_small else value.type
                message = f"{text} is {what}, which the {by} of {name} cannot be: it never names {name}"
                self.warn(at, message, "")

    def check_network(self, name: str, at: KeyPath) -> None:
        """Check that ``name`` is the name of a network."""
        if name not in self.networks:
            near = nearest(name, [*self.networks, "origin", "destination"])
            self.problem(at, f"there is no network {name!r}", f"did you mean {near}?" if near else "")

    def condition(
        self, source: str | None, scope: Scope, opening: Scope | None, at: KeyPath
    ) -> Condition | None:
        """Return ``source`` compiled; None where there is none, or where it does not compile."""
        if source is None:
            return None
        try:
            places = (at,) if opening is None else (at, ("opens",))
            condition = compile_condition(source, scope, opening, self._attributes(*places), self._contracts)
        except ConditionError as error:
            self.problem(at, str(error))
            return None
        if opening is None and not condition.reads_anything:
            self.warn(at, "says the same of every event: it names none of its arguments", "")
        self._note_reads(scope.event, *condition.paths)
        if opening is not None:
            self._note_reads(opening.event, *condition.opening_paths)
        return condition

    def checks(self, names: Sequence[str], event: AbiEvent, at: KeyPath) -> tuple[tuple[str, Verify], ...]:
        """Return the step's own checks, and those of the flow that the event has the fields for."""
        found: dict[str, Verify] = {}
        for index, name in enumerate(names):
            where = (*at, "verify", index)
            verify = self.verify(name, [event], where)
            if verify is not None:
                found[name] = verify
            elif name in CHECKS:
                self.problem(where, _refusal(name, event))
        for name in self.settings.verify:
            if name in CHECKS and (verify := self.verify(name, [event], at)) is not None:
                found[name] = verify
        return tuple(found.items())

    def verify(self, name: str, events: Sequence[AbiEvent], at: KeyPath) -> Verify | None:
        """Return the check ``name`` for the first of ``events`` with its fields; None, noting the problem, when unknown."""
        if name not in CHECKS:
            self.problem(at, f"there is no built-in check {name!r}", did_you_mean(name, CHECKS))
            return None
        for event in events:
            try:
                verify = CHECKS[name].bind(event)
            except CheckError:
                continue
            self._note_reads(event, *CHECKS[name].paths(event))
            return verify
        return None

    def _note_reads(self, event: AbiEvent, *paths: Path) -> None:
        for path in paths:
            if path.steps[0] in (ITEM, ITEM_INDEX) and path.join is None and _has_item(event):
                continue  # the array that it is of is read
            read = event if path.join is None else path.join.event
            self.reads.setdefault(read.signature, set()).add(path.steps)
            if path.of_transaction:
                self.transactions.add(event.signature)

    def warn(self, at: KeyPath, message: str, hint: str = "") -> None:
        """Pass on that what is at ``at`` can match nothing."""
        self._warn(self._path_to(at), message, hint)

    def problem(self, at: KeyPath, message: str, hint: str = "") -> None:
        """Note a mistake at ``at``."""
        self.problems.append(FlowProblem(self._path_to(at), message, hint))

    def _path_to(self, at: KeyPath) -> KeyPath:
        return ("flows", self.settings.name, *at)


def _has_item(event: AbiEvent) -> bool:
    """Return whether it was given an element of its array to read, beside what its logs have."""
    return event.inputs[-1:] == (AbiParam(ITEM_INDEX, "uint256"),)


def _can_hold(holder: Value, value: int | str | None) -> bool:
    """Return whether ``holder`` can be ``value``, an attribute of a network."""
    if value is None:
        return False
    abi_type = holder.type
    if (sized := re.fullmatch(r"(u?)int(\d*)", abi_type)) is not None:
        number = int(value) if re.fullmatch(r"-?[0-9]{1,78}", str(value)) else None
        bits = min(
            int(sized[2]) - (not sized[1]) if sized[2] else MAX_STORED_BITS, holder.bits or MAX_STORED_BITS
        )
        return number is not None and (0 if sized[1] else -(2**bits)) <= number < 2**bits
    if abi_type == "address" or abi_type.startswith("bytes"):
        return str(value).startswith("0x")
    return abi_type == "string"


_PATH = re.compile(r"[\s\w$.\[\]-]+")
"""A text that has no other parts, so that an error need not show where in it the mistake is."""


def _networks_by_value(networks: Mapping[str, NetworkSettings], attribute: str) -> dict[Any, str]:
    """Return the networks by the value that names them, and by its text in small letters: senders write either case."""
    by_value: dict[Any, str] = {}
    for name, network in networks.items():
        value = network.attribute(attribute)
        if value is not None:
            by_value[value] = name
            by_value[str(value).lower()] = name
    return by_value


def _refusal(check: str, event: AbiEvent) -> str:
    try:
        CHECKS[check].bind(event)
    except CheckError as error:
        return str(error)
    return ""
