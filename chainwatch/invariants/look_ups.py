"""Looks up what events of sessions claim: output roots on their L2, withdrawals on both layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chainwatch.chain.answers import call_contracts, read_answers
from chainwatch.chain.errors import NotThere, RpcError
from chainwatch.chain.history import block_at, find_logs, header_at
from chainwatch.chain.pool import Pool
from chainwatch.chain.rpc import Endpoint
from chainwatch.chain.state import (
    Balance,
    BlockField,
    ContractCall,
    ProvenField,
    Read,
    Reverted,
)
from chainwatch.chain.transactions import read_transactions
from chainwatch.checker.invariants.block_checks import BlockCheck
from chainwatch.checker.invariants.heuristics import (
    OutputCheck,
    ProofCheck,
    Withdrawal,
    WithdrawalCheck,
    faults_of,
)
from chainwatch.checker.invariants.sessions import EventSession
from chainwatch.checker.protocols import op_stack
from chainwatch.invariants.proof_reads import proof_fault
from chainwatch.model import Header, RawLog, to_hex
from chainwatch.support.keccak import keccak256

SEARCHED = 30 * 86_400
"""Seconds before a proof in which the L2 is searched for its withdrawal, where the calldata does not show it."""

_WORD = 32
_PROPOSED, _PASSED = (keccak256(one.encode()) for one in (op_stack.OUTPUT_PROPOSED, op_stack.MESSAGE_PASSED))
_SENT, _GAME_BLOCK = (keccak256(one.encode())[:4] for one in ("sentMessages(bytes32)", "l2BlockNumber()"))


async def find_breaches(
    pools: Mapping[str, Pool], session: EventSession, logs: Sequence[RawLog]
) -> list[tuple[RawLog, str]]:
    """Return those of the events of ``session`` whose claims are wrong, each with what is wrong.

    Raises ``ChainError`` for what cannot be looked up now, such as on an L2 that is not read so far.
    """
    check = session.check
    if check is None or isinstance(check, BlockCheck):
        return [(log, "") for log in logs]
    if not logs:
        return []
    missing = [name for name in (check.first, check.second) if name not in pools]
    if missing:
        raise NotThere(missing[0], "is not read yet")
    first, second = pools[check.first], pools[check.second]
    found = []
    for log in logs:
        if not _is_whole(log):
            fault = "an event of another form, which cannot be read"
        elif isinstance(check, ProofCheck):
            fault = await proof_fault(first, check, log)
        elif isinstance(check, OutputCheck):
            fault = await _output_fault(first, second, check, log)
        else:
            fault = "; ".join(faults_of(check, await _withdrawal(first, second, check, log)))
        if fault:
            found.append((log, fault))
    return found


def _is_whole(log: RawLog) -> bool:
    """Return whether an event has what is read of it."""
    return len(log.topics) == 4 and (log.topics[0] != _PASSED or len(log.data) >= 4 * _WORD)


# --- output roots


async def _output_fault(first: Pool, second: Pool, check: OutputCheck, log: RawLog) -> str:
    """Return what is wrong with a proposed output root; empty where it is right."""
    if log.topics[0] == _PROPOSED:
        claimed, number = log.topics[1], int.from_bytes(log.topics[3])
    else:
        game = log.topics[1][12:]
        claimed, found = log.topics[3], await _block_of_game(first, game)
        if found is None:
            return f"the dispute game {to_hex(game)} names no block of {check.second}"
        number = found
    head = await _head_after(second, log)
    if number > head.number:
        return f"an output root of block {number} of {check.second}, which does not exist"
    block = await header_at(second, number)
    state, withdrawals = await _read(
        second, block, [BlockField("state_root"), BlockField("withdrawals_root")]
    )
    if withdrawals in (b"", op_stack.EMPTY_TRIE):  # before Isthmus
        (withdrawals,) = await _read(second, block, [ProvenField(check.passer, "storage_hash")])
    right = op_stack.output_root(_bytes(state), _bytes(withdrawals), block.hash)
    if right == claimed:
        return ""
    return f"{to_hex(claimed)} is proposed as output root of block {number} of {check.second}, which is {to_hex(right)}"


async def _block_of_game(first: Pool, game: bytes) -> int | None:
    head = await first.ask(Endpoint.head)
    (number,) = await call_contracts(first, head, (game, _GAME_BLOCK))
    return int.from_bytes(number) if len(number) == _WORD else None


# --- withdrawals


async def _withdrawal(first: Pool, second: Pool, check: WithdrawalCheck, log: RawLog) -> Withdrawal:
    """Return what is known of the withdrawal that was sent (``MessagePassed``) or proven (``WithdrawalProven``)."""
    head = await first.ask(Endpoint.head)
    (balance,) = await _read(first, head, [Balance(check.portal)])
    assert isinstance(balance, int)
    if log.topics[0] == _PASSED:
        hash_ = log.data[3 * _WORD : 4 * _WORD]
        return Withdrawal(hash_, int.from_bytes(log.data[:_WORD]), balance, True)
    hash_ = log.topics[1]
    l2_head = await _head_after(second, log)
    (sent,) = await _read(second, l2_head, [ContractCall(check.passer, _SENT + hash_)])
    if len(_bytes(sent)) != _WORD:
        raise RpcError(check.second, f"{to_hex(check.passer)} is no message passer: it answers nothing")
    is_sent = any(_bytes(sent))
    (transaction,) = await read_transactions(first, [log])
    value = op_stack.proven_value(transaction.input or b"", hash_)
    if value is None and is_sent:
        value = await _sent_value(second, check.passer, log, l2_head)
    return Withdrawal(hash_, value, balance, is_sent)


async def _sent_value(second: Pool, passer: bytes, log: RawLog, head: Header) -> int | None:
    """Return the value of the withdrawal as the L2 sent it; None where it was not found in the time that is searched."""
    begin = await block_at(second, log.timestamp - SEARCHED)
    topics = [(_PASSED,), None, (log.topics[2],), (log.topics[3],)]
    for one in await find_logs(second, passer, topics, min(begin, head.number), head.number):
        if one.data[3 * _WORD : 4 * _WORD] == log.topics[1]:
            return int.from_bytes(one.data[:_WORD])
    return None


# --- reads


async def _head_after(second: Pool, log: RawLog) -> Header:
    """Return the head of the L2. Raises `NotThere` unless it is as new as the event, which speaks of what was before it."""
    head = await second.ask(Endpoint.head)
    if head.timestamp < log.timestamp:
        raise NotThere(second.network.name, f"is not read up to the time of block {log.block_number} yet")
    return head


async def _read(pool: Pool, block: Header, reads: Sequence[Read]) -> list[bytes | int]:
    """Return what was read. Raises ``RpcError`` where anything was not."""
    values: list[bytes | int] = []
    for answer in await read_answers(pool, block, reads):
        if isinstance(answer, Reverted):
            raise RpcError(pool.network.name, f"a call reverts: {answer.message}")
        values.append(answer)
    return values


def _bytes(value: bytes | int) -> bytes:
    assert isinstance(value, bytes)
    return value
