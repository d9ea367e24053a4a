"""What an expression reads: an event with its siblings, and the values of these that it names. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from chainwatch.checker.calldata import Calldata
from chainwatch.checker.joins import Join
from chainwatch.checker.path import Path
from chainwatch.model import AbiEvent


@dataclass(frozen=True)
class Read:
    """One value that an expression reads: of the event itself, or of the opening one (``opening``).

    ``text`` names it among the facts that are kept of an event. ``code`` makes it of ``event``: Python code, in which the
    values of other reads are ``p0``, ``p1``, …. ``path`` is where it is in the event, or in a sibling; None for one that is
    computed.
    """

    text: str
    opening: bool
    path: Path | None
    code: str


@dataclass(frozen=True)
class Scope:
    """The event that an expression reads, its siblings by name, and the function whose arguments it may read."""

    event: AbiEvent
    joins: Mapping[str, Join] = field(default_factory=dict)
    call: Calldata | None = None


def first_name(event: AbiEvent) -> str:
    """Return the name of an argument of ``event``, as an example."""
    return next((param.name for param in event.inputs if param.name), "emitter")
