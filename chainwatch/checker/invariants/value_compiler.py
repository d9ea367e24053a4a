"""From a value's configuration to `InvariantValue`: names become addresses, calls become calldata. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import msgspec

from chainwatch.checker.abi_values import TypeTextError, parse_type
from chainwatch.checker.extractor import EventKind
from chainwatch.checker.flow import AMOUNT, ASSET, Flow
from chainwatch.checker.invariants import claims
from chainwatch.checker.invariants.contracts import Contracts, lookup_text
from chainwatch.checker.invariants.differences import Unit
from chainwatch.checker.invariants.encoding import ArgumentError, encode_call
from chainwatch.checker.invariants.event_facts import (
    EventMeasure,
    EventReads,
    EventTrigger,
    Where,
    compile_where,
)
from chainwatch.checker.invariants.flow_measure import FlowMeasure
from chainwatch.checker.invariants.invariant import InvariantValue, StateRead
from chainwatch.checker.path import Path, compile_path
from chainwatch.checker.syntax import ConditionError
from chainwatch.checker.terms import describe, kind_of
from chainwatch.config.invariant_values import ValueSettings
from chainwatch.config.toml_lines import KeyPath
from chainwatch.model import AbiEvent, AbiParam
from chainwatch.support.abi.shape import Leaf, shape_of, tuple_of
from chainwatch.support.abi.strict import read_data
from chainwatch.support.keccak import keccak256
from chainwatch.support.spelling import did_you_mean

RETURNED_MAX = 2**16
"""Bytes of what a call returns that are read."""


AMOUNTS = ("allowance", "balanceOf", "totalSupply")
"""Functions of tokens that return amounts."""


class AddProblem(Protocol):
    """Notes a problem."""

    def __call__(self, path: KeyPath, message: str, hint: str = "", /) -> None: ...


def compile_value(
    name: str, settings: ValueSettings, contracts: Contracts, add: AddProblem
) -> InvariantValue | None:
    """Return what ``settings`` are; what is wrong goes to ``add``, with its path within the invariant's table."""
    return _ValueCompiler(name, settings, contracts, add).value()


class _ValueCompiler:
    def __init__(self, name: str, settings: ValueSettings, contracts: Contracts, add: AddProblem) -> None:
        self._name = name
        self._settings = settings
        self._contracts = contracts
        self._add = add

    def value(self) -> InvariantValue | None:
        makers: Mapping[str, Callable[[], InvariantValue | None]] = {
            "call": self._call,
            "balance": self._balance,
            "storage": self._storage,
            "code_hash": self._code_hash,
            "has_code": self._has_code,
            "nonce": self._nonce,
            "proof": self._proof,
            "block": self._block,
            "event": self._events,
            "flow": self._flow,
            "invariant": self._of_other,
            "http": self._http,
        }
        value = makers[self._settings.kind]()
        if value is not None and self._settings.sum and kind_of(value.param.type) != "integer":
            self._problem("sum", f"only integers have a sum, this is {value.param.canonical_type}")
        return value

    def _problem(self, key: str, message: str, hint: str = "", index: int | None = None) -> None:
        path: KeyPath = ("values", self._name, key)
        self._add(path if index is None else (*path, index), message, hint)

    def _targets(self) -> dict[str, bytes]:
        """Return the address that is read on each network."""
        settings = self._settings
        found = {}
        for network in settings.network:
            addresses: Sequence[str] = [settings.address] if settings.address else []
            if settings.contract is not None:
                try:
                    addresses = self._contracts.addresses(settings.contract, network)
                except LookupError as error:
                    self._problem("contract", lookup_text(error))
                    return {}
            if len(addresses) != 1:
                many = f"{len(addresses)} addresses" if addresses else "no address"
                self._problem("contract", f"it has {many} on {network}: a value is read of one")
                continue
            found[network] = bytes.fromhex(addresses[0][2:])
        return found

    def _made(
        self,
        abi_type: str,
        make: Callable[[bytes], StateRead],
        parse: Callable[[Any], Any] = lambda value: value,
    ) -> InvariantValue:
        """Return a value of ``abi_type`` that ``parse`` makes of what is read of each address."""
        reads = {network: make(address) for network, address in self._targets().items()}
        return InvariantValue(AbiParam(self._name, abi_type), tuple(self._settings.network), reads, parse)

    def _call(self) -> InvariantValue | None:
        settings = self._settings
        assert settings.call is not None
        targets = self._targets()
        try:
            function, outputs = self._contracts.view(settings.contract, settings.call)
        except LookupError as error:
            self._problem("call", lookup_text(error))
            return None
        try:
            data = encode_call(function, settings.args)
        except ArgumentError as error:
            self._problem("args", str(error), index=error.index)
            return None
        shape = tuple_of(outputs)
        names = [output.name for output in outputs]
        param = AbiParam(self._name, "tuple", components=outputs)
        picked: str | None = settings.output
        if picked is not None and picked not in names:
            self._problem("output", f'{function.name} returns no "{picked}"', did_you_mean(picked, names))
            return None
        if len(outputs) == 1:
            picked = names[0]
        if picked is not None:
            one = outputs[names.index(picked)]
            param = AbiParam(self._name, one.type, components=one.components)

        def parse(returned: bytes | int) -> Any:
            if not isinstance(returned, bytes) or not returned:
                raise ValueError(f"{function.name} returned nothing: is there a contract at this address?")
            values = dict(zip(names, read_data(shape, returned, RETURNED_MAX), strict=True))
            return values if picked is None else values[picked]

        reads = {network: StateRead("call", address, data) for network, address in targets.items()}
        unit = self._unit(targets) if function.name in AMOUNTS else None
        return InvariantValue(param, tuple(settings.network), reads, parse, unit=unit)

    def _unit(self, targets: Mapping[str, bytes | None]) -> Unit | None:
        """Return the unit of amounts of the assets at ``targets``; None where it is not known, or not the same."""
        units = {self._contracts.unit(network, address) for network, address in targets.items()}
        found = units.pop() if len(units) == 1 else None
        return None if found is None else Unit(*found)

    def _balance(self) -> InvariantValue:
        value = self._made("uint256", lambda address: StateRead("balance", address))
        return replace(value, unit=self._unit(dict.fromkeys(self._settings.network)))

    def _storage(self) -> InvariantValue | None:
        slot = self._settings.storage or 0
        wanted = self._settings.type or "bytes32"
        try:
            param = msgspec.structs.replace(parse_type(wanted), name="the slot")
            shape = tuple_of((param,))
            if not isinstance(shape_of(param), Leaf):
                raise TypeTextError("expected a type that fits into one slot, such as address or uint256")
        except TypeTextError as error:
            self._problem("type", str(error))
            return None
        return self._made(
            param.type,
            lambda address: StateRead("storage", address, slot=slot),
            lambda word: read_data(shape, _slot_value(param.type, word))[0],
        )

    def _code_hash(self) -> InvariantValue:
        return self._made("bytes32", lambda address: StateRead("code", address), keccak256)

    def _has_code(self) -> InvariantValue:
        return self._made("bool", lambda address: StateRead("code", address), bool)

    def _nonce(self) -> InvariantValue:
        return self._made("uint64", lambda address: StateRead("nonce", address))

    def _proof(self) -> InvariantValue:
        field = self._settings.proof or ""
        abi_type = "bytes32" if field.endswith("hash") else "uint256"
        return self._made(abi_type, lambda address: StateRead("proof", address, field=field))

    def _block(self) -> InvariantValue:
        field = self._settings.block or ""
        networks = tuple(self._settings.network)
        abi_type = "bytes32" if field.endswith(("hash", "root")) else "uint256"
        param = AbiParam(self._name, abi_type)
        if field in ("number", "timestamp", "hash"):
            return InvariantValue(param, networks, block=field)

        def parse(read: bytes | int) -> bytes | int:
            if read == b"":
                raise ValueError(f"the block has no {field}")
            return read

        return InvariantValue(
            param, networks, dict.fromkeys(networks, StateRead("block", field=field)), parse
        )

    def _events(self) -> InvariantValue | None:
        settings = self._settings
        assert settings.contract is not None
        assert settings.event is not None
        assert settings.within is not None
        try:
            event = self._contracts.event(settings.contract, settings.event)
            missing = [n for n in settings.network if not self._contracts.addresses(settings.contract, n)]
        except LookupError as error:
            self._problem("event", lookup_text(error))
            return None
        for network in missing:
            self._problem("contract", f"it has no address on {network}")
        where = self._where(event)
        path = self._argument(event)
        kind: EventKind = (settings.contract, event.signature)
        measure = EventMeasure(
            kind,
            settings.take,
            None if path is None else path.text,
            settings.within,
            None if where is None else where.fact,
        )
        reads = EventReads(kind, () if path is None else (path,), () if where is None else (where,))
        abi_type = path.param if path is not None and settings.take == "last" else AbiParam("", "int256")
        param = msgspec.structs.replace(abi_type, name=self._name, indexed=False)
        trigger = EventTrigger(kind, measure.where) if settings.at_once else None
        networks = tuple(settings.network)
        return InvariantValue(param, networks, events=measure, event_reads=reads, trigger=trigger)

    def _argument(self, event: AbiEvent) -> Path | None:
        """Return the argument that is measured, if one is."""
        if self._settings.of is None:
            return None
        try:
            path = compile_path(self._settings.of, event)
        except ConditionError as error:
            self._problem("of", str(error))
            return None
        if self._settings.take == "sum" and kind_of(path.type) != "integer":
            integers = [param.name for param in event.inputs if kind_of(param.type) == "integer"]
            hint = f"there are {', '.join(integers)}" if integers else "it has none"
            self._problem("of", f"{path.text} is {describe(path.type)}: only integers have a sum", hint)
        return path

    def _where(self, event: AbiEvent) -> Where | None:
        """Return the condition on the events that count, if not all do."""
        settings = self._settings
        parts = [f"emitter == {settings.address}"] if settings.address else []
        parts += [f"({settings.where})" if parts else settings.where] if settings.where else []
        if not parts:
            return None
        try:
            if settings.where:
                compile_where(settings.where, event)  # an error points into what was written
            return compile_where(" and ".join(parts), event)
        except ConditionError as error:
            self._problem("where", str(error))
            return None

    def _http(self) -> InvariantValue | None:
        settings = self._settings
        assert settings.http is not None
        abi_type = settings.type or claims.TYPES[0]
        if abi_type not in claims.TYPES:
            self._problem("type", f"expected one of {', '.join(claims.TYPES)}")
            return None
        try:
            path = claims.parse_path(settings.path or "")
        except ValueError as error:
            self._problem("path", str(error))
            return None
        parse = claims.reader_of(path, abi_type, settings.decimals or 0)
        address = settings.http.get_secret_value()
        read = StateRead("http", slot=int(settings.allow_private), field=address)
        networks = tuple(settings.network)
        return InvariantValue(AbiParam(self._name, abi_type), networks, dict.fromkeys(networks, read), parse)

    def _of_other(self) -> InvariantValue | None:
        try:
            settings = self._contracts.value(self._settings.invariant or "")
        except LookupError as error:
            self._problem("invariant", lookup_text(error))
            return None

        def add(path: KeyPath, message: str, hint: str = "") -> None:
            self._problem("invariant", f"that value has a mistake of its own: {message}", hint)

        return compile_value(self._name, settings, self._contracts, add)

    def _flow(self) -> InvariantValue | None:
        settings = self._settings
        try:
            flow = self._contracts.flow(settings.flow or "")
        except LookupError as error:
            self._problem("flow", lookup_text(error))
            return None
        take: Any = settings.measures[0]
        known = {step.name: step for step in flow.expected}
        until = (settings.until,) if settings.until else tuple(known)
        if unknown := set(until) - known.keys():
            hint = did_you_mean(min(unknown), known) or f"there are {', '.join(known)}"
            self._problem("until", f"{flow.name} expects no step {min(unknown)}", hint)
            return None
        if take == "amount" and not _states(flow, AMOUNT):
            self._problem("amount", f"no step of {flow.name} says its `amount`")
        ends = {network for name in until for network in known[name].networks}
        origins = self._route("origin", settings.origin, flow.origins)
        destinations = self._route("destination", settings.destination, ends)
        networks = dict.fromkeys([*(origins or flow.origins), *(destinations or sorted(ends))])
        if not networks:
            self._problem("flow", f"no step of {flow.name} can be seen on any network")
            return None
        assets = self._assets(flow) if settings.asset is not None else None
        measure = FlowMeasure(
            flow,
            take,
            frozenset(origins),
            frozenset(destinations),
            until,
            assets,
            settings.latency or 0,
            int(settings.within or 0),
        )
        unit = self._unit_in_flight(assets) if take == "amount" and assets else None
        return InvariantValue(AbiParam(self._name, "uint256"), tuple(networks), unit=unit, flow=measure)

    def _unit_in_flight(self, assets: Mapping[tuple[str, bytes], int]) -> Unit | None:
        units = {self._contracts.unit(*asset) for asset in assets}
        if self._settings.decimals is not None:
            units = {unit and (unit[0], self._settings.decimals) for unit in units}
        found = units.pop() if len(units) == 1 else None
        return None if found is None else Unit(*found)

    def _route(self, key: str, wanted: Sequence[str] | None, known: Collection[str]) -> Sequence[str]:
        """Return the networks of one end that count; none for all."""
        for index, network in enumerate(wanted or ()):
            if network not in known:
                hint = did_you_mean(network, known) or f"there are {', '.join(sorted(known))}"
                self._problem(key, f"no transfer of the flow has {network} as its {key}", hint, index)
        return [network for network in wanted or () if network in known]

    def _assets(self, flow: Flow) -> dict[tuple[str, bytes], int]:
        """Return the assets that count, and by what their amounts are multiplied."""
        settings = self._settings
        found: dict[tuple[str, bytes], int] = {}
        if not _states(flow, ASSET):
            self._problem("asset", f"no step of {flow.name} says its `asset`")
        for index, name in enumerate(settings.asset or ()):
            try:
                addresses, decimals = self._contracts.asset(name)
            except LookupError as error:
                self._problem("asset", lookup_text(error), index=index)
                continue
            factor = 1
            if settings.decimals is not None:
                if decimals is None or decimals > settings.decimals:
                    what = "has no `decimals`" if decimals is None else f"has {decimals} decimals"
                    hint = f"expected at most {settings.decimals}, in [assets.{name}]"
                    self._problem("asset", f"{name} {what}", hint, index)
                    continue
                factor = 10 ** (settings.decimals - decimals)
            found |= dict.fromkeys(addresses, factor)
        return found


def _states(flow: Flow, fact: str) -> bool:
    return any(name == fact for step in flow.all_steps for name, _ in step.facts)


def _slot_value(abi_type: str, word: bytes) -> bytes:
    """Return the word of storage as the ABI would encode it: ``bytesN`` lie at its end, not at its beginning."""
    size = int(abi_type.removeprefix("bytes")) if abi_type.startswith("bytes") else 0
    if size and any(word[:-size]):
        raise ValueError(f"the slot holds more than a {abi_type}: 0x{word.hex()}")
    return word[-size:].ljust(len(word), b"\0") if size else word
