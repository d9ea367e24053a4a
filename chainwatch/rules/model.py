"""Rules and their groups, as a rule file describes them. Times are in milliseconds."""

from __future__ import annotations

from dataclasses import dataclass, field

from chainwatch.promql.parser import Query


@dataclass(frozen=True)
class AlertingRule:
    """An alert for each element of the query's result: pending for ``hold``, and firing ``keep_firing`` longer.

    Values of ``labels`` and ``annotations`` are Go templates.
    """

    name: str
    query: Query
    hold: int = 0
    keep_firing: int = 0
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    line: int = 0


@dataclass(frozen=True)
class RecordingRule:
    """Stores the query's result as series named ``name``."""

    name: str
    query: Query
    labels: dict[str, str] = field(default_factory=dict)
    line: int = 0


Rule = AlertingRule | RecordingRule


@dataclass(frozen=True)
class Group:
    """Rules that are evaluated one after the other, for one time: ``query_offset`` before now, every ``interval``.

    ``limit``: how many alerts or series a rule may give; 0 is any number. ``interval`` and ``query_offset`` are None where
    the file does not say.
    """

    name: str
    rules: tuple[Rule, ...]
    interval: int | None = None
    limit: int = 0
    query_offset: int | None = None
    labels: dict[str, str] = field(default_factory=dict)
