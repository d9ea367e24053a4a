"""The types that every part shares: logs and events, batches, signals; with those of `chainwatch.abi_model`.

Immutable, without behaviour beyond what their fields say. Times are Unix seconds; chain time where the
field says so. Hashes are raw bytes here; they become ``0x…`` text only at the edges.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

import msgspec

from chainwatch.abi_model import AbiEvent as AbiEvent
from chainwatch.abi_model import AbiFunction as AbiFunction
from chainwatch.abi_model import AbiParam as AbiParam
from chainwatch.abi_model import FieldPath as FieldPath

ADDRESS_LENGTH = 20
HASH_LENGTH = 32

# --- severities -------------------------------------------------------------------------------------

SEVERITIES = ("P0", "P1", "P2", "P3")
"""From the most to the least urgent."""

SEVERITY_NAMES: Mapping[str, str] = {
    "p0": "P0",
    "critical": "P0",
    "p1": "P1",
    "high": "P1",
    "p2": "P2",
    "medium": "P2",
    "warning": "P2",
    "p3": "P3",
    "low": "P3",
    "info": "P3",
}
"""Every accepted spelling, lower case, to the severity it stands for."""

SENT_SEVERITY = "__severity__"
"""The label with the severity as another program sent it, empty where it sent none, where that is none of `SEVERITIES`."""
RULE = "__rule__"
"""The label with the rule that an alert is of: others may send an alert that is equal otherwise."""


# --- what is read from chains -------------------------------------------------------------------------


class Header(msgspec.Struct, frozen=True):
    """The part of a block header that chainwatch keeps. ``timestamp`` is chain time in seconds."""

    number: int
    hash: bytes
    parent_hash: bytes
    timestamp: int


class Transaction(NamedTuple):
    """The transaction that emitted a log, as far as flows can read it. ``value`` is in wei.

    ``to`` is None where it created a contract. ``input`` is its calldata of ``size`` bytes; None where these are more than
    are kept. ``sender`` is None where no transaction has the log's hash, as of the state syncs of Polygon; the rest says
    nothing then.
    """

    sender: bytes | None
    to: bytes | None = None
    value: int = 0
    input: bytes | None = b""
    size: int = 0


class RawLog(NamedTuple):
    """An EVM log as a node gave it, in bytes, with its block's timestamp (seconds).

    ``transaction`` is read only where a flow reads it; None where it was not.
    """

    block_number: int
    block_hash: bytes
    timestamp: int
    log_index: int
    tx_hash: bytes
    address: bytes
    topics: tuple[bytes, ...]
    data: bytes
    transaction: Transaction | None = None


_NO_SIBLINGS: Mapping[Any, Any] = {}


class Event(NamedTuple):
    """A decoded log: ``contract`` is the configured contract's name, ``name`` the event's (``XCalled``).

    ``signature`` distinguishes overloads. ``args`` holds ints, bools, bytes, text, checksummed addresses, lists, and
    dicts for tuples. ``siblings`` are events of the same transaction, by join (`chainwatch.checker.joins`): only an
    extractor sets them, where a flow reads them.
    """

    network: str
    contract: str
    name: str
    signature: str
    args: dict[str, Any]
    log: RawLog
    siblings: Mapping[Any, Event] = _NO_SIBLINGS


class UndecodedLog(NamedTuple):
    """A log of a watched contract that does not decode with its ABI, and why."""

    network: str
    contract: str
    log: RawLog
    error: str


class StoredLog(NamedTuple):
    """A log as stored: the configured contract's name, the log (its block hash is not kept), why it did not decode."""

    contract: str
    log: RawLog
    error: str | None


LogRow: TypeAlias = tuple[int, int, str, bytes, bytes, bytes, bytes, str | None]
"""A log as it is put into the database: its position on its network (`event_id` without the network), its timestamp,
the contract's name, transaction hash, address, topics joined, data, and why it did not decode."""


class PackedLogs(msgspec.Struct, frozen=True):
    """Logs for PostgreSQL in the binary format of COPY, of the network for which ``number`` stands; empty for none."""

    number: int
    data: bytes | bytearray


Logs: TypeAlias = list[LogRow] | PackedLogs
"""Logs that are to be stored."""


TransactionRow: TypeAlias = tuple[int, bytes, bytes | None, bytes | None, bytes, bytes | None, int]
"""A transaction as it is put into the database: the position of its block on its network (`event_id` without the network,
with the log index 0), its hash, then the fields of `Transaction`, the value as big-endian bytes without leading zeros."""


def log_row(contract: str, log: RawLog, error: str | None = None) -> LogRow:
    """Return ``log`` of the configured ``contract`` as a row."""
    return (
        event_id(0, log.block_number, log.log_index),
        log.timestamp,
        contract,
        log.tx_hash,
        log.address,
        b"".join(log.topics),
        log.data,
        error,
    )


class Batch(msgspec.Struct, frozen=True):
    """All matched logs of the blocks ``first``..``last.number`` of one network, in (block, log index) order.

    ``last`` becomes the checkpoint. ``headers`` are appended to the window of recent headers (ascending, they may
    be empty far behind the head). ``ancestor`` is set when the blocks replace others: everything stored above
    it stops counting in the same transaction (a reorg). ``first_timestamp`` is block ``first``'s time (seconds), given
    with the first batch of a network.
    """

    network: str
    first: int
    last: Header
    events: tuple[Event, ...] = ()
    undecoded: tuple[UndecodedLog, ...] = ()
    headers: tuple[Header, ...] = ()
    ancestor: Header | None = None
    first_timestamp: int | None = None


class SiftedBatch(msgspec.Struct, frozen=True):
    """A batch with what the checkers' extractors found in place of its events.

    ``batch`` holds no events any more. ``logs`` are to be stored, with those of their ``transactions`` that were read;
    ``decoded`` of them are events. ``found`` is by checker, ``signals`` are about events that cannot be judged.
    """

    batch: Batch
    decoded: int
    logs: Logs
    found: dict[str, Any]
    signals: list[Signal]
    transactions: list[TransactionRow] = []


class Seen(msgspec.Struct, frozen=True):
    """The observer has just confirmed that it read up to the head: ``network`` is seen until ``until`` (chain time)."""

    network: str
    until: int


class ReadResult(Protocol):
    """What a checker read from a chain beyond the watched events."""

    @property
    def checker(self) -> str:
        """The name of the checker that wanted it."""


class Searched(msgspec.Struct, frozen=True):
    """The origin's earlier blocks were searched for the opening steps of ``keys``; ``events`` were found."""

    flow: str
    keys: tuple[str, ...]
    events: tuple[Event, ...]

    @property
    def checker(self) -> str:
        """See `ReadResult`."""
        return FLOWS


FLOWS = "flows"
"""The name of the checker that follows transfers."""


EventSource: TypeAlias = tuple[bytes, bytes]
"""What is watched on a network: a contract's address and the first topic of its logs.

The transactions of these logs are a source of their own: its topic begins with `WITH_TRANSACTION`.
"""
ANY_TOPIC = b""
"""Stands for any first topic: anonymous events have none of their own."""
WITH_TRANSACTION = b"tx"
"""Before a topic: the logs together with the transactions that emitted them."""


def bare_topic(topic: bytes) -> bytes:
    """Return the topic of an `EventSource` without `WITH_TRANSACTION`; 32 bytes are a topic, whatever they begin with."""
    return topic if len(topic) == HASH_LENGTH else topic.removeprefix(WITH_TRANSACTION)


class Backfilled(msgspec.Struct, frozen=True):
    """The blocks ``first``..``last`` were read again for ``sources``, which were not watched when they were read before.

    ``headers`` are those that are known of these blocks: they must be of the chain that is stored.
    """

    network: str
    first: int
    last: int
    sources: frozenset[EventSource]
    events: tuple[Event, ...] = ()
    undecoded: tuple[UndecodedLog, ...] = ()
    headers: tuple[Header, ...] = ()


class Checkpoint(msgspec.Struct, frozen=True):
    """Up to where a network was read: everything up to ``last`` is stored.

    ``first_block`` and ``first_timestamp`` are of the first block ever watched; ``seen_until`` is chain time (S5).
    """

    network: str
    last: Header
    first_block: int
    first_timestamp: int
    seen_until: int


# --- what checkers raise ------------------------------------------------------------------------------


Source: TypeAlias = Literal[
    "transfer", "event", "flow", "network", "receiver", "silence", "process", "rule", "invariant", "external"
]
"""What a condition is about: a transfer; an event that could not be decoded or evaluated; a flow whose events never come
together; a network or an endpoint of it; a receiver that fails; a silence that expires; this process and its host; a rule;
an invariant; what another program sent."""


class Signal(msgspec.Struct, frozen=True):
    """A condition is now true (``ends_at`` is None) or has stopped being so.

    ``labels`` identify the condition (``alertname`` and ``severity`` among them), ``annotations`` explain it.
    ``starts_at`` and ``ends_at`` are Unix seconds, kept to the millisecond: chain time for what happens on chain. A
    signal with an end for a condition never raised before reports a condition that began and ended. ``reason`` says why
    it ended: ``late``, ``reorg``, …. ``source`` is what the condition is about; the first signal of an alert decides.
    """

    labels: Mapping[str, str]
    starts_at: float
    annotations: Mapping[str, str] = {}
    ends_at: float | None = None
    reason: str = ""
    source: Source = "external"


BLOCKS, LOGS_A_BLOCK = 2**32, 2**20
"""How many blocks a network, and how many logs a block may have at most: the range of `event_id`."""


def event_id(network_id: int, block: int, log_index: int) -> int:
    """Return the one-integer position of a log: sorts by network, block, log index and fits a signed 64-bit column.

    11 bits of network, 32 of block number, 20 of log index.
    """
    return (network_id << 52) | (block << 20) | log_index


def to_hex(value: bytes) -> str:
    """Return bytes as ``0x``-prefixed lower-case hex."""
    return "0x" + value.hex()


# --- transfers ----------------------------------------------------------------------------------------


class Occurrence(msgspec.Struct, frozen=True, array_like=True):
    """One event that counts as a step of a transfer, with the facts that its checks and messages need.

    ``facts`` maps a path into the event's args (``params.bridgedAmt``) to its value.
    """

    step: str
    network: str
    block: int
    log_index: int
    timestamp: int
    tx_hash: bytes
    facts: dict[str, Any]
    item: int = 0
    """Which element it is, of an event that is a step of several transfers; from 0 on."""


class Deadline(msgspec.Struct, frozen=True, array_like=True):
    """``step`` of the transfer with the database id ``transfer_id`` is due on ``network`` at chain time ``due_at``.

    Other checkers number and name in the same fields what they wait for.
    """

    transfer_id: int
    step: str
    network: str
    due_at: int


class Raised(msgspec.Struct, frozen=True, array_like=True):
    """An alert that a transfer has raised: what identifies it, and the chain times of its start and end."""

    labels: dict[str, str]
    starts_at: int
    ends_at: int | None
    version: int
    """A checksum of the events in its annotations: whether these are up to date."""
    wrong: tuple[int, ...] = ()
    """A checksum of each event that is wrong; empty for what an older version raised."""
    by_hand: bool = False
    """Whether a person resolved it: it is not raised again for the same events."""


class Transfer(msgspec.Struct, frozen=True):
    """One instance of a flow. All but ``id``, ``raised`` and ``deadlines`` follows from ``occurrences``.

    ``id`` is 0 until it is stored. ``searched``: the origin's earlier blocks were searched for the opening step.
    ``raised`` are its alerts as they were last saved, by condition; ``deadlines`` its open rows in the database, by step:
    network and chain time.
    """

    flow: str
    key: str
    id: int = 0
    status: str = "open"
    origin: str | None = None
    destination: str | None = None
    opened_at: int | None = None
    occurrences: tuple[Occurrence, ...] = ()
    searched: bool = False
    raised: dict[str, Raised] = {}
    deadlines: dict[str, tuple[str, int]] = {}


DISPUTED = "disputed"
"""The status of a transfer whose events contradict each other, or a payout of which cannot have been funded."""
RESOLVED = "resolved"
"""The status of a transfer after a person resolved by hand all that was disputed."""
TRANSFER_STATUSES = (
    "open",
    "complete",
    "overdue",
    "orphan",
    DISPUTED,
    RESOLVED,
    "unopened",
    "untracked",
)
EXCLUDED = "excluded"
"""The status of a transfer that its flow's ``where`` leaves out: stored, but never listed."""
