"""At which blocks invariants are checked."""

from __future__ import annotations

from typing import NamedTuple

from chainwatch.model import Header


class Trigger(NamedTuple):
    """A block at which invariants may have to be checked. ``previous`` is the block before, where that is known.

    ``is_provisional``: a newer block takes its place, as this one ends a range that was read at once.
    """

    header: Header
    previous: Header | None
    is_provisional: bool


def is_due(every: object, trigger: Trigger) -> bool:
    """Return whether a check is due at a block: at each, or at the first one of each period of ``every`` seconds."""
    if not isinstance(every, float | int) or trigger.previous is None:
        return True
    return trigger.header.timestamp // every > trigger.previous.timestamp // every
