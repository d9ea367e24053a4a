"""Empty answers put to the proof: a block whose bloom admits a watched log, but whose logs were answered as none."""

from __future__ import annotations

from collections.abc import Sequence

from chainwatch.chain import bloom
from chainwatch.chain.errors import Disputed, RpcError
from chainwatch.chain.rpc import Block, Endpoint
from chainwatch.chain.wire import LogFilter
from chainwatch.model import RawLog


async def proven_logs(
    endpoint: Endpoint, wanted: LogFilter, blocks: Sequence[Block], logs: list[RawLog]
) -> list[RawLog]:
    """``logs`` of ``blocks``, with those that false-empty answers left out.

    Raises `Disputed` when a block's bloom admits such logs and the endpoint can neither give nor exclude them, and
    `RpcError`. Blooms are not asked where they tell nothing: missing, zero, full, or of an endpoint whose blooms were
    found foreign.
    """
    blooms = {block.header.number: block.bloom for block in blocks}
    for log in logs:
        if (
            bloom.tells(bits := blooms[log.block_number])
            and bits is not None
            and bloom.bloom_of([log]) & ~bits
        ):
            endpoint.foreign_blooms = True
    if endpoint.foreign_blooms:
        return logs
    filled = {log.block_number for log in logs}
    missed = [
        log
        for block in blocks
        if block.header.number not in filled and _suspect(block, wanted)
        for log in await _missed(endpoint, wanted, block)
    ]
    return sorted([*logs, *missed], key=lambda log: (log.block_number, log.log_index)) if missed else logs


def _suspect(block: Block, wanted: LogFilter) -> bool:
    return block.bloom is not None and bloom.tells(block.bloom) and bloom.admits(block.bloom, wanted)


async def _missed(endpoint: Endpoint, wanted: LogFilter, block: Block) -> list[RawLog]:
    """The logs of ``wanted`` in ``block``; empty only when all logs of the block together make its bloom."""
    number = block.header.number
    try:
        everything = await endpoint.all_logs(block.header)
    except RpcError as error:
        raise Disputed(endpoint.name, f"no logs of block {number}, against its bloom; {error.what}") from None
    found = [log for log in everything if wanted.matches(log)]
    made = bloom.bloom_of(everything)
    if not found and block.bloom is not None and made & ~block.bloom:
        endpoint.foreign_blooms = True
    elif not found and made != block.bloom:
        raise Disputed(endpoint.name, f"no logs of block {number}, though its bloom says that there are some")
    return found
