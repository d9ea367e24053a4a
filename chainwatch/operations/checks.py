"""Validation of the arguments that operations share. Every function here raises ``Invalid``, or ``NotFound`` for a name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from chainwatch.grammar import matchers
from chainwatch.operations.errors import Invalid, NotFound
from chainwatch.support.spelling import did_you_mean

LAST_MOMENT = 253_402_300_799
"""The last second of the year 9999: larger numbers are not Unix seconds (but perhaps milliseconds)."""
ID_MAX = 2**63 - 1

Match = Mapping[str, str | Sequence[str]]
"""Label → value or values, as in a route's ``match``: plain, or with ``!=``, ``=~`` or ``!~`` before them."""


def usable_ids(ids: Iterable[int]) -> list[int]:
    """Return ``ids`` without repetitions, ascending, less those that no row can have."""
    return sorted({one for one in ids if 0 < one <= ID_MAX})


def check_moments(**moments: float | None) -> None:
    """Check that every moment given is Unix seconds; the keywords name them in the message."""
    for name, at in moments.items():
        if at is not None and not abs(at) <= LAST_MOMENT:
            raise Invalid(f"{name}: {at} is not a time in Unix seconds; give seconds, not milliseconds")


def end_of(
    starts_at: float, ends_at: float | None, lasts: float | None, default: float | None = None
) -> float:
    """Return the end of a period, Unix seconds, given as itself or as the length in seconds; ``default`` is a length."""
    if ends_at is not None and lasts is not None:
        raise Invalid("the end and the length are both given: give one of them, not both")
    length = default if lasts is None else lasts
    if ends_at is None and length is None:
        raise Invalid("neither the end nor the length is given: give one of them")
    end = ends_at if ends_at is not None else starts_at + (length or 0.0)
    check_moments(starts_at=starts_at, ends_at=end)
    return end


def check_match(match: Match) -> dict[str, list[str]]:
    """Return label → values, of which at least one label must be tested."""
    tests = {
        name: [values] if isinstance(values, str) else list(values)
        for name, values in match.items()
        if values
    }
    if not tests:
        raise Invalid("a label to match is missing: without any, every alert would match")
    for name, texts in tests.items():
        if not name or not all(isinstance(text, str) for text in (name, *texts)):
            raise Invalid(f"matchers: {name!r}: expected a label's name, and text or texts for its value")
        for text in (name, *texts):
            if any("\ud800" <= character <= "\udfff" for character in text):
                raise Invalid(f"matchers: {text!r} is not text: it holds bytes that are not UTF-8")
    try:
        matchers.build(tests)
    except ValueError as error:
        raise Invalid(f"matchers: {error}") from None
    return tests


def parse_match(words: Iterable[str]) -> dict[str, list[str]]:
    """Parse ``LABEL=VALUE``, ``LABEL!=VALUE``, ``LABEL=~REGEX`` and ``LABEL!~REGEX`` into label → values."""
    try:
        return matchers.parse(words)
    except ValueError as error:
        raise Invalid(str(error)) from None


def check_seconds(name: str, seconds: float) -> None:
    """Check that ``seconds`` is a length of time, 0 or more."""
    if not 0 <= seconds <= LAST_MOMENT:
        raise Invalid(f"{name}: {seconds} is not a length of time; give seconds from 0")


def check_one_of(argument: str, text: str, choices: Iterable[str]) -> None:
    """Check that ``text`` is one of ``choices``; the message names the ``argument``."""
    names = tuple(choices)
    if text not in names:
        raise Invalid(f"{argument}: {text[:100]!r}: expected {', '.join(names)}")


def check_known(kind: str, name: str, known: Iterable[str]) -> None:
    """Check that the configuration has a ``kind`` called ``name``. Raises ``NotFound`` with the nearest name."""
    names = list(known)
    if name not in names:
        raise NotFound(no_such(kind, name, names))


def no_such(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the message about a name that the configuration does not have."""
    return f"no {kind} is called {name!r}; {did_you_mean(name, known) or 'none is configured'}"
