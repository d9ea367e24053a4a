"""All logs of a transaction, decoded with every ABI at hand, as material for a new flow. Pure, but for ABI files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from chainwatch.chain.decode.abi import Abi, AbiError, load_abi, topic0
from chainwatch.chain.decode.decoder import DecodeError, EventDecoder
from chainwatch.model import AbiEvent, RawLog, to_hex
from chainwatch.operations.errors import Conflict
from chainwatch.operations.transactions import Transaction, TransactionView, view
from chainwatch.plan import Plan


class LogView(msgspec.Struct, frozen=True):
    """One log. ``log_index`` is its position in the block, ``address`` and ``topics`` are hexadecimal.

    ``contract``: the configured contract at that address. ``event``: the signature, ``args``: its values as text by name,
    ``abi``: the file or preset that they are from; all None where no ABI at hand decodes the log. ``problem``: why it does
    not, where the ABI of its own contract has the event. ``data``: the undecoded bytes as hexadecimal.
    """

    log_index: int
    address: str
    contract: str | None
    event: str | None
    args: dict[str, Any] | None
    abi: str | None
    problem: str | None
    topics: list[str]
    data: str


class Siblings(msgspec.Struct, frozen=True):
    """A transaction and all its logs in order."""

    transaction: TransactionView
    logs: list[LogView]


def find_siblings(plan: Plan, transaction: Transaction, shipped: Mapping[str, Abi]) -> Siblings:
    """Return all logs of ``transaction``, decoded with the configured ABIs, else with ``shipped`` ones, by their names.

    Raises ``Conflict`` when a configured ABI file cannot be read any more.
    """
    return Siblings(view(transaction), log_views(plan, transaction, shipped))


def log_views(plan: Plan, transaction: Transaction, shipped: Mapping[str, Abi]) -> list[LogView]:
    """Return the logs of ``transaction`` in order. Raises as `find_siblings`."""
    known = _Known(plan, transaction.network, shipped)
    return [known.view(log) for log in transaction.receipt.logs]


def as_text(value: Any) -> Any:
    """Return a decoded value for JSON: integers and fixed-point numbers as decimal text, bytes as hexadecimal."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, bytes | bytearray):
        return to_hex(bytes(value))
    if isinstance(value, int | Decimal):
        return str(value)
    if isinstance(value, dict):
        return {str(name): as_text(one) for name, one in value.items()}
    return (
        [as_text(one) for one in value] if isinstance(value, list | tuple | set | frozenset) else str(value)
    )


class _Source(NamedTuple):
    """An ABI at hand: the name to show, and its events by first topic; None for anonymous ones."""

    name: str
    events: Mapping[bytes | None, Sequence[AbiEvent]]

    @classmethod
    def of(cls, name: str, abi: Abi) -> _Source:
        events: dict[bytes | None, list[AbiEvent]] = {}
        for event in abi.events:
            events.setdefault(topic0(event), []).append(event)
        return cls(name, events)


class _Known:
    """The contracts of one network by address, and all ABIs in the order in which they are tried."""

    def __init__(self, plan: Plan, network: str, shipped: Mapping[str, Abi]) -> None:
        contracts = plan.settings.contracts.values()
        own = {
            contract.name: _Source.of(Path(contract.abi).name, _load(contract.abi)) for contract in contracts
        }
        self._at: dict[bytes, list[str]] = {}
        for contract in contracts:
            for address in contract.addresses_on(network):
                self._at.setdefault(bytes.fromhex(address[2:]), []).append(contract.name)
        self._own = own
        self._all = [*own.values(), *(_Source.of(name, abi) for name, abi in shipped.items())]

    def view(self, log: RawLog) -> LogView:
        names = self._at.get(log.address, [])
        event, args, source, problem = None, None, None, None
        first = log.topics[0] if log.topics else None
        for tried, by_topic in self._candidates(names, first):
            for one in by_topic:
                try:
                    args = as_text(EventDecoder(one).decode_raw(log.topics, log.data))
                except (DecodeError, AbiError) as error:
                    if tried.name in {self._own[name].name for name in names}:
                        problem = problem or str(error)
                    continue
                event, source, problem = one.signature, tried.name, None
                break
            if event is not None:
                break
        return LogView(
            log_index=log.log_index,
            address=to_hex(log.address),
            contract=", ".join(names) or None,
            event=event,
            args=args,
            abi=source,
            problem=problem,
            topics=[to_hex(topic) for topic in log.topics],
            data=to_hex(log.data),
        )

    def _candidates(
        self, names: Iterable[str], first: bytes | None
    ) -> Iterable[tuple[_Source, Sequence[AbiEvent]]]:
        """Yield the events that a log may be, those of its own contract first; anonymous ones only of that contract."""
        for name in names:
            yield self._own[name], self._own[name].events.get(first, ())
        if first is not None:
            for source in self._all:
                yield source, source.events.get(first, ())
        for name in names:
            yield self._own[name], self._own[name].events.get(None, ())


def _load(path: str | Path) -> Abi:
    try:
        return load_abi(Path(path))
    except AbiError as error:
        raise Conflict(str(error)) from error
