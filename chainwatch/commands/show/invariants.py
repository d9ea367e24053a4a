"""Tables about invariants; JSON for machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from chainwatch.commands.show.terminal import details, print_json, table, time_of
from chainwatch.support.printable import clean

if TYPE_CHECKING:
    from chainwatch.operations.accepted_values import AcceptedView
    from chainwatch.operations.invariant_history import InvariantHistory
    from chainwatch.operations.invariant_testing import InvariantTest
    from chainwatch.operations.invariants import CheckView, InvariantDetails, InvariantView

_ANSWERS = {True: "holds", False: "does not hold", None: "no answer"}


def invariants(rows: Sequence[InvariantView], as_json: bool) -> None:
    """Print one line for each invariant."""
    if as_json:
        print_json(rows)
        return
    table(
        ("invariant", "state", "since", "block", "severity", "origin", "networks", "condition"),
        (
            (
                r.name,
                r.state,
                time_of(r.since),
                r.block,
                r.severity,
                r.origin,
                ", ".join(r.networks),
                r.condition,
            )
            for r in rows
        ),
    )


def invariant(found: InvariantDetails, as_json: bool) -> None:
    """Print an invariant, then one line for each of its checks."""
    if as_json:
        print_json(found)
        return
    one = found.invariant
    details(
        ("", ""),
        (
            ("invariant", one.name),
            ("condition", one.condition),
            ("labels", ", ".join(f"{name}={value}" for name, value in one.labels.items())),
            ("state", one.state),
            ("since", time_of(one.since)),
            ("severity", one.severity),
            ("origin", one.origin),
            ("networks", ", ".join(one.networks)),
        ),
    )
    if found.accepted is not None:
        was = found.accepted
        who = "read first" if was.author is None else f"accepted by {was.author}"
        click.echo(clean(f"compares with {was.values}: {who}, at block {was.block} of {was.network}"))
        if found.to_accept not in ("", was.values):
            click.echo(
                clean(f"has read {found.to_accept}: `chainwatch invariants accept` compares with that")
            )
    _checks(found.checks)


def accepted(found: AcceptedView, as_json: bool) -> None:
    """Print the values that were accepted."""
    if as_json:
        print_json(found)
        return
    click.echo(clean(f"{found.name}: accepted {found.values}, as of block {found.block} of {found.network}"))


def history(found: InvariantHistory, as_json: bool) -> None:
    """Print one line for each breach, then one for each check at which something changed."""
    if as_json:
        print_json(found)
        return
    table(
        ("broken since", "until", "ended by", "block", "held last at", "values"),
        (
            (
                time_of(r.starts_at),
                time_of(r.ends_at),
                r.reason or "",
                f"{r.network} {r.block}",
                r.held_block,
                r.values,
            )
            for r in found.breaches
        ),
    )
    _checks(found.changes)


def _checks(checks: Sequence[CheckView]) -> None:
    table(
        ("checked at", "blocks", "answer", "values", "error"),
        ((time_of(r.at), _blocks(r.blocks), _ANSWERS[r.holds], r.values, r.error or "") for r in checks),
    )


def test(found: InvariantTest, as_json: bool) -> None:
    """Print what was read, and whether the invariant holds."""
    if as_json:
        print_json(found)
        return
    details(
        ("", ""),
        (
            ("invariant", found.name),
            ("blocks", _blocks(found.blocks)),
            ("values", found.values),
            ("answer", _ANSWERS[found.holds]),
            ("error", found.error),
        ),
    )


def _blocks(blocks: Mapping[str, int]) -> str:
    return ", ".join(f"{network} {block}" for network, block in blocks.items())
