"""``chainwatch flows test``: which events of a transaction are which steps, what they compute, and what is awaited. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from chainwatch.chain.decode.abi import topic0
from chainwatch.checker import calldata
from chainwatch.checker.calldata import TransactionUnread
from chainwatch.checker.flow import (
    AMOUNT,
    ASSET,
    COVERS,
    DESTINATION,
    EXCLUDED,
    FAILED_CHECKS,
    ORIGIN,
    UNKNOWN_NETWORK,
    Flow,
    Found,
    Step,
    expected_network,
    extract,
    index_steps,
)
from chainwatch.checker.joins import with_siblings
from chainwatch.checker.path import EvaluationError
from chainwatch.checker.step_events import by_step, claimed_origin, group_events, openings_of
from chainwatch.model import Event, Occurrence, RawLog, Transfer, UndecodedLog, to_hex
from chainwatch.operations.transaction_logs import LogView, as_text, log_views
from chainwatch.operations.transactions import Transaction, TransactionView, view
from chainwatch.plan import Plan

MATCHED, EXCLUDED_BY_WHERE = "matched", "excluded"
_ZERO = re.compile("0x0{64}")
_ZERO_KEY = (
    "matched, but its key is zero: transfers without an id would become one; leave them out with `where`"
)
_FACTS = (ORIGIN, DESTINATION, AMOUNT, ASSET, FAILED_CHECKS, EXCLUDED)

Values: TypeAlias = dict[str, Any]
"""What a flow read from an event, as text by name."""


class StepTest(msgspec.Struct, frozen=True):
    """What one log is to one step, or that no log has the step's event (``log_index`` is None).

    ``outcome``: ``matched``; ``excluded`` (an opening event that ``where`` leaves out: its transfer is not watched);
    ``no event``, ``other address``, ``other contract``, ``other network``, ``other origin``, ``other step``, ``where``,
    ``undecodable``, ``error``; ``reason`` says it in words, also of a match whose key is zero. The values are those that the
    step computes, as text; None where the event names none. ``transaction`` and ``call`` are what the step may read of the
    transaction and of its calldata, by name; empty where it reads nothing of them. ``origin`` and ``destination`` begin with
    ``?`` where they are no configured network.
    ``siblings``: by name, the log index of each event that is read with it, or why there is none.
    """

    step: str
    event: str
    contract: str
    log_index: int | None
    outcome: str
    reason: str = ""
    key: str | None = None
    origin: str | None = None
    destination: str | None = None
    amount: str | None = None
    asset: str | None = None
    facts: Values = {}
    failed_checks: Values = {}
    siblings: dict[str, int | str] = {}
    transaction: Values = {}
    call: Values = {}


class Awaited(msgspec.Struct, frozen=True):
    """A step that must still be seen, on one of ``networks``, at chain time ``due_at`` (Unix seconds) at the latest.

    ``within``: seconds from the opening step. Both are None for an opening step, ``due_at`` also where the block's time
    is not known.
    """

    step: str
    networks: list[str]
    within: float | None
    due_at: float | None


class TransferTest(msgspec.Struct, frozen=True):
    """What the events of the transaction say of one transfer; ``note`` is why nothing is awaited of it, or else empty."""

    key: str
    steps: list[str]
    awaited: list[Awaited]
    note: str = ""


class FlowTest(msgspec.Struct, frozen=True):
    """What one flow makes of the transaction."""

    flow: str
    steps: list[StepTest]
    transfers: list[TransferTest]


class FlowsTest(msgspec.Struct, frozen=True):
    """A transaction, those of its logs that a configured ABI decodes or should, and what each flow makes of them."""

    transaction: TransactionView
    logs: list[LogView]
    flows: list[FlowTest]


def run_flows(plan: Plan, transaction: Transaction) -> FlowsTest:
    """Return what every configured flow makes of ``transaction``. Raises ``Conflict`` when an ABI file is gone."""
    known = [log for log in log_views(plan, transaction, {}) if log.event or log.contract]
    return FlowsTest(view(transaction), known, [_test(plan, flow, transaction) for flow in plan.flows])


def _test(plan: Plan, flow: Flow, transaction: Transaction) -> FlowTest:
    tested: list[StepTest] = []
    occurrences: dict[str, list[Occurrence]] = {}
    index = index_steps([flow])
    watch = plan.watches.get(transaction.network)
    decoded = watch.decode_all(transaction.receipt.logs)[0] if watch is not None else ()
    events = {e.log: e for e in with_siblings(index.joined, index.siblings, decoded)}
    found = extract(index, decoded).found
    for step in flow.all_steps:
        logs = [log for log in transaction.receipt.logs if _may_be(plan, step, transaction.network, log)]
        for log in logs:
            for outcome, reason, hit in _try(plan, found, step, transaction.network, log, events):
                tested.append(_step_test(step, log, outcome, reason, hit, events.get(log)))
                if hit is not None:
                    occurrences.setdefault(hit[0], []).append(hit[1])
        if not logs:
            reason = "no log of the transaction is this event"
            tested.append(_step_test(step, None, "no event", reason, None))
    dated = transaction.receipt.timestamp > 0
    transfers = [_transfer(flow, key, some, dated) for key, some in occurrences.items()]
    return FlowTest(flow.name, tested, transfers)


_Hit: TypeAlias = tuple[str, Occurrence]
"""The transfer's key, and the occurrence."""

_Tried: TypeAlias = tuple[str, str, _Hit | None]
"""What an event is to a step: the outcome, the reason in words, and the occurrence where it counts."""


def _may_be(plan: Plan, step: Step, network: str, log: RawLog) -> bool:
    """Return whether ``log`` has the first topic of the step's event; for an anonymous event, the contract's address."""
    topic = topic0(step.event)
    if topic is None:
        return log.address in _addresses(plan, step, network)
    return log.topics[:1] == (topic,)


def _addresses(plan: Plan, step: Step, network: str) -> list[bytes]:
    addresses = plan.settings.contracts[step.contract].addresses_on(network)
    return [bytes.fromhex(address.removeprefix("0x")) for address in addresses]


def _try(
    plan: Plan, found: Found, step: Step, network: str, log: RawLog, events: Mapping[RawLog, Event]
) -> list[_Tried]:
    """Return what ``log``, or each element of it, is to ``step``; ``found`` is what the steps of all events are."""
    addresses = _addresses(plan, step, network)
    if log.address not in addresses:
        where = " and ".join(map(to_hex, addresses)) or "nowhere"
        reason = f"{to_hex(log.address)} emitted it, but {step.contract} on {network} is {where}"
        return [("other address", reason, None)]
    item = plan.watches[network].decode(log)
    if not isinstance(item, Event):
        wrong = item.error if isinstance(item, UndecodedLog) else "it does not decode"
        return [("undecodable", wrong, None)]
    if (item.contract, item.signature) != step.kind:
        return [("other contract", f"it counts as {item.name} of contract {item.contract}", None)]
    item = events[log]
    if step.each is None:
        return [_try_event(found, step, item)]
    try:
        return [_try_event(found, step, one) for one in step.items(item)]
    except EvaluationError as error:
        return [("error", str(error), None)]


def _try_event(found: Found, step: Step, one: Event) -> _Tried:
    """Return what ``one``, an event or an element of it, is to ``step``; ``found`` is what the steps of all events are."""
    try:
        hit = step.occurrence(one)
        if hit is None:
            return (*_why_not(step, one), None)
    except EvaluationError as error:
        return "error", str(error), None
    except TransactionUnread:
        reason = (
            "the step reads the transaction, which a receipt does not hold: give its hash without --receipt"
        )
        return "error", reason, None
    if hit[1] not in found.get((step.flow, hit[0]), ()):
        return "other step", "another step of this flow is what the event is", None
    if EXCLUDED in hit[1].facts:
        return EXCLUDED_BY_WHERE, f"{_where(step)}: the transfer is not watched", hit
    return MATCHED, _ZERO_KEY if _ZERO.fullmatch(hit[0]) else "", hit


def _why_not(step: Step, event: Event) -> tuple[str, str]:
    if step.only_on is not None and event.network not in step.only_on:
        on = ", ".join(sorted(step.only_on)) or "no network"
        return "other network", f"seen on {event.network}; this step counts on {on}"
    if step.where is not None and not step.where.evaluate(event):
        return "where", _where(step)
    return "other origin", f"seen on {event.network}, but the event names another origin"


def _where(step: Step) -> str:
    return f"`where` is false: {step.where.source}" if step.where is not None else "`where` is false"


def _siblings(step: Step, event: Event) -> dict[str, int | str]:
    found: dict[str, int | str] = {}
    for join in step.joins:
        try:
            found[join.name] = event.siblings[join].log.log_index
        except (EvaluationError, TransactionUnread) as error:
            found[join.name] = str(error)
    return found


def _called(step: Step, log: RawLog | None) -> tuple[Values, Values]:
    """Return what ``step`` may read of the transaction of ``log``, and the arguments of the call, as far as it has them."""
    if step.kind not in step.transactions or log is None:
        return {}, {}
    if log.transaction is None or log.transaction.sender is None:
        return {}, {}
    transaction = {
        "from": calldata.sender(log),
        "to": calldata.recipient(log),
        "value": str(calldata.wei(log)),
        "selector": to_hex((log.transaction.input or b"")[: calldata.SELECTOR]),
    }
    try:
        return transaction, {} if step.call is None else as_text(step.call(log))
    except ValueError:
        return transaction, {}  # evaluating says so, where the step needs an argument


def _step_test(
    step: Step, log: RawLog | None, outcome: str, reason: str, hit: _Hit | None, event: Event | None = None
) -> StepTest:
    index = None if log is None else log.log_index
    tried = event is not None and (event.contract, event.signature) == step.kind
    siblings = _siblings(step, event) if event is not None and tried else {}
    transaction, call = _called(step, log)
    if hit is None:
        return StepTest(
            step.name,
            step.event.signature,
            step.contract,
            index,
            outcome,
            reason,
            siblings=siblings,
            transaction=transaction,
            call=call,
        )
    key, occurrence = hit
    facts = occurrence.facts
    return StepTest(
        step=step.name,
        event=step.event.signature,
        contract=step.contract,
        log_index=index,
        outcome=outcome,
        reason=reason,
        key=key,
        origin=as_text(facts.get(ORIGIN)) or (None if step.expected_on else occurrence.network),
        destination=as_text(facts.get(DESTINATION)) or (occurrence.network if step.expected_on else None),
        amount=as_text(facts.get(AMOUNT)),
        asset=as_text(facts.get(ASSET)),
        facts={name: as_text(value) for name, value in facts.items() if name not in _FACTS},
        failed_checks=as_text(facts.get(FAILED_CHECKS, {})),
        siblings=siblings,
        transaction=transaction,
        call=call,
    )


def _transfer(flow: Flow, key: str, occurrences: Sequence[Occurrence], dated: bool) -> TransferTest:
    events = by_step(Transfer(flow.name, key, occurrences=tuple(occurrences)))
    openings = openings_of(flow, events)
    seen = list(dict.fromkeys(occurrence.step for occurrence in occurrences))
    if not openings:
        step = flow.steps[occurrences[0].step]
        if step.covers is not None:
            ends = " and ".join(
                "{}..{}".format(*one.facts[COVERS]) for one in occurrences if COVERS in one.facts
            )
            return TransferTest(key, seen, [], f"a step of every transfer whose key ends in one of {ends}")
        if step.by:
            return TransferTest(
                key, seen, [Awaited(step.by, sorted(flow.steps[step.by].networks), None, None)]
            )
        claimed = claimed_origin(step, occurrences[0])
        return TransferTest(
            key, seen, [Awaited(flow.opening.name, [claimed] if claimed else [*flow.origins], None, None)]
        )
    opening = openings[0]
    if EXCLUDED in opening.facts:
        return TransferTest(
            key, seen, [], "`where` of the opening step is false: the transfer is not watched"
        )
    awaited = [(step, expected_network(step, opening)) for step in flow.expected]
    seeable = [(step, network) for step, network in awaited if network in step.networks]
    destination = opening.facts.get(DESTINATION, "")
    if not seeable or destination.startswith(UNKNOWN_NETWORK):
        named = destination or "none"
        note = (
            f"untracked: the destination, {named}, is no configured network on which the flow's contracts are"
        )
        return TransferTest(key, seen, [], note)
    missing = [
        Awaited(step.name, [network], step.within, opening.timestamp + step.within if dated else None)
        for step, network in seeable
        if all(asked is None for asked, _ in group_events(step, events, openings))
    ]
    return TransferTest(key, seen, missing, "" if missing else "every step is in this transaction")
