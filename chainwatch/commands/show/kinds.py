"""Tables about kinds of invariants; JSON for machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from chainwatch.commands.show.terminal import details, print_json, table

if TYPE_CHECKING:
    from chainwatch.operations.kinds import KindView


def kinds(rows: Sequence[KindView], as_json: bool) -> None:
    """Print one line for each kind."""
    if as_json:
        print_json(rows)
        return
    table(
        ("kind", "severity", "parameters", "holds while"),
        ((r.name, r.severity, ", ".join(p.name for p in r.parameters if p.required), r.about) for r in rows),
    )


def kind(found: KindView, as_json: bool) -> None:
    """Print a kind, its parameters and an example."""
    if as_json:
        print_json(found)
        return
    details(
        ("", ""),
        (
            ("kind", found.name),
            ("family", found.family),
            ("holds while", found.about),
            ("severity", found.severity),
            ("after", found.source),
        ),
    )
    table(
        ("parameter", "type", "default", "meaning"),
        (
            (p.name, p.type, "required" if p.required else p.default or "—", p.meaning)
            for p in found.parameters
        ),
    )
    click.echo(f"\n{found.example}")
