"""What each alert is about, and the alert ``FlowEvaluationFailed`` under its new name (``RuleFailed`` until now).

Revision ID: 0015
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

OLD, NEW = "RuleFailed", "FlowEvaluationFailed"
OLD_LABELS = {"alertname", "flow", "step", "network", "severity"}
SOURCES = (
    ("transfer", "transfer", ("TransferOverdue", "TransferOrphan", "TransferRepeated", "TransferMismatch")),
    ("event", "contract", ("LogUndecodable",)),
    (
        "network",
        "network",
        ("NetworkBlind", "NetworkStalled", "NetworkLagging", "LogsDisputed", "EndpointDegraded", "DeepReorg"),
    ),
    ("receiver", "receiver", ("ReceiverFailing",)),
    ("silence", "silence", ("SilenceExpiring",)),
    ("process", "task", ("TaskFailed",)),
    ("process", "severity", ("ClockSkew", "ReceiverTest", "Watchdog")),
)
"""Source, the label that such alerts have, and their names. Other programs' alerts of such a name lack the label, or have an
expiry.
"""

COLUMN_COMMENTS = {
    ("alert_groups", "flush_at"): "when it is flushed next",
    ("alert_groups", "flushed_at"): "when it was last flushed; the intervals count from here",
    ("alert_timers", "ends_at"): "of an end: the end to be stored, in milliseconds",
    ("alert_timers", "reason"): "of an end: the reason to be stored",
    ("alert_holds", "silence_id"): "the silence that suppresses it",
    ("incident_entries", "receiver"): "of a step: the receiver that was notified",
    ("escalations", "due_at"): "when the step is due; null: no step is left",
    ("alert_rises", "escalated_to"): "P0 to P3: the severity to which it was raised; its label stays",
}
TABLE_COMMENTS = {
    "notifications": "The queues: one notification for one receiver, kept until delivered or visibly dead (S6).",
    "receiver_pauses": "Until when nothing is sent to a receiver that is down or asked for a pause.",
    "alert_transitions": "The history of alerts, beside their start and their end, which are in their rows.",
    "alert_timers": "Alerts that fire or end at a given time unless a signal changes that.",
    "acknowledgements": "Acknowledged alerts: the row is deleted when the acknowledgement lapses or is withdrawn.",
    "silences": "Silences: alerts that they match are recorded without notifications.",
    "alert_holds": "Members of groups whose notification is suppressed, and why.",
    "incident_entries": "What happened to an incident as a whole: notes of people, and the steps of its escalation.",
    "alert_rises": "Alerts that were raised so often that their severity rose.",
    "alert_returns": "When the conditions of alerts that go on firing because they flap began again, lately.",
}


def upgrade() -> None:
    """Add ``alerts.source`` and fill it from names and labels; rename what is stored of the renamed alert."""
    op.add_column(
        "alerts",
        sa.Column(
            "source",
            sa.Text(),
            nullable=False,
            server_default="external",
            comment="what it is about: transfer, event, network, receiver, …",
        ),
    )
    connection = op.get_bind()
    for source, label, names in SOURCES:
        change = sa.text(
            "UPDATE alerts SET source = :source WHERE name IN :names AND labels LIKE :label "
            "AND fingerprint NOT IN (SELECT fingerprint FROM alert_expiries)"
        ).bindparams(sa.bindparam("names", expanding=True))
        connection.execute(change, {"source": source, "names": names, "label": f'%"{label}":%'})
    renamed = _rename_alerts(connection)
    _rename_groups(connection, renamed)
    _rename_in_matchers(connection)
    if connection.dialect.name == "postgresql":
        for (table, column), comment in COLUMN_COMMENTS.items():
            connection.exec_driver_sql(f"COMMENT ON COLUMN {table}.{column} IS '{comment}'")
        for table, comment in TABLE_COMMENTS.items():
            op.create_table_comment(table, comment)


def _rename_alerts(connection: sa.Connection) -> list[int]:
    """Return the ids of the alerts that have the new name now."""
    renamed = []
    rows = connection.execute(
        sa.text("SELECT id, fingerprint, labels FROM alerts WHERE name = :old"), {"old": OLD}
    ).all()
    for row in rows:
        labels = json.loads(row.labels)
        if set(labels) != OLD_LABELS:
            continue  # another program's
        labels["alertname"] = NEW
        connection.execute(
            sa.text(
                "UPDATE alerts SET source = 'event', name = :name, labels = :labels, fingerprint = :new WHERE id = :id"
            ),
            {"name": NEW, "labels": _json(labels), "new": _fingerprint(labels), "id": row.id},
        )
        renamed.append(row.id)
    return renamed


def _rename_groups(connection: sa.Connection, alert_ids: Sequence[int]) -> None:
    """Let the alerts stay in their groups and incidents, so that nothing is notified again."""
    keys = set()
    for some in _in_chunks(alert_ids):
        for members, groups, group_id in (
            ("alert_members", "alert_groups", "group_id"),
            ("incident_alerts", "incidents", "incident_id"),
        ):
            query = sa.text(
                f"SELECT DISTINCT key FROM {groups} JOIN {members} ON {groups}.id = {group_id} "  # noqa: S608
                "WHERE alert_id IN :ids"
            ).bindparams(sa.bindparam("ids", expanding=True))
            keys |= set(connection.execute(query, {"ids": list(some)}).scalars())
    old, new = (f"alertname={json.dumps(name)}" for name in (OLD, NEW))
    for key in sorted(key for key in keys if old in key):
        for table in ("alert_groups", "incidents", "notifications"):
            connection.execute(
                sa.text(f"UPDATE {table} SET key = :new WHERE key = :key"),  # noqa: S608
                {"new": key.replace(old, new), "key": key},
            )
        for table in ("alert_groups", "incidents"):
            rows = connection.execute(
                sa.text(f"SELECT id, labels FROM {table} WHERE key = :key"),  # noqa: S608
                {"key": key.replace(old, new)},
            ).all()
            for row in rows:
                labels = json.loads(row.labels) | {"alertname": NEW}
                connection.execute(
                    sa.text(f"UPDATE {table} SET labels = :labels WHERE id = :id"),  # noqa: S608
                    {"labels": _json(labels), "id": row.id},
                )


def _rename_in_matchers(connection: sa.Connection) -> None:
    """Let silences and cooldowns go on taking the alert."""
    for table in ("silences", "cooldowns"):
        connection.execute(
            sa.text(
                f"UPDATE {table} SET matchers = replace(matchers, :old, :new) "  # noqa: S608
                "WHERE matchers LIKE '%\"alertname\"%'"
            ),
            {"old": json.dumps(OLD), "new": json.dumps(NEW)},
        )


def _in_chunks(ids: Sequence[int]) -> Iterator[Iterable[int]]:
    for start in range(0, len(ids), 500):
        yield ids[start : start + 500]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _fingerprint(labels: dict[str, str]) -> str:
    text = "".join([f"{name}\xff{labels[name]}\xff" for name in sorted(labels)])
    return blake2b(text.encode(), digest_size=8).hexdigest()
