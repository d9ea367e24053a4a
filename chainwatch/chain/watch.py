"""What is watched on one network: contracts by address, and their events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from chainwatch.chain.decode.decoder import ContractDecoder, DecodeError
from chainwatch.chain.wire import LogFilter
from chainwatch.model import (
    ANY_TOPIC,
    WITH_TRANSACTION,
    Event,
    EventSource,
    RawLog,
    UndecodedLog,
    bare_topic,
)


class WatchedContract(NamedTuple):
    """A configured contract on one network.

    ``transactions`` are the first topics of the logs whose transactions are read too, `ANY_TOPIC` for anonymous events.
    """

    name: str
    address: bytes
    decoder: ContractDecoder
    transactions: frozenset[bytes] = frozenset()


class NetworkWatch:
    """The contracts of one network. One address may stand under several names, each with events of its own."""

    def __init__(self, network: str, contracts: Sequence[WatchedContract]) -> None:
        self.network = network
        self.contracts = tuple(contracts)
        self.addresses: tuple[bytes, ...] = tuple(dict.fromkeys(contract.address for contract in contracts))
        topics = [contract.decoder.topic0s for contract in contracts]
        self.topic0s: tuple[bytes, ...] | None = None
        """First topics of all events watched; None when any topic may be one."""
        if None not in topics:
            self.topic0s = tuple(dict.fromkeys(topic for some in topics for topic in some or ()))
        self._contracts: dict[bytes, list[tuple[WatchedContract, frozenset[bytes] | None]]] = {}
        for contract, some in zip(contracts, topics, strict=True):
            known = None if some is None else frozenset(some)
            self._contracts.setdefault(contract.address, []).append((contract, known))
        self._transactions: dict[bytes, frozenset[bytes]] = {}
        for contract in contracts:
            if contract.transactions:
                others = self._transactions.get(contract.address, frozenset())
                self._transactions[contract.address] = others | contract.transactions

    @property
    def reads_transactions(self) -> bool:
        """Whether the transactions of any logs are read."""
        return bool(self._transactions)

    def reads_transaction(self, log: RawLog) -> bool:
        """Return whether the transaction of ``log`` is read."""
        topics = self._transactions.get(log.address, frozenset())
        return ANY_TOPIC in topics or (bool(log.topics) and log.topics[0] in topics)

    @property
    def filter(self) -> LogFilter:
        """The filter of all watched logs; without an address when nothing is watched."""
        if self.topic0s == ():
            return LogFilter(())
        return LogFilter(self.addresses, () if self.topic0s is None else (self.topic0s,))

    @property
    def sources(self) -> frozenset[EventSource]:
        """All that is watched."""
        return frozenset(
            (contract.address, topic)
            for contract in self.contracts
            for topic in (
                *(contract.decoder.topic0s or (*contract.decoder.known_topic0s, ANY_TOPIC)),
                *(WITH_TRANSACTION + topic for topic in contract.transactions),
            )
        )

    def only(self, sources: frozenset[EventSource]) -> NetworkWatch:
        """Return the part of this that asks for ``sources``; its logs decode as they do with all of it."""
        part = NetworkWatch(
            self.network,
            [
                c._replace(
                    transactions=frozenset(
                        t for t in c.transactions if (c.address, WITH_TRANSACTION + t) in sources
                    )
                )
                for c in self.contracts
                if c.address in {a for a, _ in sources}
            ],
        )
        topics = {bare_topic(topic) for _, topic in sources}
        part.topic0s = None if ANY_TOPIC in topics else tuple(sorted(topics))
        return part

    def decode(self, log: RawLog) -> Event | UndecodedLog | None:
        """Return the event of ``log``, or why it is none; None for a log that only another contract's events asked for."""
        topic0 = log.topics[0] if log.topics else None
        failed: UndecodedLog | None = None
        for contract, topics in self._contracts.get(log.address, ()):
            if topics is not None and topic0 not in topics:
                continue
            try:
                event, args = contract.decoder.decode(log.topics, log.data)
            except DecodeError as error:
                failed = failed or UndecodedLog(self.network, contract.name, log, str(error))
            else:
                return Event(self.network, contract.name, event.name, event.signature, args, log)
        return failed

    def decode_all(self, logs: Sequence[RawLog]) -> tuple[tuple[Event, ...], tuple[UndecodedLog, ...]]:
        """Return all of ``logs`` in their order, those that decode and those that do not."""
        events: list[Event] = []
        undecoded: list[UndecodedLog] = []
        for log in logs:
            item = self.decode(log)
            if isinstance(item, Event):
                events.append(item)
            elif item is not None:
                undecoded.append(item)
        return tuple(events), tuple(undecoded)
