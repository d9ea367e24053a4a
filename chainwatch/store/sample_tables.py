"""The tables of the samples that rules are evaluated over. Times are Unix milliseconds, of what was sampled."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, LargeBinary, Table

from chainwatch.store.tables import BigId, metadata

sample_series = Table(
    "sample_series",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=False),
    Column("labels", LargeBinary, nullable=False, comment="JSON"),
    comment="Series of samples.",
)

sample_batches = Table(
    "sample_batches",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=False),
    Column("samples", LargeBinary, nullable=False, comment="as tsdb/journal.py writes them"),
    comment="Samples in the order in which they came, until all of their batch are in chunks.",
)

sample_chunks = Table(
    "sample_chunks",
    metadata,
    Column("series_id", BigInteger, primary_key=True, autoincrement=False),
    Column("start", BigInteger, primary_key=True, autoincrement=False),
    Column("last", BigInteger, nullable=False),
    Column("samples", LargeBinary, nullable=False, comment="a checksum, then as tsdb/chunks.py writes them"),
    comment="Samples of one series from the time start to the time last.",
)
