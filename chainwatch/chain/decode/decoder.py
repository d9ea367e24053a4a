"""Logs → values by name. One decoder is compiled per event; a contract's decoder picks among its events.

Values are ints, bools, ``bytes`` (bytesN at its length), checksummed addresses, text, ``Decimal`` (fixed),
lists for arrays and dicts for tuples. An indexed string, bytes, array or tuple is only hashed into the log: its
value is that 32-byte hash. Fields are in the order of the ABI; names are those of ``abi.regular_event``.
"""

from __future__ import annotations

from binascii import unhexlify
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import takewhile
from typing import Any

from chainwatch.chain.decode._codegen import Doubt, ReadLog, Wanted, compile_reader
from chainwatch.chain.decode.abi import AbiError, parse_event, regular_event, topic0
from chainwatch.model import AbiEvent, FieldPath
from chainwatch.support.abi.shape import WORD, Leaf, ShapeError, Tuple, shape_of, tuple_of
from chainwatch.support.abi.strict import Malformed, read_data, read_word

_HASH = Leaf("bytes", 256)


class DecodeError(ValueError):
    """A log that is not a log of this event, or is malformed.

    ``event`` is the event's signature, ``path`` the field (``params.routers[3]``, empty for the log as a whole)
    and ``reason`` what was wrong there.
    """

    def __init__(self, event: str, path: str, reason: str) -> None:
        super().__init__(f"{event}: {path}: {reason}" if path else f"{event}: {reason}")
        self.event = event
        self.path = path
        self.reason = reason


class EventDecoder:
    """Decodes the logs of one event, as strictly as eth_abi does."""

    def __init__(self, event: AbiEvent, wanted: frozenset[FieldPath] | None = None) -> None:
        """``wanted`` are the values that are needed: others may be left out of what is decoded, but are checked no less.

        Raises ``AbiError`` when the event is none that a contract can emit.
        """
        self.event = regular_event(event)
        self.signature = self.event.signature
        self.topic0_bytes = topic0(self.event)
        self.topic0: str | None = None if self.topic0_bytes is None else f"0x{self.topic0_bytes.hex()}"
        self.topics_count = sum(p.indexed for p in self.event.inputs) + (not self.event.anonymous)
        self._indexed, self._data, self._read = _readers(self.event, wanted)

    @classmethod
    def from_abi(cls, event_abi: Mapping[str, Any] | AbiEvent) -> EventDecoder:
        """Return the decoder of an event given as its entry in the JSON ABI, or parsed. Raises ``AbiError``."""
        return cls(event_abi if isinstance(event_abi, AbiEvent) else parse_event(event_abi))

    def __repr__(self) -> str:
        return f"EventDecoder({self.signature})"

    def decode(self, log: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of a raw JSON-RPC log (hex ``topics`` and ``data``). Raises ``DecodeError``."""
        topics = log.get("topics")
        if not isinstance(topics, list | tuple):
            raise self._error(f"expected a list of topics, not {type(topics).__name__}")
        data = log.get("data")
        return self.decode_raw(
            [self._from_hex(topic, "topic") for topic in topics],
            b"" if data is None else self._from_hex(data, "data"),
        )

    def decode_raw(self, topics: Sequence[bytes], data: bytes) -> dict[str, Any]:
        """Return the values of a log in bytes. Raises ``DecodeError``."""
        if self._read is not None:
            try:
                return self._read(topics, data)
            except (Doubt, ValueError):
                pass  # the strict reader reports what is wrong
        self._check_topics(topics)
        return self._read_strictly(topics if self.topic0_bytes is None else topics[1:], data)

    def _check_topics(self, topics: Sequence[bytes]) -> None:
        if len(topics) != self.topics_count:
            raise self._error(f"the log has {len(topics)} topics, this event has {self.topics_count}")
        for topic in topics:
            if len(topic) != WORD:
                raise self._error(f"a topic of {len(topic)} bytes, expected {WORD}")
        if self.topic0_bytes is not None and topics[0] != self.topic0_bytes:
            raise self._error(f"the log's first topic is 0x{topics[0].hex()}, this event's is {self.topic0}")

    def _read_strictly(self, indexed: Sequence[bytes], data: bytes) -> dict[str, Any]:
        try:
            values = {
                name: read_word(leaf, topic, name)
                for (name, leaf), topic in zip(self._indexed, indexed, strict=True)
            }
            values.update(zip(self._data.names, read_data(self._data, data), strict=True))
        except Malformed as fault:
            raise DecodeError(self.signature, fault.path, fault.reason) from None
        return {param.name: values[param.name] for param in self.event.inputs}

    def _from_hex(self, text: Any, place: str) -> bytes:
        try:
            return unhexlify(text[2:] if text[:2] == "0x" else text)
        except (
            ValueError,
            TypeError,
            LookupError,
        ) as error:  # a dict has no slices: from Python 3.12 on a KeyError
            raise self._error(f"{place}: expected hex digits in pairs: {error}") from None

    def _error(self, reason: str) -> DecodeError:
        """Return an error about the log as a whole."""
        return DecodeError(self.signature, "", reason)


class ContractDecoder:
    """Decodes the logs of a contract that may emit any of several events.

    An event is picked by first topic and number of topics, then by which decodes, in the order given (of two
    that both fit, the first). Anonymous events are tried only on logs whose first topic is not an event's.
    """

    def __init__(
        self, events: Iterable[AbiEvent], wanted: Mapping[str, frozenset[FieldPath]] | None = None
    ) -> None:
        """``wanted`` are the values that are needed, by the event's signature; None for all of all events.

        Raises ``AbiError`` when an event is none that a contract can emit.
        """
        self._by_topic0: dict[bytes, list[EventDecoder]] = {}
        self._anonymous: list[EventDecoder] = []
        for event in dict.fromkeys(events):
            decoder = EventDecoder(event, None if wanted is None else wanted[event.signature])
            if decoder.topic0_bytes is None:
                self._anonymous.append(decoder)
            else:
                self._by_topic0.setdefault(decoder.topic0_bytes, []).append(decoder)
        self.known_topic0s = tuple(self._by_topic0)
        """The first topics of events that are not anonymous."""
        self.topic0s = None if self._anonymous else self.known_topic0s
        """The first topics to ask a node for; None with anonymous events, which no filter finds."""

    def decode(self, topics: Sequence[bytes], data: bytes) -> tuple[AbiEvent, dict[str, Any]]:
        """Return the log's event and its values. Raises ``DecodeError``, which names every candidate."""
        candidates = self._by_topic0.get(topics[0], self._anonymous) if topics else self._anonymous
        if len(candidates) == 1:
            (decoder,) = candidates
            return decoder.event, decoder.decode_raw(topics, data)
        errors: list[DecodeError] = []
        for decoder in candidates:
            try:
                return decoder.event, decoder.decode_raw(topics, data)
            except DecodeError as error:
                errors.append(error)
        first = f"0x{topics[0].hex()}" if topics else "none"
        known = "; ".join(str(error) for error in errors) or "no event of the contract has it"
        raise DecodeError(f"log with first topic {first}", "", known)


@lru_cache(maxsize=1024)
def _readers(
    event: AbiEvent, wanted: frozenset[FieldPath] | None
) -> tuple[tuple[tuple[str, Leaf], ...], Tuple, ReadLog | None]:
    """Return an event's indexed parameters, the shape of its data, and the compiled reader if there can be one."""
    try:
        indexed = tuple((p.name, _topic_leaf(shape_of(p))) for p in event.inputs if p.indexed)
        data = tuple_of([p for p in event.inputs if not p.indexed])
    except ShapeError as error:
        raise AbiError(f"{event.name}: {error}") from error
    order = [p.name for p in event.inputs]
    tree = None if wanted is None else _tree(wanted)
    return indexed, data, compile_reader(data, indexed, order, topic0(event), tree)


def _topic_leaf(shape: object) -> Leaf:
    return shape if isinstance(shape, Leaf) else _HASH


def _tree(paths: Iterable[FieldPath]) -> Wanted:
    """Return what ``paths`` lead to, by name; an array as a whole."""
    inner: dict[str, list[FieldPath]] = {}
    for path in paths:
        names = tuple(takewhile(lambda step: isinstance(step, str), path))
        inner.setdefault(str(names[0]), []).append(names[1:])
    return {name: None if () in some else _tree(some) for name, some in inner.items()}
