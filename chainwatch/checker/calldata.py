"""What expressions read of the transaction that emitted an event: its parties, its value, and its calldata decoded. Pure.

Source: the Solidity contract ABI specification, "Function Selector" and "Argument Encoding".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from chainwatch.model import ADDRESS_LENGTH, AbiFunction, RawLog, Transaction, to_hex
from chainwatch.support.abi.addresses import CHECKSUMS
from chainwatch.support.abi.shape import tuple_of
from chainwatch.support.abi.strict import Malformed, read_data
from chainwatch.support.keccak import keccak256

SELECTOR = 4
"""Bytes of a selector, the first of calldata."""

READ_FREELY = 4_096
"""Bytes that may be read beside twice those of the calldata: offsets may point to the same place again and again."""

_ZERO_ADDRESS = bytes(ADDRESS_LENGTH)
_SHOWN = 60
"""Characters of a signature in an error."""


class TransactionUnread(Exception):
    """An expression needs a transaction that was not read: no answer, and no trouble of the event."""


class Calldata:
    """Reads the arguments of one function from the calldata of a log's transaction."""

    def __init__(self, function: AbiFunction) -> None:
        self.function = function
        self.selector = keccak256(function.signature.encode())[:SELECTOR]
        self._shape = tuple_of(function.inputs)
        self._last: tuple[Transaction | None, dict[str, Any] | str] | None = None

    def __call__(self, log: RawLog) -> dict[str, Any]:
        """Return the arguments by name. Raises ``ValueError`` where it is another function, or they do not decode."""
        transaction = log.transaction
        if self._last is None or self._last[0] is not transaction:  # many logs come of one transaction
            self._last = transaction, self._decode(log)
        found = self._last[1]
        if isinstance(found, str):
            raise ValueError(found)
        return found

    def _decode(self, log: RawLog) -> dict[str, Any] | str:
        """Return the arguments by name, or why there are none."""
        data = calldata(log)
        if data[:SELECTOR] != self.selector:
            return self._other(data, recipient(log))
        try:
            values = read_data(self._shape, data[SELECTOR:], READ_FREELY + 2 * len(data))
        except Malformed as error:
            return f"the calldata of {self._name} does not decode: {error}"
        return dict(zip(self._shape.names, values, strict=True))

    @property
    def _name(self) -> str:
        signature = self.function.signature
        return signature if len(signature) <= _SHOWN else f"{signature[:_SHOWN]}…"

    def _other(self, data: bytes, to: str) -> str:
        called = f"the function {to_hex(data[:SELECTOR])}" if data else "no function"
        return (
            f"the transaction calls {called} of {to}, not {self._name} ({to_hex(self.selector)}): "
            "it came through another function or contract"
        )


def sender(log: RawLog) -> str:
    """Return the address that signed the transaction."""
    signer = _transaction(log).sender
    assert signer is not None
    return CHECKSUMS[signer]


def recipient(log: RawLog) -> str:
    """Return the address that was called; the zero address where a contract was created, which no call with logs has."""
    return CHECKSUMS[_transaction(log).to or _ZERO_ADDRESS]


def wei(log: RawLog) -> int:
    """Return the transaction's value in wei."""
    return _transaction(log).value


def calldata(log: RawLog) -> bytes:
    """Return the transaction's input."""
    transaction = _transaction(log)
    if transaction.input is None:
        raise ValueError(f"the transaction has {transaction.size} bytes of calldata, more than are kept")
    return transaction.input


RUNTIME: Mapping[str, Callable[[RawLog], Any]] = {
    function.__name__: function for function in (sender, recipient, wei, calldata)
}
"""What the code of an expression may call, by the names under which it does."""


def _transaction(log: RawLog) -> Transaction:
    transaction = log.transaction
    if transaction is None:
        raise TransactionUnread(f"the transaction {to_hex(log.tx_hash)} was not read")
    if transaction.sender is None:
        raise ValueError(
            f"no transaction has the hash {to_hex(log.tx_hash)}: the network itself made the log, as by a state sync"
        )
    return transaction
