"""Pessimism's heuristics that look up what an event claims: its parameters, and what makes a claim a breach. Pure.

Source: https://github.com/base-org/pessimism, ``internal/engine/registry`` (2024-05-29). Other than there, a withdrawal's
amount is that of the withdrawal itself, each of its faults is named, and similarity never exceeds 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

from chainwatch.checker.invariants.block_checks import ether
from chainwatch.checker.protocols.op_stack import similarity
from chainwatch.model import to_hex

PROOFS = "withdrawal_proofs"
"""No heuristic of Pessimism: Monitorism's `withdrawals-v2`."""
FAULT, SAFETY, ENFORCEMENT = "fault_detector", "withdrawal_safety", "withdrawal_enforcement"
LOOK_UPS = (FAULT, SAFETY, ENFORCEMENT)

_SAME = (bytes(32), b"\xff" * 32)
"""Values that no hash should be like."""


class OutputCheck(NamedTuple):
    """Output roots that are proposed on the first layer must be those of the second. ``passer`` is the message passer."""

    first: str
    second: str
    passer: bytes


class ProofCheck(NamedTuple):
    """Proofs of withdrawals that ``portal`` took must be right: all is on one layer."""

    first: str
    second: str
    portal: bytes


class WithdrawalCheck(NamedTuple):
    """Withdrawals must have been sent by the second layer, and be small beside what the portal has.

    ``share`` of the portal's balance, and ``likeness`` to zeros or ones, are reported from there on; None for any.
    """

    first: str
    second: str
    portal: bytes
    passer: bytes
    share: Fraction | None
    likeness: Fraction | None


class Withdrawal(NamedTuple):
    """What was found of a withdrawal: ``value`` in wei is None where nobody knows it."""

    hash: bytes
    value: int | None
    portal_balance: int
    is_sent: bool


def faults_of(check: WithdrawalCheck, found: Withdrawal) -> list[str]:
    """Return what is wrong with a withdrawal, as sentences; none where nothing is."""
    faults = []
    value, has = found.value, found.portal_balance
    shown = f"{ether(has)} ETH of {to_hex(check.portal)} on {check.first}"
    if not found.is_sent:
        faults.append(f"{check.second} never sent it: it is forged")
    if value is None:
        faults.append("its amount cannot be found")
    elif value >= has:
        faults.append(f"its {ether(value)} ETH are all of the {shown}, or more")
    elif check.share is not None and value >= check.share * has:
        faults.append(f"its {ether(value)} ETH are {_percent(Fraction(value, has))} of the {shown}")
    if check.likeness is not None:
        alike = max(similarity(found.hash, other) for other in _SAME)
        if alike >= check.likeness:
            faults.append(f"its hash is {_percent(alike)} like one of nothing but 0 or f")
    return faults


def fraction_of(params: Mapping[str, Any], name: str) -> Fraction | None:
    """Return a parameter above 0 and below 1; None where it is not given. Raises ``ValueError``."""
    value = params.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str) or len(str(value)) > 100:
        raise ValueError(f"{name} is a number above 0 and below 1")
    try:
        found = Decimal(str(value))
    except ArithmeticError:
        raise ValueError(f"{name} is a number above 0 and below 1") from None
    if not found.is_finite() or not 0 < found < 1 or found.adjusted() < -100:
        raise ValueError(f"{name} is a number above 0 and below 1")
    return Fraction(found)


def _percent(part: Fraction) -> str:
    return f"{float(part * 100):.4g} %"
