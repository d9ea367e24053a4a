"""The task that stores how rules stand, so that commands in other processes can show it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from chainwatch.rules.status import GroupStatus
from chainwatch.store import rule_statuses
from chainwatch.store.database import Database
from chainwatch.store.errors import StoreError
from chainwatch.store.rule_statuses import StoredStatus

FIRST_AFTER = 2.0
EVERY = 15.0
"""Seconds until it is stored, and between two times; more where there are very many rules."""
_SECONDS_PER_RULE = 0.01


async def report_statuses(groups: Callable[[], Sequence[GroupStatus]], database: Database) -> None:
    """Store how the rules of ``groups`` stand again and again, until cancelled."""
    stored: dict[str, StoredStatus] = {}
    pause = FIRST_AFTER
    while True:
        await asyncio.sleep(pause)
        statuses = await asyncio.to_thread(_statuses, groups())
        if statuses == stored:
            continue
        pause = max(EVERY, _SECONDS_PER_RULE * len(statuses))
        encoded = await asyncio.to_thread(rule_statuses.encode, statuses)
        try:
            await database.write(partial(rule_statuses.save, encoded=encoded))
        except StoreError:  # others log it
            continue
        stored = statuses


def _statuses(groups: Sequence[GroupStatus]) -> dict[str, StoredStatus]:
    return {
        rule.key: StoredStatus(rule.evaluated_at, round(rule.seconds, 6), rule.error)
        for group in groups
        for rule in group.rules
        if rule.evaluated_at is not None
    }
