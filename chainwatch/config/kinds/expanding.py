"""From ``kind = "…"`` and its parameters to the keys of an ordinary invariant. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from chainwatch.config.errors import key_text
from chainwatch.config.kinds import Kind, LookUp, kinds
from chainwatch.config.kinds.parameters import Parameter, Wrong, read_all
from chainwatch.config.kinds.template import (
    NotGivenError,
    Origins,
    render_conditions,
    render_table,
    render_text,
)
from chainwatch.config.toml_lines import KeyPath
from chainwatch.config.types import Expected, WebLink, normal_severity
from chainwatch.support.spelling import did_you_mean

INVARIANTS, KIND = "invariants", "kind"
_OF_LOOK_UPS = ("severity", "message", "runbook_url")
"""The keys beside the parameters of a kind that becomes a look-up."""
_LINK: TypeAdapter[str] = TypeAdapter(WebLink)
_MADE = ("assert", "values")
"""The keys that only the kind itself sets."""


class Mistake(NamedTuple):
    """What is wrong at a path within the table; ``is_expectation``: its message says what was expected there."""

    path: KeyPath
    message: str
    hint: str = ""
    is_expectation: bool = False


class Expanded(NamedTuple):
    """The table that a kind becomes, and which of its values are parameters.

    There is none where it has mistakes, nor for a kind that becomes a ``look_up``.
    """

    table: dict[str, Any] | None
    origins: Origins
    mistakes: Sequence[Mistake]
    look_up: LookUp | None = None

    def written(self, path: KeyPath) -> KeyPath | None:
        """Return the path, in what was written, of the value at ``path``; None for one that the kind sets."""
        for length in range(len(path), 0, -1):
            if (origin := self.origins.get(path[:length])) is not None:
                return (*origin, *path[length:])
        return None


def expand_all(data: Mapping[str, Any], also: Collection[str]) -> dict[str, Expanded]:
    """Return by its name what each invariant with a kind in the configuration ``data`` becomes."""
    tables = data.get(INVARIANTS)
    if not isinstance(tables, dict):
        return {}
    return {
        n: expand(table, also) for n, table in tables.items() if isinstance(table, dict) and KIND in table
    }


def with_kinds(data: Mapping[str, Any], kinds: Mapping[str, Expanded]) -> dict[str, Any]:
    """Return ``data`` with invariants replaced by what they become, without those that have mistakes."""
    if not kinds:
        return dict(data)
    made = {name: kinds[name].table if name in kinds else table for name, table in data[INVARIANTS].items()}
    return {**data, INVARIANTS: {name: table for name, table in made.items() if table is not None}}


def expand(table: Mapping[str, Any], also: Collection[str]) -> Expanded:
    """Return what ``table`` with a kind becomes; ``also`` are the keys of invariants, which may stand beside parameters."""
    named = table[KIND]
    if not isinstance(named, str) or named not in kinds():
        near = did_you_mean(named, list(kinds())) if isinstance(named, str) else ""
        hint = f"{near or '`chainwatch invariants kinds` lists them'}"
        return Expanded(None, {}, [Mistake((KIND,), "there is no such kind", hint)])
    kind = kinds()[named]
    if kind.look_up is not None:
        also = (KIND, *_OF_LOOK_UPS)
    kept = {key: value for key, value in table.items() if key in also and key not in kind.parameters}
    mistakes = [
        Mistake((key,), f"the kind {named} has {'a condition' if key == 'assert' else 'values'} of its own")
        for key in _MADE
        if key in kept
    ]
    given = {key: value for key, value in table.items() if key not in kept}
    found, wrong = read_all(kind.parameters, given)
    mistakes += [_mistake(kind, one) for one in wrong]
    lower, upper = found.get("lower"), found.get("upper")
    if lower is not None and upper is not None and lower > upper:
        mistakes.append(Mistake(("upper",), "expected `lower` or more", is_expectation=True))
    if mistakes:
        return Expanded(None, {}, mistakes)
    if kind.look_up is not None:
        return _look_up(kind, found, kept)
    origins: Origins = {}
    template = {key: value for key, value in kind.template.items() if key not in ("assert", "message")}
    condition = render_conditions(kind.template["assert"], found)
    if not condition:
        optional = [name for name, one in kind.parameters.items() if not one.is_required]
        message = f"nothing to check: expected at least one of {', '.join(optional)}"
        return Expanded(None, {}, [Mistake((), message)])
    try:
        made = render_table(template, found, (), origins)
        message = render_text(kind.template.get("message", ""), found)
    except NotGivenError as error:
        return Expanded(None, {}, [Mistake((str(error),), "missing", f"the kind {named} needs it here")])
    made |= {"assert": condition, **({"message": message} if message else {})}
    return Expanded({**made, **kept}, origins, [])


def _look_up(kind: Kind, found: Mapping[str, Any], kept: Mapping[str, Any]) -> Expanded:
    assert kind.look_up is not None
    params = render_table(kind.template["params"], found, (), {})
    # a share is a percentage here, and below 1 in Pessimism
    params = {key: str(float(v / 100)) if isinstance(v, Fraction) else v for key, v in params.items()}
    message = kept.get("message", render_text(kind.template["message"], found))
    try:
        severity = normal_severity(kept.get("severity", kind.template["severity"]))
    except Expected as error:
        return Expanded(None, {}, [Mistake(("severity",), f"expected {error}", "", is_expectation=True)])
    if not isinstance(message, str):
        return Expanded(None, {}, [Mistake(("message",), "expected text", "", is_expectation=True)])
    link = kept.get("runbook_url")
    try:
        link = None if link is None else _LINK.validate_python(link)
    except ValidationError:
        return Expanded(None, {}, [Mistake(("runbook_url",), "expected a URL", "", is_expectation=True)])
    layers = (found["network"], found.get("l2", found["network"]))
    made = LookUp(kind.look_up["heuristic"], kind.look_up["layer"], *layers, params, severity, message, link)
    return Expanded(None, {}, [], made)


def _mistake(kind: Kind, wrong: Wrong) -> Mistake:
    if wrong.hint == "unknown" and not wrong.expected:
        known = _beside(kind.parameters, wrong.path)
        hint = did_you_mean(str(wrong.path[-1]), list(known)) or f"there are {', '.join(known)}"
        return Mistake(wrong.path, f"unknown key of the kind {kind.name}", hint)
    if not wrong.expected:
        parameter = _beside(kind.parameters, wrong.path)[str(wrong.path[-1])]
        return Mistake(wrong.path, f"missing; expected: {parameter.about}")
    return Mistake(wrong.path, f"expected {wrong.expected}", wrong.hint, is_expectation=True)


def _beside(parameters: Mapping[str, Parameter], path: KeyPath) -> Mapping[str, Parameter]:
    """Return the parameters beside the one at ``path``."""
    for part in path[:-1]:
        if isinstance(part, str):
            parameters = parameters[part].columns
    return parameters


def as_written(kinds: Mapping[str, Expanded], path: KeyPath, message: str) -> tuple[KeyPath, str]:
    """Return the path and message of a problem with what ``kinds``, by the invariants' names, were expanded to.

    A problem with a parameter's value is one at that parameter, any other is one at the invariant's table.
    """
    expanded = kinds.get(str(path[1])) if len(path) > 2 and path[0] == INVARIANTS else None
    if expanded is None:
        return path, message
    written = expanded.written(path[2:])
    if written is not None:
        return (*path[:2], *written), message
    if path[2] not in _MADE:
        return path, message
    return path[:2], f"{key_text(path[2:])}: {message}"
