"""From a flow's configuration to `chainwatch.checker.flow.Flow`: texts become values, conditions and checks. Pure.

All mistakes are gathered, so that one run reports every one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from chainwatch.checker import matching
from chainwatch.checker.expression import Condition, Scope, Value
from chainwatch.checker.flow import AMOUNT, ASSET, DESTINATION, ORIGIN, Flow, Step
from chainwatch.checker.flow_doubts import doubt_flow
from chainwatch.checker.flow_joins import compile_joins
from chainwatch.checker.flow_parts import FlowParts, KeyPart, StepParts
from chainwatch.checker.flow_terms import EventLookup, FlowProblem, FlowTerms, FunctionLookup, Warn
from chainwatch.checker.key_doubts import doubt_keys
from chainwatch.checker.keys import attribute_name, can_be_equal, key_text, mend_to_equal, searchable_topics
from chainwatch.checker.parser import ContractAddresses
from chainwatch.checker.terms import kind_of
from chainwatch.checker.verify import CHECKS
from chainwatch.config import FlowSettings, NetworkSettings, OpeningSettings, StepSettings
from chainwatch.config.toml_lines import KeyPath
from chainwatch.model import AbiFunction, Event


def no_functions(_contract: str, named: str) -> AbiFunction:
    """Find no function: the `FunctionLookup` of flows that name none."""
    raise LookupError(f"there is no function {named!r}")


class FlowError(ValueError):
    """A flow does not compile; ``problems`` has every reason."""

    def __init__(self, problems: Sequence[FlowProblem]) -> None:
        super().__init__("; ".join(f"{'.'.join(map(str, p.path))}: {p.message}" for p in problems))
        self.problems = tuple(problems)


def compile_flow(
    settings: FlowSettings,
    networks: Mapping[str, NetworkSettings],
    contract_networks: Callable[[str], Sequence[str]],
    event: EventLookup,
    warn: Warn = lambda _path, _message, _hint: None,
    contracts: ContractAddresses = {},  # noqa: B006  # never changed
    function: FunctionLookup = no_functions,
) -> Flow:
    """Compile ``settings``; raises `FlowError` with all problems at once.

    ``contract_networks`` gives the names of the networks that a contract is on.
    ``warn`` is called with what is valid, but can match nothing. ``contracts`` are the addresses of all configured ones.
    """
    return _Compiler(settings, networks, contract_networks, event, function, warn, contracts).flow()


class _Compiler:
    """Compiles one flow."""

    def __init__(
        self,
        settings: FlowSettings,
        networks: Mapping[str, NetworkSettings],
        contract_networks: Callable[[str], Sequence[str]],
        event: EventLookup,
        function: FunctionLookup,
        warn: Warn,
        contracts: ContractAddresses,
    ) -> None:
        self.settings = settings
        self.networks = networks
        self.contract_networks = contract_networks
        self.terms = FlowTerms(settings, networks, event, function, warn, contracts)

    def flow(self) -> Flow:
        settings = self.settings
        opens = self._scope(settings.opens, ("opens",))
        steps = [(s, ("expects", i), self._scope(s, ("expects", i))) for i, s in enumerate(settings.expects)]
        expected = [self._expected(s, at, scope, opens) for s, at, scope in steps if scope is not None]
        read_later = tuple(step.assertion for step in expected if step.assertion is not None)
        opening = self._opening(settings.opens, opens, read_later) if opens is not None else None
        events = [scope.event for scope in (opens, *(scope for _, _, scope in steps)) if scope is not None]
        for index, name in enumerate(settings.verify):
            if (
                self.terms.verify(name, events, ("verify", index)) is None
                and name in CHECKS
                and len(events) == len(steps) + 1
            ):
                self.terms.problem(
                    ("verify", index), f"no event of the flow has the fields that {name} needs"
                )
        matching.check(settings, self.terms, self._origins())
        if not self.terms.problems and opens is not None:
            self._check_keys(opens, [(s, at, scope) for s, at, scope in steps if scope is not None])
        if not self.terms.problems and opens is not None:
            parts = self._flow_parts(opens, [(s, at, scope) for s, at, scope in steps if scope is not None])
            doubt_keys(parts, self.terms)
            doubt_flow(parts, self.terms)
        if self.terms.problems or opening is None or opens is None:
            raise FlowError(self.terms.problems)
        opening, *expected = (self._with_transactions(step) for step in (opening, *expected))
        values = self._key_values(settings.opens, opens)
        key_paths = [None if value is None else value.path for value in values]
        return Flow(
            name=settings.name,
            opening=opening,
            expected=tuple(expected),
            origins=self._origins(),
            orphan_grace=int(settings.orphan_grace),
            clock_skew=int(settings.clock_skew),
            orphan_severity=settings.orphan_severity,
            lookback=int(settings.lookback),
            openings_may_repeat=settings.repeat == "allow",
            runbook_url=settings.runbook_url,
            search=searchable_topics(key_paths, opens.event),
            numbered=settings.match == "nth",
            steps={s.name: s for s in (opening, *expected)},
            reads={signature: frozenset(paths) for signature, paths in self.terms.reads.items()},
            _key_paths=tuple(key_paths),
        )

    def _scope(self, settings: OpeningSettings | StepSettings, at: KeyPath) -> Scope | None:
        """Return what a step reads; None, with the problem noted, where there is no such event or sibling."""
        event = self.terms.event(settings, at)
        if event is None:
            return None
        joins = compile_joins(self.terms, settings, event, at, self.contract_networks)
        call = self.terms.call(settings, at)
        return None if joins is None else Scope(event, joins, call)

    def _with_transactions(self, step: Step) -> Step:
        """Return ``step`` once it is known which transactions are read, by itself or by the steps that follow it."""
        kinds = (step.kind, *(join.kind for join in step.joins))
        read = frozenset(kind for kind in kinds if kind[1] in self.terms.transactions)
        return replace(step, transactions=read)

    def _check_keys(self, opening: Scope, steps: Sequence[tuple[StepSettings, KeyPath, Scope]]) -> None:
        """Check that the types of each part of the key can be equal in every step."""
        aliases = {s.step: (s.alias, scope) for s, _, scope in steps if s.alias}
        opens = opening, self._key_values(self.settings.opens, opening)
        for settings, at, scope in steps:
            place = (*at, "key") if settings.key else ("key",)
            opening, wanted = opens
            if settings.by:
                alias, opening = aliases[settings.by]
                wanted = self._values(alias, opening)
            if settings.covers:
                self._check_covered(wanted[-1], (*at, "covers"))
                wanted = wanted[:-1]
            values = self._key_values(settings, scope)
            for value, other in zip(wanted, values, strict=True):
                if value is not None and other is not None and not can_be_equal(value.type, other.type):
                    message = (
                        f"{other.text} of {scope.event.name} is {other.type}, but {value.text} of "
                        f"{opening.event.name}, which it must equal, is {value.type}: no transfer has both"
                    )
                    mend = other.note or value.note or mend_to_equal(value, other, wanted, values)
                    self.terms.problem(place, message, mend)
            if settings.by:
                continue
            texts = settings.key or self.settings.key, self.settings.opens.key or self.settings.key
            for value, part, wanted_part in zip(wanted, *texts, strict=not settings.covers):
                if value is None:
                    self._check_network_part(settings, part, wanted_part, place)

    def _check_covered(self, last: Value | None, at: KeyPath) -> None:
        """Check that the last part of the openings' key is an integer."""
        if last is None or kind_of(last.type) != "integer":
            shown = "an attribute of the network" if last is None else f"{last.text}, which is {last.type}"
            self.terms.problem(at, f"the last part of the key is {shown}: only integers can be in a range")

    def _flow_parts(self, opening: Scope, steps: Sequence[tuple[StepSettings, KeyPath, Scope]]) -> FlowParts:
        """Return the flow as `doubt_keys` and `doubt_flow` look at it."""

        def step(settings: OpeningSettings | StepSettings, at: KeyPath, scope: Scope) -> StepParts:
            by = isinstance(settings, StepSettings) and settings.by
            texts = [] if by else self._key_texts(settings)  # an alias is compared with another step's
            key = tuple(
                KeyPart(text, None, "name")
                if text == "network"
                else KeyPart(text, value, attribute_name(text, scope.event) or "")
                for text, value in zip(texts, self._values(texts, scope), strict=True)
            )
            contract = settings.contract or self.settings.contract
            return StepParts(settings, at, scope, contract, key, (*at, "key") if settings.key else ("key",))

        contracts = self.terms.contracts_at(())
        return FlowParts(
            settings=self.settings,
            networks=self.networks,
            opening=step(self.settings.opens, ("opens",), opening),
            expected=tuple(step(*one) for one in steps),
            origins=self._origins(),
            places={contract: self.contract_networks(contract) for contract in contracts},
        )

    def _check_origin(self, settings: StepSettings, at: KeyPath) -> None:
        """Check that a step's transfers come from a network on which they open, as far as the configuration says."""
        origins = self._origins()
        if settings.origin in self.networks and settings.origin not in origins:
            self.terms.problem(
                (*at, "origin"), f"no transfer of this flow opens on {settings.origin}", _places(origins)
            )
        contract = settings.contract or self.settings.contract
        places = self.contract_networks(contract)
        if settings.on == "origin" and places and not set(places) & set(origins):
            message = f"transfers open on {_places(origins)}, where contract {contract!r} has no address"
            self.terms.problem((*at, "on"), message)

    def _opening(self, settings: OpeningSettings, scope: Scope, read_later: tuple[Condition, ...]) -> Step:
        at: KeyPath = ("opens",)
        event = scope.event
        facts = self._named_facts(settings, scope, at)
        if settings.destination is not None:
            facts.append(
                (DESTINATION, self.terms.network_of(settings.destination, scope, (*at, "destination")))
            )
        if settings.on is not None:
            self.terms.check_network(settings.on, (*at, "on"))
        elif settings.origin in self.networks and set(self._origins()) != {settings.origin}:
            message = f"an event {event.name} anywhere else than on {settings.origin} is a TransferMismatch"
            self.terms.warn((*at, "origin"), message, f'to leave those out, add on = "{settings.origin}"')
        return Step(
            flow=self.settings.name,
            name=settings.step,
            contract=settings.contract or self.settings.contract,
            event=event,
            key=self._key(settings, scope, at),
            each=self.terms.items(settings.each, event),
            facts=tuple(facts),
            joins=tuple(scope.joins.values()),
            call=scope.call,
            networks=frozenset(self.contract_networks(settings.contract or self.settings.contract)),
            only_on=frozenset([settings.on]) if settings.on is not None else None,
            where=self.terms.condition(settings.where, scope, None, (*at, "where")),
            checks=self.terms.checks(settings.verify, event, at),
            read_later=read_later,
        )

    def _expected(self, settings: StepSettings, at: KeyPath, scope: Scope, opening: Scope | None) -> Step:
        # Without its opening event an assertion cannot be checked: the unknown event must be corrected first.
        asserted = settings.assert_ if opening is not None else None
        assertion = self.terms.condition(asserted, scope, opening, (*at, "assert"))
        event = scope.event
        facts = self._named_facts(settings, scope, at)
        on = settings.on
        if on == "destination" and self.settings.opens.destination is None:
            self.terms.problem(
                (*at, "on"), "the step is expected on the destination, but `opens` names no destination"
            )
        elif on not in ("origin", "destination"):
            self.terms.check_network(on, (*at, "on"))
        self._check_origin(settings, at)
        repeat = settings.repeat or self.settings.repeat
        return Step(
            flow=self.settings.name,
            name=settings.step,
            contract=settings.contract or self.settings.contract,
            event=event,
            key=self._key(settings, scope, at),
            each=self.terms.items(settings.each, event),
            facts=tuple(facts),
            joins=tuple(scope.joins.values()),
            call=scope.call,
            networks=frozenset(self.contract_networks(settings.contract or self.settings.contract)),
            where=self.terms.condition(settings.where, scope, None, (*at, "where")),
            checks=self.terms.checks(settings.verify, event, at),
            only_on=self._allowed_on(on),
            expected_on=on,
            within=int(settings.within),
            severity=settings.severity,
            assertion=assertion,
            covers=self._covers(settings, scope, (*at, "covers")),
            alias=self._parts(settings.alias, scope, (*at, "alias")) if settings.alias else (),
            by=settings.by or "",
            may_repeat=repeat == "allow",
            may_be_orphan=settings.orphan == "allow",
            away_from=self._away_from(settings),
        )

    def _origins(self) -> tuple[str, ...]:
        """Return the networks on which a transfer can open."""
        opens = self.settings.opens
        return (
            (opens.on,)
            if opens.on
            else tuple(self.contract_networks(opens.contract or self.settings.contract))
        )

    def _allowed_on(self, on: str) -> frozenset[str] | None:
        """Return the networks on which a step expected on ``on`` counts; None where that depends on the transfer."""
        if on == "origin":
            return frozenset(self._origins())
        if on != "destination":
            return frozenset([on])
        destination = self.settings.opens.destination
        return frozenset([destination]) if destination in self.networks and destination is not None else None

    def _away_from(self, settings: StepSettings) -> str:
        """See `Step.away_from`."""
        origins = self._origins()
        if settings.origin is not None:
            origins = (settings.origin,) if settings.origin in self.networks else ()
        if settings.on != "destination" or len(origins) != 1 or self._allowed_on(settings.on) is not None:
            return ""
        places = self.contract_networks(settings.contract or self.settings.contract)
        return origins[0] if set(places) - set(origins) else ""

    def _named_facts(
        self, settings: OpeningSettings | StepSettings, scope: Scope, at: KeyPath
    ) -> list[tuple[str, Callable[[Event], Any]]]:
        facts: list[tuple[str, Callable[[Event], Any]]] = []
        if settings.origin is not None:
            facts.append((ORIGIN, self.terms.network_of(settings.origin, scope, (*at, "origin"))))
        for name, key, text in ((AMOUNT, "amount", settings.amount), (ASSET, "asset", settings.asset)):
            if text is not None and (value := self.terms.value(text, scope, (*at, key))) is not None:
                facts.append((name, value.read))
        return facts

    def _covers(
        self, settings: StepSettings, scope: Scope, at: KeyPath
    ) -> tuple[Callable[[Event], int], Callable[[Event], int]] | None:
        ends = matching.range_of(settings.covers or "")
        if ends is None:
            return None
        first, last = (self._integer(text, scope, at) for text in ends)
        return None if first is None or last is None else (first, last)

    def _integer(self, text: str, scope: Scope, at: KeyPath) -> Callable[[Event], int] | None:
        """Return what reads the integer ``text``, which may be the same for every event."""
        if re.fullmatch("[0-9]{1,78}", text):
            constant = int(text)
            return lambda _event: constant
        value = self.terms.value(text, scope, at)
        if value is not None and kind_of(value.type) != "integer":
            self.terms.problem(at, f"{value.text} is {value.type}; an integer is needed", value.note)
        return None if value is None else value.read

    def _key_values(self, settings: OpeningSettings | StepSettings, scope: Scope) -> list[Value | None]:
        """Return the key's parts; None for a part that is an attribute of the network."""
        return self._values(self._key_texts(settings), scope)

    def _values(self, texts: Sequence[str], scope: Scope) -> list[Value | None]:
        return [
            None if attribute_name(t, scope.event) else self.terms.value_of(t, scope, ("key",)) for t in texts
        ]

    def _key_texts(self, settings: OpeningSettings | StepSettings) -> list[str]:
        """Return the expressions of the key of a step."""
        if isinstance(settings, StepSettings) and settings.by and not settings.key:
            return matching.alias_of(self.settings, settings.by)
        if isinstance(settings, StepSettings) and settings.covers and not settings.key:
            return self.settings.key[:-1]
        return settings.key or self.settings.key

    def _key(
        self, settings: OpeningSettings | StepSettings, scope: Scope, at: KeyPath
    ) -> tuple[Callable[[Event], str], ...]:
        at = (*at, "key") if settings.key else ("key",)
        texts = self._key_texts(settings)
        by = settings.by if isinstance(settings, StepSettings) else None
        wanted, whose = self.settings.key, "the flow's"
        if by:
            wanted, whose = matching.alias_of(self.settings, by), f"the alias of {by}"
        if isinstance(settings, StepSettings) and settings.covers:
            wanted, whose = wanted[:-1], "the flow's before its last"
        if settings.key and len(settings.key) != len(wanted):
            self.terms.problem(at, f"the step's key has {len(settings.key)} parts, {whose} has {len(wanted)}")
        return self._parts(texts, scope, at)

    def _parts(self, texts: Sequence[str], scope: Scope, at: KeyPath) -> tuple[Callable[[Event], str], ...]:
        parts: list[Callable[[Event], str]] = []
        for index, text in enumerate(texts):
            where = (*at, index) if len(texts) > 1 else at
            if attribute := attribute_name(text, scope.event):
                parts.append(self.terms.network_attribute(attribute, where))
            elif (value := self.terms.value(text, scope, where)) is not None:
                parts.append(key_text(value))
        return tuple(parts)

    def _check_network_part(self, settings: StepSettings, part: str, wanted: str, at: KeyPath) -> None:
        """Warn where a part of the key is an attribute of the network, which differs between the step and its opening."""
        contract = settings.contract or self.settings.contract
        places = self.contract_networks(contract) if settings.on == "destination" else [settings.on]
        if settings.on == "origin" or not part.startswith("network.") or not wanted.startswith("network."):
            return
        here, there = part.removeprefix("network."), wanted.removeprefix("network.")
        pairs = [(self.networks[a], self.networks[b]) for a in self._origins() for b in places if a != b]
        if pairs and not any(a.attribute(there) == b.attribute(here) for a, b in pairs):
            message = f"{part} is another for {settings.step} than for the opening on another network: their keys differ"
            self.terms.warn(at, message, f"give {settings.step} a key that takes it from the event")


def _places(networks: Sequence[str]) -> str:
    return " or ".join(networks)
