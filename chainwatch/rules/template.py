"""Go templates in rules' labels and annotations: ``{{ $labels.job }} is at {{ $value | humanize }}``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from chainwatch.promql.queries import Sample
from chainwatch.rules.template_functions import FUNCTIONS, Record, is_true, show
from chainwatch.rules.template_nodes import (
    Branch,
    Chain,
    Constant,
    Dot,
    Include,
    Item,
    Jump,
    Name,
    Operand,
    Output,
    Pipeline,
    TemplateError,
    Variable,
)
from chainwatch.rules.template_syntax import parse_template

OUTPUT_MAX = 65_536
"""Characters of a result; what is longer is cut."""
STEPS_MAX = 100_000
"""Actions that one expansion may take; one that reads long texts or lists counts as several."""
_CHARACTERS_A_STEP = 16
_QUERY_STEPS = 1_000
_CALLS_MAX = 20
"""How deep templates may include each other."""

__all__ = ["Template", "TemplateError", "Values", "expand"]


@dataclass(frozen=True)
class Values:
    """What a template can read; ``query`` returns the samples of a query."""

    labels: Mapping[str, str]
    value: float
    external_labels: Mapping[str, str] = field(default_factory=dict)
    external_url: str = ""
    query: Callable[[str], list[Sample]] = lambda text: []


class Template:
    """A template that was read."""

    def __init__(self, source: str) -> None:
        """Read ``source``. Raises ``TemplateError``."""
        self._items, self._defined = parse_template(source)
        _check(self._items, self._defined)
        self._plain = source if "{{" not in source else None

    def render(self, values: Values) -> str:
        """Return the text for ``values``. Raises ``TemplateError``."""
        if self._plain is not None:
            return self._plain
        return _Expansion(values, self._defined).run(self._items)


def expand(source: str, values: Values) -> str:
    """Return the text of a template; an error becomes a text that says what it is."""
    try:
        return _read(source).render(values)
    except TemplateError as error:
        return f"<error expanding template: {str(error)[:500]}>"


@lru_cache(1024)
def _read(source: str) -> Template:
    return Template(source)


_BY_CHARACTER = ("reReplaceAll", "match")
_WITH_VALUES = ("query", "tmpl", "externalURL", "pathPrefix", "and", "or")


def _check(items: list[Item], defined: dict[str, list[Item]]) -> None:
    """Raise ``TemplateError`` for functions that do not exist."""
    waiting: list[Any] = [items, *defined.values()]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting += node
        elif isinstance(node, Name):
            if node.name not in FUNCTIONS and node.name not in _WITH_VALUES:
                raise TemplateError(f"function {node.name[:60]!r} not defined")
        elif isinstance(node, Output | Include):
            waiting.append(node.pipeline)
        elif isinstance(node, Branch):
            waiting += [node.pipeline, node.body, node.otherwise]
        elif isinstance(node, Pipeline):
            waiting.append(node.commands)
        elif isinstance(node, Chain):
            waiting.append(node.base)


def _steps_of(value: Any, *, by_character: bool = False) -> int:
    """Return how many steps it counts for to read ``value``."""
    if isinstance(value, str):
        return len(value) if by_character else len(value) // _CHARACTERS_A_STEP
    if isinstance(value, list):
        return len(value)
    return sum(map(_steps_of, value.values())) if isinstance(value, dict) else 0


class _Stop(Exception):
    """``break`` or ``continue``."""

    def __init__(self, kind: str) -> None:
        self.kind = kind


class _Expansion:
    def __init__(self, values: Values, defined: dict[str, list[Item]]) -> None:
        self._values = values
        self._defined = defined
        self._parts: list[str] = []
        self._room = OUTPUT_MAX
        self._steps = STEPS_MAX
        self._calls = 0

    def run(self, items: list[Item]) -> str:
        values = self._values
        data = Record(
            Labels=dict(values.labels),
            ExternalLabels=dict(values.external_labels),
            ExternalURL=values.external_url,
            Value=values.value,
        )
        try:
            self._write(items, data, self._scope(data))
        except (RecursionError, TypeError, AttributeError, ValueError, LookupError, ArithmeticError) as error:
            # a function got what it does not take
            raise error if isinstance(error, TemplateError) else TemplateError(str(error)) from None
        except _Stop as stop:
            raise TemplateError(f"{stop.kind} outside of range") from None
        return "".join(self._parts)

    def _scope(self, dot: Any) -> dict[str, Any]:
        values = self._values
        return {
            "$": dot,
            "$labels": dict(values.labels),
            "$externalLabels": dict(values.external_labels),
            "$externalURL": values.external_url,
            "$value": values.value,
        }

    def _write(self, items: list[Item], dot: Any, scope: dict[str, Any]) -> None:
        for item in items:
            self._spend(1)
            if isinstance(item, str):
                self._emit(item)
            elif isinstance(item, Output):
                value = self._pipeline(item.pipeline, dot, scope)
                if not item.pipeline.variables:
                    self._spend(_steps_of(value))
                    self._emit(show(value))
            elif isinstance(item, Branch):
                self._branch(item, dot, scope)
            elif isinstance(item, Include):
                self._include(item.name, self._pipeline(item.pipeline, dot, scope) if item.pipeline else None)
            elif isinstance(item, Jump):
                raise _Stop(item.kind)

    def _spend(self, steps: int) -> None:
        self._steps -= steps
        if self._steps < 0:
            raise TemplateError(f"takes more than {STEPS_MAX:,} steps")

    def _emit(self, text: str) -> None:
        self._parts.append(text[: self._room])
        self._room = max(0, self._room - len(text))

    def _branch(self, branch: Branch, dot: Any, scope: dict[str, Any]) -> None:
        inner = _Scope(scope)
        if branch.kind == "range":
            self._range(branch, dot, inner)
            return
        value = self._pipeline(branch.pipeline, dot, inner)
        if is_true(value):
            self._write(branch.body, value if branch.kind == "with" else dot, inner)
        else:
            self._write(branch.otherwise, dot, inner)

    def _range(self, branch: Branch, dot: Any, scope: dict[str, Any]) -> None:
        pipeline = branch.pipeline
        value = self._pipeline(Pipeline(pipeline.commands), dot, scope)
        if isinstance(value, dict) and not isinstance(value, Record):
            pairs: list[tuple[Any, Any]] = [(key, value[key]) for key in sorted(value)]
        elif isinstance(value, list):
            pairs = list(enumerate(value))
        elif value is None:
            pairs = []
        else:
            raise TemplateError(f"range can't iterate over {show(value)[:60]}")
        for key, element in pairs:
            inner = _Scope(scope)
            given = (element,) if len(pipeline.variables) == 1 else (key, element)
            for name, one in zip(pipeline.variables, given, strict=False):
                inner.declare(name, one)
            try:
                self._write(branch.body, element, inner)
            except _Stop as stop:
                if stop.kind == "break":
                    break
        if not pairs:
            self._write(branch.otherwise, dot, scope)

    def _include(self, name: str, dot: Any) -> None:
        items = self._defined.get(name)
        if items is None:
            raise TemplateError(f"template {name[:60]!r} not defined")
        self._calls += 1
        if self._calls > _CALLS_MAX:
            raise TemplateError("templates include each other too often")
        self._write(items, dot, self._scope(dot))
        self._calls -= 1

    # Values

    def _pipeline(self, pipeline: Pipeline, dot: Any, scope: dict[str, Any]) -> Any:
        value: Any = None
        for index, command in enumerate(pipeline.commands):
            value = self._command(command, [value] if index else [], dot, scope)
        for name in pipeline.variables:
            if pipeline.declares and isinstance(scope, _Scope):
                scope.declare(name, value)
            else:
                scope[name] = value
        return value

    def _command(self, command: list[Operand], last: list[Any], dot: Any, scope: dict[str, Any]) -> Any:
        self._spend(1)
        first, *rest = command
        if isinstance(first, Name):
            if first.name in ("and", "or"):
                return self._either(first.name == "or", rest, last, dot, scope)
            return self._call(first.name, [*(self._operand(one, dot, scope) for one in rest), *last])
        if rest or last:
            raise TemplateError("can't give argument to non-function")
        return self._operand(first, dot, scope)

    def _either(
        self, wanted: bool, operands: list[Operand], last: list[Any], dot: Any, scope: dict[str, Any]
    ) -> Any:
        value: Any = None
        for operand in operands:
            value = self._operand(operand, dot, scope)
            if is_true(value) is wanted:
                return value
        return last[0] if last else value

    def _call(self, name: str, arguments: list[Any]) -> Any:
        if name == "query":
            (text,) = arguments
            self._spend(_QUERY_STEPS)
            samples = self._values.query(text)
            self._spend(len(samples))
            return [self._sample(sample) for sample in samples]
        if name == "externalURL":
            return self._values.external_url
        if name == "pathPrefix":
            return "/" + self._values.external_url.partition("://")[2].partition("/")[2]
        if name == "tmpl":
            template, dot = arguments
            before, self._parts = self._parts, []
            self._include(template, dot)
            made, self._parts = "".join(self._parts), before
            return made
        self._spend(sum(_steps_of(one, by_character=name in _BY_CHARACTER) for one in arguments))
        made = FUNCTIONS[name](*arguments)
        if isinstance(made, str) and len(made) > OUTPUT_MAX:
            raise TemplateError(f"a text is longer than {OUTPUT_MAX:,} characters")
        return made

    def _sample(self, sample: Sample) -> Record:
        return Record(Labels=dict(sample.labels), Value=sample.value)

    def _operand(self, operand: Operand, dot: Any, scope: dict[str, Any]) -> Any:
        if isinstance(operand, Constant):
            return operand.value
        if isinstance(operand, Dot):
            return dot
        if isinstance(operand, Variable):
            return scope[operand.name]
        if isinstance(operand, Name):
            return self._command([operand], [], dot, scope)
        if isinstance(operand, Pipeline):
            return self._pipeline(operand, dot, scope)
        value = self._operand(operand.base, dot, scope)
        for name in operand.fields:
            if isinstance(value, Record) and name not in value:
                raise TemplateError(f"can't evaluate field {name[:60]}")
            if not isinstance(value, dict):
                raise TemplateError(f"can't evaluate field {name[:60]} in {show(value)[:60]}")
            value = value.get(name, "")
        return value


class _Scope(dict[str, Any]):
    """Variables of a block: those declared outside can be read and set."""

    def __init__(self, outer: dict[str, Any]) -> None:
        super().__init__()
        self._outer = outer

    def declare(self, name: str, value: Any) -> None:
        super().__setitem__(name, value)

    def __missing__(self, name: str) -> Any:
        return self._outer[name]

    def __setitem__(self, name: str, value: Any) -> None:
        if name in self.keys():
            super().__setitem__(name, value)
        else:
            self._outer[name] = value
