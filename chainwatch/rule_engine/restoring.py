"""What becomes of the alerts of rules when the process was not running for a while. Pure; times in milliseconds.

The model is Prometheus' restoration of ``for``: the time without evaluations does not count, and after a long one pending
alerts begin anew. Unlike there, a short one counts, as there a late evaluation does; and an alert that fired goes on firing.
"""

from __future__ import annotations

from dataclasses import replace

from chainwatch.promql.evaluation import LOOK_BACK
from chainwatch.promql.series import Labels
from chainwatch.rules.evaluation import Alert
from chainwatch.store.rule_alerts import StoredRuleAlert

COUNTS_UP_TO = LOOK_BACK
"""A gap up to which its time counts: for so long a sample counts, too."""
OUTAGE_TOLERANCE = 3_600_000
"""A gap from which on pending alerts begin anew."""
GRACE_FROM = 60_000
"""A gap from which on samples may be missing at first, so that no alert ends at once."""
GRACE = 120_000
"""For how long after such a gap alerts stay that the first evaluations do not give."""


def restored(stored: StoredRuleAlert, gap: int) -> Alert | None:
    """Return the alert after a ``gap`` without evaluations; None where it begins anew."""
    alert = Alert(
        Labels(stored.labels),
        {},
        "firing" if stored.state == "firing" else "pending",
        0.0,
        stored.active_at,
        stored.fired_at,
        stored.keep_firing_since,
    )
    if alert.state == "firing" or gap <= COUNTS_UP_TO:
        return alert
    return replace(alert, active_at=alert.active_at + gap) if gap <= OUTAGE_TOLERANCE else None


def grace_after(gap: int) -> int:
    """Return for how long alerts stay that are not given any more."""
    return GRACE if gap > GRACE_FROM else 0


def moved(alert: Alert, by: int) -> Alert:
    """Return an alert after the clock was set by ``by``: what it waits for takes as long as before."""
    return replace(
        alert,
        active_at=alert.active_at + by,
        keep_firing_since=None if alert.keep_firing_since is None else alert.keep_firing_since + by,
        resolved_at=None if alert.resolved_at is None else alert.resolved_at + by,
    )
