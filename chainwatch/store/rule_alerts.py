"""What rules remember between two evaluations: their alerts that are pending or fire, as rows.

All functions work inside the caller's transaction.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import sqlalchemy as sa

from chainwatch.store import bulk
from chainwatch.store.rule_tables import rule_alerts


class StoredRuleAlert(NamedTuple):
    """An alert of the rule with the key ``rule``. Times are Unix milliseconds, but ``updated_at``: Unix seconds.

    ``signal``: the labels of the alert that fires; None while it is pending.
    """

    rule: str
    fingerprint: str
    labels: Mapping[str, str]
    state: str
    active_at: int
    fired_at: int | None
    keep_firing_since: int | None
    signal: Mapping[str, str] | None
    updated_at: float


def load(connection: sa.Connection) -> list[StoredRuleAlert]:
    """Return all alerts of rules."""
    rows = connection.execute(sa.select(rule_alerts).order_by(rule_alerts.c.rule, rule_alerts.c.fingerprint))
    return [_stored(row) for row in rows]


def save(connection: sa.Connection, alerts: Iterable[StoredRuleAlert]) -> None:
    """Store alerts, each in place of the one with its key."""
    rows = [
        (*one[:2], _json(one.labels), *one[3:7], None if one.signal is None else _json(one.signal), one[8])
        for one in alerts
    ]
    bulk.upsert(connection, rule_alerts, StoredRuleAlert._fields, rows)


def delete(connection: sa.Connection, keys: Iterable[tuple[str, str]]) -> None:
    """Delete the alerts with these rules and fingerprints."""
    bulk.delete(connection, rule_alerts, ("rule", "fingerprint"), list(keys))


def _stored(row: sa.Row[tuple[object, ...]]) -> StoredRuleAlert:
    values = row._asdict()
    values["labels"] = json.loads(values["labels"])
    values["signal"] = None if values["signal"] is None else json.loads(values["signal"])
    return StoredRuleAlert(**values)


def _json(pairs: Mapping[str, str]) -> str:
    return json.dumps(dict(pairs), ensure_ascii=False)
