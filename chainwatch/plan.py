"""From the configuration to what runs: compiled flows, and what is watched on each network.

All mistakes that only the ABIs can show (unknown events, fields, conditions that do not compile) join those of the file
itself: one run of ``chainwatch check`` reports all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from pathlib import Path

from chainwatch.chain.decode.abi import Abi, AbiError, load_abi, topic0
from chainwatch.chain.decode.decoder import ContractDecoder
from chainwatch.chain.decode.functions import find_function, find_view
from chainwatch.chain.watch import NetworkWatch, WatchedContract
from chainwatch.checker.compiler import FlowError, compile_flow
from chainwatch.checker.extractor import Extractor
from chainwatch.checker.flow import Flow, FlowExtractor
from chainwatch.checker.invariants.compiler import InvariantError, compile_invariant
from chainwatch.checker.invariants.extractor import InvariantExtractor
from chainwatch.checker.invariants.invariant import Invariant
from chainwatch.checker.invariants.sessions import SessionError, compile_look_up
from chainwatch.config import Draft, NetworkSettings, Settings, read
from chainwatch.config.errors import ConfigError, Problem, problem_line
from chainwatch.config.invariant_values import ValueSettings
from chainwatch.config.invariants import TriggerSettings
from chainwatch.config.toml_lines import KeyPath
from chainwatch.model import (
    ANY_TOPIC,
    AbiEvent,
    AbiFunction,
    AbiParam,
    Event,
    EventSource,
    FieldPath,
    StoredLog,
    UndecodedLog,
)
from chainwatch.rule_groups import load_rule_groups
from chainwatch.rules.placed import PlacedGroup
from chainwatch.support.spelling import did_you_mean


@dataclass(frozen=True)
class Plan:
    """A configuration ready to run."""

    settings: Settings
    extractors: tuple[Extractor, ...]
    """What each checker watches and finds in events."""
    watches: Mapping[str, NetworkWatch]
    """What is watched on each network that is followed."""
    warnings: tuple[str, ...] = ()
    """What in the configuration can match nothing, with its lines."""
    rule_groups: tuple[PlacedGroup, ...] = ()
    """The rules of the configuration and of its rule files."""

    def decode(self, network: str, log: StoredLog) -> Event | None:
        """Return a stored log as an event again; None when it does not decode or is not watched any more."""
        found = self.read_again(network, log) if log.error is None else None
        return found if isinstance(found, Event) and found.contract == log.contract else None

    def read_again(self, network: str, log: StoredLog) -> Event | UndecodedLog | None:
        """Return a stored log as it would be read now, whatever it was before; None when it is not watched any more."""
        watch = self.watches.get(network)
        return None if watch is None else watch.decode(log.log)

    @property
    def sources(self) -> dict[str, frozenset[EventSource]]:
        """What is watched on each network."""
        return {network: watch.sources for network, watch in self.watches.items()}

    @cached_property
    def invariants(self) -> InvariantExtractor:
        """The compiled invariants of the file, and what further ones are compiled with."""
        return next(one for one in self.extractors if isinstance(one, InvariantExtractor))

    @cached_property
    def flows(self) -> tuple[Flow, ...]:
        """The compiled flows."""
        return next(one.flows for one in self.extractors if isinstance(one, FlowExtractor))


def load_plan(path: Path, environ: Mapping[str, str]) -> Plan:
    """Read and compile the configuration file at ``path``. Raises ``ConfigError`` with every problem."""
    return make_plan(read(path, environ))


def make_plan(draft: Draft) -> Plan:
    """Compile what ``draft`` holds. Raises ``ConfigError`` with every problem, those of the draft among them."""
    abis = _load_abis(draft.parts, draft.add)
    networks = {
        name: draft.parts.networks.get(name) or _stand_in(draft, name) for name in draft.names("networks")
    }
    parts = draft.parts.model_copy(update={"networks": networks})
    extractors = compile_extractors(parts, abis, draft.add, draft.warn)
    _check_events_of_broken_flows(draft, abis)
    _check_shared_addresses(parts, _watched_events(extractors, abis), draft.add)
    groups = load_rule_groups(parts, draft.add, draft.warn)
    plan = _assemble(draft.settings(), extractors, abis)
    warnings = sorted(draft.warnings, key=lambda warning: warning.line)
    texts = tuple(problem_line(draft.file, warning) for warning in warnings)
    return replace(plan, warnings=texts, rule_groups=groups)


def _stand_in(draft: Draft, network: str) -> NetworkSettings:
    """Return a network in place of one that is not valid, for flows that name it: its mistakes are not theirs."""
    table = draft.value(("networks", network))
    known = {k: v for k, v in table.items() if isinstance(v, int | str)} if isinstance(table, dict) else {}
    chain_id = known.get("chain_id")
    return NetworkSettings.model_construct(
        name=network,
        chain_id=chain_id if isinstance(chain_id, int) else 0,
        rpc=[],
        attributes={k: v for k, v in known.items() if k not in NetworkSettings.model_fields},
    )


def plan_again(settings: Settings) -> Plan:
    """Return the plan of ``settings`` that another process compiled before.

    Raises ``ConfigError`` if an ABI has changed.
    """
    problems: list[Problem] = []

    def add(path: KeyPath, message: str, hint: str = "") -> None:
        problems.append(Problem(path, 0, message, hint))

    abis = _load_abis(settings, add)
    extractors = compile_extractors(settings, abis, add, lambda *_: None)
    if problems:
        raise ConfigError("the configuration", problems)
    return _assemble(settings, extractors, abis)


_Add = Callable[..., None]
"""Notes a problem: its path, message and hint."""


def compile_extractors(
    parts: Settings, abis: Mapping[str, Abi], add: _Add, warn: _Add
) -> tuple[Extractor, ...]:
    """Return one extractor for each kind of check. What is wrong goes to ``add``, what can match nothing to ``warn``."""
    flows = _compile_flows(parts, abis, add, warn)
    contracts = _Contracts(parts, abis, flows)
    invariants = _compile_invariants(parts, contracts, add, warn)
    for name, one in parts.look_ups.items():
        try:
            compile_look_up(name, one)
        except SessionError as error:
            add(("invariants", name), str(error))
    layers = {name for one in parts.look_ups.values() for name in (one.layer1, one.layer2)}
    also = [name for name in (*parts.pessimism.networks.values(), *sorted(layers)) if name in parts.networks]
    return (
        FlowExtractor(flows),
        InvariantExtractor(invariants, contracts, also),
    )


def _assemble(settings: Settings, extractors: tuple[Extractor, ...], abis: Mapping[str, Abi]) -> Plan:
    reads = _reads(extractors)
    watched = _watched_events(extractors, abis)
    decoders = {name: ContractDecoder(events, reads) for name, events in watched.items()}
    followed = {network for extractor in extractors for network in extractor.networks}
    transactions = _transactions(extractors, abis)
    watches = {
        network: NetworkWatch(network, contracts)
        for network in settings.networks
        if (contracts := _watched_contracts(settings, network, decoders, transactions)) or network in followed
    }
    return Plan(settings, extractors, watches)


def _load_abis(parts: Settings, add: _Add) -> dict[str, Abi]:
    abis: dict[str, Abi] = {}
    for name, contract in parts.contracts.items():
        try:
            abis[name] = load_abi(Path(contract.abi))
        except AbiError as error:
            add(("contracts", name, "abi"), str(error))
    return abis


def _compile_flows(parts: Settings, abis: Mapping[str, Abi], add: _Add, warn: _Add) -> list[Flow]:
    def event(contract: str, name: str) -> AbiEvent:
        try:
            return abis[contract].event(name)
        except AbiError as error:
            raise LookupError(str(error)) from error

    def function(contract: str, named: str) -> AbiFunction:
        try:
            return find_function(abis[contract], named)
        except AbiError as error:
            raise LookupError(str(error)) from error

    def contract_networks(contract: str) -> list[str]:
        return [n for n in parts.networks if parts.contracts[contract].addresses_on(n)]

    addresses = {
        name: {n: some for n in parts.networks if (some := contract.addresses_on(n))}
        for name, contract in parts.contracts.items()
    }
    flows: list[Flow] = []
    for flow in parts.flows.values():
        if not flow.contracts <= abis.keys():
            continue  # reported already: an unknown contract, or an ABI that cannot be read
        try:
            flows.append(
                compile_flow(flow, parts.networks, contract_networks, event, warn, addresses, function)
            )
        except FlowError as error:
            for problem in error.problems:
                add(problem.path, problem.message, problem.hint)
    return flows


class _Contracts:
    """Configured contracts, flows and assets, as invariants ask for them. Every method raises ``LookupError``."""

    def __init__(self, parts: Settings, abis: Mapping[str, Abi], flows: Sequence[Flow]) -> None:
        self._parts = parts
        self._abis = abis
        self._flows = {flow.name: flow for flow in flows}

    def addresses(self, contract: str, network: str) -> Sequence[str]:
        if contract not in self._parts.contracts:
            near = did_you_mean(contract, list(self._parts.contracts))
            raise LookupError(f'no contract is called "{contract}". {near}'.rstrip(". "))
        return self._parts.contracts[contract].addresses_on(network)

    def view(self, contract: str | None, named: str) -> tuple[AbiFunction, tuple[AbiParam, ...]]:
        try:
            return find_view(None if contract is None else self._abi(contract), named)
        except AbiError as error:
            raise LookupError(str(error)) from error

    def event(self, contract: str, named: str) -> AbiEvent:
        try:
            return self._abi(contract).event(named)
        except AbiError as error:
            raise LookupError(str(error)) from error

    def value(self, named: str) -> ValueSettings:
        seen: list[str] = []
        while named not in seen:
            seen.append(named)
            name, _, value = named.rpartition(".")
            if name not in self._parts.invariants:
                near = did_you_mean(name, list(self._parts.invariants)) or "write it as NAME.VALUE"
                raise LookupError(f'no invariant is called "{name}". {near}')
            values = self._parts.invariants[name].values
            if value not in values:
                near = did_you_mean(value, list(values)) or f"there are {', '.join(values)}"
                raise LookupError(f'{name} has no value "{value}". {near}')
            if values[value].invariant is None:
                return values[value]
            named = values[value].invariant or ""
        raise LookupError(f"these are values of one another: {', '.join(seen)}")

    def flow(self, name: str) -> Flow:
        if name in self._flows:
            return self._flows[name]
        if name in self._parts.flows:
            raise LookupError(f'flow "{name}" has mistakes of its own')
        near = did_you_mean(name, list(self._parts.flows))
        raise LookupError(f'no flow is called "{name}". {near}'.rstrip(". "))

    def unit(self, network: str, address: bytes | None) -> tuple[str, int] | None:
        if address is None:
            currency = self._parts.networks[network].currency
            return None if currency is None else (currency.symbol, currency.decimals)
        text = "0x" + address.hex()
        for asset in self._parts.assets.values():
            if asset.decimals is not None and text in (one.lower() for one in asset.addresses_on(network)):
                return asset.symbol, asset.decimals
        return None

    def asset(self, name: str) -> tuple[Sequence[tuple[str, bytes]], int | None]:
        if name not in self._parts.assets:
            near = did_you_mean(name, list(self._parts.assets))
            raise LookupError(f'no asset is called "{name}". {near}'.rstrip(". "))
        asset = self._parts.assets[name]
        places = [
            (network, bytes.fromhex(address[2:]))
            for network in self._parts.networks
            for address in asset.addresses_on(network)
        ]
        return places, asset.decimals

    def _abi(self, contract: str) -> Abi:
        self.addresses(contract, "")
        if contract not in self._abis:
            raise LookupError(f'the ABI of contract "{contract}" cannot be read')
        return self._abis[contract]


def _compile_invariants(parts: Settings, contracts: _Contracts, add: _Add, warn: _Add) -> list[Invariant]:
    invariants: list[Invariant] = []
    for name, settings in parts.invariants.items():
        if isinstance(settings.every, TriggerSettings) and settings.for_:
            what = "time passes only from one event to the next, at which it is checked"
            warn(("invariants", name, "for"), what, 'every = "block" checks it meanwhile, too')
        try:
            element = parts.elements.get(name)
            invariants.append(compile_invariant(settings, parts.networks, contracts, element))
        except InvariantError as error:
            for problem in error.problems:
                add(("invariants", name, *problem.path), problem.message, problem.hint)
    return invariants


def _check_events_of_broken_flows(draft: Draft, abis: Mapping[str, Abi]) -> None:
    """Report unknown events of flows that are not valid and so cannot be compiled."""
    for name in draft.names("flows"):
        flow: tuple[str | int, ...] = ("flows", name)
        if name in draft.parts.flows:
            continue
        expects = draft.value((*flow, "expects"))
        steps = range(len(expects) if isinstance(expects, list) else 0)
        for step in ((*flow, "opens"), *((*flow, "expects", index) for index in steps)):
            contract = draft.value((*step, "contract")) or draft.value((*flow, "contract"))
            event = draft.value((*step, "event"))
            if isinstance(contract, str) and isinstance(event, str) and contract in abis:
                try:
                    abis[contract].event(event)
                except AbiError as error:
                    draft.add((*step, "event"), str(error))


def _check_shared_addresses(parts: Settings, watched: Mapping[str, Sequence[AbiEvent]], add: _Add) -> None:
    """Report an address under two contract names that watch the same event: the second would never see one."""
    first_with: dict[tuple[str, str, AbiEvent], str] = {}
    for contract, events in watched.items():
        places = [
            (n, address) for n in parts.networks for address in parts.contracts[contract].addresses_on(n)
        ]
        for (network, address), event in product(places, events):
            first = first_with.setdefault((network, address, event), contract)
            if first != contract:
                message = f'has the address of contract "{first}" on {network}, and both watch {event.name}'
                add(("contracts", contract, "address"), message, f'name "{first}" in the flows of both')
                break


def _watched_events(extractors: Sequence[Extractor], abis: Mapping[str, Abi]) -> dict[str, list[AbiEvent]]:
    """Return by contract the events that some checker watches, in every indexed form the ABI has."""
    watched: dict[str, dict[AbiEvent, None]] = {}
    for extractor in extractors:
        for contract, signature, *_ in extractor.watched:
            watched.setdefault(contract, {}).update(dict.fromkeys(abis[contract].forms(signature)))
    return {contract: list(events) for contract, events in watched.items()}


def _reads(extractors: Sequence[Extractor]) -> dict[str, frozenset[FieldPath]]:
    """Return by event signature the values that some checker reads: others need not be decoded."""
    reads: dict[str, frozenset[FieldPath]] = {}
    for extractor in extractors:
        for _, signature, paths, _ in extractor.watched:
            reads[signature] = reads.get(signature, frozenset()) | paths
    return reads


def _transactions(extractors: Sequence[Extractor], abis: Mapping[str, Abi]) -> dict[str, frozenset[bytes]]:
    """Return by contract the first topics of the events whose transactions some checker reads."""
    topics: dict[str, frozenset[bytes]] = {}
    for extractor in extractors:
        for contract, signature, _, transaction in extractor.watched:
            if transaction:
                topic = topic0(abis[contract].event(signature)) or ANY_TOPIC
                topics[contract] = topics.get(contract, frozenset()) | {topic}
    return topics


def _watched_contracts(
    settings: Settings,
    network: str,
    decoders: Mapping[str, ContractDecoder],
    transactions: Mapping[str, frozenset[bytes]],
) -> list[WatchedContract]:
    return [
        WatchedContract(
            name,
            bytes.fromhex(address.removeprefix("0x")),
            decoder,
            transactions.get(name, frozenset()),
        )
        for name, decoder in decoders.items()
        for address in settings.contracts[name].addresses_on(network)
    ]
