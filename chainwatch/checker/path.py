"""Paths into an event's arguments: ``params.bridgedAmt``, ``routers[0]``, ``calls[-1].target``.

A path is checked against the event's ABI once and then read without further checks.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chainwatch.checker.syntax import ConditionError, Cursor
from chainwatch.model import AbiEvent, AbiParam, Event, FieldPath

if TYPE_CHECKING:
    from chainwatch.checker.joins import Join

__all__ = ["EvaluationError", "Path", "compile_path"]

MAX_INDEX = 10_000
"""Largest array index that a path may name."""

_ARRAY = re.compile(r"(?P<element>.+)\[(?P<length>[0-9]*)\]")


class EvaluationError(ValueError):
    """This event has no answer: an index past the end, a division by zero, a fact not kept."""


@dataclass(frozen=True)
class Path:
    """A checked path: its normal ``text``, the ABI ``param`` it leads to, the ``steps`` to get there.

    ``note`` says what a reader of an error should know about the type, and is mostly empty. With ``join`` it leads into that
    sibling of the event, whose name its text begins with. ``of_transaction``: it needs the transaction, beyond its hash.
    """

    text: str
    param: AbiParam
    steps: FieldPath
    note: str = ""
    join: Join | None = None
    of_transaction: bool = False

    @property
    def type(self) -> str:
        """The ABI type of the value; ``bytes32`` for an indexed one of which the log keeps only the hash."""
        return self.param.type

    def get(self, args: Mapping[str, Any]) -> Any:
        """Return the value in ``args`` (dicts for tuples, lists for arrays); raises `EvaluationError`."""
        value: Any = args
        try:
            for step in self.steps:
                value = value[step]
        except (KeyError, IndexError) as error:
            raise EvaluationError(f"{self.text}: the event has no {self._up_to(value)}") from error
        return value

    def reader(self) -> Callable[[Event], Any]:
        """Return a function that is `get` from an event, without checks where every event has the fields of its ABI."""
        match self.steps:
            case (str(name),):
                return lambda event: event.args[name]
            case (str(outer), str(inner)):
                return lambda event: event.args[outer][inner]
            case (str(outer), str(middle), str(inner)):
                return lambda event: event.args[outer][middle][inner]
        return lambda event: self.get(event.args)

    def _up_to(self, reached: Any) -> str:
        if isinstance(reached, Mapping):
            return "such argument"
        return f"element there, the array has {len(reached)}"


def compile_path(text: str, event: AbiEvent) -> Path:
    """Check a path such as ``params.originDomain`` against ``event``.

    Raises `ConditionError` naming the place, the fields there and the nearest right name.
    """
    cursor = Cursor(text)
    steps = parse_steps(cursor)
    if cursor.token.kind != "end":
        raise cursor.error(cursor.token.column, f"expected the end of the path, not {cursor.shown()}")
    return resolve(text, steps, event.inputs, event.name)


@dataclass(frozen=True)
class Step:
    """A field name or an array index, and its position in the source."""

    key: str | int
    column: int


def parse_steps(cursor: Cursor, *, slices: bool = False) -> list[Step]:
    """Read ``name``, ``.name`` and ``[index]`` as far as they go; with ``slices``, up to the bracket of a slice."""
    first = cursor.expect("name", "", "a field")
    steps = [Step(first.text, first.column)]
    while True:
        if cursor.accept("."):
            name = cursor.expect("name", "", "a field")
            steps.append(Step(name.text, name.column))
        elif cursor.at("[") and not (slices and not cursor.at_index()):
            bracket = cursor.take()
            steps.append(Step(_parse_index(cursor), bracket.column + 1))
            cursor.expect("operator", "]", "`]`")
        else:
            return steps


def _parse_index(cursor: Cursor) -> int:
    sign = -1 if cursor.accept("-") else 1
    token = cursor.expect("number", "", "an index such as 0 or -1")
    digits = token.text.replace("_", "")
    if len(digits) > len(str(MAX_INDEX)) or int(digits) > MAX_INDEX:
        raise cursor.error(token.column, f"an index above {MAX_INDEX}")
    return sign * int(digits)


def resolve(source: str, steps: Sequence[Step], fields: Sequence[AbiParam], owner: str) -> Path:
    """Return the `Path` of ``steps`` among ``fields`` of ``owner`` (for messages); raises `ConditionError`."""
    root = _find_field(source, steps[0], fields, owner)
    note = _hashed_note(root)
    param = AbiParam(root.name, "bytes32") if note else root
    text = root.name
    for step in steps[1:]:
        if isinstance(step.key, int):
            param = _element(source, step, param, text, note)
            text += f"[{step.key}]"
        elif param.type == "tuple":
            param = _find_field(source, step, param.components, text)
            text += f".{step.key}"
        else:
            hint = "name an element: " + f"{text}[0].{step.key}" if array_of(param.type) else note
            raise ConditionError(f"{text} is {param.type} and has no fields", source, step.column, hint)
    return Path(text, param, tuple(step.key for step in steps), note)


def _find_field(source: str, step: Step, fields: Sequence[AbiParam], owner: str) -> AbiParam:
    """Return the field that ``step`` names; raises `ConditionError` with the nearest name and all that there are."""
    for field in fields:
        if field.name and field.name == step.key:
            return field
    names = [field.name for field in fields if field.name]
    near = difflib.get_close_matches(str(step.key), names, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    hint += f"{owner} has {', '.join(names)}" if names else f"{owner} has no named fields"
    raise ConditionError(f"{owner} has no field {step.key}", source, step.column, hint)


def _hashed_note(param: AbiParam) -> str:
    """Return what to say about an indexed value of which the log keeps only a hash; empty for every other."""
    by_reference = param.type in ("string", "bytes") or param.type.startswith("tuple") or array_of(param.type)
    if not (param.indexed and by_reference):
        return ""
    return f"{param.name} is an indexed {param.type}: the log keeps only its 32-byte hash (bytes32)"


def array_of(abi_type: str) -> tuple[str, int | None] | None:
    """Return element type and fixed length (None where it varies) of an array type; None for what is no array."""
    match = _ARRAY.fullmatch(abi_type)
    if match is None:
        return None
    return match["element"], int(match["length"]) if match["length"] else None


def _element(source: str, step: Step, param: AbiParam, text: str, note: str) -> AbiParam:
    array = array_of(param.type)
    index = int(step.key)
    if array is None:
        mend = f"one byte is a slice: {text}[{index}:{index + 1}]" if param.type.startswith("bytes") else ""
        raise ConditionError(f"{text} is {param.type}, not an array", source, step.column, note or mend)
    element, length = array
    if length is not None and not -length <= index < length:
        raise ConditionError(f"{text} has {length} elements only", source, step.column)
    return AbiParam("", element, components=param.components)
