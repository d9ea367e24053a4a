"""What transactions did, by the tracers of nodes: whose balances they changed, and the calls that they made.

Formats: `debug_traceBlockByHash` and `debug_traceTransaction` with `prestateTracer` in `diffMode` and with `callTracer`,
https://geth.ethereum.org/docs/developers/evm-tracing/built-in-tracers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from chainwatch.chain import wire
from chainwatch.chain.blocks import WholeBlock
from chainwatch.chain.errors import AnswerTooBig, NoRoomForAnswer
from chainwatch.chain.pool import Pool
from chainwatch.chain.rpc import Endpoint
from chainwatch.chain.wire import Call
from chainwatch.model import to_hex

_BALANCES: dict[str, Any] = {"tracer": "prestateTracer", "tracerConfig": {"diffMode": True}}
_CALLS: dict[str, Any] = {"tracer": "callTracer"}


async def read_touched(pool: Pool, block: WholeBlock) -> frozenset[bytes]:
    """Return the accounts whose balances the transactions of ``block`` have changed.

    Raises `RpcError`; `NodeError` where the endpoint does not serve `debug_traceBlockByHash`. Where that answers too much,
    the transactions are traced one by one.
    """

    async def read(endpoint: Endpoint) -> frozenset[bytes]:
        call = Call("debug_traceBlockByHash", (to_hex(block.header.hash), _BALANCES))
        try:
            return endpoint.rpc.parse(_touched, await endpoint.rpc.call(call))
        except NoRoomForAnswer:
            raise
        except AnswerTooBig:
            found: frozenset[bytes] = frozenset()
            for sent in block.transactions:
                call = Call("debug_traceTransaction", (to_hex(sent.hash), _BALANCES))
                found |= endpoint.rpc.parse(_touched_by_one, await endpoint.rpc.call(call))
            return found

    return await pool.ask_agreeing(read)


async def read_calls(pool: Pool, tx_hash: bytes, to: bytes) -> list[bytes]:
    """Return the calldata of each call of ``to`` that a transaction made and that did not fail. Raises as `read_touched`."""

    async def read(endpoint: Endpoint) -> list[bytes]:
        result = await endpoint.rpc.call(Call("debug_traceTransaction", (to_hex(tx_hash), _CALLS)))
        return endpoint.rpc.parse(lambda data: _calls_of(data, to), result)

    return await pool.ask_agreeing(read)


class _WireAccount(msgspec.Struct):
    balance: str | None = None


class _WireDiff(msgspec.Struct):
    pre: dict[str, _WireAccount]
    post: dict[str, _WireAccount]


class _WireTrace(msgspec.Struct):
    result: _WireDiff


class _WireCall(msgspec.Struct):
    input: str = "0x"
    to: str | None = None
    error: str | None = None
    calls: list[_WireCall] = msgspec.field(default_factory=list)


_parse_traces = wire.parser(msgspec.json.Decoder(list[_WireTrace]))
_parse_diff = wire.parser(msgspec.json.Decoder(_WireDiff))
_parse_call = wire.parser(msgspec.json.Decoder(_WireCall))


def _touched(data: wire.Buffer) -> frozenset[bytes]:
    """Return the accounts with another balance afterwards, and those that are gone: these have nothing afterwards."""
    traces = _parse_traces(data)
    if not traces:
        raise ValueError("no trace of a block that has transactions")
    return frozenset(address for trace in traces for address in _changed(trace.result))


def _touched_by_one(data: wire.Buffer) -> frozenset[bytes]:
    return frozenset(_changed(_parse_diff(data)))


def _changed(diff: _WireDiff) -> Iterator[bytes]:
    found = {name for name, account in diff.post.items() if account.balance is not None}
    yield from map(wire.to_address, found | (diff.pre.keys() - diff.post.keys()))


def _calls_of(data: wire.Buffer, to: bytes) -> list[bytes]:
    return [wire.to_bytes(call.input) for call in _all(_parse_call(data)) if _is_to(call, to)]


def _is_to(call: _WireCall, to: bytes) -> bool:
    return call.to is not None and wire.to_address(call.to) == to


def _all(call: _WireCall) -> Iterator[_WireCall]:
    """Yield ``call`` and those within it, but for what failed."""
    left = [call]
    while left:
        one = left.pop()
        if one.error is None:
            yield one
            left += reversed(one.calls)
