"""Tables and Markdown about on-call schedules, incidents and statistics; JSON for machines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import click
import msgspec

from chainwatch.alerting.providers.text import markdown, when
from chainwatch.commands.show.terminal import print_json, table
from chainwatch.grammar.durations import span
from chainwatch.support.printable import clean

if TYPE_CHECKING:
    from chainwatch.operations.configured import ReceiverView
    from chainwatch.operations.incidents import IncidentSummary, IncidentView
    from chainwatch.operations.receiver_test import SampleOutcome
    from chainwatch.operations.reports import Statistics
    from chainwatch.operations.rota import OverrideView, ShiftView

SHOWN_ALERTS = 100
"""Maximum number of an incident's alerts that are written out; the others are counted."""


def shifts(rows: Sequence[ShiftView], as_json: bool) -> None:
    """Print one line for each shift."""
    if as_json:
        print_json(rows)
        return
    table(
        ("schedule", "on call", "by", "from", "until"),
        (
            (
                r.schedule,
                r.person or "nobody",
                r.by,
                when(r.starts_at),
                "" if r.ends_at is None else when(r.ends_at),
            )
            for r in rows
        ),
    )


def receivers(rows: Sequence[ReceiverView], as_json: bool) -> None:
    """Print one line for each receiver."""
    if as_json:
        print_json(rows)
        return
    table(("name", "provider", "origin"), ((r.name, r.provider or "", r.origin) for r in rows))


def overrides(rows: Sequence[OverrideView], as_json: bool) -> None:
    """Print one line for each override."""
    if as_json:
        print_json(rows)
        return
    table(
        ("id", "schedule", "person", "from", "until", "author"),
        ((r.id, r.schedule, r.person, when(r.starts_at), when(r.ends_at), r.author) for r in rows),
    )


def incidents(rows: Sequence[IncidentSummary], as_json: bool) -> None:
    """Print one line for each incident."""
    if as_json:
        print_json(rows)
        return
    table(
        ("id", "severity", "group", "alerts", "firing", "opened", "ended", "lasted"),
        (
            (
                r.id,
                r.severity,
                _labels(r.labels),
                r.alert_count,
                r.firing,
                when(int(r.opened_at)),
                "" if r.ended_at is None else when(int(r.ended_at)),
                "" if r.ended_at is None else span(int(r.ended_at - r.opened_at)),
            )
            for r in rows
        ),
    )


def incident(view: IncidentView, as_json: bool) -> None:
    """Print one incident in Markdown, for the review afterwards."""
    if as_json:
        print_json(view)
    else:
        click.echo("\n".join(_markdown(view)))


def statistics(view: Statistics, as_json: bool) -> None:
    """Print totals, times and deliveries of a window."""
    if as_json:
        print_json(view)
        return
    before = view.before
    click.echo(f"{when(view.since)} to {when(view.until)}")
    table(
        ("severity", "alerts", "window before", "trend", "firing now"),
        (
            (s, n, before.by_severity[s], _trend(n, before.by_severity[s]), view.active[s])
            for s, n in view.by_severity.items()
        ),
    )
    table(
        ("", ""),
        (
            ("alerts", f"{view.alerts} ({_trend(view.alerts, before.alerts)})"),
            ("acknowledged", view.acknowledged),
            ("mean time to acknowledge", _span(view.mean_time_to_acknowledge)),
            ("resolved", view.resolved),
            ("mean time to resolve", _span(view.mean_time_to_resolve)),
            ("noise: resolved within a minute, unacknowledged", _share(view.noise, view.alerts)),
        ),
    )
    table(("alert", "number"), view.by_name.items())
    table(("source", "number"), view.by_source.items())
    table(
        (
            "receiver",
            "sent",
            "delivered",
            "pending",
            "dead",
            "failed tries",
            "p50 s",
            "p90 s",
            "p99 s",
            "max s",
        ),
        (
            (
                r.receiver,
                r.notifications,
                r.delivered,
                r.pending,
                r.dead,
                r.failed_attempts,
                *msgspec.structs.astuple(r.latency),
            )
            for r in view.receivers
        ),
    )


def sample(outcome: SampleOutcome, as_json: bool) -> None:
    """Print the outcome of a receiver's test."""
    if as_json:
        print_json(outcome)
    elif outcome.delivered:
        click.echo(
            f"{outcome.receiver} accepted the sample after {outcome.seconds:.1f} s, sent by {outcome.by}"
        )
    else:
        click.echo(clean(f"{outcome.receiver} did not accept the sample: {outcome.error}"), err=True)


def _markdown(view: IncidentView) -> Iterable[str]:
    ended = view.ended_at
    yield f"# Incident {view.id}: {markdown(_labels(view.labels))}"
    yield ""
    yield f"- **severity**: {view.severity or 'unknown'}"
    yield f"- **opened**: {when(int(view.opened_at))}"
    if ended is None:
        yield f"- **ended**: not yet, {view.firing} of {view.alert_count} alerts fire"
    else:
        yield f"- **ended**: {when(int(ended))}, after {span(int(ended - view.opened_at))}"
    group = clean(view.group).replace("`", "'")
    yield f"- **group**: `{group}`"
    yield ""
    yield f"## Alerts ({view.alert_count})"
    yield ""
    yield "| id | severity | alert | state | started (chain time) | ended | what |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for alert in view.alerts[:SHOWN_ALERTS]:
        end = "" if alert.ends_at is None else f"{when(alert.ends_at)} ({alert.reason})"
        labels = alert.labels
        cells = [str(alert.id), labels["severity"], markdown(labels["alertname"]), alert.state]
        yield f"| {' | '.join([*cells, when(alert.starts_at), markdown(end), markdown(alert.summary)])} |"
    if view.alert_count > SHOWN_ALERTS:
        yield ""
        yield f"… and {view.alert_count - SHOWN_ALERTS} more."
    yield ""
    yield "## Timeline"
    yield ""
    for line in view.timeline:
        actor = line.actor
        by = f" — {markdown(actor)}" if actor and actor != "chainwatch" else ""
        yield f"- {when(int(line.at))} **{line.kind}** {markdown(line.text)}{by}"


def _labels(labels: Mapping[str, str]) -> str:
    rest = {name: value for name, value in labels.items() if name != "alertname"}
    about = ", ".join(f"{name}={value}" for name, value in rest.items())
    return (
        " ".join(part for part in (labels.get("alertname", ""), f"({about})" if about else "") if part)
        or "all"
    )


def _trend(number: int, before: int) -> str:
    if before == 0:
        return "–" if number == 0 else "new"
    return f"{(number - before) / before:+.0%}"


def _share(number: int, of: int) -> str:
    return f"{number} ({number / of:.0%})" if of else "0"


def _span(seconds: float | None) -> str:
    return "–" if seconds is None else span(round(seconds))
