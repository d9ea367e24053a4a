"""The invariants that are checked now: those of the configuration, and those that were made while this runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
    EventSession,
    Session,
    SessionError,
    compile_look_up,
    compile_session,
)
from chainwatch.config import Settings, read_dict
from chainwatch.config.for_each import FOR_EACH, Element, expand
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


@dataclass(frozen=True)
class Running:
    """What is checked as of the change ``revision``: conditions on values, and sessions that wait for events."""

    revision: int
    invariants: Mapping[str, Invariant]
    sessions: Mapping[str, EventSession]

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
    ) -> dict[str, Invariant]:
        """Return the invariants of the elements that contracts list, by name."""
        found: dict[str, Invariant] = {}
        for one in known:
            if one.element is None or one.element.template is None or one.title not in lists:
                continue
            for settings, element in listed(one.element, lists[one.title]):
                try:
                    known_as = (self._settings.networks, self._extractor.contracts, element)
                    found[settings.name] = compile_invariant(settings, *known_as)
                except InvariantError as error:
                    _log.warning(
                        "an element of a list is no invariant", name=settings.name, reason=str(error)
                    )
        return found

    def _compile(
        self, revision: int, stored: list[Definition], lists: Mapping[str, elements.Lists]
    ) -> Running:
        found = {
            invariant.name: invariant
            for invariant in self._extractor.invariants
            if invariant.element is None or not invariant.element.is_sample
        }
        found |= self._of_lists(list(found.values()), lists)
        sessions = {name: compile_look_up(name, one) for name, one in self._look_ups.items()}
        for one in stored:
            try:
                made = compile_definition(one, self._settings, self._extractor)
            except ValueError as error:
                _log.warning("an invariant cannot be checked", invariant=one.name, reason=str(error))
                continue
            if isinstance(made, EventSession):
                sessions.setdefault(one.name, made)
            else:
                found.setdefault(one.name, made)
        return Running(revision, found, sessions)


def listed(reads: Element, lists: elements.Lists) -> list[tuple[InvariantSettings, Element]]:
    """Return the invariants of the elements that contracts list; ``reads`` is what reads these lists.

    Elements of which the configuration makes nothing valid are left out.
    """
    template = reads.template or {}
    try:
        given = {**template[FOR_EACH], **lists}
        made = {name: (table, one) for name, table, one in expand(reads.family, template, given)}
    except (ValueError, KeyError) as error:
        _log.warning("a list cannot be checked", name=reads.family, reason=str(error))
        return []
    draft = read_dict({"invariants": {name: table for name, (table, _) in made.items()}}, watches=False)
    for problem in draft.problems:
        _log.warning("an element of a list is no invariant", name=reads.family, reason=problem.message)
    return [(settings, made[name][1]) for name, settings in draft.parts.invariants.items()]


def compile_definition(
    stored: Definition, settings: Settings, extractor: InvariantExtractor
) -> Invariant | EventSession:
    """Return what ``stored`` is. Raises ``ValueError`` where it is not valid, or not any more with this configuration."""
    if stored.kind == SESSION:
        session = msgspec.json.decode(stored.settings, type=Session)
        made = compile_session(stored.name, session, settings.pessimism.networks)
        networks = (made.network,) if isinstance(made, EventSession) else made.networks
        if unknown := set(networks) - settings.networks.keys():
            raise SessionError(f"no network is called {', '.join(sorted(unknown))}")
        return made
    made = compile_invariant(settings_of(stored), settings.networks, extractor.contracts)
    if isinstance(made.every, tuple) or any(value.events is not None for value in made.values):
        hint = "write the invariant into the configuration file"
        raise InvariantError([FlowProblem((), "no events are watched for it while this runs", hint)])
    return made


def settings_of(stored: Definition) -> InvariantSettings:
    """Return the settings of an invariant as ``stored``, what its kind makes of them. Raises ``InvariantError``."""
    table = msgspec.json.decode(stored.settings, type=dict)
    named = table.get("kind")
    if isinstance(named, str) and named in kinds() and kinds()[named].look_up is not None:
        hint = "write it into the configuration file, or run a session of Pessimism's API"
        raise InvariantError([FlowProblem(("kind",), f"{named} looks up what events claim", hint)])
    draft = read_dict({"invariants": {stored.name: table}}, watches=False)
    if draft.problems:
        raise InvariantError([FlowProblem(p.path[2:], p.message, p.hint) for p in draft.problems])
    if stored.name not in draft.parts.invariants:
        hint = "write the invariant into the configuration file"
        raise InvariantError([FlowProblem(("for_each",), "lists are not possible here", hint)])
    return draft.parts.invariants[stored.name]
