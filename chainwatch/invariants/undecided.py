"""Breaches that an opening which is not read yet may explain: a mint may precede its lock, as clocks differ."""

from __future__ import annotations

from collections.abc import Sequence

from chainwatch.checker.invariants.invariant import Invariant
from chainwatch.pipeline.unit_of_work import Work
from chainwatch.store import transfers
from chainwatch.store.invariants import Check, Place

LONGEST = 30.0
"""Seconds by the clock for which a breach waits at most."""


class Undecided:
    """The checks whose breach waits for openings. In memory: after a restart the wait begins anew."""

    def __init__(self) -> None:
        self._since: dict[Place, float] = {}

    def names(self) -> set[str]:
        """Return the invariants with such checks."""
        return {name for name, _, _ in self._since}

    def keep_back(
        self, work: Work, invariant: Invariant, before: Sequence[Check], after: Sequence[Check], now: float
    ) -> list[Check]:
        """Return checks ``after`` they were evaluated; those with a new breach that may be none as they were ``before``.

        ``now`` is the clock's value, 0 where no time passes by the clock: nothing waits then.
        """
        if not any(value.flow is not None for value in invariant.values):
            return list(after)
        known, found = self._since, []
        self._since = {place: since for place, since in known.items() if place[0] != invariant.name}
        for old, new in zip(before, after, strict=True):
            place = (invariant.name, new.network, new.block)
            since = known.get(place, now)
            is_breach = old.holds is None and new.holds is False
            if is_breach and now - since < LONGEST and _may_be_explained(work, invariant, since):
                self._since[place] = since
                found.append(old)
            else:
                found.append(new)
        return found


def _may_be_explained(work: Work, invariant: Invariant, since: float) -> bool:
    """Return whether openings may still be read of transfers that have ended.

    A transfer opens before it ends. So once an origin is seen up to ``since``, when the end was known, its opening is, too,
    however far behind the clock of the network is on which it ended.
    """
    flows = {value.flow.flow.name: value.flow.flow for value in invariant.values if value.flow is not None}
    return any(
        work.seen.get(origin, 0) < min(latest + flow.clock_skew, since)
        for flow in flows.values()
        for network, latest in transfers.newest_unopened(work.connection, flow.name).items()
        for origin in flow.origins
        if origin != network
    )
