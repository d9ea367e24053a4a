"""A recorded node: JSON-RPC over HTTP that answers from memory, with what is slow about it done beforehand.

Serves any number of chains, each below its own path, from logs and a formula for everything else. Its faults can be
chosen, for tests. In a process of its own by `running`; inside one by `RecordedNode.app`.
"""

from __future__ import annotations

import asyncio
import hashlib
import multiprocessing
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import msgspec
from aiohttp import web

from chainwatch.model import RawLog, to_hex

MAX_REQUEST = 4 * 1024 * 1024


class Recording(NamedTuple):
    """A chain: its ``logs`` ascending by position, and headers by formula for the blocks 0 to ``head``.

    Block ``n`` was made at ``genesis + n * period`` seconds, rounded down.
    """

    chain_id: int
    genesis: int
    period: float
    head: int
    logs: Sequence[RawLog]

    def timestamp(self, number: int) -> int:
        """When block ``number`` was made, in Unix seconds."""
        return self.genesis + int(number * self.period)

    def hash(self, number: int) -> bytes:
        """The hash of block ``number``."""
        return block_hash(self.chain_id, number)


class Faults(NamedTuple):
    """What a node may lack. ``delay`` gives the seconds that each answer waits."""

    batches: bool = True
    max_range: int | None = None
    log_timestamps: bool = True
    linked: bool = True
    """Whether a block's parent hash is the hash of the block before it."""
    methods: frozenset[str] | None = None
    first_block: int = 0
    """Blocks before it are not known any more."""
    delay: Callable[[], float] | None = None


class RecordedNode:
    """Answers for one recording; counts its questions by method."""

    def __init__(self, recording: Recording, faults: Faults | None = None) -> None:
        self.faults = faults or Faults()
        self.questions: dict[str, int] = {}
        self.refused = 0
        self._recording = recording
        self._blocks = [log.block_number for log in recording.logs]
        self._encoded = [self._encode(log) for log in recording.logs]
        kinds: dict[tuple[bytes, bytes | None], int] = {}
        self._kinds = [
            kinds.setdefault((log.address, log.topics[0] if log.topics else None), len(kinds))
            for log in recording.logs
        ]
        self._known_kinds = kinds

    async def answer(self, request: web.Request) -> web.Response:
        """The HTTP answer to one call or a batch of them."""
        asked = msgspec.json.decode(await request.read())
        if self.faults.delay is not None:
            await asyncio.sleep(self.faults.delay())
        if not isinstance(asked, list):
            body = self._reply(asked)
        elif self.faults.batches:
            body = b"[" + b",".join(map(self._reply, asked)) + b"]"
        else:
            body = _error(None, -32600, "batch requests are not supported")
        return web.Response(body=body, content_type="application/json")

    def app(self, path: str = "/") -> web.Application:
        """The HTTP server's application, answering at ``path``."""
        return serve({path: self})

    def _reply(self, call: Mapping[str, Any]) -> bytes:
        method, params, number = call["method"], call.get("params", []), call.get("id")
        self.questions[method] = self.questions.get(method, 0) + 1
        known = self.faults.methods is None or method in self.faults.methods
        handler = getattr(self, f"_{method}", None) if known else None
        if handler is None:
            return _error(number, -32601, f"the method {method} does not exist/is not available")
        try:
            result: Sequence[bytes] = handler(*params)
        except _Refusal as refusal:
            self.refused += 1
            return _error(number, -32005, str(refusal))
        head = b'{"jsonrpc":"2.0","id":%b,"result":' % msgspec.json.encode(number)
        return b"".join([head, *result, b"}"])

    # --- the results in pieces, so that large ones are copied once ---------------------------------------

    def _eth_chainId(self) -> Sequence[bytes]:
        return [msgspec.json.encode(hex(self._recording.chain_id))]

    def _eth_blockNumber(self) -> Sequence[bytes]:
        return [msgspec.json.encode(hex(self._recording.head))]

    def _eth_getBlockByNumber(self, tag: str, _full: bool) -> Sequence[bytes]:
        number = self._number(tag)
        return [b"null" if number is None else self._header(number)]

    def _eth_getBlockByHash(self, wanted: str, _full: bool) -> Sequence[bytes]:
        number = self._with_hash(wanted)
        return [b"null" if number is None else self._header(number)]

    def _eth_getLogs(self, wanted: Mapping[str, Any]) -> Sequence[bytes]:
        if "blockHash" in wanted:
            number = self._with_hash(wanted["blockHash"])
            if number is None:
                raise _Refusal("unknown block")
            first = last = number
        else:
            first = self._number(wanted.get("fromBlock", "latest")) or 0
            end = self._number(wanted.get("toBlock", "latest"))
            last = self._recording.head if end is None else end
        most = self.faults.max_range
        if most is not None and last - first + 1 > most:
            raise _Refusal(f"block range is too wide: at most {most} blocks")
        start, stop = bisect_left(self._blocks, first), bisect_left(self._blocks, last + 1)
        return [b"[", b",".join(self._matching(wanted, start, stop)), b"]"]

    def _matching(self, wanted: Mapping[str, Any], start: int, stop: int) -> list[bytes]:
        addresses = _choices(wanted.get("address"))
        topics = [_choices(topic) for topic in wanted.get("topics") or []]
        first = topics[0] if topics else None
        kinds = {
            kind
            for (address, topic0), kind in self._known_kinds.items()
            if (addresses is None or address in addresses) and (first is None or topic0 in first)
        }
        found = [index for index in range(start, stop) if self._kinds[index] in kinds]
        if further := topics[1:]:
            found = [index for index in found if self._fits(index, further)]
        return [self._encoded[index] for index in found]

    def _fits(self, index: int, further: Sequence[frozenset[bytes] | None]) -> bool:
        topics = self._recording.logs[index].topics[1:]
        return len(topics) >= len(further) and all(
            choices is None or topic in choices for topic, choices in zip(topics, further, strict=False)
        )

    def _number(self, tag: str) -> int | None:
        """The block that ``tag`` names; None when there is none."""
        if tag in ("latest", "safe", "finalized", "pending"):
            return self._recording.head
        number = 0 if tag == "earliest" else int(tag, 16)
        return number if self.faults.first_block <= number <= self._recording.head else None

    def _with_hash(self, text: str) -> int | None:
        number = int.from_bytes(bytes.fromhex(text[2:])[:8], "big")
        known = number <= self._recording.head and to_hex(self._recording.hash(number)) == text
        return number if known else None

    def _header(self, number: int) -> bytes:
        chain = self._recording
        parent = (
            chain.hash(number - 1) if self.faults.linked and number else block_hash(~chain.chain_id, number)
        )
        return msgspec.json.encode(
            {
                "number": hex(number),
                "hash": to_hex(chain.hash(number)),
                "parentHash": to_hex(parent),
                "timestamp": hex(chain.timestamp(number)),
                "logsBloom": "0x" + "00" * 256,
                "transactions": [],
            }
        )

    def _encode(self, log: RawLog) -> bytes:
        entry: dict[str, Any] = {
            "address": to_hex(log.address),
            "topics": [to_hex(topic) for topic in log.topics],
            "data": to_hex(log.data),
            "blockNumber": hex(log.block_number),
            "blockHash": to_hex(log.block_hash),
            "transactionHash": to_hex(log.tx_hash),
            "transactionIndex": hex(log.log_index),
            "logIndex": hex(log.log_index),
            "removed": False,
        }
        if self.faults.log_timestamps:
            entry["blockTimestamp"] = hex(log.timestamp)
        return msgspec.json.encode(entry)


class _Refusal(Exception):
    pass


def block_hash(chain_id: int, number: int) -> bytes:
    """The hash of a recorded block: its number in the first 8 bytes, so that the block can be found by its hash."""
    return number.to_bytes(8, "big") + hashlib.sha256(f"{chain_id}:{number}".encode()).digest()[:24]


def serve(nodes: Mapping[str, RecordedNode]) -> web.Application:
    """One application for ``nodes`` by path."""
    app = web.Application(client_max_size=MAX_REQUEST)
    for path, node in nodes.items():
        app.router.add_post(path, node.answer)
    return app


@contextmanager
def running(record: Callable[..., Mapping[str, Recording]], *arguments: Any) -> Iterator[dict[str, str]]:
    """A process that serves what ``record(*arguments)`` gives, by name: the URL of each.

    The recordings are made in that process, so ``record`` must be a function of a module.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve_process, args=(theirs, record, arguments), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours.recv()
    finally:
        process.terminate()
        process.join()


def _serve_process(
    parent: Connection, record: Callable[..., Mapping[str, Recording]], arguments: Sequence[Any]
) -> None:
    nodes = {f"/{name}": RecordedNode(recording) for name, recording in record(*arguments).items()}
    asyncio.run(_serve_for_ever(parent, nodes))


async def _serve_for_ever(parent: Connection, nodes: Mapping[str, RecordedNode]) -> None:
    runner = web.AppRunner(serve(nodes), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    parent.send({path.lstrip("/"): f"http://127.0.0.1:{port}{path}" for path in nodes})
    await asyncio.Event().wait()


def _choices(wanted: str | Sequence[str] | None) -> frozenset[bytes] | None:
    """The values that a filter allows at one place; None for any."""
    if wanted is None or wanted == []:
        return None
    texts = [wanted] if isinstance(wanted, str) else wanted
    return frozenset(bytes.fromhex(text[2:]) for text in texts)


def _error(number: int | None, code: int, message: str) -> bytes:
    return msgspec.json.encode({"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": message}})
