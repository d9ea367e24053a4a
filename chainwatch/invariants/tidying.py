"""Invariants that were made while this runs and are not checked now: their alerts end, or say that nothing is known."""

from __future__ import annotations

from chainwatch.checker.invariants import judge as rules
from chainwatch.checker.invariants.judge import UNREAD
from chainwatch.invariants import listing, raising
from chainwatch.invariants.definitions import Running
from chainwatch.invariants.kept_accepted import KeptAccepted
from chainwatch.invariants.listing import STOPPED
from chainwatch.pipeline.checker import CONFIG_CHANGED
from chainwatch.pipeline.unit_of_work import Work
from chainwatch.store import invariants, schema
from chainwatch.store.invariants import RaisedAlert

TIDIED = "invariants_tidied"
"""The property for the revision as of which nothing is stored of invariants that are gone."""


def is_tidy(work: Work, running: Running) -> bool:
    """Return whether `tidy` has nothing to do as of the revision of ``running``."""
    return not running.revision or schema.get_property(work.connection, TIDIED) == str(running.revision)


def tidy(work: Work, running: Running, accepted: KeptAccepted) -> None:
    """End and forget what is stored of invariants that were stopped or deleted."""
    reasons = {
        name: listing.why_gone(work.connection, name, running.names)
        for name in sorted(invariants.known_names(work.connection) - running.names)
        if not {name, listing.family_of(name)} & running.uncheckable.keys()
    }
    invariants.forget(work.connection, reasons)
    accepted.forget(work.connection, [name for name, reason in reasons.items() if reason != STOPPED])
    raising.end_all(work, reasons)
    schema.set_property(work.connection, TIDIED, str(running.revision))


def raise_uncheckable(work: Work, running: Running) -> None:
    """Raise `InvariantUnread` for what this configuration leaves without its network or contract.

    It ends with the first check that is answered, once the configuration has these again.
    """
    if not running.uncheckable:
        return
    raised = invariants.raised_of(work.connection, list(running.uncheckable))
    for name, one in running.uncheckable.items():
        before = raised.get(name, {}).get(UNREAD)
        if before is not None and before.labels["severity"] == one.severity:
            continue
        labels, annotations = rules.uncheckable(name, one.severity, one.reason)
        labels |= one.labels
        starts_at = int(work.latest_seen or work.now)
        if before is not None:
            raising.end(work, before, starts_at, CONFIG_CHANGED)
        raising.raise_alert(work, RaisedAlert(name, UNREAD, "", 0, labels, annotations, starts_at))
