"""What flows make of a transaction, and its logs: for people, and JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from chainwatch.alerting.providers.text import when
from chainwatch.commands.show.terminal import details, print_json
from chainwatch.grammar.durations import span
from chainwatch.support.printable import clean

if TYPE_CHECKING:
    from chainwatch.operations.flow_testing import Awaited, FlowsTest, FlowTest, StepTest, TransferTest
    from chainwatch.operations.transaction_logs import LogView, Siblings
    from chainwatch.operations.transactions import TransactionView

VALUE_MAX = 300
"""Characters of a value that are shown; JSON has all of them."""


def flows_test(found: FlowsTest, as_json: bool) -> None:
    """Print which logs are which steps of which flows, what they compute, and what is awaited."""
    if as_json:
        print_json(found)
        return
    _transaction(found.transaction)
    if found.logs:
        details(("log", "event"), ((log.log_index, _known_log(log)) for log in found.logs))
    else:
        click.echo("no log is of a configured contract, or of an event in its ABI")
    for flow in found.flows:
        _flow(flow)


def siblings(found: Siblings, as_json: bool) -> None:
    """Print every log of the transaction with its values."""
    if as_json:
        print_json(found)
        return
    _transaction(found.transaction)
    if not found.logs:
        click.echo("the transaction has no logs")
    for log in found.logs:
        _log(log)


def _transaction(where: TransactionView) -> None:
    at = f", {when(where.timestamp)}" if where.timestamp is not None else ""
    click.echo(where.tx_hash)
    click.echo(clean(f"on {where.network}, block {where.block}{at}"))


def _known_log(log: LogView) -> str:
    event = "of no event in the ABI" if log.event is None else f"{_name(log.event)}, {log.abi}"
    return f"{log.contract or log.address}: {_brief(log.problem or event)}"


def _name(signature: str) -> str:
    return signature.partition("(")[0]


def _log(log: LogView) -> None:
    rows = [(f"log {log.log_index}", _name(log.event or "no ABI at hand has this event"))]
    rows.append(("address", log.address + (f" ({log.contract})" if log.contract else "")))
    if log.event is not None and log.abi is not None:
        rows += [("ABI", log.abi), ("signature", _brief(log.event))]
    if log.problem is not None:
        rows.append(("problem", _brief(log.problem)))
    if log.args is None:
        rows += [(f"topic {number}", topic) for number, topic in enumerate(log.topics)]
        rows.append(("data", _brief(log.data)))
    else:
        rows += [(path, _brief(value)) for path, value in _paths(log.args)]
    _values(rows)


def _paths(args: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values in ``args`` by their paths, as a flow names them: ``params.originDomain``."""
    for name, value in args.items():
        if isinstance(value, dict):
            yield from _paths(value, f"{within}{name}.")
        else:
            yield f"{within}{name}", value


def _flow(flow: FlowTest) -> None:
    if all(step.log_index is None for step in flow.steps):
        click.echo(clean(f"flow {flow.flow}: no log of the transaction is an event of its steps"))
        return
    details((f"flow {flow.flow}", ""), ((step.step, _outcome(step)) for step in flow.steps))
    for step in flow.steps:
        if step.key is not None or step.siblings:
            _computed(step)
    for transfer in flow.transfers:
        _awaited(transfer)


def _outcome(step: StepTest) -> str:
    log = "" if step.log_index is None else f"log {step.log_index}, "
    return f"{log}{_name(step.event)}: {_brief(step.reason or step.outcome)}"


def _computed(step: StepTest) -> None:
    rows = [(f"{step.step}, log {step.log_index}", _name(step.event))]
    named = {name: getattr(step, name) for name in ("key", "origin", "destination", "amount", "asset")}
    rows += [(name, _brief(value)) for name, value in named.items() if value is not None]
    read = {f"transaction.{name}": value for name, value in step.transaction.items()}
    read |= {f"call.{name}": value for name, value in _paths(step.call)}
    rows += [(name, _brief(value)) for name, value in read.items()]
    rows += [(name, _brief(value)) for name, value in step.facts.items() if name not in read]
    rows += [
        (f"sibling {name}", f"log {found}" if isinstance(found, int) else _brief(found))
        for name, found in step.siblings.items()
    ]
    rows += [(f"check {name} failed", _brief(wrong)) for name, wrong in step.failed_checks.items()]
    _values(rows)


def _awaited(transfer: TransferTest) -> None:
    rows = [("transfer", _brief(transfer.key))]
    rows += [("waits for", f"{one.step} on {_on(one)}, {_due(one)}") for one in transfer.awaited]
    if transfer.note:
        rows.append(("waits for nothing", transfer.note))
    _values(rows)


def _on(one: Awaited) -> str:
    return " or ".join(one.networks) or "any network"


def _due(one: Awaited) -> str:
    if one.within is None:
        return "which opens the transfer: without it, this is an orphan"
    within = f"within {span(one.within)} of the opening step"
    return within if one.due_at is None else f"by {when(one.due_at)}, {within}"


def _values(rows: list[tuple[str, str]]) -> None:
    (name, value), *rest = rows
    details((clean(name), clean(value)), rest)


def _brief(value: Any) -> str:
    """Return ``value`` as text, cut where it is longer than a person reads."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= VALUE_MAX else f"{text[:VALUE_MAX]}… ({len(text)} characters)"
