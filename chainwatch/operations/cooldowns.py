"""Cooldowns: the minimum time between two notifications of a receiver about one condition."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from chainwatch.alert_model import StoredCooldown
from chainwatch.alerting.engine import cooldowns
from chainwatch.alerting.policy.muting import Cooldown
from chainwatch.alerting.policy.routing import ALL_LABELS
from chainwatch.grammar import matchers
from chainwatch.operations.checks import Match, check_match, check_seconds, usable_ids
from chainwatch.operations.context import Context
from chainwatch.operations.views import Changed, changed
from chainwatch.store.alerting import limits

CONFIGURED = "the configuration"


class CooldownView(msgspec.Struct, frozen=True):
    """One cooldown. ``id`` is None for a configured one; ``within``: seconds, 0 lifts those after it."""

    id: int | None
    matchers: str
    by: Sequence[str]
    within: float
    author: str


def set_cooldown(
    connection: sa.Connection,
    context: Context,
    now: float,
    match: Match,
    within: float,
    by: Sequence[str] = (),
    author: str = "",
) -> CooldownView:
    """Set a cooldown of ``within`` seconds that takes precedence over all others; 0 lifts them.

    ``by``: the labels that identify a condition, by default all. The time counts from the last notification sent within
    it. Raises ``Invalid``.
    """
    tests = check_match(match)
    check_seconds("within", within)
    labels = tuple(by) or (ALL_LABELS,)
    cooldowns.remember(connection, Cooldown(matchers.build(tests), labels, within), now)
    stored = StoredCooldown(0, tests, labels, within, author, now)
    return _view(msgspec.structs.replace(stored, id=limits.add_cooldown(connection, stored)))


def remove_cooldowns(connection: sa.Connection, context: Context, now: float, ids: Sequence[int]) -> Changed:
    """Remove cooldowns that were set while running."""
    known = {one.id for one in limits.stored_cooldowns(connection)} & set(usable_ids(ids))
    limits.remove_cooldowns(connection, sorted(known))
    return changed(ids, dict.fromkeys(known, True))


def list_cooldowns(connection: sa.Connection, context: Context, now: float) -> list[CooldownView]:
    """Return all cooldowns in order of precedence: those set while running, then the configured ones."""
    return [
        *map(_view, limits.stored_cooldowns(connection)),
        *(
            CooldownView(
                None, matchers.written(matchers.build(one.match)), list(one.by), one.within, CONFIGURED
            )
            for one in context.settings.cooldowns
        ),
    ]


def _view(stored: StoredCooldown) -> CooldownView:
    written = matchers.written(matchers.recall(stored.match))
    return CooldownView(stored.id, written, list(stored.by), stored.seconds, stored.author)
