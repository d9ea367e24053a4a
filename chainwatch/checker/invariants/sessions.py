"""Pessimism's sessions as invariants: which parameters its heuristics take, and what they come to. Pure.

Source: https://github.com/base-org/pessimism, ``docs/heuristics.md`` and ``internal/engine/registry`` (2024-05-29).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, localcontext
from typing import Any

import msgspec

from chainwatch.checker.abi_values import TypeTextError, parse_type
from chainwatch.checker.expression import compile_condition
from chainwatch.checker.invariants.block_checks import BlockCheck, block_check
from chainwatch.checker.invariants.heuristics import (
    FAULT,
    LOOK_UPS,
    PROOFS,
    OutputCheck,
    ProofCheck,
    WithdrawalCheck,
    fraction_of,
)
from chainwatch.checker.invariants.invariant import Invariant, InvariantValue, StateRead
from chainwatch.checker.protocols import op_stack
from chainwatch.config.kinds import LookUp
from chainwatch.model import AbiEvent, AbiParam
from chainwatch.support.abi.shape import canonical
from chainwatch.support.keccak import keccak256

BALANCE, EVENT = "balance_enforcement", "contract_event"
SUPPORTED = (BALANCE, EVENT, *LOOK_UPS)
SEVERITIES = {"low": "P3", "medium": "P2", "high": "P1"}
NO_SEVERITY = "P2"
ONE_SHOT = 300
"""Seconds of chain time for which an alert about one event fires, unless the session's cooldown is longer."""
SIGNATURES_MAX = 100
COOLDOWN_MAX = 366 * 86_400
BLOCK_MAX = 2**32 - 1
TEXT_MAX = 1_000
AMOUNT_DIGITS = 100
"""Digits in which amounts are computed: 256 bits have 78."""
_ETHER = Decimal(10**18)
WHOLE = bytes(32)
"""Stands where the topic of an event does, for what is found in whole blocks."""


class SessionError(ValueError):
    """A session that cannot be made; the message says why."""


class Session(msgspec.Struct, frozen=True):
    """A session as it is stored: what its request asked for. ``layer`` is ``layer1`` or ``layer2``.

    ``start`` is the block from which on events count, ``cooldown`` is in seconds.
    """

    layer: str
    heuristic: str
    params: dict[str, Any]
    severity: str = ""
    destination: str = ""
    message: str = ""
    cooldown: int = 0
    start: int | None = None


@dataclass(frozen=True)
class EventSession:
    """A session of which each event of ``address`` with one of the topics is an alert, but for those within ``cooldown``.

    ``signatures`` are by topic; ``lasts`` is for how long an alert fires. Seconds of chain time. With a ``check`` only
    events whose claims it refutes are alerts; a `BlockCheck` is one of whole blocks, without any events.
    """

    name: str
    network: str
    address: bytes
    signatures: Mapping[bytes, str]
    severity: str
    cooldown: int
    lasts: int
    message: str
    labels: Mapping[str, str]
    check: OutputCheck | WithdrawalCheck | ProofCheck | BlockCheck | None = None
    runbook_url: str | None = None


def compile_session(name: str, session: Session, layers: Mapping[str, str]) -> Invariant | EventSession:
    """Return what the session ``name`` comes to; ``layers`` are the networks by layer. Raises `SessionError`."""
    if session.heuristic not in SUPPORTED:
        raise SessionError(f"the type is none of {', '.join(SUPPORTED)}")
    network = layers.get(session.layer)
    if network is None:
        raise SessionError(f"network {session.layer[:40]!r} stands for none: set it in [pessimism]")
    if session.start is not None and (session.heuristic == BALANCE or not 0 <= session.start <= BLOCK_MAX):
        raise SessionError("start_height is a block, and not of balances: these are checked at new blocks")
    if any(len(text) > TEXT_MAX for text in (session.destination, session.message)):
        raise SessionError(f"destination and message have at most {TEXT_MAX} characters")
    if not 0 <= session.cooldown <= COOLDOWN_MAX:
        raise SessionError(f"cooldown_time is from 0 to {COOLDOWN_MAX} seconds")
    if session.severity and session.severity not in SEVERITIES:
        raise SessionError(f"severity is one of {', '.join(SEVERITIES)}")
    severity = SEVERITIES.get(session.severity, NO_SEVERITY)
    labels = {"destination": session.destination} if session.destination else {}
    if session.heuristic == BALANCE:
        return _balance(name, session, network, severity, labels)
    address, signatures, check = _events(session, layers)
    return EventSession(
        name,
        network,
        address,
        signatures,
        severity,
        session.cooldown,
        max(session.cooldown, ONE_SHOT),
        session.message,
        labels,
        check,
    )


def compile_look_up(name: str, one: LookUp) -> EventSession:
    """Return what an invariant of the configuration on what events claim comes to. Raises `SessionError`."""
    found: tuple[bytes, Mapping[bytes, str], ProofCheck | BlockCheck] | None = None
    if (of_blocks := block_check(one.heuristic, one.layer1, one.params)) is not None:
        found = b"", {WHOLE: ""}, of_blocks
    elif one.heuristic == PROOFS:
        portal = _address(one.params, "portal")
        found = portal, _by_topic((op_stack.WITHDRAWAL_PROVEN,)), ProofCheck(one.layer1, one.layer2, portal)
    if found is not None:
        address, signatures, check = found
        place = (name, one.layer1, address, signatures)
        return EventSession(*place, one.severity, 0, ONE_SHOT, one.message, {}, check, one.runbook_url)
    session = Session(one.layer, one.heuristic, dict(one.params), message=one.message)
    made = compile_session(name, session, {"layer1": one.layer1, "layer2": one.layer2})
    assert isinstance(made, EventSession)
    return replace(made, severity=one.severity, runbook_url=one.runbook_url)


def _events(
    session: Session, layers: Mapping[str, str]
) -> tuple[bytes, dict[bytes, str], OutputCheck | WithdrawalCheck | None]:
    """Return which events of which address count, and what is to be checked of them."""
    params = session.params
    if session.heuristic == EVENT:
        return _address(params), _signatures(params), None
    if params.get("args"):
        raise SessionError(f"{session.heuristic} takes no args: its events are known")
    if missing := [layer for layer in ("layer1", "layer2") if layer not in layers]:
        raise SessionError(f"{session.heuristic} reads both layers: set {missing[0]} in [pessimism]")
    first, second = layers["layer1"], layers["layer2"]
    passer = _address(params, "l2_to_l1_address")
    if session.heuristic == FAULT:
        if session.layer != "layer1":
            raise SessionError("fault_detector is for layer1")
        events = (op_stack.OUTPUT_PROPOSED, op_stack.GAME_CREATED)
        return (
            _address(params, "l2_output_address"),
            _by_topic(events),
            OutputCheck(first, second, passer),
        )
    portal = _address(params, "l1_portal_address")
    try:
        share, likeness = (fraction_of(params, name) for name in ("threshold", "coefficient_threshold"))
    except ValueError as error:
        raise SessionError(str(error)) from None
    check = WithdrawalCheck(first, second, portal, passer, share, likeness)
    if session.layer == "layer1":
        return portal, _by_topic((op_stack.WITHDRAWAL_PROVEN,)), check
    return passer, _by_topic((op_stack.MESSAGE_PASSED,)), check


def _by_topic(signatures: Sequence[str]) -> dict[bytes, str]:
    return {keccak256(signature.encode()): signature for signature in signatures}


def _balance(
    name: str, session: Session, network: str, severity: str, labels: Mapping[str, str]
) -> Invariant:
    address = _address(session.params)
    bounds = []
    for key, operator in (("lower", ">="), ("upper", "<=")):
        if (bound := session.params.get(key)) is not None:
            bounds.append((f"balance {operator} {_wei(key, bound)}", _wei(key, bound)))
    if not bounds:
        raise SessionError("balance_enforcement needs lower or upper, in ETH")
    if len(bounds) == 2 and bounds[0][1] > bounds[1][1]:
        raise SessionError("lower is above upper: no balance is within them")
    param = AbiParam("balance", "uint256")
    value = InvariantValue(param, (network,), {network: StateRead("balance", address)})
    condition = compile_condition(" and ".join(text for text, _ in bounds), AbiEvent("balance", (param,)))
    return Invariant(name, severity, "block", (value,), condition, message=session.message, labels=labels)


def _wei(key: str, bound: object) -> int:
    """Return an amount of ETH in wei, rounded to a whole one."""
    if isinstance(bound, bool) or not isinstance(bound, int | float | str):
        raise SessionError(f"{key} is an amount of ETH")
    try:
        with localcontext(prec=AMOUNT_DIGITS):
            wei = (Decimal(str(bound) if isinstance(bound, float) else bound) * _ETHER).to_integral_value()
    except ArithmeticError:
        raise SessionError(f"{key} is an amount of ETH") from None
    if not wei.is_finite() or not 0 <= wei < 2**256:
        raise SessionError(f"{key} is an amount of ETH from 0 on")
    return int(wei)


def _address(params: Mapping[str, Any], name: str = "address") -> bytes:
    text = params.get(name)
    if not isinstance(text, str) or not re.fullmatch("0x[0-9a-fA-F]{40}", text) or int(text, 16) == 0:
        raise SessionError(f"{name} is 0x and 40 hex digits, and not zero")
    return bytes.fromhex(text[2:])


def _signatures(params: Mapping[str, Any]) -> dict[bytes, str]:
    given = params.get("args")
    if not isinstance(given, list) or not 0 < len(given) <= SIGNATURES_MAX:
        raise SessionError(f"args is a list of 1 to {SIGNATURES_MAX} signatures of events")
    found = {}
    for text in given:
        signature = _normal_signature(text) if isinstance(text, str) else None
        if signature is None:
            raise SessionError("args: expected signatures such as Transfer(address,address,uint256)")
        found[keccak256(signature.encode())] = signature
    return found


def _normal_signature(text: str) -> str | None:
    """Return the signature of an event without spaces, its types spelled out; None for what is none."""
    match = re.fullmatch(r"\s*([A-Za-z_$][\w$]{0,200})\s*(\(.{0,2000}\))\s*", text, re.ASCII)
    if match is None:
        return None
    if not match[2][1:-1].strip():
        return f"{match[1]}()"
    try:
        types = parse_type(match[2]).canonical_type
    except TypeTextError:
        return None
    return match[1] + re.sub(r"\b(?:uint|int|byte|ufixed|fixed)\b", lambda alias: canonical(alias[0]), types)
