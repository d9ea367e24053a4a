"""Silences with Alertmanager's tests, and its rules for what changes one and what makes another.

Source: ``silence.Silences.Set``, ``Expire`` and ``canUpdate`` of Prometheus Alertmanager.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
import sqlalchemy as sa

from chainwatch.alert_model import Silence
from chainwatch.alerting.policy.severities import Severities
from chainwatch.alerting.policy.silences import silence_matchers
from chainwatch.grammar.matchers import LabelTest
from chainwatch.operations.context import Context
from chainwatch.operations.errors import NotFound
from chainwatch.store.alerting import silences

ENDED_LISTED_FOR = 5 * 86_400.0
"""Seconds for which ended silences are listed, as by Alertmanager."""

State = Literal["active", "pending", "expired"]


class TestedSilence(msgspec.Struct, frozen=True):
    """A silence at a time, with its tests in Alertmanager's terms, whoever made it."""

    silence: Silence
    tests: Sequence[LabelTest]
    state: State


class WantedSilence(msgspec.Struct, frozen=True):
    """A silence as it is wanted. Times are Unix seconds; ``starts_at`` in the past means now."""

    tests: tuple[LabelTest, ...]
    starts_at: float
    ends_at: float
    author: str
    comment: str


def list_tested(connection: sa.Connection, context: Context, now: float) -> list[TestedSilence]:
    """Return all silences in Alertmanager's order: active by end, pending by start, expired with the last end first."""
    found = [_tested(one, context, now) for one in silences.select(connection, now - ENDED_LISTED_FOR)]
    return sorted(found, key=_place)


def show_tested(connection: sa.Connection, context: Context, now: float, silence_id: int) -> TestedSilence:
    """Return one silence. Raises ``NotFound``."""
    return _tested(_stored(connection, silence_id), context, now)


def put(
    connection: sa.Connection,
    context: Context,
    now: float,
    wanted: WantedSilence,
    replaces: int | None = None,
) -> int:
    """Store a silence and return its id: that of the silence that it ``replaces`` where that one only changes.

    Otherwise that one ends now, and the new one has its intervals. Raises ``NotFound`` where there is none.
    """
    begins = max(wanted.starts_at, now)
    new = Silence({}, begins, wanted.ends_at, wanted.author, wanted.comment, now, tests=wanted.tests)
    if replaces is not None:
        before = _tested(_stored(connection, replaces), context, now)
        if _only_changes(before, wanted, now):
            changed = msgspec.structs.replace(
                before.silence,
                starts_at=before.silence.starts_at if before.state == "active" else wanted.starts_at,
                ends_at=wanted.ends_at,
                author=wanted.author,
                comment=wanted.comment,
                created_at=now,
            )
            silences.replace(connection, changed)
            return replaces
        silences.expire(connection, [replaces], now)
        new = msgspec.structs.replace(
            new, during=before.silence.during, warn_before=before.silence.warn_before
        )
    return silences.add(connection, new)


def expire(connection: sa.Connection, context: Context, now: float, silence_id: int) -> None:
    """End a silence now, unless it has ended. Raises ``NotFound``."""
    silences.expire(connection, [_stored(connection, silence_id).id], now)


def _stored(connection: sa.Connection, silence_id: int) -> Silence:
    found = silences.by_id(connection, [silence_id]).get(silence_id)
    if found is None:
        raise NotFound(f"there is no silence {silence_id}")
    return found


def _tested(silence: Silence, context: Context, now: float) -> TestedSilence:
    tests = Severities(context.settings.severities).tests(silence_matchers(silence)) or []
    state: State = "expired" if silence.ends_at <= now else "active"
    if state == "active" and now < silence.starts_at:
        state = "pending"
    return TestedSilence(silence, tests, state)


def _only_changes(before: TestedSilence, wanted: WantedSilence, now: float) -> bool:
    if sorted(before.tests) != sorted(wanted.tests):
        return False
    match before.state:
        case "active":
            return int(before.silence.starts_at) == int(wanted.starts_at) and wanted.ends_at >= now
        case "pending":
            return wanted.starts_at >= now
    return False


def _place(one: TestedSilence) -> tuple[int, float, int]:
    silence = one.silence
    match one.state:
        case "active":
            return 0, silence.ends_at, silence.id
        case "pending":
            return 1, silence.starts_at, silence.id
    return 2, -silence.ends_at, silence.id
