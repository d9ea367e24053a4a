"""The parameters of kinds: their types, and what a written value becomes in a template. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any, NamedTuple

from chainwatch.config.types import Expected
from chainwatch.grammar.durations import EXAMPLES, parse_duration
from chainwatch.support.keccak import checksum_address

DECIMALS = "decimals"
"""The parameter that says in which unit the amounts beside it are; 18 where there is none."""
ETHER_DECIMALS = 18
DECIMALS_MAX = 77
ROWS_MAX = 100
"""Items of a list."""
_DIGITS = 200


@dataclass(frozen=True)
class Parameter:
    """A parameter of a kind. ``columns`` are those of each table where it is a list of tables (``rows``)."""

    name: str
    type: str
    about: str
    default: Any = None
    is_required: bool = True
    columns: Mapping[str, Parameter] = field(default_factory=dict)


class Span(NamedTuple):
    """A duration: as it was written, and in seconds."""

    text: str
    seconds: float


class Literal(NamedTuple):
    """A value as a condition writes it."""

    text: str


class Wrong(NamedTuple):
    """A value that is not what its parameter takes: where within it, what was expected, and a hint."""

    path: tuple[str | int, ...]
    expected: str
    hint: str = ""


def read(parameter: Parameter, value: object, decimals: int) -> tuple[Any, list[Wrong]]:
    """Return what ``value`` is for ``parameter``, and all that is wrong with it. Amounts have ``decimals``."""
    if parameter.type != "rows":
        try:
            if parameter.type == "amount":
                return _amount(value, decimals), []
            return TYPES[parameter.type](value), []
        except Expected as error:
            return None, [Wrong((), str(error), error.hint)]
    if not isinstance(value, list) or not 0 < len(value) <= ROWS_MAX:
        return None, [Wrong((), "a list of tables", "put { } into [ ]")]
    rows, wrong = [], []
    for index, row in enumerate(value):
        if not isinstance(row, dict):
            wrong.append(Wrong((index,), f"a table with {', '.join(parameter.columns)}"))
            continue
        found, mistakes = read_all(parameter.columns, row)
        rows.append(found)
        wrong += [one._replace(path=(index, *one.path)) for one in mistakes]
    return rows, wrong


def read_all(
    parameters: Mapping[str, Parameter], given: Mapping[str, object]
) -> tuple[dict[str, Any], list[Wrong]]:
    """Return the values of ``parameters`` as ``given`` or by default, and all that is wrong. Those left out are missing."""
    found: dict[str, Any] = {}
    wrong: list[Wrong] = []
    unit = _unit(parameters, given)
    for name, parameter in parameters.items():
        if given.get(name) is None and parameter.is_required:
            wrong.append(Wrong((name,), ""))
        elif (value := given.get(name, parameter.default)) is not None:
            found[name], mistakes = read(parameter, value, unit)
            wrong += [one._replace(path=(name, *one.path)) for one in mistakes]
    wrong += [Wrong((name,), "", "unknown") for name in given if name not in parameters]
    return found, wrong


def text_of(value: Any) -> str:
    """Return a value as it is written into a condition or a text."""
    match value:
        case bool():
            return "true" if value else "false"
        case Span(seconds=seconds):
            return str(Fraction(seconds).limit_denominator(1000))
        case Literal(text=text):
            return text
        case list():
            return ", ".join(map(text_of, value))
        case _:
            return str(value)


def _unit(parameters: Mapping[str, Parameter], given: Mapping[str, object]) -> int:
    """Return the decimals of the amounts among ``parameters``; wrong ones are reported where they stand."""
    if DECIMALS not in parameters:
        return ETHER_DECIMALS
    try:
        return _decimals(given.get(DECIMALS, parameters[DECIMALS].default))
    except Expected:
        return ETHER_DECIMALS


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise Expected("text that is not empty")
    return value


def _texts(value: object) -> list[str]:
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list) or not 0 < len(items) <= ROWS_MAX:
        raise Expected("text or a list of text")
    return list(map(_text, items))


def _events(value: object) -> list[str]:
    """Return names of events, or their signatures; values are named after them."""
    items = _texts(value)
    if len({event_name(item) for item in items}) < len(items):
        raise Expected("events of different names")
    return items


def event_name(event: str) -> str:
    """Return what stands before the signature of ``event``, as letters, digits and `_`."""
    return re.sub("[^A-Za-z0-9_]", "_", event.partition("(")[0])


def _address(value: object) -> str:
    """Return an address with its checksum; the zero address is one here: nobody owns what it owns."""
    if not isinstance(value, str) or not re.fullmatch("0x[0-9a-fA-F]{40}", value):
        raise Expected("an address: 0x and 40 hex digits")
    right = checksum_address(bytes.fromhex(value[2:]))
    if value not in (right, value.lower()):
        hint = "a digit or a capital letter is wrong: copy it again, or write it all in lower case"
        raise Expected("an address with a right EIP-55 checksum", hint)
    return right


def _addresses(value: object) -> list[str]:
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list) or len(items) > ROWS_MAX:
        raise Expected("an address or a list of addresses")
    return list(map(_address, items))


def _target(value: object) -> str:
    """Return an address, or the name of a contract of the configuration."""
    text = _text(value)
    return _address(text) if text.startswith("0x") else text


def _word(value: object) -> Literal:
    if not isinstance(value, str) or not re.fullmatch("0x[0-9a-fA-F]{64}", value):
        raise Expected("32 bytes: 0x and 64 hex digits")
    return Literal(value.lower())


def _integer(value: object) -> int:
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,78}|0x[0-9a-fA-F]{1,64}", value):
        return int(value, 16 if value.startswith("0x") else 10)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Expected("an integer")
    return value


def _decimals(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= DECIMALS_MAX:
        raise Expected(f"a number of decimals from 0 to {DECIMALS_MAX}")
    return value


def _decimal(value: object, wanted: str) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise Expected(wanted)
    text = str(value)
    if not re.fullmatch(r"[0-9_]{1,100}(\.[0-9]{1,100})?", text):
        raise Expected(wanted)
    return Decimal(text)


def _amount(value: object, decimals: int) -> int:
    """Return an amount in the smallest unit, of one in whole tokens: a number, or text where digits must not be lost."""
    with localcontext(prec=_DIGITS):
        units = _decimal(value, 'an amount in whole tokens, such as 100 or "0.5"').scaleb(decimals)
        if units != units.to_integral_value():
            raise Expected(f"an amount with at most {decimals} decimals")
        return int(units)


def _percent(value: object) -> Fraction:
    percent = Fraction(_decimal(value, "a percentage from 0 to 100, such as 5 or 0.5"))
    if percent > 100:
        raise Expected("a percentage from 0 to 100, such as 5 or 0.5")
    return percent


def _duration(value: object) -> Span:
    try:
        seconds = parse_duration(value) if isinstance(value, str) else 0.0
    except ValueError:
        seconds = 0.0
    if not isinstance(value, str) or seconds <= 0:
        raise Expected(f"a duration above zero, such as {EXAMPLES}")
    return Span(value, seconds)


def _literal(value: object) -> Literal:
    if isinstance(value, str) and re.fullmatch("0x[0-9a-fA-F]*", value):
        return Literal(_address(value) if len(value) == 42 else value)
    if isinstance(value, str):
        return Literal(json.dumps(value, ensure_ascii=False))
    if isinstance(value, bool | int):
        return Literal(text_of(value))
    raise Expected("an integer, true or false, or text such as 0x… or a word")


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise Expected("true or false")
    return value


def _arguments(value: object) -> list[Any]:
    if not isinstance(value, list) or not all(isinstance(item, str | int | list) for item in value):
        raise Expected("a list of arguments: integers, true or false, and text")
    return value


TYPES: Mapping[str, Callable[[object], Any]] = {
    "network": _text,
    "networks": _texts,
    "target": _target,
    "address": _address,
    "addresses": _addresses,
    "text": _text,
    "events": _events,
    "word": _word,
    "integer": _integer,
    "decimals": _decimals,
    "percent": _percent,
    "duration": _duration,
    "literal": _literal,
    "flag": _flag,
    "arguments": _arguments,
}
"""What each type makes of a value as a file has it; raises `Expected`. ``amount`` and ``rows`` need more than the value."""

WORDS: Mapping[str, str] = {
    "network": "network",
    "networks": "network or list of networks",
    "target": "address, or a contract's name",
    "address": "address",
    "addresses": "list of addresses",
    "text": "text",
    "events": "list of text",
    "word": "32 bytes",
    "integer": "integer",
    "decimals": "integer",
    "amount": "amount in whole tokens",
    "percent": "percentage",
    "duration": "duration",
    "literal": "value",
    "flag": "true or false",
    "arguments": "list of arguments",
    "rows": "list of tables",
}
"""What each type is called."""
