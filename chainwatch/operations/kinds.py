"""The kinds of invariants: what each watches, its parameters, and how it is used."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from chainwatch.config.kinds import WORDS, Kind, Parameter, families, kinds
from chainwatch.operations.checks import no_such
from chainwatch.operations.errors import NotFound


class ParameterView(msgspec.Struct, frozen=True):
    """A parameter: ``default`` is as it would be written; ``name`` of a column is ``LIST.COLUMN``."""

    name: str
    type: str
    required: bool
    default: str
    meaning: str


class KindView(msgspec.Struct, frozen=True):
    """A kind: ``example`` is TOML."""

    name: str
    family: str
    severity: str
    about: str
    source: str
    parameters: Sequence[ParameterView]
    example: str


def list_kinds() -> list[KindView]:
    """Return all kinds, family by family."""
    return [_view(kind, family.title) for family in families() for kind in family.kinds]


def show_kind(name: str) -> KindView:
    """Return the kind ``name``. Raises ``NotFound``."""
    found = next((view for view in list_kinds() if view.name == name), None)
    if found is None:
        raise NotFound(no_such("kind", name, list(kinds())))
    return found


def example_text(kind: Kind) -> str:
    """Return a use of ``kind`` as TOML."""
    lines = [f"[invariants.{kind.name.replace('_', '-')}]", f'kind = "{kind.name}"']
    return "\n".join([*lines, *(f"{key} = {_toml(value)}" for key, value in kind.example.items())])


def parameters_of(kind: Kind) -> list[ParameterView]:
    """Return the parameters of ``kind``, with the columns of its lists."""
    views = []
    for parameter in kind.parameters.values():
        views.append(_parameter(parameter, ""))
        views += [_parameter(column, f"{parameter.name}.") for column in parameter.columns.values()]
    return views


def _view(kind: Kind, family: str) -> KindView:
    severity = kind.template["severity"]
    return KindView(
        kind.name, family, severity, kind.about, kind.source, parameters_of(kind), example_text(kind)
    )


def _parameter(parameter: Parameter, within: str) -> ParameterView:
    default = "" if parameter.default is None else _toml(parameter.default)
    return ParameterView(
        within + parameter.name, WORDS[parameter.type], parameter.is_required, default, parameter.about
    )


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)
