"""Accounts and contracts as they stand at a named block: results of calls, balances, storage, code, and so on.

Reads of one block go to an endpoint together: calls and balances in one call where the network has the contract Multicall3
(`chainwatch.chain.multicall`), all else as a JSON-RPC batch where it takes batches. The block is named by its hash
(EIP-1898); an endpoint that cannot do that is asked by the block's number, and the block's hash is checked before and after.
Formats: https://ethereum.github.io/execution-apis/.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeGuard

import msgspec

from chainwatch.chain import account_wire, limits, multicall, wire
from chainwatch.chain.errors import (
    AnswerTooBig,
    ExecutionFailed,
    MalformedAnswer,
    NodeError,
    NoRoomForAnswer,
    NotThere,
    RpcError,
    RpcTimeout,
)
from chainwatch.chain.gas_probe import Probe, probes
from chainwatch.chain.pool import Pool
from chainwatch.chain.rpc import Endpoint
from chainwatch.chain.wire import Call
from chainwatch.model import Header, to_hex

CALL_GAS = 30_000_000
"""Gas that a call may use: a node runs so much in well under a second, so that no contract can make it late."""
AT_ONCE = 2_000
"""Reads that one request asks for."""


class ContractCall(msgspec.Struct, frozen=True):
    """What a call of the contract at ``address`` with ``data`` (selector and ABI-encoded arguments) returns: bytes.

    An address without code returns none. ``gas`` is the most that the call may use.
    """

    address: bytes
    data: bytes
    gas: int = CALL_GAS


class Balance(msgspec.Struct, frozen=True):
    """The native balance of ``address``: an integer, in wei."""

    address: bytes


class Storage(msgspec.Struct, frozen=True):
    """The storage of ``address`` at ``slot`` (0 to 2**256 - 1): 32 bytes."""

    address: bytes
    slot: int


class Code(msgspec.Struct, frozen=True):
    """The code at ``address``: bytes, none where there is no contract."""

    address: bytes


class Nonce(msgspec.Struct, frozen=True):
    """How many transactions ``address`` has sent, or, of a contract, how many others it has created: an integer."""

    address: bytes


class ProvenField(msgspec.Struct, frozen=True):
    """What ``eth_getProof`` says of the account ``address``: its balance or nonce (integers), code_hash or storage_hash."""

    address: bytes
    field: str


class BlockField(msgspec.Struct, frozen=True):
    """Of the block itself: base_fee, gas_used, gas_limit (integers), state_root, withdrawals_root; none as no bytes."""

    field: str


Read = ContractCall | Balance | Storage | Code | Nonce | ProvenField | BlockField

Value = bytes | int


@dataclass(frozen=True, slots=True)
class Reverted:
    """The EVM ended the call. ``data``: the ABI-encoded error, empty without one or for another failure than a revert.

    ``message`` is the node's text (at most 300 characters of anything); nodes word the same failure differently.
    """

    data: bytes
    message: str = field(compare=False)


@dataclass(frozen=True, slots=True)
class Unread:
    """No endpoint gave a value for this read, although other reads of the same block were answered; ``error`` says why."""

    error: RpcError = field(compare=False)


Outcome = Value | Reverted | Unread


async def read_state(
    pool: Pool, block: Header, reads: Sequence[Read], patience: float = 0.0
) -> list[Outcome]:
    """Return the outcomes of ``reads`` at ``block``, in their order, tried anew for ``patience`` seconds.

    As many endpoints as the network's ``agreement`` says must give the same outcomes. Raises `RpcError` when none of the
    reads was answered: `NotThere` when no endpoint has the block or its state (a block that was reorged away, one too new,
    or one too old for nodes without an archive), `Disputed` when too few endpoints agree.
    """
    if not reads:
        return []
    incomplete: list[list[Outcome]] = []

    contract = pool.network.multicall
    question = Question(block, reads, bytes.fromhex(contract[2:]) if contract else None)

    async def read(endpoint: Endpoint) -> list[Outcome]:
        outcomes = await _read(endpoint, question)
        unread = _unread(outcomes)
        if unread and pool.network.agreement == 1:
            incomplete.append(outcomes)
            raise unread[0].error  # another endpoint may answer all
        return outcomes

    try:
        return await pool.ask_agreeing(read, patience)
    except RpcError:
        if not incomplete:
            raise
        return min(incomplete, key=lambda outcomes: len(_unread(outcomes)))


class Question(NamedTuple):
    """What is read at a block. ``multicall`` is the address of Multicall3 on its network, None where it is not used."""

    block: Header
    reads: Sequence[Read]
    multicall: bytes | None


async def _read(endpoint: Endpoint, question: Question) -> list[Outcome]:
    if endpoint.state_by_hash:
        try:
            return await _read_by_hash(endpoint, question)
        except NodeError as error:
            outcomes = await _read_by_number(endpoint, question)
            endpoint.state_by_hash = error.code not in limits.NOT_SUPPORTED
            return outcomes
    return await _read_by_number(endpoint, question)


async def _read_by_hash(endpoint: Endpoint, question: Question) -> list[Outcome]:
    at = {"blockHash": to_hex(question.block.hash), "requireCanonical": True}
    return _answered(await _outcomes(endpoint, at, question))


async def _read_by_number(endpoint: Endpoint, question: Question) -> list[Outcome]:
    await _require(endpoint, question.block)
    outcomes = _answered(await _outcomes(endpoint, hex(question.block.number), question))
    await _require(endpoint, question.block)
    return outcomes


async def _require(endpoint: Endpoint, block: Header) -> None:
    (now,) = await endpoint.headers([block.number])
    if now.hash != block.hash:
        raise NotThere(endpoint.name, f"has another block {block.number} than the one whose state is read")


async def _outcomes(endpoint: Endpoint, at: Any, question: Question) -> list[Outcome]:
    found: list[Outcome] = []
    for start in range(0, len(question.reads), AT_ONCE):
        some = question._replace(reads=question.reads[start : start + AT_ONCE])
        found += await _some(endpoint, at, some)
    return found


async def _some(endpoint: Endpoint, at: Any, question: Question) -> list[Outcome]:
    """Return the outcomes of a bounded number of reads: together as far as that is possible, the rest alone."""
    reads, contract, together = question.reads, question.multicall, endpoint.together
    if contract is None or not together.is_possible(question.block.number):
        return await _alone(endpoint, at, reads)
    joined = {i: read for i, read in enumerate(reads) if _is_joinable(read) and not together.is_apart(read)}
    if len(joined) < 2:
        return await _alone(endpoint, at, reads)
    known = probes(contract)
    if together.probe >= len(known):  # nothing shows here whether calls had enough gas
        return await _alone(endpoint, at, reads)
    tried = together.probe
    probe = known[tried]
    indexes = list(joined)
    chunks = [indexes[i : i + together.size] for i in range(0, len(indexes), together.size)]
    rest = sorted({*range(len(reads))} - {*joined})
    calls = [
        *(_joined_call(contract, [joined[i] for i in chunk], probe, at) for chunk in chunks),
        *(_call(reads[i], at) for i in rest),
    ]
    try:
        results = await endpoint.rpc.call_each(calls)
    except NoRoomForAnswer:
        raise
    except RpcTimeout:
        together.note_late()
        raise
    except AnswerTooBig:
        alone = await _alone(endpoint, at, reads)
        _note_failed(together, [(reads[i], alone[i]) for i in joined])
        return alone
    found: dict[int, Outcome] = {}
    for i, result in zip(rest, results[len(chunks) :], strict=True):
        found[i] = _outcome(endpoint, reads[i], result, at)
    failed: list[int] = []
    for chunk, result in zip(chunks, results, strict=False):
        answered = _joined_outcomes(endpoint, question, [reads[i] for i in chunk], probe, result)
        if answered is None:
            together.note_useless(tried)
            return await _some(endpoint, at, question)
        found |= {i: one for i, one in zip(chunk, answered, strict=True) if one is not None}
        failed += [i for i, one in zip(chunk, answered, strict=True) if one is None]
    if failed:
        asked = [reads[i] for i in failed]
        *again, shown = await _alone(endpoint, at, [*asked, ContractCall(probe.address, probe.data)])
        found |= zip(failed, again, strict=True)
        if together.is_possible(question.block.number):
            if _works(probe, shown):
                _note_failed(together, list(zip(asked, again, strict=True)))
            else:
                together.note_useless(tried)
    return [found[i] for i in range(len(reads))]


def _works(probe: Probe, alone: Outcome) -> bool:
    """Return whether ``probe``, made alone, shows that it had enough gas, or is not known not to."""
    match alone:
        case bytes():
            return probe.shows_enough(True, alone) is True
        case Reverted(data=data):
            return probe.shows_enough(False, data) is True
        case _:
            return True


def _is_joinable(read: Read) -> TypeGuard[ContractCall | Balance]:
    return isinstance(read, Balance) or (isinstance(read, ContractCall) and read.gas == CALL_GAS)


def _note_failed(together: multicall.Together, alone: Sequence[tuple[Read, Outcome]]) -> None:
    """Have those of the reads that failed together made apart that explain it by their outcomes alone."""
    if not all(isinstance(outcome, Unread) for _, outcome in alone):  # else the endpoint answers nothing
        culprits = [read for read, outcome in alone if _is_culprit(outcome)]
        together.note_failed([read for read, _ in alone], culprits)


def _is_culprit(alone: Outcome) -> bool:
    """Return whether a read that failed together with others may be why, by its outcome alone."""
    return not isinstance(alone, bytes | int) or (
        isinstance(alone, bytes) and len(alone) >= multicall.LARGE_RESULT
    )


def _joined_call(contract: bytes, reads: Sequence[ContractCall | Balance], probe: Probe, at: Any) -> Call:
    calls = [
        (read.address, read.data)
        if isinstance(read, ContractCall)
        else (contract, multicall.balance_call(read.address))
        for read in reads
    ]
    calls.append((probe.address, probe.data))
    return _call(ContractCall(contract, multicall.encode(calls)), at)


def _joined_outcomes(
    endpoint: Endpoint,
    question: Question,
    reads: Sequence[Read],
    probe: Probe,
    result: msgspec.Raw | NodeError,
) -> list[Outcome | None] | None:
    """Return the outcomes of calls that were made together; None for what is to be asked for alone.

    None for them all where ``probe`` shows nothing.
    """
    nothing: list[Outcome | None] = [None] * len(reads)
    if isinstance(result, NodeError):
        return nothing
    returned = endpoint.rpc.parse(wire.to_bytes, endpoint.rpc.parse(wire.parse_text, result))
    try:
        *each, shown = multicall.decode(returned, len(reads) + 1)
    except ValueError:  # there is no such contract at this block, or it is another one
        if endpoint.together.was_present(question.block.number):
            raise MalformedAnswer(
                endpoint.name, "returned no results from Multicall3, which has given some"
            ) from None
        endpoint.together.note_absent()
        return nothing
    endpoint.together.note_present(question.block.number)
    had_enough = probe.shows_enough(*shown)
    if had_enough is None:
        return None
    if not had_enough:  # any of them may have had too little gas
        return nothing
    return [
        _joined_outcome(read, is_done, returned)
        for read, (is_done, returned) in zip(reads, each, strict=True)
    ]


def _joined_outcome(read: Read, is_done: bool, returned: bytes) -> Outcome | None:
    """Return the outcome; None for a call that failed, and of a contract without `getEthBalance` for a balance."""
    if not is_done or (isinstance(read, Balance) and len(returned) != 32):
        return None
    return int.from_bytes(returned) if isinstance(read, Balance) else returned


async def _alone(endpoint: Endpoint, at: Any, reads: Sequence[Read]) -> list[Outcome]:
    try:
        results = await endpoint.rpc.call_each([_call(read, at) for read in reads])
    except NoRoomForAnswer:
        raise
    except AnswerTooBig as error:  # one contract that returns too much is not to hide what the others do
        if len(reads) == 1:
            return [Unread(error)]
        half = len(reads) // 2
        return [
            *await _alone(endpoint, at, reads[:half]),
            *await _alone(endpoint, at, reads[half:]),
        ]
    return [_outcome(endpoint, read, result, at) for read, result in zip(reads, results, strict=True)]


def _call(read: Read, at: Any) -> Call:
    match read:
        case ContractCall(address=address, data=data, gas=gas):
            return Call("eth_call", ({"to": to_hex(address), "data": to_hex(data), "gas": hex(gas)}, at))
        case Balance():
            return Call("eth_getBalance", (to_hex(read.address), at))
        case Storage(slot=slot):
            return Call("eth_getStorageAt", (to_hex(read.address), hex(slot), at))
        case Code():
            return Call("eth_getCode", (to_hex(read.address), at))
        case Nonce():
            return Call("eth_getTransactionCount", (to_hex(read.address), at))
        case ProvenField():
            return Call("eth_getProof", (to_hex(read.address), [], at))
        case BlockField() if isinstance(at, dict):
            return Call("eth_getBlockByHash", (at["blockHash"], False))
        case BlockField():
            return Call("eth_getBlockByNumber", (at, False))


def _outcome(endpoint: Endpoint, read: Read, result: msgspec.Raw | NodeError, at: Any) -> Outcome:
    if isinstance(result, ExecutionFailed):
        return Reverted(result.data, result.message)
    if isinstance(result, NodeError):
        return Unread(result)
    parse = endpoint.rpc.parse
    match read:
        case ProvenField(field=field):
            proof = parse(account_wire.parse_proof, result)
            return parse(lambda found: account_wire.field_of(found, field), proof)
        case BlockField(field=field):
            block = parse(account_wire.parse_block, result)
            if block is None or (isinstance(at, dict) and block.hash.lower() != at["blockHash"]):
                return Unread(NotThere(endpoint.name, "does not have the block"))
            return parse(lambda found: account_wire.field_of(found, field), block)
    text = parse(wire.parse_text, result)
    match read:
        case Balance() | Nonce():
            return parse(wire.to_amount, text)
        case Storage():
            return parse(wire.to_word, text)
        case _:
            return parse(wire.to_bytes, text)


def _answered(outcomes: list[Outcome]) -> list[Outcome]:
    """Return ``outcomes``. Raises the first error where they are nothing else."""
    unread = _unread(outcomes)
    if len(unread) == len(outcomes):
        raise unread[0].error
    return outcomes


def _unread(outcomes: Sequence[Outcome]) -> list[Unread]:
    return [outcome for outcome in outcomes if isinstance(outcome, Unread)]
