"""Samples: how many of them are kept, and for how long."""

from __future__ import annotations

from pydantic import Field

from chainwatch.config.types import AtLeastOne, PositiveDuration, Table
from chainwatch.grammar.durations import parse_duration


class SamplesSettings(Table):
    """The samples that rules and queries are evaluated over."""

    keep: PositiveDuration = Field(
        default=parse_duration("1h"),
        description="How long samples are kept. What a rule reads for longer is kept for as long as it needs.",
    )
    series: AtLeastOne = Field(default=200_000, description="The most series; samples of others are refused.")
    memory: AtLeastOne = Field(
        default=1_000,
        description="The most memory that samples may take, in MB. Beyond it new series are refused, and the others lose "
        "their oldest samples.",
    )
