"""From a flow's configuration to `chainwatch.checker.flow.Flow`: names become paths, conditions and checks. Pure.

Every mistake that the ABIs show is gathered, so that one run tells them all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chainwatch.checker.expression import Condition, compile_condition
from chainwatch.checker.flow import (
    AMOUNT,
    ASSET,
    DESTINATION,
    ORIGIN,
    UNKNOWN_NETWORK,
    Flow,
    Step,
)
from chainwatch.checker.path import Path, compile_path
from chainwatch.checker.syntax import ConditionError
from chainwatch.checker.terms import kind_of
from chainwatch.checker.verify import CHECKS, CheckError, Verify
from chainwatch.config import FlowSettings, NetworkSettings, OpeningSettings, StepSettings
from chainwatch.model import AbiEvent, Event, FieldPath, to_hex
from chainwatch.support.spelling import did_you_mean, nearest

EventLookup = Callable[[str, str], AbiEvent]
"""Contract and event (name or signature) to the ABI's event; raises ``LookupError`` with a message for a person."""


Warn = Callable[[tuple[str | int, ...], str, str], None]
"""Takes the path of keys to what is doubtful, what it is, and how to mend it."""


@dataclass(frozen=True)
class FlowProblem:
    """A mistake in a flow's configuration: where (a path of keys), what, and how to mend it."""

    path: tuple[str | int, ...]
    message: str
    hint: str = ""


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
) -> Flow:
    """Compile ``settings``; raises `FlowError` with all problems at once.

    ``contract_networks`` gives the names of the networks that a contract is on. ``warn`` takes what is doubtful.
    """
    return _Compiler(settings, networks, contract_networks, event, warn).flow()


class _Compiler:
    """Compiles one flow and gathers every problem on the way."""

    def __init__(
        self,
        settings: FlowSettings,
        networks: Mapping[str, NetworkSettings],
        contract_networks: Callable[[str], Sequence[str]],
        event: EventLookup,
        warn: Warn,
    ) -> None:
        self.warn = warn
        self.settings = settings
        self.networks = networks
        self.contract_networks = contract_networks
        self.event = event
        self.problems: list[FlowProblem] = []
        self.reads: dict[str, set[FieldPath]] = {}
        self.by_value = _networks_by_value(networks, settings.network_by)

    def flow(self) -> Flow:
        settings = self.settings
        opening_event = self._event(settings.opens, ("opens",))
        steps = [(s, ("expects", i), self._event(s, ("expects", i))) for i, s in enumerate(settings.expects)]
        expected = [
            self._expected(s, at, event, opening_event) for s, at, event in steps if event is not None
        ]
        read_later = tuple(step.assertion for step in expected if step.assertion is not None)
        opening = (
            self._opening(settings.opens, opening_event, read_later) if opening_event is not None else None
        )
        events = [e for e in (opening_event, *(e for _, _, e in steps)) if e is not None]
        for index, name in enumerate(settings.verify):
            if (
                self._verify(name, events, ("verify", index)) is None
                and name in CHECKS
                and len(events) == len(steps) + 1
            ):
                self._problem(("verify", index), f"no event of the flow has the fields that {name} needs")
        if not self.problems and opening_event is not None:
            self._check_keys(opening_event, [(s, at, e) for s, at, e in steps if e is not None])
        if self.problems or opening is None or opening_event is None:
            raise FlowError(self.problems)
        key_paths = self._key_paths(settings.opens, opening_event)
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
            search=_search(key_paths, opening_event),
            steps={s.name: s for s in (opening, *expected)},
            reads={
                step.event.signature: frozenset(self.reads.get(step.event.signature, ()))
                for step in (opening, *expected)
            },
            _key_paths=tuple(key_paths),
        )

    def _check_keys(
        self, opening: AbiEvent, steps: Sequence[tuple[StepSettings, tuple[str | int, ...], AbiEvent]]
    ) -> None:
        """The parts of the key must be of types in every step that can be the same."""
        wanted = self._key_paths(self.settings.opens, opening)
        for settings, at, event in steps:
            place = (*at, "key") if settings.key else ("key",)
            for path, other in zip(wanted, self._key_paths(settings, event), strict=True):
                if path is not None and other is not None and not _can_be_equal(path.type, other.type):
                    message = (
                        f"{other.text} of {event.name} is {other.type}, but {path.text} of {opening.name}, which it must "
                        f"equal, is {path.type}: no transfer has both"
                    )
                    self._problem(place, message, other.note or path.note)
            texts = settings.key or self.settings.key, self.settings.opens.key or self.settings.key
            for path, part, wanted_part in zip(wanted, *texts, strict=True):
                if path is None:
                    self._doubt_network_part(settings, part, wanted_part, place)

    def _check_origin(self, settings: StepSettings, at: tuple[str | int, ...]) -> None:
        """What can be known of where a step's transfers come from must be a place where they open."""
        origins = self._origins()
        if settings.origin in self.networks and settings.origin not in origins:
            self._problem(
                (*at, "origin"), f"no transfer of this flow opens on {settings.origin}", _places(origins)
            )
        contract = settings.contract or self.settings.contract
        places = self.contract_networks(contract)
        if settings.on == "origin" and places and not set(places) & set(origins):
            message = f"transfers open on {_places(origins)}, where contract {contract!r} has no address"
            self._problem((*at, "on"), message)

    def _opening(self, settings: OpeningSettings, event: AbiEvent, read_later: tuple[Condition, ...]) -> Step:
        at: tuple[str | int, ...] = ("opens",)
        facts = self._named_facts(settings, event, at)
        if settings.destination is not None:
            facts.append((DESTINATION, self._network_of(settings.destination, event, (*at, "destination"))))
        if settings.on is not None:
            self._check_network(settings.on, (*at, "on"))
        elif settings.origin in self.networks and set(self._origins()) != {settings.origin}:
            message = f"an event {event.name} anywhere else than on {settings.origin} is a TransferMismatch"
            self.warn(self._at((*at, "origin")), message, f'to leave those out, add on = "{settings.origin}"')
        return Step(
            flow=self.settings.name,
            name=settings.step,
            contract=settings.contract or self.settings.contract,
            event=event,
            key=self._key(settings, event, at),
            facts=tuple(facts),
            places=frozenset(self.contract_networks(settings.contract or self.settings.contract)),
            only_on=frozenset([settings.on]) if settings.on is not None else None,
            where=self._condition(settings.where, event, None, (*at, "where")),
            checks=self._checks(settings.verify, event, at),
            read_later=read_later,
        )

    def _expected(
        self, settings: StepSettings, at: tuple[str | int, ...], event: AbiEvent, opening: AbiEvent | None
    ) -> Step:
        # Without its opening event an assertion cannot be checked: that event is the mistake to mend first.
        asserted = settings.assert_ if opening is not None else None
        assertion = self._condition(asserted, event, opening, (*at, "assert"))
        facts = self._named_facts(settings, event, at)
        on = settings.on
        if on == "destination" and self.settings.opens.destination is None:
            self._problem(
                (*at, "on"), "the step is expected on the destination, but `opens` names no destination"
            )
        elif on not in ("origin", "destination"):
            self._check_network(on, (*at, "on"))
        self._check_origin(settings, at)
        repeat = settings.repeat or self.settings.repeat
        return Step(
            flow=self.settings.name,
            name=settings.step,
            contract=settings.contract or self.settings.contract,
            event=event,
            key=self._key(settings, event, at),
            facts=tuple(facts),
            places=frozenset(self.contract_networks(settings.contract or self.settings.contract)),
            where=self._condition(settings.where, event, None, (*at, "where")),
            checks=self._checks(settings.verify, event, at),
            only_on=self._allowed_on(on),
            expected_on=on,
            within=int(settings.within),
            severity=settings.severity,
            assertion=assertion,
            may_repeat=repeat == "allow",
            away_from=self._away_from(settings),
        )

    def _origins(self) -> tuple[str, ...]:
        """The networks on which a transfer can open."""
        opens = self.settings.opens
        return (
            (opens.on,)
            if opens.on
            else tuple(self.contract_networks(opens.contract or self.settings.contract))
        )

    def _allowed_on(self, on: str) -> frozenset[str] | None:
        """The networks on which a step expected on ``on`` counts; None where only the transfer itself can tell."""
        if on == "origin":
            return frozenset(self._origins())
        if on != "destination":
            return frozenset([on])
        destination = self.settings.opens.destination
        return frozenset([destination]) if destination in self.networks and destination is not None else None

    def _away_from(self, settings: StepSettings) -> str:
        """The network that is the origin of all that `settings` follows, where the event can be seen elsewhere too."""
        origins = self._origins()
        if settings.origin is not None:
            origins = (settings.origin,) if settings.origin in self.networks else ()
        if settings.on != "destination" or len(origins) != 1 or self._allowed_on(settings.on) is not None:
            return ""
        places = self.contract_networks(settings.contract or self.settings.contract)
        return origins[0] if set(places) - set(origins) else ""

    def _named_facts(
        self, settings: OpeningSettings | StepSettings, event: AbiEvent, at: tuple[str | int, ...]
    ) -> list[tuple[str, Callable[[Event], Any]]]:
        facts: list[tuple[str, Callable[[Event], Any]]] = []
        if settings.origin is not None:
            facts.append((ORIGIN, self._network_of(settings.origin, event, (*at, "origin"))))
        for name, key, text in ((AMOUNT, "amount", settings.amount), (ASSET, "asset", settings.asset)):
            if text is not None and (path := self._single(text, event, (*at, key))) is not None:
                facts.append((name, path.reader()))
        return facts

    def _event(self, settings: OpeningSettings | StepSettings, at: tuple[str | int, ...]) -> AbiEvent | None:
        try:
            return self.event(settings.contract or self.settings.contract, settings.event)
        except LookupError as error:
            self._problem((*at, "event"), str(error.args[0]))
            return None

    def _path(self, text: str, event: AbiEvent, at: tuple[str | int, ...]) -> Path | None:
        try:
            path = compile_path(text, event)
        except ConditionError as error:
            self._problem(at, error.message, error.hint)
            return None
        self._note_reads(event, path)
        return path

    def _single(self, text: str, event: AbiEvent, at: tuple[str | int, ...]) -> Path | None:
        """The path to one value, not to a tuple or an array."""
        path = self._path(text, event, at)
        if path is not None and (path.type.startswith("tuple") or path.type.endswith("]")):
            self._problem(at, f"{text} is {path.type}; a single value is needed")
            return None
        return path

    def _key_paths(self, settings: OpeningSettings | StepSettings, event: AbiEvent) -> list[Path | None]:
        """The key's parts as paths; None for a part that is an attribute of the network."""
        texts = settings.key or self.settings.key
        return [None if _attribute_name(t, event) else compile_path(t, event) for t in texts]

    def _key(
        self, settings: OpeningSettings | StepSettings, event: AbiEvent, at: tuple[str | int, ...]
    ) -> tuple[Callable[[Event], str], ...]:
        at = (*at, "key") if settings.key else ("key",)
        parts: list[Callable[[Event], str]] = []
        texts = settings.key or self.settings.key
        if settings.key and len(settings.key) != len(self.settings.key):
            self._problem(
                at, f"the step's key has {len(settings.key)} parts, the flow's has {len(self.settings.key)}"
            )
        for index, text in enumerate(texts):
            where = (*at, index) if len(texts) > 1 else at
            if attribute := _attribute_name(text, event):
                parts.append(self._network_attribute(attribute, where))
            elif (path := self._single(text, event, where)) is not None:
                parts.append(_key_text(path))
        return tuple(parts)

    def _network_attribute(self, attribute: str, at: tuple[str | int, ...]) -> Callable[[Event], str]:
        values = {name: network.attribute(attribute) for name, network in self.networks.items()}
        if missing := [name for name, value in values.items() if value is None]:
            self._problem(at, f"network {missing[0]} has no attribute {attribute!r}")
        texts = {name: str(value) for name, value in values.items()}
        return lambda event: texts[event.network]

    def _network_of(self, text: str, event: AbiEvent, at: tuple[str | int, ...]) -> Callable[[Event], str]:
        """Gives the network's name that ``text`` (a name, or a path to a value) stands for in an event."""
        if text in self.networks:
            return lambda _event: text
        path = self._single(text, event, at)
        if path is None:
            if near := nearest(text, self.networks):
                self._problem(at, f"{text!r} is no network's name either", f"did you mean {near}?")
            return lambda _event: UNKNOWN_NETWORK
        values = [network.attribute(self.settings.network_by) for network in self.networks.values()]
        if any(v is not None for v in values) and not any(_can_hold(path.type, v) for v in values):
            by = self.settings.network_by
            message = f"{text} is {path.type}, but no network's {by} can be one: it names no network"
            self._problem(at, message, path.note or f"network_by is {by!r}")
        else:
            self._doubt_values(text, path, at)
        get, by_value = path.reader(), self.by_value

        def name(event: Event) -> str:
            value = get(event)
            if known := by_value.get(value):
                return known
            value = to_hex(value) if isinstance(value, bytes) else value
            return by_value.get(str(value)) or f"{UNKNOWN_NETWORK}{value}"

        return name

    def _doubt_values(self, text: str, path: Path, at: tuple[str | int, ...]) -> None:
        by = self.settings.network_by
        for name, network in self.networks.items():
            value = network.attribute(by)
            if value is not None and not _can_hold(path.type, value):
                message = f"{text} is {path.type}, which the {by} of {name} cannot be: it never names {name}"
                self.warn(self._at(at), message, "")

    def _doubt_network_part(
        self, settings: StepSettings, part: str, wanted: str, at: tuple[str | int, ...]
    ) -> None:
        """Warn where a part of the key is of the network, which for the step is another than for its opening."""
        contract = settings.contract or self.settings.contract
        places = self.contract_networks(contract) if settings.on == "destination" else [settings.on]
        if settings.on == "origin" or not part.startswith("network.") or not wanted.startswith("network."):
            return
        here, there = part.removeprefix("network."), wanted.removeprefix("network.")
        pairs = [(self.networks[a], self.networks[b]) for a in self._origins() for b in places if a != b]
        if pairs and not any(a.attribute(there) == b.attribute(here) for a, b in pairs):
            message = f"{part} is another for {settings.step} than for the opening on another network: their keys differ"
            self.warn(self._at(at), message, f"give {settings.step} a key that takes it from the event")

    def _check_network(self, name: str, at: tuple[str | int, ...]) -> None:
        if name not in self.networks:
            near = nearest(name, [*self.networks, "origin", "destination"])
            self._problem(at, f"there is no network {name!r}", f"did you mean {near}?" if near else "")

    def _condition(
        self, source: str | None, event: AbiEvent, opening: AbiEvent | None, at: tuple[str | int, ...]
    ) -> Condition | None:
        if source is None:
            return None
        try:
            condition = compile_condition(source, event, opening=opening)
        except ConditionError as error:
            self._problem(at, str(error))
            return None
        if opening is None and not condition.reads_anything:
            self.warn(self._at(at), "says the same of every event: it names none of its arguments", "")
        self._note_reads(event, *condition.paths)
        if opening is not None:
            self._note_reads(opening, *condition.opening_paths)
        return condition

    def _checks(
        self, names: Sequence[str], event: AbiEvent, at: tuple[str | int, ...]
    ) -> tuple[tuple[str, Verify], ...]:
        """The step's own checks, and those of the flow that the event has the fields for."""
        found: dict[str, Verify] = {}
        for index, name in enumerate(names):
            where = (*at, "verify", index)
            verify = self._verify(name, [event], where)
            if verify is not None:
                found[name] = verify
            elif name in CHECKS:
                self._problem(where, _refusal(name, event))
        for name in self.settings.verify:
            if name in CHECKS and (verify := self._verify(name, [event], at)) is not None:
                found[name] = verify
        return tuple(found.items())

    def _verify(self, name: str, events: Sequence[AbiEvent], at: tuple[str | int, ...]) -> Verify | None:
        """The check ``name`` for the first of ``events`` that has its fields; None, with the problem noted, when unknown."""
        if name not in CHECKS:
            self._problem(at, f"there is no built-in check {name!r}", did_you_mean(name, CHECKS))
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
        self.reads.setdefault(event.signature, set()).update(path.steps for path in paths)

    def _problem(self, at: tuple[str | int, ...], message: str, hint: str = "") -> None:
        self.problems.append(FlowProblem(self._at(at), message, hint))

    def _at(self, at: tuple[str | int, ...]) -> tuple[str | int, ...]:
        return ("flows", self.settings.name, *at)


def _refusal(check: str, event: AbiEvent) -> str:
    try:
        CHECKS[check].bind(event)
    except CheckError as error:
        return str(error)
    return ""


def _places(networks: Sequence[str]) -> str:
    return " or ".join(networks)


def _can_be_equal(one: str, other: str) -> bool:
    """Whether values of two ABI types can be the same text in a key."""
    if "string" in (one, other):
        return True
    kinds = kind_of(one), kind_of(other)
    if kinds == ("bytes", "bytes"):
        return one == other or "bytes" in (one, other)
    return kinds[0] == kinds[1]


def _can_hold(abi_type: str, value: int | str | None) -> bool:
    """Whether a value of an ABI type can be ``value``, an attribute of a network."""
    if value is None:
        return False
    if (sized := re.fullmatch(r"(u?)int(\d+)", abi_type)) is not None:
        number = int(value) if re.fullmatch(r"-?[0-9]{1,78}", str(value)) else None
        bits = int(sized[2]) - (not sized[1])
        return number is not None and (0 if sized[1] else -(2**bits)) <= number < 2**bits
    if abi_type == "address" or abi_type.startswith("bytes"):
        return str(value).startswith("0x")
    return abi_type == "string"


def _networks_by_value(networks: Mapping[str, NetworkSettings], attribute: str) -> dict[Any, str]:
    by_value: dict[Any, str] = {}
    for name, network in networks.items():
        value = network.attribute(attribute)
        if value is not None:
            by_value[value] = name
            by_value[str(value)] = name
    return by_value


def _attribute_name(text: str, event: AbiEvent) -> str | None:
    """``chain_id`` for ``network.chain_id``: an attribute of the network where the event was seen."""
    if not text.startswith("network.") or any(p.name == "network" for p in event.inputs):
        return None
    return text.removeprefix("network.")


def _key_text(path: Path) -> Callable[[Event], str]:
    if len(path.steps) == 1 and path.type.startswith("bytes"):
        name = path.steps[0]
        return lambda event: "0x" + event.args[name].hex()  # type: ignore[index]  # the first step is a name
    get = path.reader()
    return lambda event: _text(get(event))


def _text(value: Any) -> str:
    """A key's part as text: bytes as 0x-hex, integers in decimal; text with what would break the key escaped."""
    if isinstance(value, bytes):
        return to_hex(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and not value.isalnum():
        return "".join(c if c.isprintable() and c not in "/%" else _percent_encoded(c) for c in value)
    return str(value)


def _percent_encoded(character: str) -> str:
    """As in a URI (RFC 3986): ``%`` and two digits for each byte of UTF-8, so that no two texts become the same."""
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))


def _search(key_paths: Sequence[Path | None], event: AbiEvent) -> tuple[Path | None, ...] | None:
    by_name = {p.steps[0]: p for p in key_paths if p is not None and len(p.steps) == 1}
    search = tuple(
        by_name.get(p.name) if p.type not in ("string", "bytes") else None for p in event.inputs if p.indexed
    )
    return search if any(search) and not event.anonymous else None
