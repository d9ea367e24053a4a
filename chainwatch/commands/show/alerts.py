"""One alert, its history, who was notified and why, silences, cooldowns and routes: for people, and JSON for machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from chainwatch.commands.show.terminal import details, print_json, table, time_of
from chainwatch.config import format_duration
from chainwatch.support.printable import clean

if TYPE_CHECKING:
    from chainwatch.operations.alert_details import AlertDetails, TransitionView
    from chainwatch.operations.cooldowns import CooldownView
    from chainwatch.operations.explanations import Explanation
    from chainwatch.operations.routing import RoutesView
    from chainwatch.operations.silencing import SilenceView

KINDS = {"": "", "digest": "digest", "limited": "summary of alerts over the rate limit"}


def alert(view: AlertDetails, as_json: bool) -> None:
    """Print everything about one alert."""
    if as_json:
        print_json(view)
        return
    rows = [("id", view.id), ("state", view.state), ("fingerprint", view.fingerprint)]
    rows += [(name, value) for name, value in view.labels.items()]
    for name, value in view.annotations.items():
        first, *further = value.splitlines() or [""] if name == "description" else [value]
        rows += [(name, first), *(("", line) for line in further)]
    rows.append(("started", time_of(view.starts_at)))
    if view.ends_at is not None:
        rows.append(("ended", f"{time_of(view.ends_at)} ({view.reason})"))
    rows.append(("raised again", f"{view.repeats} times"))
    if view.acknowledged:
        taken = view.acknowledged
        until = f", until {time_of(taken.until)}" if taken.until is not None else ""
        rows.append(("acknowledged", f"by {taken.by} {time_of(taken.at)}{until} {taken.note}".rstrip()))
    details(("alert", ""), rows)


def history(rows: Sequence[TransitionView], as_json: bool) -> None:
    """Print one line for each thing that happened."""
    if as_json:
        print_json(rows)
        return
    columns = ("at", "what", "cause", "by", "receiver", "note")
    details(
        columns,
        ((time_of(r.at), r.kind, r.cause, r.actor, r.receiver or "", r.note) for r in rows),
    )


def explanation(view: Explanation, as_json: bool) -> None:
    """Print for each receiver whether it was notified, and why; then the history."""
    if as_json:
        print_json(view)
        return
    click.echo(clean(f"{view.alert.severity} {view.alert.name}, {view.alert.state}"))
    details(
        ("receiver", "notified", "why", "route", "group"),
        ((r.receiver, r.notified, r.why, r.route or "", r.group or "") for r in view.receivers),
    )
    sent = [(r.receiver, n) for r in view.receivers for n in r.notifications]
    if sent:
        details(
            ("notification", "receiver", "says", "status", "attempts", "queued", "finished", "note"),
            (
                (
                    n.id,
                    name,
                    n.says,
                    n.status,
                    n.attempts,
                    time_of(n.created_at),
                    time_of(n.finished_at),
                    n.note or KINDS[n.kind],
                )
                for name, n in sent
            ),
        )
    if view.escalation:
        details(
            ("escalation", "time", "what"),
            ((one.kind, time_of(one.at), one.text) for one in view.escalation),
        )
    history(view.history, as_json=False)


def silences(rows: Sequence[SilenceView], as_json: bool) -> None:
    """Print one line for each silence."""
    if as_json:
        print_json(rows)
        return
    table(
        ("id", "state", "matchers", "from", "until", "during", "hides", "author", "comment"),
        (
            (
                r.id,
                r.state,
                r.matchers,
                time_of(r.starts_at),
                time_of(r.ends_at),
                ", ".join(r.during),
                r.hides,
                r.author,
                r.comment,
            )
            for r in rows
        ),
    )


def cooldowns(rows: Sequence[CooldownView], as_json: bool) -> None:
    """Print one line for each cooldown."""
    if as_json:
        print_json(rows)
        return
    table(
        ("id", "matchers", "by", "within", "author"),
        ((r.id, r.matchers, ", ".join(r.by), format_duration(r.within), r.author) for r in rows),
    )


def routes(view: RoutesView, as_json: bool) -> None:
    """Print the tree, with an arrow at the routes that take the alert."""
    if as_json:
        print_json(view)
        return
    for route in view.routes:
        mark = "→" if route.takes else "·" if route.matches else " "
        goes_on = "  (continue)" if route.goes_on else ""
        receivers = ", ".join(route.receivers)
        click.echo(clean(f"{mark} {'  ' * route.depth}{route.match} → {receivers}{goes_on}"))
        if route.group:
            click.echo(clean(f"  {'  ' * route.depth}  group {route.group}"))
    click.echo(f"goes to: {', '.join(view.receivers) or 'nobody'}")
