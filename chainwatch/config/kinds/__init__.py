"""Kinds of invariants: named conditions with parameters, which `[invariants.NAME]` uses by ``kind = "…"``.

A kind is a table in a file of ``tables/``, one file for each family. Its keys are those of `[invariants.NAME]`, as templates
(`template.py`), beside what it is (``about``), where it is from (``source``) and its parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import tomli

from chainwatch.config.kinds.parameters import WORDS, Parameter

__all__ = ["WORDS", "Family", "Kind", "LookUp", "Parameter", "families", "kinds"]

FAMILIES = ("accounts", "contracts", "safe", "bridges", "op_stack")
"""The files, in the order in which they are shown."""


@dataclass(frozen=True)
class Kind:
    """A kind of invariant. ``template`` is the table that it becomes; ``example`` a use of it.

    One with ``look_up`` (the heuristic, and the layer of its events) becomes a `LookUp` with the ``params`` of its template.
    """

    name: str
    about: str
    source: str
    parameters: Mapping[str, Parameter]
    template: Mapping[str, Any]
    example: Mapping[str, Any]
    look_up: Mapping[str, str] | None = None


@dataclass(frozen=True)
class LookUp:
    """An invariant on what events claim: ``heuristic`` and ``params`` are Pessimism's, ``layer`` is that of the events."""

    heuristic: str
    layer: str
    layer1: str
    layer2: str
    params: Mapping[str, Any]
    severity: str
    message: str
    runbook_url: str | None = None


@dataclass(frozen=True)
class Family:
    """Kinds that belong together."""

    title: str
    about: str
    kinds: tuple[Kind, ...]


@cache
def families() -> tuple[Family, ...]:
    """Return all kinds."""
    return tuple(map(_family, FAMILIES))


@cache
def kinds() -> Mapping[str, Kind]:
    """Return all kinds by their names."""
    return {kind.name: kind for family in families() for kind in family.kinds}


def _family(name: str) -> Family:
    table = tomli.loads(files(__package__).joinpath("tables", f"{name}.toml").read_text(encoding="utf-8"))
    return Family(
        table["title"], table["about"], tuple(_kind(key, row) for key, row in table["kinds"].items())
    )


def _kind(name: str, row: Mapping[str, Any]) -> Kind:
    own = ("about", "source", "parameters", "example", "look_up")
    template = {key: value for key, value in row.items() if key not in own}
    parameters = _parameters(row["parameters"])
    return Kind(
        name, row["about"], row.get("source", ""), parameters, template, row["example"], row.get("look_up")
    )


def _parameters(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Parameter]:
    return {
        name: Parameter(
            name,
            row["is"],
            row["about"],
            row.get("default"),
            "default" not in row and not row.get("optional", False),
            _parameters(row.get("columns", {})),
        )
        for name, row in rows.items()
    }
