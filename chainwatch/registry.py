"""The checkers that there are: each is named here, and its extractor in `chainwatch.plan.compile_extractors`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from chainwatch.flows.checker import Changed, FlowChecker
from chainwatch.invariants.checker import InvariantChecker
from chainwatch.pipeline.checker import Checker
from chainwatch.plan import Plan


def build_checkers(
    plan: Plan,
    transfers_saved: Callable[[Sequence[Changed]], None] | None = None,
    *,
    by_clock: bool = True,
    sample_every: int | None = None,
) -> list[Checker]:
    """Return the checkers of ``plan``.

    ``transfers_saved`` is called with transfers that change, before their commit. ``by_clock``: what is not answered for
    too long by the clock is alerted, which would make a replay depend on how long it takes (S7). ``sample_every``: check
    invariants at each so many blocks of history.
    """
    invariants = InvariantChecker.of(plan, by_clock=by_clock, sample_every=sample_every)
    return [FlowChecker.of(plan, transfers_saved), invariants]
