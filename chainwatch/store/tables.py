"""The tables of what was read and what follows from it: networks, headers, logs, transfers, deadlines.

Rows are few and narrow on purpose: a log is one row keyed by one integer, a transfer is one row that carries
its own steps, a deadline is a row only while it is open (DESIGN §7).
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    text,
)

metadata = MetaData()

BigId = BigInteger().with_variant(Integer, "sqlite")
"""SQLite makes only INTEGER primary keys an alias of the row id."""

networks = Table(
    "networks",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False, unique=True),
    Column("chain_id", BigInteger, nullable=False),
    Column("first_block", BigInteger, nullable=False),
    Column("first_timestamp", BigInteger, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("parent_hash", LargeBinary, nullable=False),
    Column("timestamp", BigInteger, nullable=False),
    Column("seen_until", BigInteger, nullable=False),
    Column("pruned_block", BigInteger, comment="logs up to this block may have been deleted by retention"),
    Column("pruned_timestamp", BigInteger),
    comment="One row per followed network: its first block, its checkpoint and until when it has been seen.",
)

watched_sets = Table(
    "watched_sets",
    metadata,
    Column("network_id", SmallInteger, primary_key=True, autoincrement=False),
    Column("address", LargeBinary, primary_key=True),
    Column(
        "topic0", LargeBinary, primary_key=True, comment="empty for any; after 'tx': with the transactions"
    ),
    Column("first_block", BigInteger, nullable=False, comment="from here on all is stored, but for the gap"),
    Column("first_timestamp", BigInteger, nullable=False),
    Column("gap_first", BigInteger, comment="the blocks that are still to be read; null for none"),
    Column("gap_last", BigInteger),
    Column("gap_timestamp", BigInteger, comment="chain time of the gap's end"),
    Column("last_block", BigInteger, comment="the last one watched; null while it is watched"),
    sqlite_with_rowid=False,
    comment="Since when the events of a contract are watched: what was not watched cannot be missed.",
)

properties = Table(
    "properties",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
    comment="What the database knows of itself, such as when it was made.",
)

network_states = Table(
    "network_states",
    metadata,
    Column("name", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("head", BigInteger),
    Column("head_timestamp", BigInteger),
    Column("error", Text),
    Column("updated_at", Double, nullable=False, comment="wall clock"),
    comment="What the running process last knew of each network, for the commands that look on.",
)

assets = Table(
    "assets",
    metadata,
    Column("network", Text, primary_key=True),
    Column("address", LargeBinary, primary_key=True),
    Column("symbol", Text, comment="null: it has none that can be shown"),
    Column("decimals", SmallInteger, comment="null: it has none that can be used"),
    Column("asked_at", Double, nullable=False, comment="wall clock"),
    sqlite_with_rowid=False,
    comment="What the contracts of assets said when they were asked for symbol and decimals.",
)

headers = Table(
    "headers",
    metadata,
    Column("network_id", SmallInteger, primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary, nullable=False),
    Column("parent_hash", LargeBinary, nullable=False),
    Column("timestamp", BigInteger, nullable=False),
    sqlite_with_rowid=False,
    comment="The window of recent headers that proves continuity and finds common ancestors.",
)

logs = Table(
    "logs",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=False, comment="model.event_id"),
    Column("timestamp", BigInteger, nullable=False),
    Column("contract", Text, nullable=False),
    Column("tx_hash", LargeBinary, nullable=False),
    Column("address", LargeBinary, nullable=False),
    Column("topics", LargeBinary, nullable=False, comment="topics of 32 bytes each, joined"),
    Column("data", LargeBinary, nullable=False),
    Column("error", Text, comment="why it does not decode; null when it does"),
    comment="Every matched log as the node gave it: what all else can be recomputed from.",
)
Index(
    "logs_undecoded",
    logs.c.id,
    sqlite_where=logs.c.error.isnot(None),
    postgresql_where=logs.c.error.isnot(None),
)

transactions = Table(
    "transactions",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=False, comment="model.event_id of its block"),
    Column("hash", LargeBinary, primary_key=True),
    Column("sender", LargeBinary, comment="null: no transaction has this hash"),
    Column("recipient", LargeBinary, comment="null: it created a contract"),
    Column("value", LargeBinary, nullable=False, comment="in wei, big-endian"),
    Column("input", LargeBinary, comment="null: more than is kept"),
    Column("size", BigInteger, nullable=False, comment="bytes of its input"),
    sqlite_with_rowid=False,
    comment="The transactions of those logs of which a flow reads them.",
)

transfers = Table(
    "transfers",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=False),
    Column("digest", LargeBinary, nullable=False, comment="BLAKE2b-128 of flow and key"),
    Column("flow", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("origin", Text),
    Column("destination", Text),
    Column("opened_at", BigInteger),
    Column("last_at", BigInteger, nullable=False, comment="chain time of its newest event"),
    Column("firing", SmallInteger, nullable=False, comment="1 while an alert about it fires"),
    Column("state", LargeBinary, nullable=False, comment="MessagePack of its steps and what was raised"),
)
Index("transfers_digest", transfers.c.digest, unique=True)
Index("transfers_opened", transfers.c.opened_at, transfers.c.id)
Index(
    "transfers_unfinished",
    transfers.c.status,
    transfers.c.id,
    sqlite_where=transfers.c.status != "complete",
    postgresql_where=transfers.c.status != "complete",
)
PRUNABLE = text("status IN ('complete', 'resolved', 'untracked', 'unopened', 'excluded') AND firing = 0")
"""Transfers that are finished, with no alert about them that fires. As text, or SQLite would not use the index."""
Index("transfers_prunable", transfers.c.last_at, sqlite_where=PRUNABLE, postgresql_where=PRUNABLE)

transfer_totals = Table(
    "transfer_totals",
    metadata,
    Column("flow", Text, primary_key=True),
    Column("origin", Text, primary_key=True, comment="empty: none yet; ?: none that is configured"),
    Column("destination", Text, primary_key=True, comment="as origin"),
    Column("status", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
    sqlite_with_rowid=False,
    comment="How many transfers are stored.",
)

step_events = Table(
    "step_events",
    metadata,
    Column("base", LargeBinary, primary_key=True, comment="BLAKE2b-128 of flow and key, as the event has it"),
    Column("step", Text, primary_key=True),
    Column("network", Text, primary_key=True),
    Column("block", BigInteger, primary_key=True, autoincrement=False),
    Column("log_index", BigInteger, primary_key=True, autoincrement=False),
    Column("item", BigInteger, primary_key=True, autoincrement=False),
    Column(
        "number",
        BigInteger,
        nullable=False,
        comment="of the opening that it is or takes, from 1 on; -1: takes none; 0: not counted",
    ),
    Column("flow", Text, nullable=False),
    Column("transfer", Text, nullable=False, comment="the key of the transfer that it belongs to"),
    Column("digest", LargeBinary, nullable=False, comment="as transfers.digest"),
    Column("name", LargeBinary, comment="by which other steps find its transfer"),
    Column("value", LargeBinary, comment="an integer of that name"),
    Column("event", LargeBinary, nullable=False, comment="MessagePack of the event"),
    sqlite_with_rowid=False,
    comment="The events of flows in which a key alone does not say to which transfer an event belongs.",
)
Index("step_events_digest", step_events.c.digest)
Index(
    "step_events_number",
    step_events.c.base,
    step_events.c.number,
    step_events.c.step,
    sqlite_where=step_events.c.number != 0,
    postgresql_where=step_events.c.number != 0,
)
Index(
    "step_events_name",
    step_events.c.name,
    step_events.c.value,
    sqlite_where=step_events.c.name.isnot(None),
    postgresql_where=step_events.c.name.isnot(None),
)

step_ranges = Table(
    "step_ranges",
    metadata,
    Column("name", LargeBinary, primary_key=True, comment="as step_events.name"),
    Column(
        "size",
        SmallInteger,
        primary_key=True,
        autoincrement=False,
        comment="it holds at most 2^size integers",
    ),
    Column("first", LargeBinary, primary_key=True, comment="as step_events.value"),
    Column("step", Text, primary_key=True),
    Column("network", Text, primary_key=True),
    Column("block", BigInteger, primary_key=True, autoincrement=False),
    Column("log_index", BigInteger, primary_key=True, autoincrement=False),
    Column("item", BigInteger, primary_key=True, autoincrement=False),
    Column("last", LargeBinary, nullable=False),
    Column("timestamp", BigInteger, nullable=False),
    Column("flow", Text, nullable=False),
    Column("event", LargeBinary, nullable=False, comment="MessagePack of the event"),
    sqlite_with_rowid=False,
    comment="The events that are a step of all transfers whose keys end in an integer of a range.",
)
Index("step_ranges_timestamp", step_ranges.c.timestamp)

deadlines = Table(
    "deadlines",
    metadata,
    Column("transfer_id", BigId, primary_key=True, autoincrement=False),
    Column("step", Text, primary_key=True),
    Column("network", Text, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
    comment="The open deadlines; a row goes when its step is seen or its alert is raised.",
)
Index("deadlines_due", deadlines.c.network, deadlines.c.due_at)
Index("deadlines_by_time", deadlines.c.due_at)
