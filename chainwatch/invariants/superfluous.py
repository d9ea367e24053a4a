"""Which checks of an invariant are no longer needed, and what was read for them alone. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise

from chainwatch.checker.invariants.invariant import Invariant
from chainwatch.store.invariants import Check, Place

KEPT = 8
"""Checks that are kept in any case, the newest ones."""


def superfluous(
    invariant: Invariant,
    checks: Sequence[Check],
    needed: Collection[tuple[str, int]],
    final: Mapping[str, int],
    of_history: bool,
) -> list[Check]:
    """Return the checks that no reorg reaches, and those amid others of the same answer, but for the newest ones.

    Those at ``needed`` networks and blocks stay. ``final``: the block of each network before which no reorg reaches.
    """
    found = []
    before: Check | None = None
    for check, after in pairwise(checks[: 1 - KEPT]):
        is_amid = (
            before is not None and before.holds is not None and before.holds == check.holds == after.holds
        )
        is_amid = is_amid and not invariant.reads_previous
        is_beyond_reorgs = check.block < final[check.network]
        is_to_be_read = of_history and check.holds is None
        is_done = is_amid or check.error is not None or (is_beyond_reorgs and not is_to_be_read)
        if is_done and (check.network, check.block) not in needed:
            found.append(check)
        else:
            before = check
    return found


def read_for_alone(name: str, dropped: Sequence[Check], checks: Sequence[Check]) -> list[Place]:
    """Return where something was read for ``dropped`` and for no others of ``checks``."""
    gone = {(one.network, one.block) for one in dropped}
    left = [one for one in checks if (one.network, one.block) not in gone]
    return [(name, *place) for place in sorted(_read_for(dropped) - _read_for(left))]


def _read_for(checks: Iterable[Check]) -> set[tuple[str, int]]:
    places: set[tuple[str, int]] = set()
    for one in checks:
        places.add((one.network, one.block))
        places.update((one.positions or {}).items())
    return places
