"""The problems of a configuration, and their texts."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import NamedTuple

from pydantic_core import ErrorDetails

from chainwatch.config.toml_lines import KeyPath
from chainwatch.config.types import Expected


class Problem(NamedTuple):
    """One thing wrong at ``path``: what was found and expected, and how to fix it.

    ``line`` counts from 1, and is 0 where there is no line (the file cannot be read, or there is none).
    """

    path: KeyPath
    line: int
    message: str
    hint: str = ""


class ConfigError(ValueError):
    """The configuration cannot be used. One line per problem: ``config.toml:12: flows.x.opens.event: …``."""

    def __init__(self, file: str, problems: list[Problem]) -> None:
        self.file = file
        self.problems = problems
        super().__init__("\n".join(problem_line(file, problem) for problem in problems))


def problem_line(file: str, problem: Problem) -> str:
    """Return one line, as ``config.toml:12: flows.x.opens.event: what is wrong — how to fix it``."""
    place = f"{file}:{problem.line}" if problem.line else file
    key = f"{key_text(problem.path)}: " if problem.path else ""
    hint = f" — {problem.hint}" if problem.hint else ""
    return f"{place}: {key}{problem.message}{hint}"


_PART_MAX = 100


def key_text(path: KeyPath) -> str:
    """Return a path as text, as ``flows.connext.expects[0].within``; parts that are not bare TOML keys are quoted."""
    text = ""
    for part in path:
        if isinstance(part, str) and len(part) > _PART_MAX:
            part = part[:_PART_MAX] + "…"
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += "." if text else ""
            text += part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else json.dumps(part, ensure_ascii=False)
    return text


ALSO_SHOWN = 3
"""The most further places that are named where a variable is not set."""


def unset_text(variable: str, others: Sequence[KeyPath]) -> str:
    """Return the message that an environment variable is not set, which is used at ``others`` too."""
    also = ", ".join(key_text(path) for path in others[:ALSO_SHOWN])
    more = f" and {len(others) - ALSO_SHOWN} more" if len(others) > ALSO_SHOWN else ""
    used = f" (used by {also}{more} too)" if others else ""
    return f"the environment variable {variable} is not set{used}"


_NOT_EMPTY = "text that is not empty"
_KINDS = {
    "bool_type": "true or false",
    "dict_type": "a table",
    "int_type": "an integer",
    "model_type": "a table",
    "path_type": "text",
    "string_too_short": _NOT_EMPTY,
    "string_type": "text",
}


def expectation(detail: ErrorDetails) -> tuple[str, str]:
    """Return what was expected by pydantic's error, and a hint. Never contains the value that was found."""
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "value_error":
        error = context["error"]
        return (f"expected {error}", error.hint) if isinstance(error, Expected) else (str(error), "")
    if kind in ("literal_error", "union_tag_invalid"):
        choices = str(context.get("expected") or context.get("expected_tags")).replace("'", '"')
        return f"expected {choices.replace(', ', ' or ')}".replace(" or  or ", " or "), ""
    if kind == "greater_than_equal":
        return f"expected an integer of at least {context['ge']}", ""
    if kind == "less_than_equal":
        return f"expected an integer of at most {context['le']}", ""
    if kind == "too_short":
        return (
            f"expected {'a list with at least one item' if context['field_type'] == 'List' else _NOT_EMPTY}",
            "",
        )
    if kind == "list_type":
        return "expected a list", "put it into [ ]"
    return f"expected {_KINDS.get(kind, 'another value')}", ""
