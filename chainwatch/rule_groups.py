"""The groups of rules that a configuration has: those of ``[[rules]]``, and those of the rule files that it names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from chainwatch.config import Settings
from chainwatch.config.rules import RuleSettings
from chainwatch.promql.parser import parse
from chainwatch.rules.files import RuleFileError, read_rule_file
from chainwatch.rules.model import AlertingRule, Group, RecordingRule, Rule
from chainwatch.rules.placed import PlacedGroup
from chainwatch.rules.presets import is_preset
from chainwatch.rules.presets import rule_file as preset_file

FILES_MAX = 1_000
"""Files that one pattern may name."""
RULES_MAX = 50_000
"""Rules of all files and tables together."""

_Add = Callable[..., None]
"""Notes a problem: its path, message and hint."""


def load_rule_groups(settings: Settings, add: _Add) -> tuple[PlacedGroup, ...]:
    """Return all groups of ``settings``, reading the rule files. What is wrong goes to ``add``."""
    groups = [*_configured(settings.rules, add), *_of_files(settings, add)]
    number = sum(len(placed.group.rules) for placed in groups)
    if number > RULES_MAX:
        add(("rule_files",), f"there are {number:,} rules, which is more than {RULES_MAX:,}")
    return tuple(groups)


def matching_files(folder: Path, pattern: str) -> list[Path]:
    """Return the files that a pattern names, sorted; one without wildcards is a file by this name.

    ``folder``: where it begins unless it begins with a slash.
    """
    if not any(char in pattern for char in "*?["):
        return [folder / pattern]
    base, relative = (Path("/"), pattern.lstrip("/")) if pattern.startswith("/") else (folder, pattern)
    try:
        return sorted(found for found in base.glob(relative) if found.is_file())
    except (ValueError, NotImplementedError, OSError):  # no pattern, or a folder that cannot be listed
        return []


def _configured(tables: Sequence[RuleSettings], add: _Add) -> Iterator[PlacedGroup]:
    together: dict[str, list[tuple[int, RuleSettings]]] = {}
    for place, table in enumerate(tables):
        name = f"{table.group}" if table.group else f"\0{place}"
        together.setdefault(name, []).append((place, table))
    for members in together.values():
        interval = None
        for place, table in members:
            if table.interval is not None:
                if interval is not None and table.interval != interval:
                    add(("rules", place, "interval"), "another rule of its group has another interval")
                interval = table.interval
        first = members[0][1]
        rules = tuple(_rule(table) for _, table in members)
        name = first.group or first.alert or first.record or ""
        yield PlacedGroup("config", "", Group(name, rules, _milliseconds(interval) if interval else None))


def _rule(table: RuleSettings) -> Rule:
    query = parse(table.query)
    if table.record is not None:
        return RecordingRule(table.record, query, table.labels)
    return AlertingRule(
        table.alert or "",
        query,
        _milliseconds(table.for_),
        _milliseconds(table.keep_firing_for),
        {**table.labels, "severity": table.severity},
        table.annotations,
    )


def _milliseconds(seconds: float) -> int:
    return max(round(seconds * 1000), 1 if seconds > 0 else 0)


def _of_files(settings: Settings, add: _Add) -> Iterator[PlacedGroup]:
    read: set[Path] = set()
    for place, pattern in enumerate(settings.rule_files):
        if is_preset(pattern):
            try:
                groups = read_rule_file(preset_file(pattern))
            except RuleFileError as error:
                add(("rule_files", place), error.problems[0].reason)
            else:
                yield from (PlacedGroup("file", pattern.split()[0], group) for group in groups)
            continue
        found = matching_files(settings.folder, pattern)
        if len(found) > FILES_MAX:
            add(("rule_files", place), f"names more than {FILES_MAX:,} files")
        for path in found[:FILES_MAX]:
            if path in read:
                continue
            read.add(path)
            shown = _shown(path, settings.folder)
            try:
                groups = read_rule_file(_text(path))
            except RuleFileError as error:
                for problem in error.problems:
                    add(("rule_files", place), f"{shown}:{problem}")
            except OSError as error:
                add(("rule_files", place), f"{shown}: cannot be read: {error.strerror}")
            except UnicodeDecodeError as error:
                add(("rule_files", place), f"{shown}: byte {error.start} is not UTF-8")
            else:
                yield from (PlacedGroup("file", shown, group) for group in groups)


def _shown(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
