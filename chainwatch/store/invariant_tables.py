"""The tables of invariants: those that were made while this runs, what was read for all of them, and what they raised."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, LargeBinary, Table, Text

from chainwatch.store.tables import metadata


def _place(of_block: str | None = None) -> tuple[Column[Any], ...]:
    """Return the primary key of what an invariant has at a block of a network; ``of_block`` comments on which block."""
    return (
        Column("name", Text, primary_key=True),
        Column("network", Text, primary_key=True),
        Column("block", BigInteger, primary_key=True, autoincrement=False, comment=of_block),
    )


stored_invariants = Table(
    "invariants",
    metadata,
    Column("name", Text, primary_key=True),
    Column(
        "settings",
        Text,
        nullable=False,
        comment="JSON: what a table [invariants.NAME] would hold, or a session",
    ),
    Column("kind", Text, nullable=False, comment="invariant, or the kind of a session"),
    Column("is_running", Boolean, nullable=False),
    Column("is_deleted", Boolean, nullable=False),
    Column("revision", Integer, nullable=False, comment="grows with each change of any of them"),
    Column("author", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    comment="Invariants that were made through the HTTP server, beside those of the configuration.",
)

Index("invariants_revision", stored_invariants.c.revision)
Index("invariants_updated_at", stored_invariants.c.updated_at)

invariant_checks = Table(
    "invariant_checks",
    metadata,
    *_place(),
    Column("timestamp", BigInteger, nullable=False),
    Column(
        "is_provisional", Boolean, nullable=False, comment="a newer check takes its place, if it comes first"
    ),
    Column("positions", Text, comment="JSON: the block of each network; null until all are known"),
    Column("holds", Boolean, comment="null until all values are read, and where there is no answer"),
    Column("error", Text, comment="why there is no answer"),
    comment="When invariants are checked: at blocks of their networks.",
)

due_checks = Table(
    "invariant_due_checks",
    metadata,
    Column("network", Text, primary_key=True),
    Column("block", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary, nullable=False),
    Column("timestamp", BigInteger, nullable=False),
    Column("names", Text, nullable=False, comment="JSON: the invariants that are checked there"),
    comment="Checks at blocks that were not read yet: each becomes a row of its own once its block was asked for.",
)

invariant_readings = Table(
    "invariant_readings",
    metadata,
    *_place(),
    Column("hash", LargeBinary, nullable=False),
    Column("timestamp", BigInteger, nullable=False),
    Column("is_wanted", Boolean, nullable=False, comment="whether it is still to be read"),
    Column("content", LargeBinary, comment="MessagePack: the values of this network"),
    Column("error", Text, comment="why it could not be read"),
    comment="What invariants read of one network at one block.",
)
Index("invariant_readings_wanted", invariant_readings.c.network, invariant_readings.c.is_wanted)

invariant_events = Table(
    "invariant_events",
    metadata,
    Column("network", Text, primary_key=True),
    Column("block", BigInteger, primary_key=True, autoincrement=False),
    Column("log_index", Integer, primary_key=True, autoincrement=False),
    Column("contract", Text, nullable=False),
    Column("signature", Text, nullable=False),
    Column("timestamp", BigInteger, nullable=False),
    Column("args", LargeBinary, nullable=False, comment="MessagePack: its integers that are read"),
    comment="Events that invariants count.",
)

Index("invariant_events_timestamp", invariant_events.c.timestamp)

invariant_alerts = Table(
    "invariant_alerts",
    metadata,
    Column("name", Text, primary_key=True),
    Column(
        "condition", Text, primary_key=True, comment="violated, unread, or an event's block and log index"
    ),
    Column("network", Text, nullable=False),
    Column("block", BigInteger, nullable=False),
    Column("labels", Text, nullable=False, comment="JSON"),
    Column("annotations", Text, nullable=False, comment="JSON"),
    Column("starts_at", BigInteger, nullable=False),
    Column("ends_at", BigInteger, comment="when it ends by itself, if it does"),
    comment="What invariants have raised that has not ended.",
)

invariant_cursors = Table(
    "invariant_cursors",
    metadata,
    Column("name", Text, primary_key=True),
    Column("network", Text, primary_key=True),
    Column("block", BigInteger, nullable=False),
    comment="Up to which block the events of a session were read.",
)

invariant_elements = Table(
    "invariant_elements",
    metadata,
    Column("name", Text, primary_key=True, comment="as in the configuration"),
    Column("lists", Text, nullable=False, comment="JSON: label → elements"),
    Column("revision", Integer, nullable=False, comment="grows with each change of any of them"),
    comment="The lists of contracts over which invariants are made, as they were read last.",
)

invariant_history = Table(
    "invariant_history",
    metadata,
    Column("name", Text, primary_key=True),
    Column(
        "bucket",
        BigInteger,
        primary_key=True,
        autoincrement=False,
        comment="a span of time, of which the first check counts",
    ),
    Column("network", Text, nullable=False, comment="where that check was made"),
    Column("block", BigInteger, nullable=False),
    Column("timestamp", BigInteger, nullable=False),
    Column("content", LargeBinary, nullable=False, comment="MessagePack: the values"),
    comment="Values of invariants as they were, for conditions that read changes over a time.",
)

invariant_accepted = Table(
    "invariant_accepted",
    metadata,
    *_place("that of the check from which on they hold good"),
    Column("timestamp", BigInteger, nullable=False, comment="of that check, chain time"),
    Column("reads", LargeBinary, nullable=False, comment="hash of what was read"),
    Column("content", LargeBinary, nullable=False, comment="MessagePack: the values"),
    Column("author", Text, nullable=False, comment="who accepted them; empty for those that were read first"),
    Column("accepted_at", Double, nullable=False),
    comment="Values that are compared with those of later checks: read first, or accepted by somebody.",
)

invariant_breaches = Table(
    "invariant_breaches",
    metadata,
    *_place("the first one at which it did not hold"),
    Column("starts_at", BigInteger, nullable=False),
    Column("ends_at", BigInteger, comment="null while it does not hold"),
    Column("reason", Text, comment="why it ended"),
    Column("read", Text, nullable=False, comment="the values, as they are shown"),
    Column("held_block", BigInteger, comment="the last block before it at which it held, as far as is known"),
    Column("held_at", BigInteger),
    Column("labels", Text, nullable=False, comment="JSON: of the alert"),
    Column("annotations", Text, nullable=False, comment="JSON"),
    Column(
        "is_searched",
        Boolean,
        nullable=False,
        comment="whether the blocks before it were searched, or need not be",
    ),
    comment="When invariants did not hold. Times are chain time.",
)
Index("invariant_breaches_ends_at", invariant_breaches.c.ends_at)
Index("invariant_breaches_searched", invariant_breaches.c.network, invariant_breaches.c.is_searched)
