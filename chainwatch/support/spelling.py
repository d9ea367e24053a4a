"""The nearest right word to a wrong one, for hints."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

LONGEST = 100
"""Characters of a word for which a nearest one is looked for, which takes time by their square."""


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the word of ``known`` that ``word`` most probably stands for, or None.

    ``cutoff`` is the least likeness, 0 to 1. Swapped letters (``rcp`` for ``rpc``) always count as near.
    """
    if len(word) > LONGEST:
        return None
    by_folded = {name.lower(): name for name in known}
    folded = word.lower()
    swapped = [name for name in by_folded if sorted(name) == sorted(folded)]
    close = swapped or get_close_matches(folded, by_folded, n=1, cutoff=cutoff)
    return by_folded[close[0]] if close else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``did you mean "rpc"?``, or the known words when none is near, or nothing when there are none."""
    names = sorted(known)
    near = nearest(word, names)
    if near is not None:
        return f'did you mean "{near}"?'
    return f"known: {', '.join(names)}" if names else ""
