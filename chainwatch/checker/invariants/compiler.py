"""From an invariant's configuration to `Invariant`: names become addresses, calls become calldata. Pure.

All mistakes are gathered, so that one run reports every one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chainwatch.checker.expression import ConditionError, condition_of
from chainwatch.checker.flow_terms import FlowProblem
from chainwatch.checker.invariants.contracts import Contracts, lookup_text
from chainwatch.checker.invariants.differences import Comparison, comparisons
from chainwatch.checker.invariants.event_facts import EventReads, EventTrigger, compile_where
from chainwatch.checker.invariants.history_parser import HistoryParser, window_of
from chainwatch.checker.invariants.invariant import Invariant, InvariantValue
from chainwatch.checker.invariants.value_compiler import compile_value
from chainwatch.checker.parser import RESERVED
from chainwatch.checker.path import array_of
from chainwatch.checker.scope import Scope
from chainwatch.checker.terms import kind_of
from chainwatch.config import NetworkSettings
from chainwatch.config.for_each import Element
from chainwatch.config.invariant_values import ACCEPTED, PREVIOUS, ValueSettings
from chainwatch.config.invariants import InvariantSettings, TriggerSettings
from chainwatch.config.toml_lines import KeyPath
from chainwatch.model import AbiEvent, AbiParam
from chainwatch.support.spelling import did_you_mean


class InvariantError(ValueError):
    """An invariant does not compile; ``problems`` has every reason, by their paths within its table."""

    def __init__(self, problems: Sequence[FlowProblem]) -> None:
        super().__init__("; ".join(": ".join([*_place(p.path), p.message]) for p in problems))
        self.problems = tuple(problems)


def _place(path: KeyPath) -> list[str]:
    return [".".join(map(str, path))] if path else []


def compile_invariant(
    settings: InvariantSettings,
    networks: Mapping[str, NetworkSettings],
    contracts: Contracts,
    element: Element | None = None,
) -> Invariant:
    """Compile ``settings``, perhaps of an ``element`` of a list; raises `InvariantError` with all problems at once."""
    return _Compiler(settings, networks, contracts, element).invariant()


class _Compiler:
    def __init__(
        self,
        settings: InvariantSettings,
        networks: Mapping[str, NetworkSettings],
        contracts: Contracts,
        element: Element | None,
    ) -> None:
        self._settings = settings
        self._element = element
        self._networks = networks
        self._contracts = contracts
        self._problems: list[FlowProblem] = []
        self._comparisons: tuple[Comparison, ...] = ()
        self._trigger: EventReads | None = None

    def invariant(self) -> Invariant:
        settings = self._settings
        values = [self._value(name, value) for name, value in settings.values.items()]
        known = tuple(value for value in values if value is not None)
        networks = tuple(dict.fromkeys(network for value in known for network in value.networks))
        every = self._every(settings.every, networks)
        self._check_alignment(networks)
        condition = None
        if len(known) == len(values):
            condition = self._condition(known)
        if self._problems or condition is None:
            raise InvariantError(self._problems)
        return Invariant(
            settings.name,
            settings.severity,
            every,
            known,
            condition,
            settings.for_,
            settings.align,
            settings.runbook_url,
            settings.message or "",
            {} if self._element is None else self._element.labels,
            self._element,
            tuple(one for one in (self._trigger, *(value.event_reads for value in known)) if one is not None),
            self._comparisons,
        )

    def _problem(self, path: KeyPath, message: str, hint: str = "") -> None:
        self._problems.append(FlowProblem(path, message, hint))

    def _condition(self, values: Sequence[InvariantValue]) -> Any:
        params = [value.param for value in values]
        others = [AbiParam(time, "tuple", components=tuple(params)) for time in (PREVIOUS, ACCEPTED)]
        event = AbiEvent("the invariant", (*params, *others))
        source = self._settings.assert_
        try:
            parser = HistoryParser(source, Scope(event), None, {}, {})
            condition = condition_of(source, parser)
        except ConditionError as error:
            self._problem(("assert",), str(error))
            return None
        names = [param.name for param in params]
        for path in condition.paths:
            if path.steps[0] not in (*names, PREVIOUS, ACCEPTED) and window_of(path) is None:
                self._problem(
                    ("assert",), f"there is no value {path.steps[0]!r}", f"there are {', '.join(names)}"
                )
        if not condition.paths:
            self._problem(("assert",), "this is always the same: it reads no value")
        self._comparisons = tuple(comparisons(parser, source, {one.name: one.unit for one in values}))
        return condition

    def _every(self, every: object, networks: Sequence[str]) -> Any:
        if not isinstance(every, TriggerSettings):
            return every
        try:
            event = self._contracts.event(every.contract, every.event)
        except LookupError as error:
            self._problem(("every", "event"), lookup_text(error))
            return "block"
        if networks and not any(self._contracts.addresses(every.contract, network) for network in networks):
            self._problem(("every", "contract"), "it has no address on any network of the values")
        kind = (every.contract, event.signature)
        try:
            where = None if every.where is None else compile_where(every.where, event)
        except ConditionError as error:
            self._problem(("every", "where"), str(error))
            return "block"
        self._trigger = EventReads(kind, (), () if where is None else (where,))
        return EventTrigger(kind, None if where is None else where.fact)

    def _check_alignment(self, networks: Sequence[str]) -> None:
        times = {name: self._networks[name].block_time or 0.0 for name in networks if name in self._networks}
        slowest = max(times, key=lambda name: times[name], default="")
        if len(times) > 1 and times[slowest] > self._settings.align:
            message = f"{slowest} has a block every {times[slowest]:g} s only: other blocks are farther apart"
            self._problem(("align",), message, "at least the longest block_time of its networks")

    def _value(self, name: str, settings: ValueSettings) -> InvariantValue | None:
        at: KeyPath = ("values", name)
        before = len(self._problems)
        if name in RESERVED:
            self._problem(at, f"{name} has a meaning of its own in conditions: give the value another name")
        for index, network in enumerate(settings.network):
            if network not in self._networks:
                hint = did_you_mean(network, list(self._networks)) or "write [networks.NAME] first"
                self._problem((*at, "network", index), f'no network is called "{network}"', hint)
        if len(self._problems) > before:
            return None
        value = compile_value(name, settings, self._contracts, self._problem)
        if value is not None and self._element is not None and self._element.template is not None:
            self._check_list(name, value.param)
        return value if len(self._problems) == before else None

    def _check_list(self, name: str, param: AbiParam) -> None:
        """Check that a list of elements is one, of what can stand in texts."""
        array = array_of(param.type)
        if array is None or kind_of(array[0]) not in ("address", "integer", "bytes", "string"):
            what = f"expected a list of addresses, integers, bytes or strings, this is {param.canonical_type}"
            self._problem(("values", name, "call"), what, "`output` names one of several returned values")
