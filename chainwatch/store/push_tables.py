"""The table of pushed groups of metrics."""

from __future__ import annotations

from sqlalchemy import Column, Double, LargeBinary, Table, Text

from chainwatch.store.tables import metadata

push_groups = Table(
    "push_groups",
    metadata,
    Column("id", LargeBinary, primary_key=True, comment="hash of the labels"),
    Column("labels", Text, nullable=False, comment="JSON: by which the group is known"),
    Column(
        "families", LargeBinary, nullable=False, comment="MessagePack: its metrics as they were pushed last"
    ),
    Column("pushed_at", Double, nullable=False, comment="0 for never"),
    Column("failed_at", Double, nullable=False, comment="0 for never"),
    comment="Groups of metrics that other programs pushed: each stays until it is deleted.",
)
