"""The tables of what the running process knows of endpoints."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, Integer, Table, Text

from chainwatch.store.tables import metadata

endpoints = Table(
    "endpoints",
    metadata,
    Column("name", Text, primary_key=True, comment="network[index] host"),
    Column("network", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("reads", BigInteger, nullable=False, comment="since the process began"),
    Column("errors", BigInteger, nullable=False),
    Column("error_ratio", Double, nullable=False),
    Column("latency", Double, comment="seconds, on average"),
    Column("last_answer_at", Double, comment="wall clock"),
    Column("last_error", Text),
    Column("updated_at", Double, nullable=False, comment="wall clock"),
    sqlite_with_rowid=False,
    comment="What the running process last knew of each endpoint.",
)

endpoint_history = Table(
    "endpoint_history",
    metadata,
    Column("name", Text, primary_key=True),
    Column("at", BigInteger, primary_key=True, autoincrement=False, comment="the first second of the period"),
    Column("network", Text, nullable=False),
    Column("state", Text, nullable=False, comment="the worst of the period"),
    Column("reads", Integer, nullable=False),
    Column("errors", Integer, nullable=False),
    Column("latency", Double, comment="seconds, at the end of the period"),
    sqlite_with_rowid=False,
    comment="The health of endpoints over the last day, by periods of five minutes.",
)
