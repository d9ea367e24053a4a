"""ABI files → events and functions.

Reads a plain JSON ABI (a list), and the artefacts of Hardhat, Foundry and Truffle (an object with ``abi``).
Source: the Solidity contract ABI specification, section "JSON".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chainwatch.model import AbiEvent, AbiParam
from chainwatch.support.abi.shape import MAX_DEPTH, ShapeError, canonical, shape_of, tuple_of
from chainwatch.support.keccak import keccak256
from chainwatch.support.nesting import is_too_deep
from chainwatch.support.spelling import did_you_mean, nearest

MAX_INDEXED = 3
"""A log has four topics; an event that is not anonymous needs the first for its signature's hash."""


MAX_FILE = 32 * 2**20
"""Bytes of an ABI file; artefacts with their bytecode and sources take a few MB."""
MAX_FIELDS = 1_000
"""Fields of one event, those within tuples among them; no compiler makes so many."""
MAX_NAME = 250
"""Characters in a name or a type."""
_MESSAGE_MAX = 600


class AbiError(ValueError):
    """An ABI that cannot be used. The message names the file and the place, and what was expected there."""

    def __init__(self, message: str) -> None:
        text = message.encode("utf-8", "backslashreplace").decode()  # a file may hold half a surrogate pair
        middle = _MESSAGE_MAX // 2
        super().__init__(text if len(text) <= _MESSAGE_MAX else f"{text[:middle]}…{text[-middle:]}")


@dataclass(frozen=True, slots=True)
class Abi:
    """What an ABI file declares. ``functions`` are the raw JSON entries, as web3 takes them."""

    source: str
    events: tuple[AbiEvent, ...]
    functions: tuple[Mapping[str, Any], ...] = ()

    def event(self, name: str) -> AbiEvent:
        """Return the event of this name, or of this signature (``Name(type,…)``) where several share the name.

        Raises ``AbiError`` when there is none, or when a bare name means several signatures. Of events with
        the same signature that differ in their indexed fields only, it is the first: see ``forms``.
        """
        return self.forms(name)[0]

    def forms(self, name: str) -> tuple[AbiEvent, ...]:
        """Return the events of one signature, more than one when they differ in indexed fields. Raises as ``event``."""
        wanted = tidy_signature(name)
        if "(" in wanted:
            found = tuple(e for e in self.events if e.signature == wanted)
        else:
            found = tuple(e for e in self.events if e.name == wanted)
        signatures = list(dict.fromkeys(e.signature for e in found))
        if not found:
            known = {e.signature if "(" in wanted else e.name for e in self.events}
            hint = did_you_mean(wanted, known) or "it has no events"
            raise AbiError(f'{self.source}: no event "{name}"; {hint}')
        if len(signatures) > 1:
            raise AbiError(f'{self.source}: event "{name}" is ambiguous; name one of {", ".join(signatures)}')
        return found


def load_abi(path: Path) -> Abi:
    """Read an ABI file. Raises ``AbiError``, also for a file that cannot be read."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE + 1)
        if len(text) > MAX_FILE:
            raise AbiError(f"{path}: larger than {MAX_FILE // 2**20} MiB, which no ABI is")
        if is_too_deep(text):
            raise AbiError(f"{path}: nested too deeply for an ABI")
        content = json.loads(text)
    except OSError as error:
        raise AbiError(f"{path}: cannot read the ABI file: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise AbiError(f"{path}: not a JSON file: byte {error.start} is not valid UTF-8") from error
    except json.JSONDecodeError as error:
        raise AbiError(f"{path}:{error.lineno}:{error.colno}: not valid JSON: {error.msg}") from error
    except AbiError:
        raise
    except ValueError as error:  # thousands of digits; the path may hold a zero byte
        raise AbiError(f"{path}: not an ABI file: {error}") from error
    return parse_abi(content, str(path))


def parse_abi(content: Any, source: str) -> Abi:
    """Return an ABI from parsed JSON, a list or an artefact; ``source`` names it in errors. Raises ``AbiError``."""
    place = f"{source}: "
    if isinstance(content, Mapping):
        if "abi" not in content:
            raise AbiError(f'{source}: expected a list, or an artefact with the key "abi"; {_keys(content)}')
        content = content["abi"]
        place = f"{source}: abi"
    if not isinstance(content, list):
        raise AbiError(f"{source}: expected a list of ABI entries, not {_kind(content)}")
    events: list[AbiEvent] = []
    functions: list[Mapping[str, Any]] = []
    for index, entry in enumerate(content):
        at = f"{place}[{index}]"
        match _entry_type(entry, at):
            case "event":
                events.append(parse_event(entry, at))
            case "function":
                functions.append(entry)
    return Abi(source, tuple(dict.fromkeys(events)), tuple(functions))


def parse_event(entry: Mapping[str, Any], place: str = "event") -> AbiEvent:
    """Return an event from its entry in the JSON ABI, made regular as ``regular_event`` does. Raises ``AbiError``."""
    if _entry_type(entry, place, default="event") != "event":
        raise AbiError(f'{place}.type: expected "event", not "{entry["type"]}"')
    name = entry.get("name", "")
    if not isinstance(name, str) or not name:
        raise AbiError(f"{place}.name: expected the event's name; {_keys(entry)}")
    _check_name(name, f"{place}.name")
    anonymous = entry.get("anonymous", False)
    if not isinstance(anonymous, bool):
        raise AbiError(f"{place}.anonymous: expected true or false, not {_kind(anonymous)}")
    place = f"{place} ({name})"
    if _has_too_many_fields(entry.get("inputs")):
        raise AbiError(f"{place}.inputs: more than {MAX_FIELDS} fields, which no event has")
    inputs = parse_params(entry, "inputs", place)
    return regular_event(AbiEvent(name, inputs, anonymous), place)


def regular_event(event: AbiEvent, place: str = "event") -> AbiEvent:
    """Return the event with types as signatures spell them and a name for every field. Raises ``AbiError``.

    A field without a name is called after its position: ``arg0``, ``arg1``, …, in tuples too. Of fields with the
    same name the first keeps it, the next become ``name_1``, ``name_2``, …
    """
    allowed = MAX_INDEXED + event.anonymous
    indexed = sum(param.indexed for param in event.inputs)
    if indexed > allowed:
        raise AbiError(f"{place}.inputs: {indexed} are indexed; a log has room for {allowed}")
    inputs = regular_params(event.inputs, f"{place}.inputs")
    try:
        tuple_of(inputs)
    except ShapeError as error:
        raise AbiError(f"{place}.inputs: {error}") from error
    return AbiEvent(event.name, inputs, event.anonymous)


def topic0(event: AbiEvent) -> bytes | None:
    """Return the first topic of the event's logs, 32 bytes; None for an anonymous event. Types must be canonical."""
    return None if event.anonymous else keccak256(event.signature.encode())


_ENTRY_TYPES = ("event", "function", "constructor", "fallback", "receive", "error")
_ENTRY_KEYS = ("type", "name", "inputs", "outputs", "anonymous", "stateMutability", "abi")
_PARAM_KEYS = ("name", "type", "indexed", "components", "internalType")


def _entry_type(entry: Any, place: str, default: str = "function") -> str:
    if not isinstance(entry, Mapping):
        raise AbiError(f"{place}: expected an object, not {_kind(entry)}")
    kind = entry.get("type", default)  # the specification allows to leave out "function"
    if not isinstance(kind, str):
        raise AbiError(f"{place}.type: expected a text, not {_kind(kind)}")
    if kind not in _ENTRY_TYPES:
        raise AbiError(f"{place}.type: {json.dumps(kind)}; {did_you_mean(kind, _ENTRY_TYPES)}")
    return kind


def _check_name(name: str, place: str) -> None:
    if len(name) > MAX_NAME:
        raise AbiError(f"{place}: longer than {MAX_NAME} characters")
    if any("\ud800" <= c <= "\udfff" for c in name):
        raise AbiError(f"{place}: {name} holds half a surrogate pair, which is no text")


def _has_too_many_fields(inputs: Any) -> bool:
    """Return whether there are more than `MAX_FIELDS`, those of tuples counted; counts no further."""
    count, waiting = 0, [inputs]
    while waiting and count <= MAX_FIELDS:
        params = waiting.pop()
        if isinstance(params, list | tuple):
            count += len(params)
            waiting += [
                p["components"]
                for p in params[: MAX_FIELDS + 1]
                if isinstance(p, Mapping) and "components" in p
            ]
    return count > MAX_FIELDS


def parse_params(holder: Mapping[str, Any], key: str, place: str, depth: int = 0) -> tuple[AbiParam, ...]:
    params = holder.get(key)
    if key not in holder:
        raise AbiError(f'{place}: expected the key "{key}"; {_keys(holder)}')
    if not isinstance(params, list | tuple):
        raise AbiError(f"{place}.{key}: expected a list, not {_kind(params)}")
    if depth > MAX_DEPTH:
        raise AbiError(f"{place}.{key}: tuples nest deeper than {MAX_DEPTH} levels")
    return tuple(_parse_param(param, f"{place}.{key}[{index}]", depth) for index, param in enumerate(params))


def _parse_param(param: Any, place: str, depth: int) -> AbiParam:
    if not isinstance(param, Mapping):
        raise AbiError(f"{place}: expected an object, not {_kind(param)}")
    if not isinstance(param.get("type"), str):
        raise AbiError(f'{place}.type: expected a type such as "uint256"; {_keys(param, _PARAM_KEYS)}')
    name = param.get("name") or ""
    if not isinstance(name, str):
        raise AbiError(f"{place}.name: expected a text, not {_kind(name)}")
    _check_name(name, f"{place}.name")
    _check_name(param["type"], f"{place}.type")
    indexed = param.get("indexed", False)
    if not isinstance(indexed, bool):
        raise AbiError(f"{place}.indexed: expected true or false, not {_kind(indexed)}")
    is_tuple = param["type"].strip().partition("[")[0] == "tuple"
    components = parse_params(param, "components", place, depth + 1) if is_tuple else ()
    return AbiParam(name, param["type"], indexed, components)


def regular_params(params: Sequence[AbiParam], place: str) -> tuple[AbiParam, ...]:
    regular = []
    for index, (param, name) in enumerate(zip(params, _own_names([p.name for p in params]), strict=True)):
        at = f"{place}[{index}]"
        try:
            type_text = canonical(param.type)
            components = regular_params(param.components, f"{at}.components")
            regular.append(AbiParam(name, type_text, param.indexed, components))
            shape_of(regular[-1])
        except ShapeError as error:
            raise AbiError(f"{at}.type: {error}") from error
    return tuple(regular)


def _own_names(names: Sequence[str]) -> list[str]:
    given = [name or f"arg{index}" for index, name in enumerate(names)]
    taken = set(given)
    own: list[str] = []
    for name in given:
        if name in own:
            name = next(n for k in range(1, len(given) + 1) if (n := f"{name}_{k}") not in taken)
            taken.add(name)
        own.append(name)
    return own


def tidy_signature(text: str) -> str:
    """Return it without spaces and with aliases spelled out: ``Sent(uint, address)`` → ``Sent(uint256,address)``."""
    name, bracket, types = "".join(text.split()).partition("(")
    return name + bracket + "".join(_canonical_piece(piece) for piece in _pieces(types))


def _pieces(types: str) -> Iterable[str]:
    """Yield types and the signs between them: ``uint,(byte))`` → uint , ( byte ) )."""
    piece = ""
    for sign in types:
        if sign in "(),":
            yield from (piece, sign)
            piece = ""
        else:
            piece += sign
    yield piece


def _canonical_piece(piece: str) -> str:
    try:
        return canonical(piece)
    except ShapeError:
        return piece  # a sign, or not a type: then no signature is equal to it, which is reported with a hint


def _keys(entry: Mapping[str, Any], known: Sequence[str] = _ENTRY_KEYS) -> str:
    keys = ", ".join(f'"{key}"' for key in list(entry)[:8]) or "none"
    wrong = (nearest(key, known) for key in entry if key not in known)
    near = next((f' (did you mean "{right}"?)' for right in wrong if right), "")
    return f"its keys are {keys}{near}"


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
