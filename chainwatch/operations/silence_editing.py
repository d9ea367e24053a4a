"""Silences as people write and change them: one test of a label a line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec
import sqlalchemy as sa

from chainwatch.alert_model import Silence
from chainwatch.grammar import matchers
from chainwatch.model import SENT_SEVERITY
from chainwatch.operations.checks import Match, usable_ids
from chainwatch.operations.context import Context
from chainwatch.operations.errors import Conflict, NotFound
from chainwatch.operations.silencing import SilenceView, add_silence
from chainwatch.store.alerting import silences
from chainwatch.support.printable import clean

_UNSAFE = re.compile("[^A-Za-z0-9_:/,;@=<>-]")
"""Characters that stand in a pattern as their numbers (RE2 syntax)."""


class SilenceLines(msgspec.Struct, frozen=True):
    """A silence that has not ended, as a person would write it: a test a line, as ``parse_match`` takes them."""

    id: int
    lines: list[str]
    starts_at: float
    ends_at: float
    during: Sequence[str]
    comment: str


def silence_lines(connection: sa.Connection, context: Context, now: float, silence_id: int) -> SilenceLines:
    """Return a silence to be changed. Raises ``NotFound``, and ``Conflict`` for one that has ended."""
    found = _active(connection, now, silence_id)
    return SilenceLines(
        found.id,
        [line for name, tested in _tests(found) for line in _line(name, tested)],
        found.starts_at,
        found.ends_at,
        found.during,
        found.comment,
    )


def lines_about(labels: Mapping[str, str]) -> list[str]:
    """Return the tests that an alert with these labels passes, but for its severity, which may rise."""
    return [
        line
        for name, value in sorted(labels.items())
        if name not in ("severity", SENT_SEVERITY)
        for line in _line(name, _tested("=", value))
    ]


def replace_silence(
    connection: sa.Connection,
    context: Context,
    now: float,
    silence_id: int,
    match: Match,
    author: str,
    comment: str = "",
    *,
    ends_at: float,
    during: Sequence[str] = (),
) -> SilenceView:
    """End a silence, and begin another one in its place. Raises ``NotFound``, ``Conflict`` and ``Invalid``."""
    before = _active(connection, now, silence_id)
    after = add_silence(
        connection,
        context,
        now,
        match,
        author,
        comment,
        starts_at=max(now, before.starts_at),
        ends_at=ends_at,
        during=during,
        warn_before=before.warn_before,
    )
    silences.expire(connection, [before.id], now)
    return after


def _active(connection: sa.Connection, now: float, silence_id: int) -> Silence:
    found = silences.by_id(connection, usable_ids([silence_id])).get(silence_id)
    if found is None:
        raise NotFound(f"there is no silence {silence_id}; `chainwatch silences` lists them")
    if found.ends_at <= now:
        raise Conflict(f"silence {silence_id} has ended: make another one")
    return found


def _tests(silence: Silence) -> list[tuple[str, str]]:
    """Return the tests of a silence as the configuration writes them: label and tested value.

    Raises ``Conflict`` where several that Alertmanager's API set must all pass, of which here one would be enough.
    """
    if not silence.tests:
        return [(name, value) for name, values in silence.match.items() for value in values]
    found = [
        (SENT_SEVERITY if name == "severity" else name, _tested(operator, value))
        for name, operator, value in silence.tests
    ]
    positive = [name for name, operator, _ in silence.tests if operator in ("=", "=~")]
    if len(set(positive)) < len(positive):
        raise Conflict(
            "this silence tests one label twice: change it as it was made, through Alertmanager's API"
        )
    return found


def _tested(operator: str, value: str) -> str:
    is_plain = operator == "=" and not value.startswith(matchers.OPERATORS)
    return value if is_plain else operator + value


def _line(name: str, tested: str) -> list[str]:
    """Return the line of one test, in visible characters; none for a label whose name cannot be written in a line."""
    operator = next((one for one in matchers.OPERATORS if tested.startswith(one)), "")
    value = tested[len(operator) :]
    line = f"{name}{operator or '='}{value}"
    if not _is_line(line, name, tested) and operator in ("", "=", "!="):
        pattern = _UNSAFE.sub(lambda found: f"\\x{{{ord(found[0]):x}}}", value)
        tested = f"{'!~' if operator == '!=' else '=~'}{pattern}"
        line = f"{name}{tested}"
    return [line] if _is_line(line, name, tested) else []


def _is_line(line: str, name: str, tested: str) -> bool:
    """Return whether ``line`` shows all that it holds, and is read as that test."""
    try:
        is_same = matchers.recall(matchers.parse([line])) == matchers.recall({name: [tested]})
    except ValueError:
        return False
    return is_same and clean(line) == line == line.strip()
