"""Looks at whole blocks: where watched accounts send transactions, and whether any ETH comes from nothing."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from chainwatch.chain.answers import call_contracts, read_answers
from chainwatch.chain.blocks import SentTransaction, WholeBlock
from chainwatch.chain.errors import (
    AnswerTooBig,
    MalformedAnswer,
    NodeError,
    NoRoomForAnswer,
    NotThere,
    RpcTimeout,
)
from chainwatch.chain.pool import Pool
from chainwatch.chain.rpc import Endpoint
from chainwatch.chain.state import Balance
from chainwatch.chain.traces import read_touched
from chainwatch.checker.abi_values import parse_type
from chainwatch.checker.invariants.block_checks import (
    FEE_VAULTS,
    BlockCheck,
    SenderCheck,
    conserved_fault,
    sender_fault,
)
from chainwatch.checker.invariants.sessions import WHOLE
from chainwatch.invariants.reads import STATES_KEPT
from chainwatch.model import Header, RawLog
from chainwatch.support.abi.shape import tuple_of
from chainwatch.support.abi.strict import Malformed, read_data
from chainwatch.support.keccak import keccak256

_GAME_DATA, _GAMES = (keccak256(one.encode())[:4] for one in ("gameData()", "games(uint32,bytes32,bytes)"))
_GAME = tuple_of(parse_type("(uint32,bytes32,bytes)").components)
_WORD = 32
_RETURNED_MAX = 2**12

_log = structlog.get_logger(__name__)


async def find_block_faults(
    pool: Pool, check: BlockCheck, blocks: Sequence[WholeBlock]
) -> tuple[list[tuple[RawLog, str]], str]:
    """Return what is wrong with ``blocks``, each as a log of the transaction or block that it is about.

    Beside it, why a block was passed over: one that is so old that endpoints may have lost its state, and whose balances
    cannot be read; empty where none was. Raises ``ChainError``.
    """
    found: list[tuple[RawLog, str]] = []
    missed = ""
    for block in blocks:
        if isinstance(check, SenderCheck):
            found += await _of_senders(pool, check, block)
        elif block.transactions:
            faults, reason = await _of_balances(pool, block)
            found += faults
            missed = reason or missed
    return found, missed


async def _of_senders(pool: Pool, check: SenderCheck, block: WholeBlock) -> list[tuple[RawLog, str]]:
    found = []
    for index, sent in enumerate(block.transactions):
        if sent.sender not in check.senders:
            continue
        is_game = sent.to is not None and sent.to not in check.targets and await _is_game(pool, check, sent)
        if fault := sender_fault(check, sent.to, sent.value, is_game=is_game):
            found.append((_about(block.header, index, sent.hash, sent.sender), fault))
    return found


async def _is_game(pool: Pool, check: SenderCheck, sent: SentTransaction) -> bool:
    """Return whether a transaction goes to a dispute game that the factory has made."""
    if check.games is None or sent.to is None:
        return False
    head = await pool.ask(Endpoint.head)
    (said,) = await call_contracts(pool, head, (sent.to, _GAME_DATA))
    try:
        read_data(_GAME, said, _RETURNED_MAX)
    except Malformed:
        return False
    (known,) = await call_contracts(pool, head, (check.games, _GAMES + said))
    return known[:_WORD] == sent.to.rjust(_WORD, b"\0")


async def _of_balances(pool: Pool, block: WholeBlock) -> tuple[list[tuple[RawLog, str]], str]:
    header = block.header
    before = Header(header.number - 1, header.parent_hash, b"", header.timestamp)
    try:
        touched = await read_touched(pool, block)
        accounts = sorted(touched.union(FEE_VAULTS))
        was, now = [await _sum_of_balances(pool, at, accounts) for at in (before, header)]
    except NoRoomForAnswer:
        raise
    except (NodeError, NotThere, MalformedAnswer, AnswerTooBig, RpcTimeout) as error:  # perhaps for ever
        head = await pool.ask(Endpoint.head)
        if header.number > head.number - STATES_KEPT:
            raise
        _log.warning(
            "a block's balances are not checked: it is too old",
            network=pool.network.name,
            block=header.number,
            reason=str(error),
        )
        return [], str(error)
    brought = sum(sent.minted for sent in block.transactions)
    brought += sum(wei for account, wei in block.paid_out if account in touched)
    fault = conserved_fault(was, now, brought)
    return ([(_about(header, 0, b"", b""), fault)] if fault else []), ""


def _about(block: Header, index: int, tx_hash: bytes, address: bytes) -> RawLog:
    return RawLog(block.number, block.hash, block.timestamp, index, tx_hash, address, (WHOLE,), b"")


async def _sum_of_balances(pool: Pool, block: Header, accounts: Sequence[bytes]) -> int:
    """Return what the accounts have together at a block, in wei. Raises ``ChainError``."""
    answers = await read_answers(pool, block, [Balance(account) for account in accounts])
    return sum(one for one in answers if isinstance(one, int))
