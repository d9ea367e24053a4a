"""The groups of rules that a configuration has: those of ``[[rules]]``, and those of the rule files that it names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from chainwatch.config import Settings
from chainwatch.config.rules import RuleSettings
from chainwatch.promql.resolving import parse_instant
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


def load_rule_groups(settings: Settings, add: _Add, warn: _Add) -> tuple[PlacedGroup, ...]:
    """Return all groups of ``settings``, reading the rule files.

    What is wrong goes to ``add``; what may be a mistake, such as a pattern that names no file, to ``warn``.
    """
    groups = [*_configured(settings.rules, add), *_of_files(settings, add, warn)]
    number = sum(len(placed.group.rules) for placed in groups)
    if number > RULES_MAX:
        add(("rule_files",), f"there are {number:,} rules, which is more than {RULES_MAX:,}")
    return tuple(groups)


def matching_files(folder: Path, pattern: str) -> list[Path]:
    """Return the files that a pattern names, sorted; one without wildcards is a file by this name.

    ``folder``: where it begins unless it begins with a slash. A link to a file that is gone is returned, too: to read it
    is an error, so that its rules do not vanish unnoticed. Wildcards match no hidden file or folder.
    """
    if not any(char in pattern for char in "*?["):
        return [folder / pattern]
    base, relative = (Path("/"), pattern.lstrip("/")) if pattern.startswith("/") else (folder, pattern)
    try:
        return sorted(
            found
            for found in base.glob(relative)
            if _may_be_read(found) and not is_hidden(found, base, relative)
        )
    except (ValueError, NotImplementedError, OSError):  # no pattern, or a folder that cannot be listed
        return []


def is_hidden(path: Path, base: Path, pattern: str = "") -> bool:
    """Return whether a name on the way from ``base`` to ``path`` begins with a dot, and ``pattern`` names no such one.

    Such are the folders between which Kubernetes switches, and the lock files of editors.
    """
    named = {part for part in Path(pattern).parts if part.startswith(".")}
    if any(char in part for part in named for char in "*?["):
        return False
    return any(part.startswith(".") and part not in named for part in path.relative_to(base).parts)


def _may_be_read(path: Path) -> bool:
    try:
        return path.is_file() or (path.is_symlink() and not path.exists())
    except OSError:  # permissions, which reading reports
        return True


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
    query = parse_instant(table.query)
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


def _of_files(settings: Settings, add: _Add, warn: _Add) -> Iterator[PlacedGroup]:
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
        if not found:
            warn(("rule_files", place), f"{pattern} names no file")
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
                if not any(group.rules for group in groups):
                    warn(("rule_files", place), f"{shown} has no rules")
                yield from (PlacedGroup("file", shown, group) for group in groups)


def _shown(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
