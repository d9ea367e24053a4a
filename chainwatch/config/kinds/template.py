"""Templates of kinds: texts and tables in which parameters stand in braces. Pure.

========================== ============================================================================
``{name}``                 the parameter; where it is the whole text, its value and not its text
``{name.column}``          within ``each`` and ``sum``, a column of the row
``{name? text}``           ``text`` where the parameter is given
``{name! text}``           ``text`` where it is not given
``{sum name: text}``       ``text`` for each of a list, joined by ``+``; ``#`` in it counts from 1
``{all name: text}``       the same, joined by ``and``
``{1.1 name}``             a duration as many times, in whole seconds, rounded up
``{len name}``             how many there are in a list
``{name events}``          of the text of an event, its name alone
========================== ============================================================================

A table with ``each = "name"`` stands once for each of a list, under its key (or ``named``) followed by ``_1``, ``_2``, …, or
under what ``named`` makes of it, where that has braces;
one with ``when`` or ``unless`` only where that parameter is given or not. A condition that names what is not given is left
out, and so is a key whose whole value is such a parameter. ``target`` becomes ``address`` or ``contract``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from math import ceil
from typing import Any

from chainwatch.config.kinds.parameters import Span, event_name, text_of

_OWN_KEYS = ("each", "named", "when", "unless")
_JOINED = {"sum": " + ", "all": " and "}
_LOOP = re.compile(r"(sum|all) ([a-z_]+): ")
_WHOLE = re.compile(r"\{([a-z_.]+)\}")
_MULTIPLE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ([a-z_]+)")
_LENGTH = re.compile(r"len ([a-z_]+)")
_EVENT = re.compile(r"name ([a-z_]+)")
_CHOICE = re.compile(r"([a-z_.]+)([?!]) ?")

Scope = Mapping[str, Any]
Origins = dict[tuple[str | int, ...], tuple[str | int, ...]]
"""Path in what was made → path of the parameter that is the value there."""


class NotGivenError(Exception):
    """A template needs a parameter that is not given; the message is its name."""


def render_table(
    template: Mapping[str, Any], scope: Scope, at: tuple[str | int, ...], origins: Origins
) -> dict[str, Any]:
    """Return a table made of ``template``, and note in ``origins`` which values of it are parameters."""
    made: dict[str, Any] = {}
    for key, item in template.items():
        if not isinstance(item, dict):
            if key == "target":
                value = _item(item, scope, (*at, key), origins)
                new = "address" if str(value).startswith("0x") else "contract"
                made[new] = value
                if (*at, key) in origins:
                    origins[(*at, new)] = origins.pop((*at, key))
            elif not _is_left_out(item, scope):
                made[key] = _item(item, scope, (*at, key), origins)
            continue
        for name, inner in _repeated(key, item, scope):
            if _stands(item, inner):
                plain = {k: v for k, v in item.items() if k not in _OWN_KEYS}
                made[name] = render_table(plain, inner, (*at, name), origins)
    return made


def render_conditions(parts: list[str], scope: Scope) -> str:
    """Return the conditions in ``parts`` as one, without those that are empty or need what is not given."""
    made = []
    for part in parts:
        with suppress(NotGivenError):
            made.append(render_text(part, scope))
    return " and ".join(filter(None, made))


def render_text(template: str, scope: Scope, number: int | None = None) -> str:
    """Return ``template`` with the parameters in ``scope``. Raises `NotGivenError`."""
    made = ""
    for is_braced, text in _split(template):
        if is_braced:
            made += _braced(text, scope, number)
        else:
            made += text if number is None else text.replace("#", str(number))
    return made


def _item(item: Any, scope: Scope, at: tuple[str | int, ...], origins: Origins) -> Any:
    if isinstance(item, list):
        return [_item(one, scope, (*at, index), origins) for index, one in enumerate(item)]
    if not isinstance(item, str):
        return item
    whole = _WHOLE.fullmatch(item)
    if whole is None:
        return render_text(item, scope)
    value = _lookup(whole[1], scope)
    origins[at] = _origin(whole[1], scope)
    return value.text if isinstance(value, Span) else text_of(value) if isinstance(value, tuple) else value


def _is_left_out(item: Any, scope: Scope) -> bool:
    whole = _WHOLE.fullmatch(item) if isinstance(item, str) else None
    return whole is not None and not _is_given(whole[1], scope)


def _origin(name: str, scope: Scope) -> tuple[str | int, ...]:
    first, *rest = name.split(".")
    index = scope.get("#", {}).get(first)
    return (first, *(() if index is None else (index,)), *rest)


def _repeated(key: str, table: Mapping[str, Any], scope: Scope) -> Iterator[tuple[str, Scope]]:
    key = table.get("named", key)
    if "each" not in table:
        yield key, scope
        return
    name = table["each"]
    for index, row in enumerate(scope.get(name, ())):
        places = {**scope.get("#", {}), name: index}
        inner = {**scope, name: row, "#": places}
        yield render_text(key, inner) if "{" in key else f"{key}_{index + 1}", inner


def _stands(table: Mapping[str, Any], scope: Scope) -> bool:
    when, unless = table.get("when"), table.get("unless")
    return (when is None or _is_given(when, scope)) and (unless is None or not _is_given(unless, scope))


def _braced(text: str, scope: Scope, number: int | None) -> str:
    if loop := _LOOP.match(text):
        how, name = loop.groups()
        body = text[loop.end() :]
        rows = _lookup(name, scope)
        return _JOINED[how].join(
            render_text(body, {**scope, name: row}, index + 1) for index, row in enumerate(rows)
        )
    if multiple := _MULTIPLE.fullmatch(text):
        return str(ceil(float(multiple[1]) * _lookup(multiple[2], scope).seconds))
    if length := _LENGTH.fullmatch(text):
        return str(len(_lookup(length[1], scope)))
    if event := _EVENT.fullmatch(text):
        return event_name(_lookup(event[1], scope))
    if choice := _CHOICE.match(text):
        wanted = choice[2] == "?"
        given = _is_given(choice[1], scope)
        return render_text(text[choice.end() :], scope, number) if given == wanted else ""
    return text_of(_lookup(text, scope))


def _is_given(name: str, scope: Scope) -> bool:
    try:
        _lookup(name, scope)
    except NotGivenError:
        return False
    return True


def _lookup(name: str, scope: Scope) -> Any:
    value: Any = scope
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise NotGivenError(name)
        value = value[part]
    return value


def _split(template: str) -> Iterator[tuple[bool, str]]:
    """Yield the parts of ``template``: whether they stand in braces, and their text. ``${…}`` is not in braces."""
    plain = start = depth = 0
    for index, letter in enumerate(template):
        if letter == "{":
            if depth == 0:
                if index and template[index - 1] == "$":
                    continue
                yield False, template[plain:index]
                start = index + 1
            depth += 1
        elif letter == "}" and depth:
            depth -= 1
            if depth == 0:
                yield True, template[start:index]
                plain = index + 1
    yield False, template[plain:]
