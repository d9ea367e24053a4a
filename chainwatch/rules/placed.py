"""Groups of rules with where they come from, and the keys that identify rules. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from chainwatch.rules.model import AlertingRule, Group, Rule

Origin = Literal["config", "file", "api"]


@dataclass(frozen=True)
class PlacedGroup:
    """A group of the configuration, of a rule file (``file``: as it is named) or made through the HTTP server (``api``).

    ``queries`` and ``lines`` of its rules are in them.
    """

    origin: Origin
    file: str
    group: Group

    @property
    def name(self) -> str:
        """What it is called among all groups: ``rules/bridges.yml;bridges``."""
        return f"{self.file or self.origin};{self.group.name}"


def with_distinct_names(groups: Iterable[PlacedGroup]) -> list[tuple[str, PlacedGroup]]:
    """Return the groups, each with its name, to which a number is added where several have one."""
    seen: dict[str, int] = {}
    named = []
    for group in groups:
        seen[group.name] = number = seen.get(group.name, 0) + 1
        named.append((group.name if number == 1 else f"{group.name}#{number}", group))
    return named


def rule_keys(group_name: str, group: Group) -> list[str]:
    """Return what identifies each rule of a group: its name and labels, and its place among those that share them.

    As in Prometheus, a rule stays the same when its expression, times or annotations change.
    """
    seen: dict[str, int] = {}
    keys = []
    for rule in group.rules:
        text = json.dumps(
            [group_name, _kind(rule), rule.name, sorted({**group.labels, **rule.labels}.items())]
        )
        seen[text] = number = seen.get(text, 0) + 1
        keys.append(hashlib.blake2b(f"{text}{number}".encode("utf-8", "replace"), digest_size=12).hexdigest())
    return keys


def _kind(rule: Rule) -> str:
    return "alert" if isinstance(rule, AlertingRule) else "record"
