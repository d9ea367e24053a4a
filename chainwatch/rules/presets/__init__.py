"""Ready-made rules: rule files with parameters, which a configuration names as ``preset:NAME PARAMETER=VALUE …``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files

from chainwatch.promql.errors import PromqlError
from chainwatch.promql.lexer import parse_duration
from chainwatch.promql.parser import parse
from chainwatch.promql.syntax import Selector
from chainwatch.rules.fields import Problem
from chainwatch.rules.files import RuleFileError
from chainwatch.rules.presets.table import PRESETS, Parameter, Preset

__all__ = ["PREFIX", "PRESETS", "Parameter", "Preset", "is_preset", "rule_file"]

PREFIX = "preset:"
SPEC_MAX = 4_096
"""Characters of a preset with its parameters."""
_VALUE_START = re.compile(r"\s+(?=[A-Za-z_]\w*=)")
_REFERENCE = re.compile(r"\$\{(\w+)\}")
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")
_NAME = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*")


def is_preset(name: str) -> bool:
    """Return whether ``name`` is written as a preset's, in place of a file's."""
    return name.startswith(PREFIX)


def rule_file(spec: str) -> str:
    """Return the rule file of ``preset:NAME PARAMETER=VALUE …``. Raises ``RuleFileError``."""
    if len(spec) > SPEC_MAX:
        raise _error(f"is longer than {SPEC_MAX:,} characters")
    name, *given = _VALUE_START.split(spec.removeprefix(PREFIX).strip())
    preset = PRESETS.get(name)
    if preset is None:
        raise _error(f"there is no preset {name[:60]!r}; there are {', '.join(PRESETS)}")
    values = _values(name, preset, dict(one.split("=", 1) for one in given))
    text = files(__name__).joinpath(f"{name}.yml").read_text(encoding="utf-8")
    return _REFERENCE.sub(lambda found: values[found[1]], text)


def _values(name: str, preset: Preset, given: Mapping[str, str]) -> dict[str, str]:
    """Return what stands for each parameter, and ``NAME_seconds`` for each that is a duration."""
    for key in given:
        if key not in preset.parameters:
            raise _error(
                f"{name!r} has no parameter {key[:60]!r}; it has {', '.join(preset.parameters)}; "
                "write matchers without blanks between them"
            )
    values = {}
    for key, parameter in preset.parameters.items():
        value = given.get(key, parameter.default).strip()
        problem = _problem(parameter, value)
        if problem is not None:
            raise _error(f"{key}: {problem}")
        values[key] = value
        if parameter.kind == "duration":
            values[f"{key}_seconds"] = f"{parse_duration(value) / 1000:g}"
    return values


def _problem(parameter: Parameter, value: str) -> str | None:
    """Return why ``value`` is none for a parameter."""
    shown = repr(value[:60])
    try:
        match parameter.kind:
            case "duration":
                parse_duration(value)
            case "number":
                return None if _NUMBER.fullmatch(value) else f"expected a number, not {shown}"
            case "name":
                return None if _NAME.fullmatch(value) else f"expected a name, not {shown}"
            case "pattern":
                if '"' in value or "\\" in value or not value.isprintable():
                    return f"expected a pattern without quotes and backslashes, not {shown}"
                parse(f'x{{x=~"{value}"}}')
            case "matchers":
                if not value.isprintable():
                    return f"expected matchers on one line, not {shown}"
                if not isinstance(parse(f"x{{{value}}}").root, Selector):
                    return f"expected matchers, not {shown}"
    except (PromqlError, ValueError) as error:
        return f"expected {parameter.kind}, not {shown}: {error}"
    return None


def _error(reason: str) -> RuleFileError:
    return RuleFileError([Problem(1, 1, reason)])
