"""From an invariant's configuration to `Invariant`: names become addresses, calls become calldata. Pure.

All mistakes are gathered, so that one run reports every one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from chainwatch.checker.expression import ConditionError, compile_condition
from chainwatch.checker.extractor import EventKind
from chainwatch.checker.flow_terms import FlowProblem
from chainwatch.checker.invariants.encoding import ArgumentError, encode_call
from chainwatch.checker.invariants.invariant import EventMeasure, Invariant, InvariantValue, StateRead
from chainwatch.checker.parser import RESERVED
from chainwatch.checker.terms import kind_of
from chainwatch.config import NetworkSettings
from chainwatch.config.invariants import PREVIOUS, InvariantSettings, TriggerSettings, ValueSettings
from chainwatch.config.toml_lines import KeyPath
from chainwatch.model import AbiEvent, AbiFunction, AbiParam
from chainwatch.support.abi.shape import tuple_of
from chainwatch.support.abi.strict import read_data
from chainwatch.support.keccak import keccak256
from chainwatch.support.spelling import did_you_mean

RETURNED_MAX = 2**16
"""Bytes of what a call returns that are read."""


class Contracts(Protocol):
    """What is known of the configured contracts. Its methods raise ``LookupError``."""

    def addresses(self, contract: str, network: str) -> Sequence[str]:
        """Return the checksummed addresses of ``contract`` on ``network``."""

    def view(self, contract: str | None, named: str) -> tuple[AbiFunction, tuple[AbiParam, ...]]:
        """Return a function, and what it returns."""

    def event(self, contract: str, named: str) -> AbiEvent:
        """Return an event of ``contract``."""


class InvariantError(ValueError):
    """An invariant does not compile; ``problems`` has every reason, by their paths within its table."""

    def __init__(self, problems: Sequence[FlowProblem]) -> None:
        super().__init__("; ".join(f"{'.'.join(map(str, p.path))}: {p.message}" for p in problems))
        self.problems = tuple(problems)


def compile_invariant(
    settings: InvariantSettings, networks: Mapping[str, NetworkSettings], contracts: Contracts
) -> Invariant:
    """Compile ``settings``; raises `InvariantError` with all problems at once."""
    return _Compiler(settings, networks, contracts).invariant()


class _Compiler:
    def __init__(
        self, settings: InvariantSettings, networks: Mapping[str, NetworkSettings], contracts: Contracts
    ) -> None:
        self._settings = settings
        self._networks = networks
        self._contracts = contracts
        self._problems: list[FlowProblem] = []

    def invariant(self) -> Invariant:
        settings = self._settings
        values = [self._value(name, value) for name, value in settings.values.items()]
        every = self._every(settings.every)
        self._check_alignment()
        known = tuple(value for value in values if value is not None)
        condition = None
        if len(known) == len(values):
            condition = self._condition([value.param for value in known])
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
        )

    def _problem(self, path: KeyPath, message: str, hint: str = "") -> None:
        self._problems.append(FlowProblem(path, message, hint))

    def _condition(self, params: Sequence[AbiParam]) -> Any:
        before = AbiParam(PREVIOUS, "tuple", components=tuple(params))
        event = AbiEvent(f"the invariant {self._settings.name}", (*params, before))
        try:
            condition = compile_condition(self._settings.assert_, event, has_fractions=True)
        except ConditionError as error:
            self._problem(("assert",), str(error))
            return None
        names = [param.name for param in params]
        for path in condition.paths:
            if path.steps[0] not in (*names, PREVIOUS):
                self._problem(
                    ("assert",), f"there is no value {path.steps[0]!r}", f"there are {', '.join(names)}"
                )
        if not condition.paths:
            self._problem(("assert",), "this is always the same: it reads no value")
        return condition

    def _every(self, every: object) -> Any:
        if not isinstance(every, TriggerSettings):
            return every
        try:
            event = self._contracts.event(every.contract, every.event)
        except LookupError as error:
            self._problem(("every", "event"), _text(error))
            return "block"
        networks = self._settings.networks
        if not any(self._contracts.addresses(every.contract, network) for network in networks):
            self._problem(("every", "contract"), "it has no address on any network of the values")
        return (every.contract, event.signature)

    def _check_alignment(self) -> None:
        networks = self._settings.networks
        times = {name: self._networks[name].block_time or 0.0 for name in networks if name in self._networks}
        slowest = max(times, key=lambda name: times[name], default="")
        if len(times) > 1 and times[slowest] > self._settings.align:
            message = f"{slowest} has a block every {times[slowest]:g} s only: other blocks are farther apart"
            self._problem(("align",), message, "at least the longest block_time of its networks")

    # --- values

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
        makers: Mapping[str, Callable[[str, ValueSettings, KeyPath], InvariantValue | None]] = {
            "call": self._call,
            "balance": self._balance,
            "storage": self._storage,
            "code_hash": self._code_hash,
            "block": self._block,
            "event": self._events,
        }
        value = makers[settings.kind](name, settings, at)
        if value is not None and settings.sum and kind_of(value.param.type) != "integer":
            self._problem((*at, "sum"), f"only integers have a sum, this is {value.param.canonical_type}")
        return value if len(self._problems) == before else None

    def _targets(self, settings: ValueSettings, at: KeyPath) -> dict[str, bytes]:
        """Return the address that is read on each network."""
        found = {}
        for network in settings.network:
            addresses: Sequence[str] = [settings.address] if settings.address else []
            if settings.contract is not None:
                try:
                    addresses = self._contracts.addresses(settings.contract, network)
                except LookupError as error:
                    self._problem((*at, "contract"), _text(error))
                    return {}
            if len(addresses) != 1:
                many = f"{len(addresses)} addresses" if addresses else "no address"
                self._problem((*at, "contract"), f"it has {many} on {network}: a value is read of one")
                continue
            found[network] = bytes.fromhex(addresses[0][2:])
        return found

    def _call(self, name: str, settings: ValueSettings, at: KeyPath) -> InvariantValue | None:
        assert settings.call is not None
        targets = self._targets(settings, at)
        try:
            function, outputs = self._contracts.view(settings.contract, settings.call)
        except LookupError as error:
            self._problem((*at, "call"), _text(error))
            return None
        try:
            data = encode_call(function, settings.args)
        except ArgumentError as error:
            self._problem((*at, "args") if error.index is None else (*at, "args", error.index), str(error))
            return None
        shape = tuple_of(outputs)
        names = [output.name for output in outputs]
        param = AbiParam(name, "tuple", components=outputs)
        picked: str | None = settings.output
        if picked is not None and picked not in names:
            self._problem(
                (*at, "output"), f'{function.name} returns no "{picked}"', did_you_mean(picked, names)
            )
            return None
        if len(outputs) == 1:
            picked = names[0]
        if picked is not None:
            one = outputs[names.index(picked)]
            param = AbiParam(name, one.type, components=one.components)

        def parse(returned: bytes | int) -> Any:
            if not isinstance(returned, bytes) or not returned:
                raise ValueError(f"{function.name} returned nothing: is there a contract at this address?")
            values = dict(zip(names, read_data(shape, returned, RETURNED_MAX), strict=True))
            return values if picked is None else values[picked]

        reads = {network: StateRead("call", address, data) for network, address in targets.items()}
        return InvariantValue(param, tuple(settings.network), reads, parse)

    def _balance(self, name: str, settings: ValueSettings, at: KeyPath) -> InvariantValue:
        reads = {n: StateRead("balance", address) for n, address in self._targets(settings, at).items()}
        return InvariantValue(AbiParam(name, "uint256"), tuple(settings.network), reads)

    def _storage(self, name: str, settings: ValueSettings, at: KeyPath) -> InvariantValue:
        slot = settings.storage or 0
        targets = self._targets(settings, at)
        reads = {n: StateRead("storage", address, slot=slot) for n, address in targets.items()}
        return InvariantValue(AbiParam(name, "bytes32"), tuple(settings.network), reads)

    def _code_hash(self, name: str, settings: ValueSettings, at: KeyPath) -> InvariantValue:
        reads = {n: StateRead("code", address) for n, address in self._targets(settings, at).items()}

        def parse(code: bytes | int) -> bytes:
            assert isinstance(code, bytes)
            return keccak256(code)

        return InvariantValue(AbiParam(name, "bytes32"), tuple(settings.network), reads, parse)

    def _block(self, name: str, settings: ValueSettings, _at: KeyPath) -> InvariantValue:
        return InvariantValue(AbiParam(name, "uint256"), tuple(settings.network), block=settings.block)

    def _events(self, name: str, settings: ValueSettings, at: KeyPath) -> InvariantValue | None:
        assert settings.contract is not None
        assert settings.event is not None
        assert settings.within is not None
        try:
            event = self._contracts.event(settings.contract, settings.event)
        except LookupError as error:
            self._problem((*at, "event"), _text(error))
            return None
        if not self._targets(settings, at):
            return None
        integers = [param.name for param in event.inputs if kind_of(param.type) == "integer"]
        if settings.of is not None and settings.of not in integers:
            hint = f"there are {', '.join(integers)}" if integers else "it has none"
            self._problem((*at, "of"), f'{event.name} has no integer "{settings.of}"', hint)
        kind: EventKind = (settings.contract, event.signature)
        measure = EventMeasure(kind, settings.take, settings.of, settings.within)
        return InvariantValue(AbiParam(name, "int256"), tuple(settings.network), events=measure)


def _text(error: LookupError) -> str:
    return str(error.args[0]) if error.args else "it cannot be found"
