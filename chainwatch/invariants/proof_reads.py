"""Verifies the proofs with which withdrawals were proven to a portal once more, apart from the portal's own code."""

from __future__ import annotations

from chainwatch.chain.answers import call_contracts
from chainwatch.chain.errors import AnswerTooBig, MalformedAnswer, NodeError, NoRoomForAnswer
from chainwatch.chain.pool import Pool
from chainwatch.chain.rpc import Endpoint
from chainwatch.chain.traces import read_calls
from chainwatch.chain.transactions import read_transactions
from chainwatch.checker.invariants.heuristics import ProofCheck
from chainwatch.checker.protocols import op_stack
from chainwatch.checker.protocols.op_stack import ProveCall, proof_faults
from chainwatch.model import RawLog
from chainwatch.support.keccak import keccak256

_WORD = 32
_FACTORY, _GAME_AT, _ROOT, _ORACLE, _OUTPUT = (
    keccak256(one.encode())[:4]
    for one in (
        "disputeGameFactory()",
        "gameAtIndex(uint256)",
        "rootClaim()",
        "l2Oracle()",
        "getL2Output(uint256)",
    )
)


async def proof_fault(pool: Pool, check: ProofCheck, log: RawLog) -> str:
    """Return what is wrong with the proof of a withdrawal that was proven in ``log``, or why that is not known.

    Empty where nothing is wrong. Raises ``ChainError`` for what cannot be read now.
    """
    calls, reason = await _calls_of(pool, check, log)
    if not calls:
        return f"unverifiable: {reason}"
    faults: dict[str, None] = {}
    for call in calls:
        claimed = await _claimed(pool, check, call)
        if claimed is None:
            return "unverifiable: game_read_error: the portal names no output root for its proof"
        faults |= dict.fromkeys(proof_faults(call, claimed))
    return "; ".join(faults)


async def _calls_of(pool: Pool, check: ProofCheck, log: RawLog) -> tuple[list[ProveCall], str]:
    """Return the calls that proved the withdrawal: out of the calldata of a transaction to the portal, or out of a trace.

    The calldata of others may have a right proof that never got to the portal, beside a wrong one that did: it counts only
    where the endpoint serves no traces.
    """
    wanted = log.topics[1]
    (transaction,) = await read_transactions(pool, [log])
    found = op_stack.prove_call(transaction.input or b"", wanted)
    if found is not None and transaction.to == check.portal:
        return [found], ""
    try:
        calls = await read_calls(pool, log.tx_hash, check.portal)
    except NoRoomForAnswer:
        raise
    except NodeError as error:
        return ([] if found is None else [found]), f"trace_unavailable: {error}"
    except (MalformedAnswer, AnswerTooBig) as error:
        return [], f"trace_unavailable: {error}"
    proving = [one for data in calls if (one := op_stack.prove_call(data, wanted)) is not None]
    if proving:
        return proving, ""
    if any(data.startswith(op_stack.PROVE_SELECTOR) for data in calls):
        return [], "decode_error: the call that proved it is of another form"
    return [], "no_prove_call_found: no call of the portal proves it in a form that is known"


async def _claimed(pool: Pool, check: ProofCheck, call: ProveCall) -> bytes | None:
    """Return the output root against which it was proven; None where the portal has neither games nor outputs there."""
    head = await pool.ask(Endpoint.head)
    factory, oracle = await call_contracts(pool, head, (check.portal, _FACTORY), (check.portal, _ORACLE))
    position = call.position.to_bytes(_WORD)
    if factory:
        (game,) = await call_contracts(pool, head, (factory[12:_WORD], _GAME_AT + position))
        if len(game) != 3 * _WORD:
            return None
        (root,) = await call_contracts(pool, head, (game[-20:], _ROOT))
        return root if len(root) == _WORD else None
    if oracle:
        (output,) = await call_contracts(pool, head, (oracle[12:_WORD], _OUTPUT + position))
        return output[:_WORD] if len(output) == 3 * _WORD else None
    return None
