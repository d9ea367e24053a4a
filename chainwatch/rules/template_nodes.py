"""What a Go template consists of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


class TemplateError(ValueError):
    """A template that cannot be read, or fails on its values."""


@dataclass(slots=True)
class Constant:
    value: str | int | float | bool | None


@dataclass(slots=True)
class Dot:
    pass


@dataclass(slots=True)
class Variable:
    name: str


@dataclass(slots=True)
class Name:
    """A function."""

    name: str


@dataclass(slots=True)
class Chain:
    """Fields of a value: ``.Labels.job``."""

    base: Operand
    fields: list[str]


@dataclass(slots=True)
class Pipeline:
    """Commands, each of which gets the result of the one before as its last argument; ``variables`` get the last result."""

    commands: list[list[Operand]]
    variables: list[str] = field(default_factory=list)
    declares: bool = False


Operand = Constant | Dot | Variable | Name | Chain | Pipeline


@dataclass(slots=True)
class Output:
    pipeline: Pipeline


@dataclass(slots=True)
class Branch:
    kind: Literal["if", "range", "with"]
    pipeline: Pipeline
    body: list[Item]
    otherwise: list[Item]


@dataclass(slots=True)
class Include:
    """``{{ template "name" pipeline }}``"""

    name: str
    pipeline: Pipeline | None


@dataclass(slots=True)
class Jump:
    kind: Literal["break", "continue"]


Item = str | Output | Branch | Include | Jump
