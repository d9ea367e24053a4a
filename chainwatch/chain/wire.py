"""JSON-RPC messages on the wire, and their conversion to the types of `chainwatch.model`.

Answers are parsed by msgspec straight into typed structs: this is the hot path of a replay.
Shapes: https://ethereum.github.io/execution-apis/ and https://www.jsonrpc.org/specification.
Every function raises `ValueError` (msgspec's errors are such) with a text that is short however large the answer is.
"""

from __future__ import annotations

import re
from binascii import unhexlify
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from chainwatch.model import ADDRESS_LENGTH, BLOCKS, HASH_LENGTH, LOGS_A_BLOCK, Header, RawLog, to_hex

T = TypeVar("T")

Buffer = bytes | msgspec.Raw

QUANTITY_TEXT = 2 + 64
"""The most characters of a quantity: 0x and 256 bits."""

BLOOM_TEXT = 2 + 2 * 256
"""Characters of a bloom: 0x and 256 bytes."""

MOST_TOPICS = 4
"""Topics of a log: the EVM has LOG0 to LOG4."""

MILLISECONDS_FROM = 10**11
"""A timestamp from here on (the year 5138) is in milliseconds, as on some chains."""


class Call(NamedTuple):
    """One JSON-RPC request: ``method`` and its positional ``params``."""

    method: str
    params: tuple[Any, ...] = ()


class LogFilter(NamedTuple):
    """Which logs: of any of ``addresses``; ``topics`` by position: any of several hashes, or None for all."""

    addresses: tuple[bytes, ...]
    topics: tuple[tuple[bytes, ...] | None, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the filter as `eth_getLogs` takes it, without its blocks."""
        return {
            "address": [to_hex(a) for a in self.addresses],
            "topics": [t if t is None else [to_hex(topic) for topic in t] for t in self.topics],
        }

    def matches(self, log: RawLog) -> bool:
        """Return whether a node that is asked with this filter would answer ``log``."""
        return (
            log.address in self.addresses
            and len(log.topics) >= len(self.topics)
            and all(
                wanted is None or topic in wanted
                for topic, wanted in zip(log.topics, self.topics, strict=False)
            )
        )


class WireError(msgspec.Struct):
    """The error of a JSON-RPC answer. Its ``data``, which may be anything of any size, is not parsed yet."""

    code: int = 0
    message: str = ""
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class Answer(msgspec.Struct):
    """One JSON-RPC answer; ``result`` is not parsed yet."""

    id: int | str | None = None
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: WireError | str | None = None


class Notification(msgspec.Struct):
    """A WebSocket's message: an answer (``id``), or one of a subscription (``method``)."""

    id: int | str | None = None
    method: str | None = None


class WireLog(msgspec.Struct, rename="camel"):
    """An entry of an `eth_getLogs` answer. A pending log has nulls here, which msgspec refuses."""

    address: str
    topics: list[str]
    data: str
    block_number: str
    block_hash: str
    transaction_hash: str
    log_index: str
    block_timestamp: str | None = None
    removed: bool = False


class LogsAnswer(msgspec.Struct):
    """The answer to `eth_getLogs` when nothing is wrong with it, parsed in one go."""

    result: list[WireLog]
    error: None = None


class WireHeader(msgspec.Struct, rename="camel"):
    """The fields of a block that chainwatch reads."""

    number: str
    hash: str
    parent_hash: str
    timestamp: str
    logs_bloom: str | None = None


class WireReceipt(msgspec.Struct):
    """The field of a transaction receipt that chainwatch reads."""

    logs: list[WireLog]


class WireTransactions(msgspec.Struct):
    """The field of a block that names its transactions."""

    transactions: list[str]


class WireTransaction(msgspec.Struct, rename="camel"):
    """The fields of a transaction that chainwatch reads. A pending one has no block."""

    hash: str
    sender: str = msgspec.field(name="from")
    value: str
    input: str
    to: str | None = None
    block_hash: str | None = None
    block_number: str | None = None


def parser(decoder: msgspec.json.Decoder[T]) -> Callable[[Buffer], T]:
    """Return the function that parses by ``decoder``; it raises `ValueError` for JSON nested too deeply too."""
    decode = decoder.decode

    def parse(data: Buffer) -> T:
        try:
            return decode(data)
        except RecursionError:
            raise ValueError("nested too deeply") from None

    return parse


parse_answer = parser(msgspec.json.Decoder(Answer))
parse_answers = parser(msgspec.json.Decoder(Answer | list[Answer]))
parse_notification = parser(msgspec.json.Decoder(Notification))
parse_logs_answer = parser(msgspec.json.Decoder(LogsAnswer))
parse_logs = parser(msgspec.json.Decoder(list[WireLog]))
parse_header = parser(msgspec.json.Decoder(WireHeader))
parse_receipt = parser(msgspec.json.Decoder(WireReceipt))
parse_receipts = parser(msgspec.json.Decoder(list[WireReceipt]))
parse_transactions = parser(msgspec.json.Decoder(WireTransactions))
parse_transaction = parser(msgspec.json.Decoder(WireTransaction | None))
parse_text = parser(msgspec.json.Decoder(str))

_encode = msgspec.json.encode


def request_body(calls: Sequence[tuple[int, Call]]) -> bytes:
    """Return the body that asks ``calls``, each with its id: one object, or an array of them when there are several."""
    messages = [{"jsonrpc": "2.0", "id": id, "method": c.method, "params": c.params} for id, c in calls]
    return _encode(messages[0] if len(messages) == 1 else messages)


def quantity(text: str) -> int:
    """Return the integer of a ``0x…`` quantity of up to 256 bits."""
    if text[:2] != "0x" or len(text) > QUANTITY_TEXT:
        raise ValueError("a quantity does not begin with 0x, or has more than 256 bits")
    return int(text, 16)


def _seconds(text: str) -> int:
    """Return the time of a ``0x…`` quantity in seconds, also where a node gives milliseconds."""
    timestamp = quantity(text)
    if timestamp >= MILLISECONDS_FROM:
        timestamp //= 1000
    if timestamp >= MILLISECONDS_FROM:
        raise ValueError("a timestamp that is neither in seconds nor in milliseconds")
    return timestamp


def to_header(wire: WireHeader) -> Header:
    """Return a block's header in bytes and integers. A timestamp 0 is refused, but for the first block."""
    number, timestamp = quantity(wire.number), _seconds(wire.timestamp)
    if number >= BLOCKS:
        raise ValueError(f"a block number over {BLOCKS - 1}")
    if timestamp == 0 and number > 0:
        raise ValueError(f"block {number} has the timestamp 0")
    return Header(
        number=number,
        hash=_fixed(wire.hash, HASH_LENGTH),
        parent_hash=_fixed(wire.parent_hash, HASH_LENGTH),
        timestamp=timestamp,
    )


def to_bloom(wire: WireHeader) -> int | None:
    """Return the bloom of a block's logs as one number; None where the node gives none."""
    text = wire.logs_bloom
    return int(text, 16) if text is not None and len(text) == BLOOM_TEXT else None


def to_bytes(text: str) -> bytes:
    """Return the bytes of ``0x…`` DATA of any length."""
    if text[:2] != "0x":
        raise ValueError("data that does not begin with 0x")
    return unhexlify(text[2:])


def to_word(text: str) -> bytes:
    """Return the 32 bytes of ``0x…`` DATA."""
    if text[:2] != "0x":
        raise ValueError("data that does not begin with 0x")
    return _fixed(text, HASH_LENGTH)


def to_amount(text: str) -> int:
    """Return the integer of a ``0x…`` quantity of up to 256 bits, which has hexadecimal digits only."""
    if not _QUANTITY.fullmatch(text):
        raise ValueError("a quantity that is not 0x and up to 64 hexadecimal digits")
    return int(text, 16)


def to_address(text: str) -> bytes:
    """Return the 20 bytes of ``0x…`` DATA."""
    if text[:2] != "0x":
        raise ValueError("data that does not begin with 0x")
    return _fixed(text, ADDRESS_LENGTH)


def revert_data(data: msgspec.Raw | msgspec.UnsetType) -> bytes:
    """Return the bytes that a reverted call gave, out of the ``data`` of its error; none where there are none.

    The bytes stand there as text (geth, erigon, reth, besu, anvil), after the word "Reverted" (Nethermind) or in an
    object (Hardhat).
    """
    if data is msgspec.UNSET:
        return b""
    try:
        found = _parse_error_data(data)
        text = found.data if isinstance(found, _ErrorData) else found
        return to_bytes(text.removeprefix("Reverted ")) if text else b""
    except ValueError:
        return b""


def to_raw_logs(wires: Sequence[WireLog], first: int, last: int, wanted: LogFilter | None) -> list[RawLog]:
    """Return ``wires`` in (block, log index) order; timestamp 0 where the node gave none.

    Refused are logs that were not asked for: outside ``first``..``last``, or not matching ``wanted`` (None: any log does);
    removed ones, two with the same position, two blocks of the same number.
    """
    addresses = wanted.addresses if wanted else None
    kinds = wanted.topics[0] if wanted and wanted.topics else None
    topic0s = None if kinds is None else frozenset(kinds)
    selective = wanted is not None and len(wanted.topics) > 1
    addresses_by_text: dict[str, bytes] = {}
    blocks: dict[str, _Block] = {}
    numbers: set[int] = set()
    logs: list[RawLog] = []
    before, in_order = (-1, -1), True
    new_log = RawLog._make  # takes half as long as calling the class
    for wire in wires:
        block = blocks.get(wire.block_hash)
        if block is None or block.text != wire.block_number:
            block = _new_block(wire, first, last)
            if wire.block_hash in blocks or block.number in numbers:
                raise ValueError(
                    f"logs of two different blocks {block.number}, or one block hash at two numbers"
                )
            blocks[wire.block_hash] = block
            numbers.add(block.number)
        address = addresses_by_text.get(wire.address)
        if address is None:
            address = addresses_by_text[wire.address] = _fixed(wire.address, ADDRESS_LENGTH)
            if addresses is not None and address not in addresses:
                raise ValueError(f"a log of {to_hex(address)}, which was not asked for")
        tx_hash = unhexlify(wire.transaction_hash[2:])
        topics = tuple([unhexlify(topic[2:]) for topic in wire.topics])
        if len(topics) > MOST_TOPICS:
            raise ValueError(f"a log with more than {MOST_TOPICS} topics")
        if wire.removed or len(tx_hash) != HASH_LENGTH or len(b"".join(topics)) != HASH_LENGTH * len(topics):
            raise ValueError("a removed log, or a topic or transaction hash that does not have 32 bytes")
        index = quantity(wire.log_index)
        if index >= LOGS_A_BLOCK:
            raise ValueError(f"a log index over {LOGS_A_BLOCK - 1}")
        if topic0s is not None and (not topics or topics[0] not in topic0s):
            raise ValueError("a log with a first topic that was not asked for")
        data = unhexlify(wire.data[2:])
        log = new_log(
            (block.number, block.hash, block.timestamp, index, tx_hash, address, topics, data, None)
        )
        if selective and wanted is not None and not wanted.matches(log):
            raise ValueError("a log with topics that were not asked for")
        logs.append(log)
        position = (block.number, index)
        in_order = in_order and before < position
        before = position
    return logs if in_order else _in_order(logs)


class _ErrorData(msgspec.Struct):
    data: str | None = None


_parse_error_data = parser(msgspec.json.Decoder(str | _ErrorData | None))
_QUANTITY = re.compile("0x[0-9a-fA-F]{1,64}")


class _Block(NamedTuple):
    text: str
    number: int
    hash: bytes
    timestamp: int


def _new_block(wire: WireLog, first: int, last: int) -> _Block:
    number = quantity(wire.block_number)
    if not first <= number <= last:
        raise ValueError(f"a log of block {number} was not asked for: {first}..{last} was")
    timestamp = 0 if wire.block_timestamp is None else _seconds(wire.block_timestamp)
    return _Block(wire.block_number, number, _fixed(wire.block_hash, HASH_LENGTH), timestamp)


def _in_order(logs: list[RawLog]) -> list[RawLog]:
    if len({(log.block_number, log.log_index) for log in logs}) != len(logs):
        raise ValueError("two logs with the same index in one block")
    return sorted(logs, key=lambda log: (log.block_number, log.log_index))


def _fixed(text: str, length: int) -> bytes:
    value = unhexlify(text[2:])
    if len(value) != length:
        raise ValueError(f"{len(value)} bytes where {length} were expected")
    return value
