"""The syntax of Go templates (pkg.go.dev/text/template), as rules use it: actions, pipelines, if, range, with, define."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

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

SOURCE_MAX = 65_536
"""Characters of a template."""
DEPTH_MAX = 50
"""How deep blocks and parentheses may be nested."""
OPERANDS_MAX = 100
"""A function and its arguments."""

_OPENING = re.compile(r"\{\{")
_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<text>"(?:[^"\\\n]|\\.)*"|`[^`]*`)
      | (?P<char>'(?:[^'\\\n]|\\.)+')
      | (?P<number>[+-]?(?:0[xX][0-9a-fA-F]+|(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)(?![\w.]))
      | (?P<declare>:=) | (?P<assign>=) | (?P<pipe>\|) | (?P<open>\() | (?P<close>\)) | (?P<comma>,)
      | (?P<variable>\$\w*)
      | (?P<field>\.[^\W\d]\w*)
      | (?P<dot>\.)
      | (?P<word>[^\W\d]\w*)""",
    re.VERBOSE,
)
_ESCAPES = {
    "n": "\n",
    "t": "\t",
    "r": "\r",
    "\\": "\\",
    '"': '"',
    "'": "'",
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "v": "\v",
}
_DIGITS_MAX = 40
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U000[0-9a-fA-F]{5}|[0-7]{3}|.)", re.DOTALL)
_KEYWORDS = frozenset(
    {"if", "else", "end", "range", "with", "define", "template", "block", "break", "continue"}
)


def parse_template(source: str) -> tuple[list[Item], dict[str, list[Item]]]:
    """Return the items of a template, and those of the templates that it defines. Raises ``TemplateError``."""
    if len(source) > SOURCE_MAX:
        raise TemplateError(f"longer than {SOURCE_MAX:,} characters")
    parser = _Parser(_split(source))
    items, end = parser.block(("",))
    assert end == ""
    return items, parser.defined


@dataclass(slots=True)
class _Action:
    """The tokens between ``{{`` and ``}}``."""

    tokens: list[tuple[str, str]]
    line: int


def _split(source: str) -> list[str | _Action]:
    """Return texts and actions, spaces trimmed where ``{{-`` and ``-}}`` say so."""
    parts: list[str | _Action] = []
    place = 0
    trims = False
    while found := _OPENING.search(source, place):
        text = source[place : found.start()]
        line = source.count("\n", 0, found.start()) + 1
        start = found.end()
        if source[start : start + 1] == "-" and source[start + 1 : start + 2].isspace():
            text, start = text.rstrip(" \t\r\n"), start + 1
        parts.append(text.lstrip(" \t\r\n") if trims else text)
        tokens, place, trims = _action(source, start, line)
        if tokens is not None:
            parts.append(_Action(tokens, line))
    rest = source[place:]
    parts.append(rest.lstrip(" \t\r\n") if trims else rest)
    return parts


def _action(source: str, place: int, line: int) -> tuple[list[tuple[str, str]] | None, int, bool]:
    """Return the tokens of an action (None: a comment), where it ends, and whether it trims the spaces after it."""
    bare = len(source) - len(source[place:].lstrip())
    if source.startswith("/*", bare):
        end = source.find("*/", bare)
        closing = re.compile(r"\s*(-?)\}\}").match(source, end + 2) if end >= 0 else None
        if closing is None:
            raise TemplateError(f"line {line}: unclosed comment")
        return None, closing.end(), bool(closing[1])
    tokens: list[tuple[str, str]] = []
    while True:
        if source.startswith("}}", place):
            return tokens, place + 2, False
        if source.startswith("-}}", place) and source[place - 1 : place].isspace():
            return tokens, place + 3, True
        found = _TOKEN.match(source, place)
        if found is None:
            what = (
                "unclosed action"
                if place >= len(source)
                else f"unexpected {source[place : place + 10]!r} in action"
            )
            raise TemplateError(f"line {line}: {what}")
        kind = found.lastgroup or ""
        if (
            kind == "number"
            and found[0][0] in "+-"
            and tokens
            and tokens[-1][0] not in ("space", "open", "pipe")
        ):
            raise TemplateError(f"line {line}: unexpected {found[0]!r} in operand")
        tokens.append((kind, found[0]))
        place = found.end()


class _Parser:
    def __init__(self, parts: list[str | _Action]) -> None:
        self._parts = parts
        self._place = 0
        self._depth = 0
        self._variables: list[str] = ["$", *_PRELUDE]
        self.defined: dict[str, list[Item]] = {}

    def block(self, ends: tuple[str, ...]) -> tuple[list[Item], str]:
        """Return the items up to one of ``ends`` (empty: the end of the template), and which it was."""
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise TemplateError(f"nested more than {DEPTH_MAX} times")
        items: list[Item] = []
        while self._place < len(self._parts):
            part = self._parts[self._place]
            self._place += 1
            if isinstance(part, str):
                if part:
                    items.append(part)
                continue
            reader = _Reader(part, self._variables)
            word = reader.keyword()
            if word in ("end", "else"):
                if word not in ends:
                    raise TemplateError(f"line {part.line}: unexpected {{{{{word}}}}}")
                if word == "end":
                    reader.finish()
                else:
                    self._place -= 1  # its branch reads what follows the word
                self._depth -= 1
                return items, word
            items += self._item(word, reader)
        if "" not in ends:
            raise TemplateError("unexpected end of the template: {{end}} is missing")
        return items, ""

    def _item(self, word: str, reader: _Reader) -> list[Item]:
        if word in ("if", "range", "with"):
            return [self._branch(word, reader)]  # type: ignore[arg-type]
        if word in ("break", "continue"):
            reader.finish()
            return [Jump(word)]  # type: ignore[arg-type]
        if word in ("define", "block"):
            name = reader.name()
            pipeline = reader.pipeline() if word == "block" else None
            reader.finish()
            outer, self._variables = self._variables, ["$", *_PRELUDE]
            self.defined[name], _ = self.block(("end",))
            self._variables = outer
            return [Include(name, pipeline)] if word == "block" else []
        if word == "template":
            name = reader.name()
            pipeline = None if reader.at_end else reader.pipeline()
            reader.finish()
            return [Include(name, pipeline)]
        pipeline = reader.pipeline()
        reader.finish()
        return [Output(pipeline)]

    def _branch(self, kind: Literal["if", "range", "with"], reader: _Reader) -> Branch:
        known = len(self._variables)
        pipeline = reader.pipeline(many=kind == "range")
        reader.finish()
        body, end = self.block(("end", "else"))
        otherwise: list[Item] = []
        if end == "else":
            part = self._parts[self._place]
            assert isinstance(part, _Action)
            self._place += 1
            after = _Reader(part, self._variables)
            after.keyword()
            if after.at_end:
                otherwise, _ = self.block(("end",))
            else:
                word = after.keyword()
                if word not in ("if", "with"):
                    raise TemplateError(f"line {part.line}: unexpected token after {{{{else")
                otherwise = [self._branch(word, after)]  # type: ignore[arg-type]
        del self._variables[known:]
        return Branch(kind, pipeline, body, otherwise)


_PRELUDE = ("$labels", "$externalLabels", "$externalURL", "$value")


class _Reader:
    """Reads the tokens of one action."""

    def __init__(self, action: _Action, variables: list[str]) -> None:
        self._tokens = action.tokens
        self._line = action.line
        self._variables = variables
        self._place = 0
        self._depth = 0

    @property
    def at_end(self) -> bool:
        return self._peek()[0] == ""

    def keyword(self) -> str:
        """Take and return the keyword with which the action begins, if it does."""
        kind, text = self._peek()
        if kind == "word" and text in _KEYWORDS:
            self._take()
            return text
        return ""

    def name(self) -> str:
        kind, text = self._take()
        if kind != "text":
            raise self._error("expected a template's name")
        return _unquote(text)

    def finish(self) -> None:
        if not self.at_end:
            raise self._error(f"unexpected {self._peek()[1]!r}")

    def pipeline(self, many: bool = False) -> Pipeline:
        """Return the pipeline; ``many``: two variables may be declared."""
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise self._error("too many parentheses")
        start = self._place
        variables: list[str] = []
        declares = False
        while self._peek()[0] == "variable":
            variables.append(self._take()[1])
            kind = self._peek()[0]
            if kind == "comma" and many:
                self._take()
                continue
            if kind in ("declare", "assign"):
                declares = self._take()[0] == "declare"
                break
            self._place, variables = start, []
            break
        commands = [self._command()]
        while self._peek()[0] == "pipe":
            self._take()
            commands.append(self._command())
        for variable in variables:
            if declares:
                self._variables.append(variable)
            elif variable not in self._variables:
                raise self._error(f"undefined variable {variable!r}")
        self._depth -= 1
        return Pipeline(commands, variables, declares)

    def _command(self) -> list[Operand]:
        operands: list[Operand] = []
        while self._peek()[0] not in ("", "pipe", "close"):
            operands.append(self._operand())
        if not operands:
            raise self._error("missing value for command")
        if len(operands) > OPERANDS_MAX:
            raise self._error(f"a command has more than {OPERANDS_MAX} operands")
        return operands

    def _operand(self) -> Operand:
        kind, text = self._take()
        base: Operand
        if kind == "open":
            base = self.pipeline()
            if self._take()[0] != "close":
                raise self._error("unclosed left parenthesis")
        elif kind == "variable":
            if text not in self._variables:
                raise self._error(f"undefined variable {text!r}")
            base = Variable(text)
        elif kind == "field":
            base = Chain(Dot(), [text[1:]])
        elif kind == "dot":
            base = Dot()
        elif kind == "text":
            base = Constant(_unquote(text))
        elif kind == "char":
            base = Constant(ord(_unquote(text)[:1] or " "))
        elif kind == "number":
            base = Constant(_number(text))
        elif kind == "word":
            constants: dict[str, bool | None] = {"true": True, "false": False, "nil": None}
            base = Constant(constants[text]) if text in constants else Name(text)
        else:
            raise self._error(f"unexpected {text or 'end'!r} in command")
        fields = []
        while self._place < len(self._tokens) and self._tokens[self._place][0] == "field":
            fields.append(self._tokens[self._place][1][1:])
            self._place += 1
        if isinstance(base, Chain):
            base.fields += fields
            return base
        return Chain(base, fields) if fields else base

    def _peek(self) -> tuple[str, str]:
        place = self._place
        while place < len(self._tokens) and self._tokens[place][0] == "space":
            place += 1
        return self._tokens[place] if place < len(self._tokens) else ("", "")

    def _take(self) -> tuple[str, str]:
        while self._place < len(self._tokens) and self._tokens[self._place][0] == "space":
            self._place += 1
        token = self._tokens[self._place] if self._place < len(self._tokens) else ("", "")
        self._place += 1
        return token

    def _error(self, reason: str) -> TemplateError:
        return TemplateError(f"line {self._line}: {reason}")


def _number(text: str) -> int | float:
    whole = text.lower().lstrip("+-").startswith("0x")
    if not whole and any(char in text for char in ".eE"):
        return float(text)
    value = int(text, 16 if whole else 10) if len(text) <= _DIGITS_MAX else 1 << 64
    if not -(1 << 63) <= value < 1 << 63:
        raise TemplateError(f"the number {text[:40]} overflows int64")
    return value


def _unquote(text: str) -> str:
    if text[0] == "`":
        return text[1:-1]
    return _ESCAPE.sub(_unescape, text[1:-1])


def _unescape(match: re.Match[str]) -> str:
    escape = match[1]
    if escape in _ESCAPES:
        return _ESCAPES[escape]
    if len(escape) == 1:
        raise TemplateError(f"unknown escape \\{escape}")
    code = int(escape, 8) if escape[0].isdigit() else int(escape[1:], 16)
    return chr(code) if code < 0xD800 or 0xDFFF < code < 0x110000 else "�"
