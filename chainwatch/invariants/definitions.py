"""The invariants that are checked now: those of the configuration, and those that were made while this runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

import msgspec
import sqlalchemy as sa
import structlog

from chainwatch.checker.flow_terms import FlowProblem
from chainwatch.checker.invariants.compiler import InvariantError, compile_invariant
from chainwatch.checker.invariants.event_facts import EventTrigger
from chainwatch.checker.invariants.extractor import InvariantExtractor
from chainwatch.checker.invariants.invariant import Invariant
from chainwatch.checker.invariants.sessions import (
    NO_SEVERITY,
    SEVERITIES,
    EventSession,
    Session,
    SessionError,
    compile_look_up,
    compile_session,
)
from chainwatch.config import Settings, read_dict
from chainwatch.config.for_each import (
    FOR_EACH,
    INVARIANTS,
    Element,
    expand,
    labels_in_conditions,
    may_end_text,
    path_in_file,
)
from chainwatch.config.invariants import InvariantSettings
from chainwatch.config.kinds import kinds
from chainwatch.store import definitions, elements, invariants
from chainwatch.store.definitions import Definition

INVARIANT, SESSION = "invariant", "session"
"""The kinds of stored definitions: as a table of the configuration, as a session of Pessimism's API."""

_log = structlog.get_logger(__name__)


class Group(NamedTuple):
    """Invariants, by ``names``, that are checked at the same blocks of a network, as ``every`` says.

    ``is_counted``: the periods of ``every`` are those of this network. ``is_of_one_state``: see `Invariant`.
    """

    every: Literal["block"] | float | EventTrigger
    is_counted: bool
    is_of_one_state: bool
    names: tuple[str, ...]


class Uncheckable(NamedTuple):
    """What was made while this runs, or of a contract's list, and cannot be checked; ``reason`` says why and what to do."""

    severity: str
    reason: str
    labels: Mapping[str, str]
    """Labels of its alerts beside those that all have."""


@dataclass(frozen=True)
class Running:
    """What is checked as of the change ``revision``: conditions on values, and sessions that wait for events."""

    revision: int
    invariants: Mapping[str, Invariant]
    sessions: Mapping[str, EventSession]
    uncheckable: Mapping[str, Uncheckable] = field(default_factory=dict)

    @cached_property
    def triggers(self) -> Mapping[str, Mapping[str, Sequence[EventTrigger]]]:
        """Events at whose blocks invariants are checked beside when they are due, by network and the invariant's name."""
        found: dict[str, dict[str, list[EventTrigger]]] = {}
        for name, invariant in self.invariants.items():
            for value in invariant.values:
                if value.trigger is not None:
                    for network in value.networks:
                        found.setdefault(network, {}).setdefault(name, []).append(value.trigger)
        return found

    @cached_property
    def names(self) -> frozenset[str]:
        """The names of all."""
        return frozenset({*self.invariants, *self.sessions})

    @cached_property
    def on(self) -> Mapping[str, Mapping[str, Invariant]]:
        """The invariants that read a network, by network and name."""
        found: dict[str, dict[str, Invariant]] = {}
        for name, one in self.invariants.items():
            for network in one.networks:
                found.setdefault(network, {})[name] = one
        return found

    @cached_property
    def of_several_networks(self) -> Mapping[str, Invariant]:
        """Those that read more than one network."""
        return {name: one for name, one in self.invariants.items() if len(one.networks) > 1}

    @cached_property
    def of_flows(self) -> Sequence[str]:
        """The names of those that read values of flows."""
        return [
            name
            for name, one in self.invariants.items()
            if any(value.flow is not None for value in one.values)
        ]

    @cached_property
    def groups(self) -> Mapping[str, Sequence[Group]]:
        """The invariants that read a network, by network, in groups."""
        return {network: _groups(network, some) for network, some in self.on.items()}


def _groups(network: str, invariants: Mapping[str, Invariant]) -> list[Group]:
    found: dict[tuple[Any, bool, bool], list[str]] = {}
    for name, one in invariants.items():
        is_counted = one.every == "block" or network == one.networks[0]  # periods: of the first network only
        found.setdefault((one.every, is_counted, one.is_of_one_state), []).append(name)
    return [Group(*kind, tuple(names)) for kind, names in found.items()]


class Definitions:
    """Loads what is checked; what has not changed is not compiled again."""

    def __init__(self, extractor: InvariantExtractor, settings: Settings, *, looks_up: bool = True) -> None:
        """``looks_up``: what events claim is looked up now, which has no meaning in a replay."""
        self._look_ups = settings.look_ups if looks_up else {}
        self._extractor = extractor
        self._settings = settings
        self._running: Running | None = None
        self._made: dict[str, tuple[int, Sequence[Invariant | EventSession] | Uncheckable]] = {}
        """What definitions were compiled to, by name, as of which revision of each."""

    def load(self, connection: sa.Connection) -> Running:
        """Return what is checked now."""
        revision = invariants.newest_revision(connection)
        running = self._running
        if running is None or running.revision != revision:
            made, lists = definitions.running(connection), elements.load(connection)
            running = self._running = self._compile(revision, made, lists)
        return running

    def _of_lists(
        self, known: Sequence[Invariant], lists: Mapping[str, elements.Lists]
    ) -> dict[str, Invariant | Uncheckable]:
        """Return what becomes of the elements that contracts list, by name."""
        found: dict[str, Invariant | Uncheckable] = {}
        for one in known:
            if one.element is None or one.element.template is None or not lists.get(one.title):
                continue
            valid, others = listed(one.element, lists[one.title])
            for name, (reason, element) in others.items():
                found[name] = _uncheckable_element(one.severity, reason, element)
            for settings, element in valid:
                try:
                    known_as = (self._settings.networks, self._extractor.contracts, element)
                    found[settings.name] = compile_invariant(settings, *known_as)
                except InvariantError as error:
                    found[settings.name] = _uncheckable_element(one.severity, str(error), element)
        return found

    def _compile(
        self, revision: int, stored: list[Definition], lists: Mapping[str, elements.Lists]
    ) -> Running:
        known = [one for one in self._extractor.invariants if not _is_sample(one)]
        found = {one.name: one for one in known}
        of_file = {one.title for one in known}
        sessions = {name: compile_look_up(name, one) for name, one in self._look_ups.items()}
        uncheckable: dict[str, Uncheckable] = {}
        for definition in stored:
            if definition.name in of_file:
                continue
            compiled = self._compiled(definition)
            if isinstance(compiled, Uncheckable):
                uncheckable[definition.name] = compiled
                continue
            for made in compiled:
                if isinstance(made, EventSession):
                    sessions.setdefault(definition.name, made)
                elif not _is_sample(made):
                    found[made.name] = made
        for name, one in self._of_lists(list(found.values()), lists).items():
            if isinstance(one, Uncheckable):
                uncheckable[name] = one
            else:
                found[name] = one
        return Running(revision, found, sessions, uncheckable)

    def _compiled(self, stored: Definition) -> Sequence[Invariant | EventSession] | Uncheckable:
        revision, made = self._made.get(stored.name, (None, ()))
        if revision != stored.revision:
            try:
                made = compile_definition(stored, self._settings, self._extractor)
            except ValueError as error:
                _log.warning("an invariant cannot be checked", invariant=stored.name, reason=str(error))
                made = _uncheckable(stored, str(error))
            self._made[stored.name] = stored.revision, made
        return made


def _uncheckable(stored: Definition, reason: str) -> Uncheckable:
    reason = f"the configuration lacks what it reads: {reason}. Delete it, or configure that again"
    settings = msgspec.json.decode(stored.settings, type=dict)
    if stored.kind == SESSION:
        destination = settings.get("destination")
        labels = {"destination": destination} if destination else {}
        return Uncheckable(SEVERITIES.get(settings.get("severity", ""), NO_SEVERITY), reason, labels)
    usual = InvariantSettings.model_fields["severity"].default
    return Uncheckable(str(settings.get("severity", usual)), reason, {})


def _uncheckable_element(severity: str, reason: str, element: Element) -> Uncheckable:
    reason = f"a contract lists it, and [invariants.{element.family}] makes no invariant of it: {reason}. Change that table"
    return Uncheckable(severity, reason, {"invariant": element.family, **element.labels})


def _is_sample(invariant: Invariant) -> bool:
    return invariant.element is not None and invariant.element.is_sample


def listed(
    reads: Element, lists: elements.Lists
) -> tuple[list[tuple[InvariantSettings, Element]], dict[str, tuple[str, Element]]]:
    """Return the invariants of the elements that contracts list, and by name why those of others are not valid.

    ``reads`` is what reads these lists.
    """
    template = reads.template or {}
    try:
        given = {**template[FOR_EACH], **lists}
        made = {name: (table, one) for name, table, one in expand(reads.family, template, given)}
    except (ValueError, KeyError) as error:
        _log.warning("a list cannot be checked", name=reads.family, reason=str(error))
        return [], {}
    draft = read_dict({INVARIANTS: {name: table for name, (table, _) in made.items()}}, watches=False)
    reasons = {str(one.path[1]): one.message for one in reversed(draft.problems) if len(one.path) > 1}
    in_conditions = labels_in_conditions(template) & lists.keys()
    valid, others = [], {}
    for name, (_, element) in made.items():
        settings = draft.parts.invariants.get(name)
        if any(may_end_text(element.labels[label]) for label in in_conditions):
            others[name] = "its text has quotes or a backslash, which would change the condition", element
        elif settings is None:
            others[name] = reasons.get(name, "it is not valid"), element
        else:
            valid.append((settings, element))
    return valid, others


def compile_definition(
    stored: Definition, settings: Settings, extractor: InvariantExtractor
) -> Sequence[Invariant | EventSession]:
    """Return what ``stored`` becomes: one, or of lists one of each element, of those that contracts keep what reads them.

    Raises ``ValueError`` where it is not valid, or not any more with this configuration.
    """
    if stored.kind == SESSION:
        session = msgspec.json.decode(stored.settings, type=Session)
        made = compile_session(stored.name, session, settings.pessimism.networks)
        networks = (made.network,) if isinstance(made, EventSession) else made.networks
        if unknown := set(networks) - settings.networks.keys():
            raise SessionError(f"no network is called {', '.join(sorted(unknown))}")
        return [made]
    found: list[Invariant] = []
    problems: dict[FlowProblem, None] = {}
    for table, element in settings_of(stored):
        try:
            found.append(compile_invariant(table, settings.networks, extractor.contracts, element))
        except InvariantError as error:
            of_list = {} if element is None else {table.name: element}
            for problem in error.problems:
                path = path_in_file(of_list, (INVARIANTS, table.name, *problem.path))
                problems[replace(problem, path=path[2:])] = None
    if problems:
        raise InvariantError(list(problems))
    if any(isinstance(one.every, tuple) or any(v.events is not None for v in one.values) for one in found):
        hint = "write the invariant into the configuration file"
        raise InvariantError([FlowProblem((), "no events are watched for it while this runs", hint)])
    return found


def settings_of(stored: Definition) -> list[tuple[InvariantSettings, Element | None]]:
    """Return the settings of an invariant as ``stored``, what its kind and its lists make of them.

    Raises ``InvariantError``.
    """
    table = msgspec.json.decode(stored.settings, type=dict)
    named = table.get("kind")
    if isinstance(named, str) and named in kinds() and kinds()[named].look_up is not None:
        hint = "write it into the configuration file, or run a session of Pessimism's API"
        raise InvariantError([FlowProblem(("kind",), f"{named} looks up what events claim", hint)])
    draft = read_dict({INVARIANTS: {stored.name: table}}, watches=False)
    if draft.problems:
        raise InvariantError([FlowProblem(p.path[2:], p.message, p.hint) for p in draft.problems])
    return [(one, draft.parts.elements.get(name)) for name, one in draft.parts.invariants.items()]
