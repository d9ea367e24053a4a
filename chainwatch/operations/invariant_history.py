"""The past of an invariant: when it did not hold, and the values that its last checks read."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from chainwatch.operations.checks import check_moments
from chainwatch.operations.context import Context
from chainwatch.operations.errors import NotFound
from chainwatch.operations.invariants import CheckView, all_invariants, check_views, no_such_invariant
from chainwatch.store import invariant_breaches

BREACHES_SHOWN = 200


class BreachView(msgspec.Struct, frozen=True):
    """A time in which an invariant did not hold, since ``block`` of ``network``; ``values`` are those at that block.

    ``ends_at`` is None while it lasts, ``reason`` why it ended. ``held_block`` is the last block before it at which the
    invariant held, None where that is not known. Times are chain time.
    """

    starts_at: float
    ends_at: float | None
    network: str
    block: int
    values: str
    held_block: int | None
    held_at: float | None
    reason: str | None


class InvariantHistory(msgspec.Struct, frozen=True):
    """The breaches of an invariant, and the last of its checks at which a value or the answer changed; newest first."""

    name: str
    breaches: Sequence[BreachView]
    changes: Sequence[CheckView]


def invariant_history(
    connection: sa.Connection, context: Context, now: float, *, name: str, since: float | None = None
) -> InvariantHistory:
    """Return the past of the invariant ``name`` as far as it is stored, from ``since`` (Unix seconds, chain time) on."""
    check_moments(since=since)
    since = since or 0.0
    breaches = invariant_breaches.of(connection, name, since, BREACHES_SHOWN)
    checks = check_views(connection, name)
    if not breaches and not checks:
        known = [one.name for one in all_invariants(connection, context)]
        if name not in known:
            raise NotFound(no_such_invariant(name, known))
    changes: list[CheckView] = []
    for check in checks:
        before = changes[-1] if changes else None
        if before is None or (before.holds, before.values, before.error) != (
            check.holds,
            check.values,
            check.error,
        ):
            changes.append(check)
    return InvariantHistory(
        name,
        [
            BreachView(
                one.starts_at,
                one.ends_at,
                one.network,
                one.block,
                one.read,
                one.held_block,
                one.held_at,
                one.reason,
            )
            for one in breaches
        ],
        [one for one in reversed(changes) if one.at >= since],
    )
