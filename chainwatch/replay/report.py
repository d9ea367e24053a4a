"""What a replay reports of alerts."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from chainwatch.alerting.policy.policies import Policies
from chainwatch.checker.transfer import IN_TIME, REORG
from chainwatch.store.alerting import alerts

ALL = 2**62


def alerts_fired(connection: sa.Connection, policies: Policies, until: int) -> list[dict[str, Any]]:
    """Return the alerts that a live run would have fired by chain time ``until`` and not withdrawn, by their starts.

    Ready for JSON: labels, annotations, chain times.
    """
    raised = [
        {
            "labels": dict(sorted(alert.labels.items())),
            "annotations": dict(sorted(alert.annotations.items())),
            "starts_at": alert.starts_at,
            "ends_at": alert.ends_at,
        }
        for alert in alerts.list_alerts(connection, limit=ALL)
        if alert.reason not in (IN_TIME, REORG)
        and (alert.ends_at or until) - alert.starts_at >= policies.lifecycle_of(alert.labels).fire_after
    ]
    return sorted(raised, key=lambda a: (a["starts_at"], sorted(a["labels"].items())))
