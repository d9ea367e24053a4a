"""Which calls prove a withdrawal: those that the portal got."""

from __future__ import annotations

from typing import Any

import pytest

from chainwatch.chain.errors import MalformedAnswer, NodeError, RpcError
from chainwatch.checker.invariants.heuristics import ProofCheck
from chainwatch.checker.protocols import op_stack
from chainwatch.checker.protocols.op_stack import ProveCall
from chainwatch.invariants import proof_reads
from chainwatch.model import RawLog, Transaction

PORTAL, OTHER, HASH = b"p" * 20, b"o" * 20, b"h" * 32
LOG = RawLog(2, b"b" * 32, 1_020, 0, b"t" * 32, PORTAL, (b"s" * 32, HASH, HASH, HASH), b"")
RIGHT, WRONG = b"right", b"wrong"


@pytest.mark.parametrize(
    ("to", "traced", "fault"),
    [
        (PORTAL, NodeError("alpha[0]", "debug_traceTransaction", -32601, "no such method"), ""),
        (OTHER, [WRONG], "it is wrong"),
        (OTHER, [RIGHT, WRONG], "it is wrong"),
        (OTHER, [RIGHT], ""),
        (OTHER, MalformedAnswer("alpha[0]", "nested too deeply"), "unverifiable: trace_unavailable"),
        (OTHER, NodeError("alpha[0]", "debug_traceTransaction", -32601, "no such method"), ""),
    ],
)
async def test_a_right_proof_in_the_calldata_of_another_contract_hides_no_wrong_one(
    monkeypatch: pytest.MonkeyPatch, to: bytes, traced: list[bytes] | RpcError, fault: str
) -> None:
    async def transactions(*_: Any) -> list[Transaction]:
        return [Transaction(OTHER, to, 0, RIGHT)]

    async def calls(*_: Any) -> list[bytes]:
        if isinstance(traced, RpcError):
            raise traced
        return traced

    async def claimed(*_: Any) -> bytes:
        return HASH

    monkeypatch.setattr(proof_reads, "read_transactions", transactions)
    monkeypatch.setattr(proof_reads, "read_calls", calls)
    monkeypatch.setattr(proof_reads, "_claimed", claimed)
    monkeypatch.setattr(op_stack, "prove_call", lambda data, _: ProveCall(HASH, 0, (), (data,)))
    monkeypatch.setattr(
        proof_reads, "proof_faults", lambda call, _: [] if call.nodes == (RIGHT,) else ["it is wrong"]
    )
    pool: Any = None
    found = await proof_reads.proof_fault(pool, ProofCheck("alpha", "beta", PORTAL), LOG)
    assert found.startswith(fault)
    assert bool(found) == bool(fault)
