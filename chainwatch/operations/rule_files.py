"""Rule files and their unit tests: read, checked and run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from chainwatch.operations.errors import Invalid
from chainwatch.rule_groups import FILES_MAX, is_hidden, matching_files
from chainwatch.rules.fields import Problem
from chainwatch.rules.files import PROBLEMS_MAX, RuleFileError, read_rule_file
from chainwatch.rules.model import AlertingRule, Group
from chainwatch.rules.presets import PREFIX, PRESETS, is_preset, rule_file
from chainwatch.rules.unit_file import UnitFile, read_unit_file
from chainwatch.rules.unit_test import run_test

_SUFFIXES = frozenset({".yml", ".yaml", ".rules"})
_UNIT_TESTS = re.compile(r"^[\"']?(?:tests|rule_files)[\"']?[ \t]*:", re.MULTILINE)


class Repeated(msgspec.Struct, frozen=True):
    """The rule in ``line`` has the kind, name and labels of the one in the line ``first``."""

    line: int
    first: int


class CheckedFile(msgspec.Struct, frozen=True):
    """A rule file: how many rules it has, and what is wrong with it: ``problems`` have line, column and reason."""

    file: str
    rules: int
    problems: list[Problem]
    repeated: list[Repeated] = []


class TestedFile(msgspec.Struct, frozen=True):
    """A file of unit tests: how many tests it has, and what failed, as texts of one or more lines."""

    file: str
    tests: int
    failures: list[str]


def named_rule_files(paths: Iterable[Path]) -> list[Path]:
    """Return the rule files that arguments name: files, patterns, or folders with all that is below them."""
    return _named(paths, lambda found: not _is_unit_file(found))


def named_unit_files(paths: Iterable[Path]) -> list[Path]:
    """Return the files of unit tests that arguments name: files, patterns, or folders with all that is below them."""
    return _named(paths, _is_unit_file)


def _named(paths: Iterable[Path], is_wanted: Callable[[Path], bool]) -> list[Path]:
    """Return each file once; of a pattern or folder, only those that are wanted."""
    found = [one for path in paths for one in _meant(path) if one == path or is_wanted(one)]
    return list(dict.fromkeys(found))


def _meant(path: Path) -> list[Path]:
    if path.is_dir():
        try:
            found = sorted(
                one
                for one in path.rglob("*")
                if one.suffix in _SUFFIXES and one.is_file() and not is_hidden(one, path)
            )
        except OSError:
            found = []
        return found or [path]
    return [path] if path.exists() else _matching(Path(), str(path)) or [path]


def _is_unit_file(path: Path) -> bool:
    try:
        return _UNIT_TESTS.search(_text(path)) is not None
    except RuleFileError:
        return False


class ReadyMade(msgspec.Struct, frozen=True):
    """A preset of rules: its alerts, and its parameters with their defaults."""

    name: str
    about: str
    alerts: list[str]
    parameters: dict[str, str]


def ready_made() -> list[ReadyMade]:
    """Return the presets of rules."""
    return [
        ReadyMade(
            name,
            preset.about,
            [rule.name for group in _preset(name) for rule in group.rules if isinstance(rule, AlertingRule)],
            {key: parameter.default for key, parameter in preset.parameters.items()},
        )
        for name, preset in PRESETS.items()
    ]


def preset_text(spec: str) -> str:
    """Return the rule file of a preset, such as ``bridges runway=2h``. Raises ``Invalid``."""
    try:
        return rule_file(PREFIX + spec.removeprefix(PREFIX))
    except RuleFileError as error:
        raise Invalid(error.problems[0].reason) from None


def _preset(name: str) -> list[Group]:
    return read_rule_file(rule_file(PREFIX + name))


def check(path: Path) -> CheckedFile:
    """Return what is wrong with a rule file; a file that cannot be read is a problem too."""
    try:
        groups = _read(path)
    except RuleFileError as error:
        return CheckedFile(str(path), 0, error.problems)
    return CheckedFile(str(path), sum(len(group.rules) for group in groups), [], _repeated(groups))


def _repeated(groups: Iterable[Group]) -> list[Repeated]:
    first: dict[object, int] = {}
    found = []
    for group in groups:
        for rule in group.rules:
            labels = {**group.labels, **rule.labels}
            key = type(rule), rule.name, *sorted(labels.items())
            if (line := first.setdefault(key, rule.line)) != rule.line:
                found.append(Repeated(rule.line, line))
    return found


def test(path: Path) -> TestedFile:
    """Run the unit tests of a file, and return what failed."""
    try:
        file = read_unit_file(_text(path))
    except RuleFileError as error:
        return TestedFile(str(path), 0, [str(problem) for problem in error.problems])
    groups, failures = _groups(path, file)
    if not failures:
        for number, one in enumerate(file.tests, 1):
            name = f"{one.name}, " if one.name else ""
            wrong = map(str, one.problems[:PROBLEMS_MAX]) if one.problems else run_test(one, file, groups)
            failures += [f"test {number} ({name}line {one.line}): {why}" for why in wrong]
    return TestedFile(str(path), len(file.tests), failures)


def _groups(path: Path, file: UnitFile) -> tuple[list[Group], list[str]]:
    """Return the groups of the rule files that a file of unit tests names, and what is wrong with them."""
    groups: list[Group] = []
    failures: list[str] = []
    for pattern in file.rule_files:
        named = _matching(path.parent, pattern)[:FILES_MAX]
        if not named:
            failures.append(f"rule_files: {pattern} names no file")
        for found in named:
            try:
                groups += _read(found)
            except RuleFileError as error:
                failures += [f"{found}: {problem}" for problem in error.problems]
    return groups, failures


def _matching(folder: Path, pattern: str) -> list[Path]:
    """Return the files that a pattern names, or the preset as if it were one."""
    return [Path(pattern)] if is_preset(pattern) else matching_files(folder, pattern)


def _read(path: Path) -> list[Group]:
    return read_rule_file(_text(path))


def _text(path: Path) -> str:
    if is_preset(str(path)):
        return rule_file(str(path))
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise RuleFileError([Problem(1, 1, f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError as error:
        raise RuleFileError([Problem(1, 1, f"is no UTF-8: byte {error.start}")]) from None
