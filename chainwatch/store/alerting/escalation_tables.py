"""The tables of incidents, of their escalations, and of on-call overrides.

An incident is a group of alerts from the first that fires to the last that ends, whichever receivers are notified: what
people are paged for once, and what they review afterwards.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, Index, Integer, Table, Text

from chainwatch.store.tables import BigId, metadata

incidents = Table(
    "incidents",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=False),
    Column("key", Text, nullable=False, comment="Alertmanager's groupKey: the route and the group's labels"),
    Column("route", Text, nullable=False, comment="the route's own key"),
    Column("labels", Text, nullable=False, comment="JSON object of the labels that its alerts share"),
    Column("opened_at", Double, nullable=False),
    Column("ended_at", Double, comment="null while one of its alerts fires"),
    comment="Groups of alerts, each from its first start to its last end.",
)
Index("incidents_key", incidents.c.key)
Index("incidents_ended", incidents.c.ended_at)

incident_alerts = Table(
    "incident_alerts",
    metadata,
    Column("incident_id", BigId, primary_key=True, autoincrement=False),
    Column("alert_id", BigId, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
    comment="The alerts of each incident.",
)
Index("incident_alerts_alert", incident_alerts.c.alert_id)

incident_entries = Table(
    "incident_entries",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("incident_id", BigId, nullable=False),
    Column("at", Double, nullable=False),
    Column("kind", Text, nullable=False, comment="note, started, step, skipped, ended or raised"),
    Column("actor", Text, nullable=False, comment="who did it; chainwatch for what a policy did"),
    Column("text", Text, nullable=False),
    Column("receiver", Text, comment="of a step: the receiver that was notified"),
    sqlite_autoincrement=True,
    comment="What happened to an incident as a whole: notes of people, and the steps of its escalation.",
)
Index("incident_entries_incident", incident_entries.c.incident_id, incident_entries.c.id)

escalations = Table(
    "escalations",
    metadata,
    Column("incident_id", BigId, primary_key=True, autoincrement=False),
    Column("policy", Text, nullable=False, comment="JSON: the policy as it was at the start"),
    Column("round", Integer, nullable=False, comment="0 at first, then the repetition"),
    Column("step", Integer, nullable=False, comment="the step that is due next, from 0"),
    Column("started_at", Double, nullable=False),
    Column("due_at", Double, comment="when the step is due; null: no step is left"),
    Column(
        "stopped_at", Double, comment="when everything was acknowledged or ended; null: it runs or ran out"
    ),
    comment="The escalation of each open incident that has one.",
)
Index(
    "escalations_due",
    escalations.c.due_at,
    sqlite_where=escalations.c.due_at.is_not(None),
    postgresql_where=escalations.c.due_at.is_not(None),
)

alert_rises = Table(
    "alert_rises",
    metadata,
    Column("alert_id", BigId, primary_key=True, autoincrement=False),
    Column(
        "escalated_to",
        Text,
        nullable=False,
        comment="P0 to P3: the severity to which it was raised; its label stays",
    ),
    Column("at", Double, nullable=False),
    Column("occurrences", Integer, nullable=False, comment="how many alerts of its kind there were by then"),
    comment="Alerts that were raised so often that their severity rose.",
)

alert_returns = Table(
    "alert_returns",
    metadata,
    Column("alert_id", BigId, primary_key=True, autoincrement=False),
    Column("at", Double, primary_key=True),
    sqlite_with_rowid=False,
    comment="When the conditions of alerts that go on firing because they flap began again, lately.",
)

oncall_overrides = Table(
    "oncall_overrides",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("schedule", Text, nullable=False),
    Column("person", Text, nullable=False),
    Column("starts_at", BigInteger, nullable=False),
    Column("ends_at", BigInteger, nullable=False),
    Column("author", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    sqlite_autoincrement=True,
    comment="Who is on call instead of whom the schedule names; of two at a time the newer counts.",
)
Index("oncall_overrides_end", oncall_overrides.c.schedule, oncall_overrides.c.ends_at)
