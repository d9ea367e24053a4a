"""What a replay reports of alerts."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from chainwatch.alert_model import REORG
from chainwatch.alerting.policy.policies import Policies
from chainwatch.checker.transfer import IN_TIME
from chainwatch.presentation.presenter import Presenter, published
from chainwatch.store.alerting import alerts

ALL = 2**62


def alerts_fired(
    connection: sa.Connection, policies: Policies, presenter: Presenter, until: int
) -> list[dict[str, Any]]:
    """Return the alerts that a live run would have fired by chain time ``until`` and not withdrawn, by their starts.

    Ready for JSON: labels, annotations, chain times. Amounts are shown by the configuration alone, not by what assets said
    of themselves: the same blocks and configuration give the same bytes.
    """
    listed = alerts.list_alerts(connection, limit=ALL)
    raised = [
        {
            "labels": dict(sorted(alert.labels.items())),
            "annotations": dict(sorted(published(alert.annotations, shown).items())),
            "starts_at": alert.starts_at,
            "ends_at": alert.ends_at,
        }
        for alert, shown in zip(listed, presenter.show(listed), strict=True)
        if alert.reason not in (IN_TIME, REORG)
        and (alert.ends_at or until) - alert.starts_at >= policies.lifecycle_of(alert.labels).fire_after
    ]
    return sorted(raised, key=lambda a: (a["starts_at"], sorted(a["labels"].items())))
