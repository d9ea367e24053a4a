"""Networks, transfers, alerts, queues, audits and replays: for people, and JSON for machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click
import msgspec

from chainwatch.alerting.providers.text import when
from chainwatch.commands.show.terminal import details, print_json, table, time_of
from chainwatch.grammar.durations import span
from chainwatch.operations.queries import LatencyRow
from chainwatch.support.printable import clean

if TYPE_CHECKING:
    from chainwatch.operations.auditing import AuditView
    from chainwatch.operations.notifications import NotificationView
    from chainwatch.operations.online import EndpointCheck, ReceiverCheck
    from chainwatch.operations.queries import StatusView
    from chainwatch.operations.rota import ShiftView
    from chainwatch.operations.views import AlertView, TransferView
    from chainwatch.plan import Plan


def audit(found: AuditView, as_json: bool) -> None:
    """Print the logs that are stored otherwise than they were read again."""
    if as_json:
        print_json(found)
        return
    where = (
        f"{found.network}, blocks {found.first} to {found.last}, read through {', '.join(found.endpoints)}"
    )
    if not found.differences:
        click.echo(f"{where}: all {found.logs} logs match what is stored")
        return
    table(
        ("kind", "block", "log", "transaction"),
        ((one.kind, one.block, one.log_index, one.tx_hash) for one in found.differences),
    )
    outcome = ", repaired" if found.repaired else "; --repair corrects them"
    click.echo(f"{where}: {len(found.differences)} differences{outcome}")


def check(
    plan: Plan,
    endpoints: Sequence[EndpointCheck],
    receivers: Sequence[ReceiverCheck],
    gaps: Sequence[ShiftView],
    as_json: bool,
) -> None:
    """Print counts and warnings of a valid configuration, answers of endpoints and receivers, gaps in on-call."""
    settings = plan.settings
    summary = {
        "networks": len(settings.networks),
        "contracts": len(settings.contracts),
        "flows": len(settings.flows),
        "invariants": len(settings.invariants) + len(settings.look_ups),
        "rules": sum(len(placed.group.rules) for placed in plan.rule_groups),
        "receivers": len(settings.receivers),
        "routes": len(settings.routes),
    }
    if as_json:
        print_json(
            {
                "ok": all(one.ok for one in endpoints) and all(one.ok for one in receivers),
                **summary,
                "endpoints": list(endpoints),
                "reached": list(receivers),
                "gaps": list(gaps),
                "warnings": list(plan.warnings),
            }
        )
        return
    for warning in plan.warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo(
        "the configuration is fine: "
        + ", ".join(f"{n} {name if n != 1 else name.removesuffix('s')}" for name, n in summary.items())
    )
    if endpoints:
        details(
            ("endpoint", "ok", "chain id", "head", "log range", "problem"),
            ((e.endpoint, e.ok, e.chain_id, e.head, e.log_range, e.problem) for e in endpoints),
        )
    if receivers:
        details(
            ("receiver", "ok", "provider", "problem"),
            ((r.receiver, r.ok, r.provider, r.problem) for r in receivers),
        )
    for gap in gaps:
        until = (
            "" if gap.ends_at is None else f" until {when(gap.ends_at)} ({span(gap.ends_at - gap.starts_at)})"
        )
        click.echo(f"warning: {gap.schedule} has nobody on call from {when(gap.starts_at)}{until}")


def status(view: StatusView, as_json: bool) -> None:
    """Print networks, transfers, alerts and queues."""
    if as_json:
        print_json(view)
        return
    table(
        ("network", "chain id", "state", "checkpoint", "head", "lag", "seen until"),
        (
            (
                n.name,
                n.chain_id,
                n.state,
                n.checkpoint and n.checkpoint.number,
                n.head,
                n.lag_blocks,
                time_of(n.seen_until),
            )
            for n in view.networks
        ),
    )
    table(("transfers", "count"), view.transfers.items())
    table(("alerts firing", "count"), view.alerts.firing.items())
    table(
        ("queue", "pending", "delivered", "dead", "dropped"),
        ((q.receiver, q.pending, q.delivered, q.dead, q.dropped) for q in view.queues),
    )
    for network in view.networks:
        if network.error:
            click.echo(clean(f"{network.name}: {network.error}"))
    if view.undecoded_logs:
        click.echo(f"{view.undecoded_logs} stored logs cannot be decoded with their ABI")


def transfers(rows: Sequence[TransferView], as_json: bool) -> None:
    """Print one line for each transfer."""
    if as_json:
        print_json(rows)
        return
    table(
        ("flow", "transfer", "status", "amount", "from", "to", "opened at", "steps"),
        (
            (
                t.flow,
                t.key,
                t.status,
                _amount_of(t),
                t.origin,
                t.destination,
                time_of(t.opened_at),
                _steps(t),
            )
            for t in rows
        ),
    )


def alerts(rows: Sequence[AlertView], as_json: bool) -> None:
    """Print one line for each alert."""
    if as_json:
        print_json(rows)
        return
    table(
        ("id", "severity", "state", "alert", "started", "ended", "amount", "summary"),
        (
            (
                a.id,
                a.labels["severity"],
                a.state,
                a.labels["alertname"],
                time_of(a.starts_at),
                time_of(a.ends_at) + (f" ({a.reason})" if a.reason else ""),
                _amount_in(a.annotations),
                a.annotations.get("summary", ""),
            )
            for a in rows
        ),
    )


def _amount_in(annotations: Mapping[str, str]) -> str:
    raw, formatted = annotations.get("amount", ""), annotations.get("amount_formatted")
    return f"{formatted} ({raw})" if formatted else raw


def queue(rows: Sequence[NotificationView], as_json: bool) -> None:
    """Print one line for each notification."""
    if as_json:
        print_json(rows)
        return
    table(
        ("id", "receiver", "status", "attempts", "created", "next attempt", "last error"),
        (
            (
                n.id,
                n.receiver,
                n.status,
                n.attempts,
                time_of(n.created_at),
                time_of(n.next_attempt_at) if n.status == "pending" else "",
                n.last_error,
            )
            for n in rows
        ),
    )


def latency(rows: Sequence[LatencyRow], as_json: bool) -> None:
    """Print one line for each route and step; durations in seconds."""
    if as_json:
        print_json(rows)
        return
    table(LatencyRow.__struct_fields__, map(msgspec.structs.astuple, rows))


def replay(report: dict[str, Any], as_json: bool) -> None:
    """Print the result of a replay."""
    if as_json:
        print_json(report)
        return
    table(
        ("network", "from", "to", "events", "until"),
        (
            (n["name"], n["from"], n["to"], n["events"], time_of(n["to_timestamp"]))
            for n in report["networks"]
        ),
    )
    table(
        ("flow", "status", "transfers"),
        (
            (flow, name, count)
            for flow, counts in report["transfers"].items()
            for name, count in counts.items()
        ),
    )
    table(
        ("severity", "alert", "started", "ended", "summary"),
        (
            (
                a["labels"]["severity"],
                a["labels"]["alertname"],
                time_of(a["starts_at"]),
                time_of(a["ends_at"]) or "still holds",
                a["annotations"].get("summary", ""),
            )
            for a in report["alerts"]
        ),
    )
    latency([LatencyRow(**row) for row in report["latency"]], as_json=False)
    for one in report["unmatched"]:
        click.echo(clean(f"flow {one['flow']}: no transfer has two of its steps: {one['reason']}"))
    click.echo(f"{report['events']:,} events, {len(report['alerts']):,} alerts")


def _amount_of(transfer: TransferView) -> str:
    """Return the amount that the transfer's first step names, in units of its asset where they are known."""
    first = next((step for step in transfer.steps.values() if step.amount is not None), None)
    if first is None:
        return ""
    return f"{first.amount_formatted} ({first.amount})" if first.amount_formatted else str(first.amount)


def _steps(transfer: TransferView) -> str:
    due = {d.step: d.state for d in transfer.deadlines}
    seen = [
        f"{name} late by {step.late_by} s" if step.late_by else name for name, step in transfer.steps.items()
    ]
    return ", ".join(
        [*seen, *(f"{name} {state}" for name, state in due.items() if name not in transfer.steps)]
    )
