"""The JSON-RPC methods of a demo chain (execution-apis), without the transport.

Reads come from the ledger at once; only calls on contract state need the machine, and go through `Evm` on
its own thread.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from chainwatch.demo.block import Block
from chainwatch.demo.evm import Evm, EvmError
from chainwatch.demo.ledger import Ledger, LogFilter

__all__ = ["INVALID_PARAMS", "METHOD_NOT_FOUND", "MethodError", "Methods", "log_filter"]

METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
SERVER_ERROR = -32000
EXECUTION_REVERTED = 3

CLIENT_VERSION = "chainwatch-demo/1/py-evm"
MAX_TOPICS = 4

# How far behind the head the other tags lie, in blocks.
SAFE_DEPTH = 2
FINALIZED_DEPTH = 4

QUANTITY = re.compile(r"0x(0|[1-9a-fA-F][0-9a-fA-F]*)")
ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
HASH = re.compile(r"0x[0-9a-fA-F]{64}")
BYTES = re.compile(r"0x([0-9a-fA-F]{2})*")


class MethodError(Exception):
    """An answer of `{"error": {"code", "message"}}`."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Methods:
    """Answers one call at a time: `call(method, params)` returns the result or raises MethodError."""

    def __init__(
        self,
        chain_id: int,
        ledger: Ledger,
        on_machine: Callable[[Callable[[Evm], Any]], Awaitable[Any]],
    ) -> None:
        """`on_machine` runs a function of the Evm off the event loop."""
        self._chain_id = chain_id
        self._ledger = ledger
        self._on_machine = on_machine
        self._methods: dict[str, Callable[[list[Any]], Awaitable[Any]]] = {
            "eth_chainId": self._chain_id_hex,
            "net_version": self._net_version,
            "web3_clientVersion": self._client_version,
            "eth_syncing": self._syncing,
            "eth_blockNumber": self._block_number,
            "eth_getBlockByNumber": self._block_by_number,
            "eth_getBlockByHash": self._block_by_hash,
            "eth_getBlockReceipts": self._block_receipts,
            "eth_getTransactionByHash": self._transaction,
            "eth_getTransactionReceipt": self._receipt,
            "eth_getLogs": self._logs,
            "eth_call": self._call,
            "eth_getBalance": self._balance,
            "eth_getCode": self._code,
        }

    async def call(self, method: str, params: list[Any]) -> Any:
        """Return the JSON result of a method; raises MethodError with the code that nodes use."""
        handler = self._methods.get(method)
        if handler is None:
            raise MethodError(METHOD_NOT_FOUND, f"the method {method} does not exist/is not available")
        return await handler(params)

    async def _chain_id_hex(self, params: list[Any]) -> str:
        return hex(self._chain_id)

    async def _net_version(self, params: list[Any]) -> str:
        return str(self._chain_id)

    async def _client_version(self, params: list[Any]) -> str:
        return CLIENT_VERSION

    async def _syncing(self, params: list[Any]) -> bool:
        return False

    async def _block_number(self, params: list[Any]) -> str:
        return hex(self._ledger.head.number)

    async def _block_by_number(self, params: list[Any]) -> dict[str, Any] | None:
        block = self._ledger.by_number(self._height(_param(params, 0)))
        return _shown(block, full=_flag(params, 1))

    async def _block_by_hash(self, params: list[Any]) -> dict[str, Any] | None:
        return _shown(self._ledger.by_hash(_hex(_param(params, 0), HASH)), full=_flag(params, 1))

    async def _block_receipts(self, params: list[Any]) -> list[dict[str, Any]] | None:
        block = self._block(_param(params, 0))
        return None if block is None else list(block.receipts)

    async def _transaction(self, params: list[Any]) -> dict[str, Any] | None:
        found = self._ledger.by_transaction(_hex(_param(params, 0), HASH))
        return None if found is None else found[0].transactions[found[1]]

    async def _receipt(self, params: list[Any]) -> dict[str, Any] | None:
        found = self._ledger.by_transaction(_hex(_param(params, 0), HASH))
        return None if found is None else found[0].receipts[found[1]]

    async def _logs(self, params: list[Any]) -> list[dict[str, Any]]:
        criteria = _param(params, 0)
        wanted = log_filter(criteria)
        return [log for block in self._blocks(criteria) for log in block.logs if wanted.matches(log)]

    async def _call(self, params: list[Any]) -> str:
        call = _param(params, 0)
        if not isinstance(call, dict):
            raise MethodError(INVALID_PARAMS, "expected a call object")
        to = _hex(call.get("to"), ADDRESS)
        data = _raw(_hex(call.get("input", call.get("data", "0x")), BYTES))
        number = self._existing(params).number
        try:
            returned: bytes = await self._on_machine(lambda evm: evm.call(to, data, number))
        except EvmError as error:
            raise MethodError(EXECUTION_REVERTED, str(error)) from error
        return "0x" + returned.hex()

    async def _balance(self, params: list[Any]) -> str:
        address, number = _hex(_param(params, 0), ADDRESS), self._existing(params).number
        return hex(await self._on_machine(lambda evm: evm.balance(address, number)))

    async def _code(self, params: list[Any]) -> str:
        address, number = _hex(_param(params, 0), ADDRESS), self._existing(params).number
        code: bytes = await self._on_machine(lambda evm: evm.code(address, number))
        return "0x" + code.hex()

    def _existing(self, params: list[Any]) -> Block:
        """Return the block on whose state a call runs: its second parameter, else the head."""
        block = self._block(params[1]) if len(params) > 1 else self._ledger.head
        if block is None:
            raise MethodError(SERVER_ERROR, "header not found")
        return block

    def _block(self, named: Any) -> Block | None:
        """Return a block by number, tag, hash, or the object form of EIP-1898."""
        if isinstance(named, dict) and "blockHash" in named:
            return self._ledger.by_hash(_hex(named["blockHash"], HASH))
        if isinstance(named, dict):
            return self._ledger.by_number(self._height(named.get("blockNumber")))
        if isinstance(named, str) and HASH.fullmatch(named):
            return self._ledger.by_hash(named.lower())
        return self._ledger.by_number(self._height(named))

    def _height(self, named: Any) -> int:
        head = self._ledger.head.number
        tags = {
            "latest": head,
            "pending": head,
            "safe": max(0, head - SAFE_DEPTH),
            "finalized": max(0, head - FINALIZED_DEPTH),
            "earliest": 0,
        }
        if isinstance(named, str) and named in tags:
            return tags[named]
        return int(_hex(named, QUANTITY), 16)

    def _blocks(self, criteria: dict[str, Any]) -> Sequence[Block]:
        """Return the blocks that an eth_getLogs filter names."""
        if criteria.get("blockHash") is not None:
            if "fromBlock" in criteria or "toBlock" in criteria:
                raise MethodError(INVALID_PARAMS, "cannot specify both blockHash and fromBlock/toBlock")
            block = self._ledger.by_hash(_hex(criteria["blockHash"], HASH))
            if block is None:
                raise MethodError(SERVER_ERROR, "unknown block")
            return [block]
        first = self._height(criteria.get("fromBlock", "latest"))
        last = self._height(criteria.get("toBlock", "latest"))
        if first > last:
            raise MethodError(INVALID_PARAMS, "invalid block range params")
        if last > self._ledger.head.number:
            raise MethodError(INVALID_PARAMS, "block range extends beyond current head block")
        return self._ledger.range(first, last)


def log_filter(criteria: Any) -> LogFilter:
    """Return the address and topic part of an eth_getLogs filter; raises MethodError where it is malformed."""
    if not isinstance(criteria, dict):
        raise MethodError(INVALID_PARAMS, "expected a filter object")
    addresses = criteria.get("address")
    topics = criteria.get("topics") or []
    if not isinstance(topics, list) or len(topics) > MAX_TOPICS:
        raise MethodError(INVALID_PARAMS, "expected at most four topics")
    # An empty list of addresses or topics asks for nothing in particular, as in geth.
    return LogFilter(_any_of(addresses, ADDRESS), tuple(_any_of(topic, HASH) for topic in topics))


def _any_of(wanted: Any, shape: re.Pattern[str]) -> frozenset[str] | None:
    if wanted is None or wanted == []:
        return None
    return frozenset(_hex(value, shape) for value in (wanted if isinstance(wanted, list) else [wanted]))


def _shown(block: Block | None, *, full: bool) -> dict[str, Any] | None:
    if block is None or not full:
        return None if block is None else block.header
    return {**block.header, "transactions": list(block.transactions)}


def _param(params: list[Any], place: int) -> Any:
    if len(params) <= place:
        raise MethodError(INVALID_PARAMS, f"missing value for required argument {place}")
    return params[place]


def _flag(params: list[Any], place: int) -> bool:
    value = _param(params, place)
    if not isinstance(value, bool):
        raise MethodError(INVALID_PARAMS, f"invalid argument {place}: expected a boolean")
    return value


def _hex(value: Any, shape: re.Pattern[str]) -> str:
    if not isinstance(value, str) or not shape.fullmatch(value):
        raise MethodError(INVALID_PARAMS, f"invalid argument: {value!r:.80} does not match {shape.pattern}")
    return value.lower()


def _raw(text: str) -> bytes:
    return bytes.fromhex(text[2:])
