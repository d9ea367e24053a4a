"""What must always hold on the chains: values that are read at blocks, and a condition on them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

from chainwatch.config.for_each import ForEach
from chainwatch.config.invariant_values import ValueName, ValueSettings
from chainwatch.config.types import Duration, Expected, PositiveDuration, Severity, Table, Text, WebLink
from chainwatch.grammar.durations import parse_duration

MESSAGE_MAX = 1_000
"""Characters of what a person should read in alerts."""


def _message(text: str) -> str:
    if not 0 < len(text) <= MESSAGE_MAX:
        raise Expected(f"text of 1 to {MESSAGE_MAX} characters")
    return text


class TriggerSettings(Table):
    """An event with which an invariant is checked."""

    contract: Text = Field(description="Contract that emits the event.")
    event: Text = Field(description="The event's name in the ABI, or its full signature.")
    where: Text | None = Field(
        default=None,
        description="Condition on the event: blocks with others are not checked. Default: all events.",
    )


Every = Annotated[
    Annotated[Literal["block"], Tag("block")]
    | Annotated[PositiveDuration, Tag("duration")]
    | Annotated[TriggerSettings, Tag("event")],
    Discriminator(
        lambda value: (
            "event"
            if isinstance(value, dict | TriggerSettings)
            else "block"
            if value == "block"
            else "duration"
        )
    ),
]


class InvariantSettings(Table):
    """A condition on values of the chains that must hold at every block; where it does not, `InvariantViolated` fires."""

    name: str = Field(description="The table's key.")
    kind: Text | None = Field(
        default=None,
        description="One of the [kinds](invariant-kinds.md), which has a condition and values; its parameters are further "
        "keys of the table.",
    )
    severity: Severity = Field(default="P1", description="Severity of `InvariantViolated`.")
    every: Every = Field(
        default="block",
        description='When it is checked: at each `"block"` of each of its networks; at the first block of each period of '
        'chain time, such as `"5m"`, of the network that its values name first; or at blocks with an event, '
        '`{ contract = "NAME", event = "NAME" }`.',
    )
    for_each: ForEach = Field(
        default={},
        description="Lists: one invariant is made of each element, with its label; `${NAME}` stands for the element in all "
        'texts. Elements, `for_each.token = ["usdc", "dai"]`, or a table that says where they are read.',
    )
    values: dict[ValueName, ValueSettings] = Field(
        min_length=1, description="What is read, by the names under which the condition reads it."
    )
    assert_: Text = Field(
        alias="assert",
        description="Condition that must hold, in the language of [conditions](conditions.md). `previous.VALUE` is the "
        "value at the check before.",
    )
    for_: Duration = Field(
        default=0.0,
        alias="for",
        description="How long, in chain time, it must have been broken before the alert fires.",
    )
    align: PositiveDuration = Field(
        default=parse_duration("30s"),
        description="How far the timestamps of blocks may lie apart whose values are compared; at least the longest "
        "`block_time` of its networks. On a network without `block_time`, which has blocks on demand, the newest one counts "
        "until the next.",
    )
    message: Annotated[str, AfterValidator(_message)] | None = Field(
        default=None,
        description="What a person should read in its alerts: what it means, and what to do.",
    )
    runbook_url: WebLink | None = Field(default=None, description="Link added to its alerts.")

    @property
    def networks(self) -> tuple[str, ...]:
        """The networks that it reads, in the order in which its values name them."""
        return tuple(dict.fromkeys(name for value in self.values.values() for name in value.network))


class PessimismSettings(Table):
    """What Pessimism's JSON API calls `layer1` and `layer2`."""

    layer1: Text | None = Field(default=None, description="Network for `layer1`. Default: refused.")
    layer2: Text | None = Field(default=None, description="Network for `layer2`. Default: refused.")

    @property
    def networks(self) -> dict[str, str]:
        """The configured networks by what the API calls them."""
        named = {"layer1": self.layer1, "layer2": self.layer2}
        return {layer: network for layer, network in named.items() if network}
