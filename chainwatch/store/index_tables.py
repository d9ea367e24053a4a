"""The tables of the index of transfers: what they are found by besides their keys, and how long their steps took.

They follow the transfers a moment later, outside the transactions that judge, which would wait for so many rows.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, Table, Text

from chainwatch.store.tables import BigId, metadata

transfer_changes = Table(
    "transfer_changes",
    metadata,
    Column("seq", BigId, primary_key=True),
    Column("transfer_id", BigInteger, nullable=False),
    comment="The transfers that changed since they were indexed, in this order.",
)

transfer_index = Table(
    "transfer_index",
    metadata,
    Column("transfer_id", BigId, primary_key=True, autoincrement=False),
    Column("content", LargeBinary, nullable=False, comment="MessagePack: its terms and its counted steps"),
    comment="What the index has of each transfer, so that a change replaces it.",
)

transfer_terms = Table(
    "transfer_terms",
    metadata,
    Column("term", LargeBinary, primary_key=True, comment="k: a key's beginning, t: transaction, a: address"),
    Column("transfer_id", BigInteger, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
    comment="By what transfers are found.",
)

step_counts = Table(
    "step_counts",
    metadata,
    Column("hour", BigInteger, primary_key=True, autoincrement=False, comment="in which transfers opened"),
    Column("flow", Text, primary_key=True),
    Column("origin", Text, primary_key=True),
    Column("destination", Text, primary_key=True),
    Column("step", Text, primary_key=True, comment="empty: the whole transfer"),
    Column(
        "seconds",
        BigInteger,
        primary_key=True,
        autoincrement=False,
        comment="exact below 64, then to one part in 32",
    ),
    Column("number", Integer, nullable=False),
    Column("late", Integer, nullable=False),
    sqlite_with_rowid=False,
    comment="How often a step took how long, by the hour in which the transfer opened (chain time).",
)
