"""The screen of ``chainwatch top``: lines of text for a terminal of any size. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from rich.text import Text

from chainwatch.commands.show.terminal import fitted, styled
from chainwatch.grammar.durations import span
from chainwatch.operations.glance import Glance
from chainwatch.operations.queries import NetworkView
from chainwatch.operations.urgency import UrgentAlert
from chainwatch.operations.views import TransferView
from chainwatch.support.printable import clean

WIDE = 100
"""Columns from which further facts are shown."""
KEYS = "↑ ↓ choose   a acknowledge   s silence 1 h   q quit"
_GAP = 2


class Shown(NamedTuple):
    """What is shown: ``chosen`` is an alert's ID; ``message``: what became of the last key, or a question."""

    glance: Glance
    chosen: int | None
    message: str


class _Section(NamedTuple):
    """A list with its columns; ``marked``: the row that stays visible, and is marked."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Text]]
    total: int
    marked: int | None = None


def alerts_of(glance: Glance) -> list[UrgentAlert]:
    """Return the alerts that can be chosen, in the screen's order."""
    return [alert for urgency in glance.urgency for alert in urgency.alerts]


def screen(shown: Shown, width: int, height: int, now: float) -> Text:
    """Return at most ``height`` lines of at most ``width`` columns; ``now``: Unix seconds."""
    glance, is_wide = shown.glance, width >= WIDE
    sections = [
        _alerts(glance, shown.chosen, is_wide, now),
        _networks(glance.status.networks, is_wide, now),
        _transfers(glance, is_wide, now),
    ]
    lines = [_title(glance, now)]
    for section, rows in zip(sections, _shares(sections, height - 3), strict=True):
        lines += _lines(section, rows, width)
    lines = lines[: max(1, height - 2)]
    lines += [Text()] * (height - 2 - len(lines))
    lines += [Text(clean(shown.message), "bold"), Text(KEYS, "dim")]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return Text("\n").join(lines[:height])


def _shares(sections: Sequence[_Section], available: int) -> list[int]:
    """Return how many rows each section has: networks and transfers a quarter at least, then the alerts all they need."""
    alerts, *others = [len(section.rows) for section in sections]
    if available < 4 * len(sections):
        return [max(0, available - 1), *(0 for _ in others)]
    available -= 2 * len(sections)  # the head of each, and a line before it
    shares = [min(rows, available // 4) for rows in others]
    shares.insert(0, min(alerts, available - sum(shares)))
    for number, section in enumerate(sections):
        shares[number] += min(len(section.rows) - shares[number], available - sum(shares))
    return shares


def _lines(section: _Section, rows: int, width: int) -> list[Text]:
    """Return the section's head and ``rows`` of its rows; nothing where there is no room."""
    if rows == 0 and section.rows:
        return []
    first = 0 if section.marked is None else max(0, min(section.marked - rows // 2, len(section.rows) - rows))
    some = section.rows[first : first + rows]
    more = f" ({len(some)} of {section.total})" if section.total > len(some) else ""
    heads = [Text(name, "bold") for name in (f"{section.columns[0]}{more}", *section.columns[1:])]
    wanted = [max(cell.cell_len for cell in cells) for cells in zip(heads, *some, strict=True)]
    widths = fitted(wanted, width - 2 - _GAP * (len(heads) - 1))
    found = [Text(), _row("  ", heads, widths)]
    for number, row in enumerate(some, first):
        is_marked = number == section.marked
        line = _row("▶ " if is_marked else "  ", row, widths)
        if is_marked:
            line.stylize("reverse")
        found.append(line)
    return found


def _row(before: str, cells: Sequence[Text], widths: Sequence[int]) -> Text:
    line = Text(before)
    for number, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        cell.truncate(width, overflow="ellipsis", pad=number < len(cells) - 1)
        line.append(" " * _GAP if number else "").append_text(cell)
    return line


def _title(glance: Glance, now: float) -> Text:
    firing = [f"{one.firing} {one.severity}" for one in glance.urgency]
    waiting = sum(one.firing - one.acknowledged for one in glance.urgency)
    said = f"{', '.join(firing)} firing, {waiting} not acknowledged" if firing else "nothing fires"
    pending = sum(queue.pending for queue in glance.status.queues)
    dead = sum(queue.dead for queue in glance.status.queues)
    queued = [f"{pending} queued"] * bool(pending) + [f"{dead} undeliverable"] * bool(dead)
    clock = datetime.fromtimestamp(now, UTC).strftime("%H:%M:%S UTC")
    return Text("   ".join([f"chainwatch: {said}", *queued, clock]), "bold")


def _alerts(glance: Glance, chosen: int | None, is_wide: bool, now: float) -> _Section:
    found = alerts_of(glance)
    marked = next((number for number, one in enumerate(found) if one.alert.id == chosen), None)
    columns = ["alerts", "", "for", "who has it", *(["about"] if is_wide else [])]
    rows = [
        [
            one.counts_as or one.severity,
            one.alert.name,
            span(now - one.alert.starts_at),
            _who(one),
            *([_about(one)] if is_wide else []),
        ]
        for one in found
    ]
    return _Section(columns, _cells(rows), sum(one.firing for one in glance.urgency), marked)


def _who(one: UrgentAlert) -> str:
    if one.acknowledged is not None:
        return f"acknowledged by {one.acknowledged.by}"
    return "–" if one.muted is None else one.muted.why


def _about(one: UrgentAlert) -> str:
    labels = {k: v for k, v in one.alert.labels.items() if k not in ("alertname", "severity")}
    said = one.alert.annotations.get("summary", "")
    return said or " ".join(f"{name}={value}" for name, value in labels.items())


def _networks(networks: Sequence[NetworkView], is_wide: bool, now: float) -> _Section:
    columns = ["networks", "", "seen", *(["block", "behind", "problem"] if is_wide else [])]
    rows = []
    for one in networks:
        seen = "never" if one.seen_until is None else f"{span(now - one.seen_until)} ago"
        block = "–" if one.checkpoint is None else f"{one.checkpoint.number:,}"
        behind = "–" if one.lag_blocks is None else f"{one.lag_blocks:,}"
        rows.append([one.name, one.state, seen, *([block, behind, one.error or ""] if is_wide else [])])
    return _Section(columns, _cells(rows), len(networks))


def _transfers(glance: Glance, is_wide: bool, now: float) -> _Section:
    columns = ["in flight", "", "flow", "for", *(["route", "amount"] if is_wide else [])]
    rows = []
    for one in glance.in_flight:
        age = "" if one.opened_at is None else span(now - one.opened_at)
        beside = [f"{one.origin or '?'} → {one.destination or '?'}", _amount(one)] if is_wide else []
        rows.append([one.key if is_wide else one.key[:18], one.status, one.flow, age, *beside])
    total = glance.status.transfers["open"] + glance.status.transfers["overdue"]
    return _Section(columns, _cells(rows), total)


def _amount(transfer: TransferView) -> str:
    amounts = [step.amount_formatted or step.amount for step in transfer.steps.values()]
    return next((amount for amount in amounts if amount), "")


def _cells(rows: Sequence[Sequence[str]]) -> list[list[Text]]:
    return [[styled(cell) for cell in row] for row in rows]
