"""The tables of what rules remember between two evaluations, and how they stand."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, LargeBinary, SmallInteger, Table, Text

from chainwatch.store.tables import metadata

rule_alerts = Table(
    "rule_alerts",
    metadata,
    Column("rule", Text, primary_key=True, comment="what identifies the rule"),
    Column("fingerprint", Text, primary_key=True, comment="of the labels"),
    Column("labels", Text, nullable=False, comment="JSON: the labels, as the rule gives them"),
    Column("state", Text, nullable=False, comment="pending or firing"),
    Column("active_at", BigInteger, nullable=False, comment="Unix ms since when the rule gives it"),
    Column("fired_at", BigInteger, comment="Unix ms; null while it is pending"),
    Column("keep_firing_since", BigInteger, comment="Unix ms since when the rule gives it no more"),
    Column("signal", Text, comment="JSON: the labels of the alert that fires; null while it is pending"),
    Column("updated_at", Double, nullable=False, comment="Unix seconds of this machine"),
    comment="The alerts of rules that are pending or fire.",
)

rule_statuses = Table(
    "rule_statuses",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False, comment="0"),
    Column("statuses", LargeBinary, nullable=False, comment="MessagePack, by zlib: of each rule by its key"),
    comment="One row: how each rule stood when it was last evaluated.",
)
