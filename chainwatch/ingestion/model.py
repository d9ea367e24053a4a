"""What parsers of samples return and raise. Times are Unix milliseconds, values floats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from chainwatch.promql.series import NAME, Labels, Metadata

TIME_MAX = 2**53
"""Times are below this many milliseconds before and after 1970, which floats hold exactly."""

SeriesSamples: TypeAlias = tuple[Labels, Sequence[int], Sequence[float]]
"""A series with samples by rising time, each time once."""


class IngestionError(ValueError):
    """Nothing of a document can be used; the message says what is wrong, where, and how to fix it."""


class WrongFormat(IngestionError):
    """The document is in a format or compression that is not read."""


class TooLarge(IngestionError):
    """More than may be unpacked, or read at once."""


@dataclass(slots=True)
class Refusals:
    """Samples that were left out: their number by reason, and for each reason the first example in words."""

    numbers: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, reason: str, example: object, number: int = 1) -> None:
        """Count ``number`` samples. ``example``: what shows the first of a reason, as text."""
        self.numbers[reason] = self.numbers.get(reason, 0) + number
        if reason not in self.examples:  # text of long labels takes its time
            self.examples[reason] = str(example)[:_EXAMPLE_MAX]

    def __bool__(self) -> bool:
        return bool(self.numbers)

    def __str__(self) -> str:
        return "; ".join(
            f"{reason}: {number} samples, such as of {self.examples[reason]}"
            for reason, number in self.numbers.items()
        )


@dataclass(slots=True)
class Parsed:
    """The samples of a document by series, what it says of metrics (by their names), and what was left out of it."""

    series: list[SeriesSamples] = field(default_factory=list)
    metadata: Mapping[str, Metadata] = field(default_factory=dict)
    refusals: Refusals = field(default_factory=Refusals)

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return sum(len(times) for _, times, _ in self.series)


def name_of(labels: Labels) -> str:
    """Return the metric's name, empty where there is none."""
    return labels.get(NAME)


_EXAMPLE_MAX = 300
