"""Tables of the HTTP server: tokens, sessions of its page, what was done and created through it, and what it answered."""

from __future__ import annotations

from sqlalchemy import Column, Double, Index, Integer, LargeBinary, Table, Text

from chainwatch.store.tables import BigId, metadata

api_tokens = Table(
    "api_tokens",
    metadata,
    Column("id", Text, primary_key=True, comment="the token's public part"),
    Column("name", Text, nullable=False, unique=True),
    Column("role", Text, nullable=False, comment="viewer, operator or admin"),
    Column("hash", Text, nullable=False, comment="of its secret part, with how it was made"),
    Column("author", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    comment="Who may call the HTTP server; with any row, nobody else may.",
)

page_sessions = Table(
    "page_sessions",
    metadata,
    Column("id", Text, primary_key=True, comment="SHA-256 of the cookie's value, in hex"),
    Column("token_id", Text, nullable=False, comment="the token that was given to log in"),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    comment="Who is logged in to the page; each session ends with its token.",
)

audit_log = Table(
    "audit_log",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("at", Double, nullable=False),
    Column("actor", Text, nullable=False, comment="the token's name, or the user who ran a command"),
    Column("action", Text, nullable=False),
    Column("detail", Text, nullable=False),
    sqlite_autoincrement=True,
    comment="What was changed through the HTTP server, and changes of its tokens.",
)
Index("audit_log_at", audit_log.c.at)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("id", LargeBinary, primary_key=True, comment="SHA-256 of the caller's name and the key"),
    Column("actor", Text, nullable=False, comment="the token's name"),
    Column("request", LargeBinary, nullable=False, comment="SHA-256 of the request that the key came with"),
    Column("at", Double, nullable=False),
    Column("status", Integer, nullable=False),
    Column("content_type", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    comment="Answers to requests that changed something, by their header Idempotency-Key.",
)
Index("idempotency_keys_actor", idempotency_keys.c.actor, idempotency_keys.c.at)
Index("idempotency_keys_at", idempotency_keys.c.at)
channels = Table(
    "channels",
    metadata,
    Column("id", Text, primary_key=True, comment="the receiver's name"),
    Column("provider", Text, nullable=False),
    Column("config", Text, nullable=False, comment="JSON: the receiver's other keys, with its secrets"),
    Column("author", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    comment="Receivers that were created through the HTTP server, beside those of the configuration.",
)

rules = Table(
    "rules",
    metadata,
    Column("name", Text, primary_key=True, comment="the alertname of its alerts"),
    Column("query", Text, nullable=False, comment="PromQL"),
    Column("duration", Text, nullable=False),
    Column("severity", Text, nullable=False, comment="as it was given"),
    Column("annotations", Text, nullable=False, comment="JSON"),
    Column("type", Text),
    Column("cooldown", Text),
    Column("channels", Text, nullable=False, comment="JSON: names of receivers"),
    Column("author", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    comment="Rules that were created through the HTTP server.",
)
