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

from chainwatch.chain._shape import ShapeError, canonical, shape_of
from chainwatch.keccak import keccak256
from chainwatch.model import AbiEvent, AbiParam
from chainwatch.spelling import did_you_mean, nearest

MAX_INDEXED = 3
"""A log has four topics; an event that is not anonymous needs the first for its signature's hash."""


class AbiError(ValueError):
    """An ABI that cannot be used. The message names the file and the place, and what was expected there."""


@dataclass(frozen=True, slots=True)
class Abi:
    """What an ABI file declares. ``functions`` are the raw JSON entries, as web3 takes them."""

    source: str
    events: tuple[AbiEvent, ...]
    functions: tuple[Mapping[str, Any], ...] = ()

    def event(self, name: str) -> AbiEvent:
        """The event of this name, or of this signature (``Name(type,…)``) where several share the name.

        Raises ``AbiError`` when there is none, or when a bare name means several signatures. Of events with
        the same signature that differ in their indexed fields only, it is the first: see ``forms``.
        """
        return self.forms(name)[0]

    def forms(self, name: str) -> tuple[AbiEvent, ...]:
        """The events of one signature, more than one when they differ in indexed fields. Raises as ``event``."""
        wanted = _tidy_signature(name)
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
    """Reads an ABI file. Raises ``AbiError``, also for a file that cannot be read."""
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise AbiError(f"{path}: cannot read the ABI file: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise AbiError(f"{path}: not a JSON file: byte {error.start} is not valid UTF-8") from error
    except json.JSONDecodeError as error:
        raise AbiError(f"{path}:{error.lineno}:{error.colno}: not valid JSON: {error.msg}") from error
    except RecursionError as error:
        raise AbiError(f"{path}: nested too deeply for an ABI") from error
    return parse_abi(content, str(path))


def parse_abi(content: Any, source: str) -> Abi:
    """An ABI from parsed JSON, a list or an artefact; ``source`` names it in errors. Raises ``AbiError``."""
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
    """An event from its entry in the JSON ABI, made regular as ``regular_event`` does. Raises ``AbiError``."""
    if _entry_type(entry, place, default="event") != "event":
        raise AbiError(f'{place}.type: expected "event", not "{entry["type"]}"')
    name = entry.get("name", "")
    if not isinstance(name, str) or not name:
        raise AbiError(f"{place}.name: expected the event's name; {_keys(entry)}")
    anonymous = entry.get("anonymous", False)
    if not isinstance(anonymous, bool):
        raise AbiError(f"{place}.anonymous: expected true or false, not {_kind(anonymous)}")
    place = f"{place} ({name})"
    inputs = _parse_params(entry, "inputs", place)
    return regular_event(AbiEvent(name, inputs, anonymous), place)


def regular_event(event: AbiEvent, place: str = "event") -> AbiEvent:
    """The event with types as signatures spell them and a name for every field. Raises ``AbiError``.

    A field without a name is called after its position: ``arg0``, ``arg1``, …, in tuples too. Of fields with the
    same name the first keeps it, the next become ``name_1``, ``name_2``, …
    """
    allowed = MAX_INDEXED + event.anonymous
    indexed = sum(param.indexed for param in event.inputs)
    if indexed > allowed:
        raise AbiError(f"{place}.inputs: {indexed} are indexed; a log has room for {allowed}")
    return AbiEvent(event.name, _regular_params(event.inputs, f"{place}.inputs"), event.anonymous)


def topic0(event: AbiEvent) -> bytes | None:
    """The first topic of the event's logs, 32 bytes; None for an anonymous event. Types must be canonical."""
    return None if event.anonymous else keccak256(event.signature.encode())


_ENTRY_TYPES = ("event", "function", "constructor", "fallback", "receive", "error")
_ENTRY_KEYS = ("type", "name", "inputs", "outputs", "anonymous", "stateMutability", "abi")
_PARAM_KEYS = ("name", "type", "indexed", "components", "internalType")


def _entry_type(entry: Any, place: str, default: str = "function") -> str:
    if not isinstance(entry, Mapping):
        raise AbiError(f"{place}: expected an object, not {_kind(entry)}")
    kind = entry.get("type", default)  # the specification allows to leave out "function"
    if kind not in _ENTRY_TYPES:
        raise AbiError(f"{place}.type: {json.dumps(kind)}; {did_you_mean(str(kind), _ENTRY_TYPES)}")
    return str(kind)


def _parse_params(holder: Mapping[str, Any], key: str, place: str) -> tuple[AbiParam, ...]:
    params = holder.get(key)
    if key not in holder:
        raise AbiError(f'{place}: expected the key "{key}"; {_keys(holder)}')
    if not isinstance(params, list | tuple):
        raise AbiError(f"{place}.{key}: expected a list, not {_kind(params)}")
    return tuple(_parse_param(param, f"{place}.{key}[{index}]") for index, param in enumerate(params))


def _parse_param(param: Any, place: str) -> AbiParam:
    if not isinstance(param, Mapping):
        raise AbiError(f"{place}: expected an object, not {_kind(param)}")
    if not isinstance(param.get("type"), str):
        raise AbiError(f'{place}.type: expected a type such as "uint256"; {_keys(param, _PARAM_KEYS)}')
    name = param.get("name") or ""
    if not isinstance(name, str):
        raise AbiError(f"{place}.name: expected a text, not {_kind(name)}")
    indexed = param.get("indexed", False)
    if not isinstance(indexed, bool):
        raise AbiError(f"{place}.indexed: expected true or false, not {_kind(indexed)}")
    is_tuple = param["type"].strip().partition("[")[0] == "tuple"
    components = _parse_params(param, "components", place) if is_tuple else ()
    return AbiParam(name, param["type"], indexed, components)


def _regular_params(params: Sequence[AbiParam], place: str) -> tuple[AbiParam, ...]:
    regular = []
    for index, (param, name) in enumerate(zip(params, _own_names([p.name for p in params]), strict=True)):
        at = f"{place}[{index}]"
        try:
            type_text = canonical(param.type)
            components = _regular_params(param.components, f"{at}.components")
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


def _tidy_signature(text: str) -> str:
    """Without spaces, aliases spelled out: ``Sent(uint, address)`` → ``Sent(uint256,address)``."""
    name, bracket, types = "".join(text.split()).partition("(")
    return name + bracket + "".join(_canonical_piece(piece) for piece in _pieces(types))


def _pieces(types: str) -> Iterable[str]:
    """Types and the signs between them: ``uint,(byte))`` → uint , ( byte ) )."""
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
        return piece  # a sign, or no type: then no signature is equal to it, which is said with a hint


def _keys(entry: Mapping[str, Any], known: Sequence[str] = _ENTRY_KEYS) -> str:
    keys = ", ".join(f'"{key}"' for key in list(entry)[:8]) or "none"
    wrong = (nearest(key, known) for key in entry if key not in known)
    near = next((f' (did you mean "{right}"?)' for right in wrong if right), "")
    return f"its keys are {keys}{near}"


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
