"""The tables of alerts, of the groups by which receivers are notified of them, and of the queued notifications.

An alert is one row per episode: it fires once and resolves once; a condition that comes back is a new row. Whether a
receiver was notified of an alert is a row of ``alert_members`` until its resolution was notified. A notification names its
alerts by id, so that one repeated again and again costs a few bytes per alert (S10).
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, Index, Integer, LargeBinary, SmallInteger, Table, Text

from chainwatch.store.tables import BigId, metadata

alerts = Table(
    "alerts",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=False),
    Column("fingerprint", Text, nullable=False, comment="of the labels, 16 hex digits"),
    Column("name", Text, nullable=False, comment="the label alertname"),
    Column("severity", Text, nullable=False, comment="P0 to P3"),
    Column("state", Text, nullable=False, comment="firing or resolved"),
    Column(
        "audience", Text, nullable=False, comment="routed, unrouted (no route takes it) or quiet (on purpose)"
    ),
    Column("labels", Text, nullable=False, comment="JSON object"),
    Column("annotations", Text, nullable=False, comment="JSON object"),
    Column("starts_at", BigInteger, nullable=False, comment="chain time, in milliseconds"),
    Column("ends_at", BigInteger, comment="chain time, in milliseconds; null while firing"),
    Column("reason", Text, nullable=False, comment="why it ended"),
    Column("raised_at", Double, nullable=False, comment="when this process learnt that it fires"),
    Column("resolved_at", Double, comment="when this process learnt that it ended"),
    Column(
        "source",
        Text,
        nullable=False,
        server_default="external",
        comment="what it is about: transfer, event, network, receiver, …",
    ),
    comment="Every alert, firing or resolved.",
)
Index("alerts_newest", alerts.c.fingerprint, alerts.c.id)
Index(
    "alerts_firing",
    alerts.c.fingerprint,
    unique=True,
    sqlite_where=alerts.c.state == "firing",
    postgresql_where=alerts.c.state == "firing",
)
Index(
    "alerts_firing_name",
    alerts.c.name,
    postgresql_using="hash",  # names that other programs send may be longer than what a tree takes
    sqlite_where=alerts.c.state == "firing",
    postgresql_where=alerts.c.state == "firing",
)
Index(
    "alerts_resolved",
    alerts.c.resolved_at,
    sqlite_where=alerts.c.state == "resolved",
    postgresql_where=alerts.c.state == "resolved",
)
Index("alerts_by_start", alerts.c.starts_at, alerts.c.id)
Index("alerts_counted", alerts.c.state, alerts.c.severity, alerts.c.audience)
Index("alerts_raised", alerts.c.raised_at)

alert_groups = Table(
    "alert_groups",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=False),
    Column("key", Text, nullable=False, comment="Alertmanager's groupKey: the route and the group's labels"),
    Column("receiver", Text, nullable=False),
    Column("route", Text, nullable=False, comment="the route's own key"),
    Column("labels", Text, nullable=False, comment="JSON object of the labels that the group has in common"),
    Column("flush_at", Double, nullable=False, comment="when it is flushed next"),
    Column("flushed_at", Double, comment="when it was last flushed; the intervals count from here"),
    Column("sent_at", Double, comment="when its last notification was queued; repeats count from here"),
    comment="The living groups, one per receiver.",
)
Index("alert_groups_key", alert_groups.c.key, alert_groups.c.receiver, unique=True)
Index("alert_groups_due", alert_groups.c.flush_at)

alert_members = Table(
    "alert_members",
    metadata,
    Column("group_id", BigId, primary_key=True, autoincrement=False),
    Column("alert_id", BigId, primary_key=True, autoincrement=False),
    Column(
        "notified", SmallInteger, nullable=False, comment="1 once a notification that it fires was queued"
    ),
    sqlite_with_rowid=False,
    comment="Alerts in groups: the row goes once the end of the alert was notified.",
)
Index("alert_members_alert", alert_members.c.alert_id)

notifications = Table(
    "notifications",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("receiver", Text, nullable=False),
    Column("key", Text, nullable=False, comment="the group's key: what shares it is delivered in order"),
    Column(
        "payload", LargeBinary, nullable=False, comment="MessagePack: the group's labels and the alerts' ids"
    ),
    Column("status", Text, nullable=False, comment="pending, delivered, dead or dropped"),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at", Double, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("queued_at", Double, nullable=False, comment="created_at, or when a person had it tried again"),
    Column("finished_at", Double, comment="when it was delivered, given up or dropped"),
    Column("last_error", Text),
    Column("idempotency_key", Text, nullable=False, unique=True),
    sqlite_autoincrement=True,
    comment="The queues: one notification for one receiver, kept until delivered or visibly dead (S6).",
)
receiver_pauses = Table(
    "receiver_pauses",
    metadata,
    Column("receiver", Text, primary_key=True),
    Column("until", Double, nullable=False),
    sqlite_with_rowid=False,
    comment="Until when nothing is sent to a receiver that is down or asked for a pause.",
)
Index(
    "notifications_pending",
    notifications.c.receiver,
    notifications.c.key,
    notifications.c.id,
    sqlite_where=notifications.c.status == "pending",
    postgresql_where=notifications.c.status == "pending",
)
Index(
    "notifications_pending_order",
    notifications.c.receiver,
    notifications.c.id,
    sqlite_where=notifications.c.status == "pending",
    postgresql_where=notifications.c.status == "pending",
)
Index("notifications_listed", notifications.c.status, notifications.c.id, notifications.c.receiver)
Index("notifications_created", notifications.c.created_at)
Index("notifications_finished", notifications.c.status, notifications.c.finished_at)

delivery_receipts = Table(
    "delivery_receipts",
    metadata,
    Column("receiver", Text, primary_key=True),
    Column("key", Text, primary_key=True, comment="the group's key"),
    Column(
        "remote_ids", Text, nullable=False, comment="JSON: what the channel calls the group's last message"
    ),
    Column("stored_at", Double, nullable=False),
    sqlite_with_rowid=False,
    comment="What channels call the messages that later ones of the same group edit or reply to.",
)
Index("delivery_receipts_stored", delivery_receipts.c.stored_at)

# --- what people and policies did to alerts ---------------------------------------------------------------

alert_transitions = Table(
    "alert_transitions",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("alert_id", BigId, nullable=False),
    Column("at", Double, nullable=False),
    Column("kind", Text, nullable=False, comment="pending, acknowledged, held, released, resolved, …"),
    Column("cause", Text, nullable=False, comment="the policy or command behind it"),
    Column("actor", Text, nullable=False, comment="who did it; chainwatch for what a policy did"),
    Column("note", Text, nullable=False),
    Column("receiver", Text, comment="for what concerns one receiver only"),
    sqlite_autoincrement=True,
    comment="The history of alerts, beside their start and their end, which are in their rows.",
)
Index("alert_transitions_alert", alert_transitions.c.alert_id, alert_transitions.c.id)
Index(
    "alert_transitions_acknowledged",
    alert_transitions.c.alert_id,
    alert_transitions.c.at,
    sqlite_where=alert_transitions.c.kind == "acknowledged",
    postgresql_where=alert_transitions.c.kind == "acknowledged",
)

alert_timers = Table(
    "alert_timers",
    metadata,
    Column("alert_id", BigId, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False, comment="fire (a pending alert) or end (one that is kept firing)"),
    Column("due_at", Double, nullable=False),
    Column("ends_at", BigInteger, comment="of an end: the end to be stored, in milliseconds"),
    Column("reason", Text, nullable=False, comment="of an end: the reason to be stored"),
    comment="Alerts that fire or end at a given time unless a signal changes that.",
)
Index("alert_timers_due", alert_timers.c.due_at)

alert_repeats = Table(
    "alert_repeats",
    metadata,
    Column("alert_id", BigId, primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=False, comment="how often it was raised again while it fired"),
    Column("last_at", Double, nullable=False),
    comment="Alerts that were raised again while they fired.",
)

acknowledgements = Table(
    "acknowledgements",
    metadata,
    Column("alert_id", BigId, primary_key=True, autoincrement=False),
    Column("actor", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("note", Text, nullable=False),
    Column("until", Double, comment="when it lapses; null: with the alert"),
    Column("severity", Text, nullable=False, comment="of the alert at that time"),
    Column("reminded_at", Double, nullable=False, comment="the last reminder, at first when it was made"),
    comment="Acknowledged alerts: the row is deleted when the acknowledgement lapses or is withdrawn.",
)

silences = Table(
    "silences",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("matchers", Text, nullable=False, comment="JSON: label → values, or [[name, operator, value], …]"),
    Column("starts_at", Double, nullable=False),
    Column("ends_at", Double, nullable=False),
    Column("during", Text, nullable=False, comment="JSON: names of intervals; empty: all the time"),
    Column("author", Text, nullable=False),
    Column("comment", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("warn_before", Double, nullable=False, comment="seconds before its end; 0: no warning"),
    sqlite_autoincrement=True,
    comment="Silences: alerts that they match are recorded without notifications.",
)
Index("silences_end", silences.c.ends_at)

alert_holds = Table(
    "alert_holds",
    metadata,
    Column("group_id", BigId, primary_key=True, autoincrement=False),
    Column("alert_id", BigId, primary_key=True, autoincrement=False),
    Column("why", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("since", Double, nullable=False),
    Column("silence_id", BigId, comment="the silence that suppresses it"),
    sqlite_with_rowid=False,
    comment="Members of groups whose notification is suppressed, and why.",
)

cooldowns = Table(
    "cooldowns",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("matchers", Text, nullable=False, comment="JSON: label → values"),
    Column("by", Text, nullable=False, comment="JSON: the labels that make a condition the same"),
    Column("seconds", Double, nullable=False, comment="0 lifts a configured cooldown"),
    Column("author", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    sqlite_autoincrement=True,
    comment="Cooldowns set while running; they come before the configured ones.",
)

last_notified = Table(
    "last_notified",
    metadata,
    Column("receiver", Text, primary_key=True),
    Column(
        "condition", Text, primary_key=True, comment="fingerprint of the labels that a cooldown counts by"
    ),
    Column("at", Double, nullable=False),
    comment="When a receiver was last notified of a condition that has a cooldown.",
)
Index("last_notified_at", last_notified.c.at)

rate_windows = Table(
    "rate_windows",
    metadata,
    Column("receiver", Text, primary_key=True),
    Column("severity", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("started_at", Double, nullable=False),
    Column("sent", Integer, nullable=False),
    comment="How many notifications a receiver got in the running minute.",
)

# --- what other programs sent -----------------------------------------------------------------------------

alert_expiries = Table(
    "alert_expiries",
    metadata,
    Column("fingerprint", Text, primary_key=True),
    Column("expires_at", Double, nullable=False),
    Column("timeout", SmallInteger, nullable=False, comment="1: its sender named no end"),
    Column("sent_at", Double, nullable=False, server_default="0", comment="when it was last sent"),
    Column(
        "generator_url",
        Text,
        nullable=False,
        server_default="",
        comment="where its sender shows it, or empty",
    ),
    sqlite_with_rowid=False,
    comment="Alerts that end by themselves unless they are sent again.",
)
Index("alert_expiries_due", alert_expiries.c.expires_at)
