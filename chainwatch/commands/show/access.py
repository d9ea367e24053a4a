"""Tables about tokens and the audit log; JSON for machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from chainwatch.commands.show.terminal import print_json, table, time_of

if TYPE_CHECKING:
    from chainwatch.operations.access import AuditView, TokenView


def tokens(rows: Sequence[TokenView], as_json: bool) -> None:
    """Print one line for each token."""
    if as_json:
        print_json(rows)
        return
    table(
        ("name", "role", "author", "created"),
        ((r.name, r.role, r.author, time_of(r.created_at)) for r in rows),
    )


def audit(rows: Sequence[AuditView], as_json: bool) -> None:
    """Print one line for each entry."""
    if as_json:
        print_json(rows)
        return
    table(("at", "by", "action", "detail"), ((time_of(r.at), r.actor, r.action, r.detail) for r in rows))
