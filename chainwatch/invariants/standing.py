"""How an invariant stands by its checks as they are stored. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from chainwatch.checker.invariants import judge as rules
from chainwatch.checker.invariants.judge import Checked, Standing
from chainwatch.store.invariants import Check, RaisedAlert


def standing_of(checks: Sequence[Check]) -> Standing:
    """Return how an invariant stands; most hold at their newest check."""
    if checks and checks[-1].holds:
        newest = checked(checks[-1])
        return Standing(newest, None, None, newest)
    return rules.fold(checked(check) for check in checks)


def still_broken(firing: RaisedAlert | None, standing: Standing, checks: Sequence[Check]) -> Checked | None:
    """Return the check since which an invariant is broken whose alert is ``firing``; None where it held meanwhile."""
    broken = standing.broken_since
    if firing is None or broken is None:
        return None
    held = held_before(checks, broken)
    return broken if held is None or held.timestamp < firing.starts_at else None


def held_before(checks: Sequence[Check], since: Checked) -> Check | None:
    """Return the last check before ``since`` at which the invariant held and that read its network."""
    held = None
    for check in checks:
        if check[:2] == since[:2]:
            return held
        if check.holds and since.network in check.blocks:
            held = check
    return None


def needed(checks: Sequence[Check], standing: Standing) -> set[tuple[str, int]]:
    """Return the networks and blocks of the checks by which an invariant stands."""
    noted = [
        one for one in (standing.latest, standing.broken_since, standing.unread_since) if one is not None
    ]
    found = {(one.network, one.block) for one in noted}
    if standing.broken_since is not None and (held := held_before(checks, standing.broken_since)) is not None:
        found.add((held.network, held.block))
    return found


def checked(check: Check) -> Checked:
    """Return a stored check as it is judged."""
    return Checked(check.network, check.block, check.timestamp, check.holds, check.error)
