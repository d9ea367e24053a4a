"""A flow's steps as their mistakes are looked for: texts of the configuration beside what they compile to. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chainwatch.checker.expression import Scope, Value
from chainwatch.checker.terms import kind_of
from chainwatch.config import FlowSettings, NetworkSettings, OpeningSettings, StepSettings
from chainwatch.config.toml_lines import KeyPath
from chainwatch.model import AbiEvent


@dataclass(frozen=True)
class KeyPart:
    """One part of a step's key: its text, its value, or the attribute of the network that it is."""

    text: str
    value: Value | None
    attribute: str

    @property
    def name(self) -> str:
        """The last name of the argument that it is, also within one cast; empty for what is computed otherwise."""
        return argument_name(self.text)

    @property
    def kind(self) -> str:
        """See `terms.kind_of`; empty for an attribute."""
        return "" if self.value is None else kind_of(self.value.type)


@dataclass(frozen=True)
class StepParts:
    """A step: its settings, which stand at ``at``, what it reads, and the parts of its key, which stand at ``key_at``."""

    settings: OpeningSettings | StepSettings
    at: KeyPath
    scope: Scope
    contract: str
    key: tuple[KeyPart, ...]
    key_at: KeyPath

    @property
    def event(self) -> AbiEvent:
        """Its event."""
        return self.scope.event

    def part_at(self, index: int) -> KeyPath:
        """Return where the key's part ``index`` stands."""
        return (*self.key_at, index) if len(self.key) > 1 else self.key_at


@dataclass(frozen=True)
class FlowParts:
    """A flow that compiles: its steps, and the networks on which they can be."""

    settings: FlowSettings
    networks: Mapping[str, NetworkSettings]
    opening: StepParts
    expected: tuple[StepParts, ...]
    origins: Sequence[str]
    """On which transfers open."""
    places: Mapping[str, Sequence[str]]
    """By contract, the networks on which it has an address."""

    def is_elsewhere(self, step: StepParts) -> bool:
        """Return whether ``step`` is expected on another network than that on which the transfer opens."""
        on = step.settings.on
        place = self.settings.opens.destination if on == "destination" else on
        return place != "origin" and place not in self.origins

    def destinations(self, step: StepParts) -> list[str]:
        """Return the networks on which ``step`` can be seen."""
        on = step.settings.on
        if on in self.networks:
            return [str(on)]
        places = self.places[step.contract]
        return [place for place in places if on != "origin" or place in self.origins]


_ARGUMENT = re.compile(r"\s*(?:\w+\(\s*)?((?:event\.args\.)?[A-Za-z_$][\w$.]*)\s*\)?\s*")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


def argument_name(text: str | None) -> str:
    """Return the last name of the argument that an expression is, also within one cast; else an empty text."""
    match = _ARGUMENT.fullmatch(text or "")
    return match[1].rpartition(".")[2] if match and "(" not in match[1] else ""


def words(name: str) -> list[str]:
    """Return the words of a name such as ``srcEid`` or ``source_domain``, in small letters."""
    return [word.lower() for word in _WORD.findall(name)]
