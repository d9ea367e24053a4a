"""Rules that are created through the HTTP server: a query in PromQL, and how its alerts are notified.

``channels`` and ``cooldown`` count for all alerts that have its name, such as those of a Prometheus with the same rule.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import msgspec
import sqlalchemy as sa
from msgspec import UNSET, UnsetType

from chainwatch.config.doubts import ALERTS, RENAMED
from chainwatch.grammar.durations import format_duration, parse_duration
from chainwatch.operations.checks import check_known, check_seconds, no_such
from chainwatch.operations.context import Context
from chainwatch.operations.errors import Conflict, Invalid
from chainwatch.operations.queries import parse_severity
from chainwatch.promql.errors import ParseError
from chainwatch.promql.resolving import parse_instant
from chainwatch.promql.signatures import RANGE, TEXT
from chainwatch.rules.model import AlertingRule, Group
from chainwatch.rules.placed import PlacedGroup
from chainwatch.rules.status import RuleStatus
from chainwatch.rules.template import Template, TemplateError
from chainwatch.store import created
from chainwatch.store.created import StoredRule

RULES_MAX = 500
QUERY_MAX = 4_096
"""Characters of a query."""
CHANNELS_MAX = 20
ANNOTATIONS_MAX = 32
ANNOTATION_MAX = 4_000
"""Characters of an annotation."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9 _.:@-]{0,127}")
_LABEL = re.compile("[A-Za-z_][A-Za-z0-9_]{0,127}")


class RuleView(msgspec.Struct, frozen=True):
    """A rule as it was given. ``evaluated``: whether its query is; ``problem``: what keeps it from being used as stored.

    ``state`` is that of its most urgent alert, ``health`` ``ok``, ``err`` with ``error``, or ``unknown`` before its first
    evaluation; ``evaluated_at`` (Unix seconds) and ``seconds`` are of the last one.
    """

    name: str
    query: str
    duration: str
    severity: str
    annotations: Mapping[str, str]
    type: str | None
    cooldown: str | None
    channels: Sequence[str]
    evaluated: bool
    origin: str
    author: str
    created_at: float
    updated_at: float
    problem: str | None
    state: str = "inactive"
    health: str = "unknown"
    error: str = ""
    evaluated_at: float | None = None
    seconds: float = 0.0


class RulesView(msgspec.Struct, frozen=True):
    """All rules."""

    rules: list[RuleView]


class DeletedRule(msgspec.Struct, frozen=True):
    """The name of a rule that was deleted."""

    name: str


def add_rule(
    connection: sa.Connection,
    context: Context,
    now: float,
    name: str,
    query: str,
    duration: str | float,
    severity: str,
    author: str = "",
    annotations: dict[str, str] = {},  # noqa: B006 - never changed
    type: str | None = None,
    cooldown: str | float | None = None,
    channels: list[str] = [],  # noqa: B006 - never changed
) -> RuleView:
    """Store a rule. ``duration`` is how long its condition must hold: as ``5m``, or seconds.

    Raises ``Invalid``, and ``Conflict`` where the name is taken or there are too many rules.
    """
    if any(rule.name == name for rule in context.created.rules):
        raise Conflict(f"there is a rule called {name!r} already: change it with PUT /rules/{name}")
    if len(context.created.rules) >= RULES_MAX:
        raise Conflict(f"there are {RULES_MAX} rules: delete one first")
    given = (name, query, _duration("duration", duration), severity, annotations, type)
    rule = StoredRule(*given, _cooldown(cooldown), tuple(channels), author, now, now)
    return _store(connection, context, rule)


def list_rules(connection: sa.Connection, context: Context, now: float) -> RulesView:
    """Return all rules by their names."""
    statuses = _statuses(context)
    return RulesView([_view(rule, context, statuses.get(rule.name)) for rule in context.created.rules])


def show_rule(connection: sa.Connection, context: Context, now: float, name: str) -> RuleView:
    """Return one rule. Raises ``NotFound``."""
    return _view(_find(context, name), context, _statuses(context).get(name))


def update_rule(
    connection: sa.Connection,
    context: Context,
    now: float,
    name: str,
    query: str | UnsetType = UNSET,
    duration: str | float | UnsetType = UNSET,
    severity: str | UnsetType = UNSET,
    annotations: dict[str, str] | UnsetType = UNSET,
    type: str | UnsetType | None = UNSET,
    cooldown: str | float | UnsetType | None = UNSET,
    channels: list[str] | UnsetType = UNSET,
) -> RuleView:
    """Change what is given of a rule. Raises ``NotFound`` and ``Invalid``."""
    before = _find(context, name)
    rule = StoredRule(
        name,
        before.query if query is UNSET else query,
        before.duration if duration is UNSET else _duration("duration", duration),
        before.severity if severity is UNSET else severity,
        before.annotations if annotations is UNSET else annotations,
        before.type if type is UNSET else type,
        before.cooldown if cooldown is UNSET else _cooldown(cooldown),
        before.channels if channels is UNSET else tuple(channels),
        before.author,
        before.created_at,
        now,
    )
    return _store(connection, context, rule, known=before.channels)


def delete_rule(connection: sa.Connection, context: Context, now: float, name: str) -> DeletedRule:
    """Delete a rule. Raises ``NotFound``."""
    _find(context, name)
    created.delete_rule(connection, name)
    return DeletedRule(name)


def groups_of(rules: Iterable[StoredRule]) -> tuple[list[PlacedGroup], list[tuple[str, ParseError]]]:
    """Return the groups as which rules are evaluated, and the names of those whose queries this version does not read."""
    groups: list[PlacedGroup] = []
    unreadable: list[tuple[str, ParseError]] = []
    for rule in rules:
        try:
            groups.append(_group_of(rule))
        except ParseError as error:
            unreadable.append((rule.name, error))
    return groups, unreadable


def _group_of(rule: StoredRule) -> PlacedGroup:
    alerting = AlertingRule(
        rule.name,
        parse_instant(rule.query),
        round(parse_duration(rule.duration) * 1000),
        labels={"severity": rule.severity},
        annotations=dict(rule.annotations),
    )
    return PlacedGroup("api", "", Group(rule.name, (alerting,)))


def _store(
    connection: sa.Connection, context: Context, rule: StoredRule, known: Sequence[str] = ()
) -> RuleView:
    """Check and store ``rule``; ``known`` are receivers that it had before, which may be gone."""
    _check(context, rule, known)
    created.save_rule(connection, rule)
    missing = [name for name in rule.channels if name not in context.settings.receivers]
    return _view(
        rule, context, problem=f"there is no receiver called {', '.join(missing)}" if missing else None
    )


def _check(context: Context, rule: StoredRule, known: Sequence[str]) -> None:
    if not _NAME.fullmatch(rule.name):
        raise Invalid(f"name: {rule.name[:100]!r}: expected up to 128 letters, digits, spaces, and _ . : @ -")
    if rule.name in ALERTS or rule.name in RENAMED:
        raise Invalid(f"name: chainwatch itself raises {rule.name}: choose another name")
    _check_query(rule.query)
    if rule.severity.lower() not in context.settings.severities:
        parse_severity(rule.severity)
    if rule.type is not None and not _NAME.fullmatch(rule.type):
        raise Invalid(f"type: {rule.type[:100]!r}: expected up to 128 letters, digits, spaces, and _ . : @ -")
    if len(rule.annotations) > ANNOTATIONS_MAX:
        raise Invalid(f"annotations: more than {ANNOTATIONS_MAX}")
    for name, text in rule.annotations.items():
        if not _LABEL.fullmatch(name):
            raise Invalid(f"annotations: {name[:100]!r}: expected letters, digits and _, no digit first")
        if len(text) > ANNOTATION_MAX:
            raise Invalid(f"annotations: {name}: longer than {ANNOTATION_MAX} characters")
        try:
            Template(text)
        except TemplateError as error:
            raise Invalid(f"annotations: {name}: {error}"[:500]) from None
    if len(rule.channels) > CHANNELS_MAX:
        raise Invalid(f"channels: more than {CHANNELS_MAX}")
    for name in rule.channels:
        if name not in context.settings.receivers and name not in known:
            raise Invalid(f"channels: {no_such('receiver', name[:100], context.settings.receivers)}")


def _check_query(text: str) -> None:
    if len(text) > QUERY_MAX:
        raise Invalid(f"query: longer than {QUERY_MAX} characters")
    try:
        query = parse_instant(text)
    except ParseError as error:
        raise Invalid(f"query: {error}"[:500]) from None
    if query.type in (RANGE, TEXT):
        raise Invalid(
            f"query: returns a {query.type}; a rule needs a vector or a number, as rate(x[5m]) > 1 does"
        )


def _duration(what: str, given: str | float) -> str:
    """Return a length of time as text, as it was given. Raises ``Invalid``."""
    if not isinstance(given, str):
        check_seconds(what, given)
        return format_duration(given)
    try:
        parse_duration(given)
    except ValueError as error:
        raise Invalid(f"{what}: {error}") from None
    return given


def _cooldown(given: str | float | None) -> str | None:
    if given is None:
        return None
    text = _duration("cooldown", given)
    if parse_duration(text) <= 0:
        raise Invalid("cooldown: expected a duration above zero; leave it out for none")
    return text


def _find(context: Context, name: str) -> StoredRule:
    by_name = {rule.name: rule for rule in context.created.rules}
    check_known("rule", name, by_name)
    return by_name[name]


def _statuses(context: Context) -> dict[str, RuleStatus]:
    """Return how the rules stand that were made here, by name."""
    groups = context.rule_groups() if context.rule_groups is not None else ()
    return {group.placed.group.name: group.rules[0] for group in groups if group.placed.origin == "api"}


def _view(
    rule: StoredRule, context: Context, status: RuleStatus | None = None, problem: str | None = None
) -> RuleView:
    return RuleView(
        name=rule.name,
        query=rule.query,
        duration=rule.duration,
        severity=rule.severity,
        annotations=rule.annotations,
        type=rule.type,
        cooldown=rule.cooldown,
        channels=rule.channels,
        evaluated=_is_readable(rule.query),
        origin="api",
        author=rule.author,
        created_at=rule.created_at,
        updated_at=rule.updated_at,
        problem=problem or context.problems.get(rule.name),
        state="inactive" if status is None else status.state,
        health="unknown" if status is None else status.health,
        error="" if status is None else status.error,
        evaluated_at=None if status is None else status.evaluated_at,
        seconds=0.0 if status is None else round(status.seconds, 6),
    )


def _is_readable(query: str) -> bool:
    try:
        parse_instant(query)
    except ParseError:  # stored by a version that read more
        return False
    return True
