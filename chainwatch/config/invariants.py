"""What must always hold on the chains: values that are read at blocks, and a condition on them."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, StrictBool, Tag, model_validator

from chainwatch.config.types import (
    Address,
    Duration,
    Expected,
    Names,
    PositiveDuration,
    Severity,
    Table,
    Text,
    WebLink,
)
from chainwatch.grammar.durations import parse_duration

KINDS = ("call", "balance", "storage", "code_hash", "block", "event")
"""What a value can be."""
PREVIOUS = "previous"
"""The prefix under which a condition reads the values of the check before."""

MESSAGE_MAX = 1_000
"""Characters of what a person should read in alerts."""

_SLOTS = 2**256


def _slot(value: object) -> int:
    wanted = "a slot of the storage: a number from 0 on, or text such as 0x3608…"
    if isinstance(value, str) and re.fullmatch("0x[0-9a-fA-F]{1,64}", value):
        return int(value, 16)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _SLOTS:
        raise Expected(wanted)
    return value


def _name(name: str) -> str:
    if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name) or name == PREVIOUS:
        raise Expected(f"a name of letters, digits and `_`, other than `{PREVIOUS}`")
    return name


def _message(text: str) -> str:
    if not 0 < len(text) <= MESSAGE_MAX:
        raise Expected(f"text of 1 to {MESSAGE_MAX} characters")
    return text


Argument = Annotated[int | str | bool, Field(union_mode="smart")]
ValueName = Annotated[str, AfterValidator(_name)]


class TriggerSettings(Table):
    """An event with which an invariant is checked."""

    contract: Text = Field(description="Contract that emits the event.")
    event: Text = Field(description="The event's name in the ABI, or its full signature.")


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


class ValueSettings(Table):
    """One value of an invariant: one of `call`, `balance`, `storage`, `code_hash`, `block` and `event` says what it is."""

    network: Names = Field(description="Network it is read on; several with `sum`.")
    contract: Text | None = Field(
        default=None, description="Contract it is read of, which has one address on each of these networks."
    )
    address: Address | None = Field(
        default=None, description="Address it is read of, in place of `contract`."
    )
    call: Text | None = Field(
        default=None,
        description="Function to call: a view function of the contract's ABI by name or signature, or "
        "`function name(type argument, …) view returns (type name, …)`.",
    )
    args: list[Argument] = Field(
        default=[], description="The function's arguments. Bytes are text such as `0x12ab`."
    )
    output: Text | None = Field(
        default=None,
        description="Which of several returned values it is, by name. Default: all of them, as `VALUE.NAME`.",
    )
    balance: StrictBool = Field(default=False, description="`true`: the native balance, in wei.")
    storage: Annotated[int, BeforeValidator(_slot)] | None = Field(
        default=None, description="The slot of the storage whose 32 bytes it is."
    )
    code_hash: StrictBool = Field(
        default=False,
        description="`true`: the Keccak-256 hash of the code at the address, that of no bytes where there is none.",
    )
    block: Literal["number", "timestamp"] | None = Field(
        default=None, description="The block's `number` or `timestamp` (Unix seconds)."
    )
    event: Text | None = Field(
        default=None, description="Event of `contract` whose stored occurrences count."
    )
    take: Literal["count", "sum", "last"] = Field(
        default="count",
        description="What of the events: how many there are, the sum of an argument, or its last value.",
    )
    of: Text | None = Field(default=None, description="The argument, an integer, of `sum` and `last`.")
    within: PositiveDuration | None = Field(
        default=None, description="How long before the block events count. Required with `event`."
    )
    sum: StrictBool = Field(default=False, description="`true`: the sum over several networks.")

    @property
    def kind(self) -> str:
        """Which of `KINDS` it is."""
        return self._kinds()[0]

    def _kinds(self) -> list[str]:
        return [
            kind for kind in KINDS if getattr(self, kind) is not None and getattr(self, kind) is not False
        ]

    @model_validator(mode="after")
    def _is_one_value(self) -> Self:
        kinds = self._kinds()
        if len(kinds) != 1:
            raise Expected(f"exactly one of {', '.join(KINDS)}")
        (kind,) = kinds
        if kind == "block":
            if self.contract or self.address:
                raise Expected("neither `contract` nor `address` with `block`")
        elif kind == "event":
            if self.contract is None or self.address is not None:
                raise Expected("`contract`, not `address`, with `event`")
            if self.within is None:
                raise Expected("`within` with `event`: how long before the block events count")
            if (self.of is None) != (self.take == "count"):
                raise Expected("`of` with `take` = sum or last, and only there")
        elif (self.contract is None) == (self.address is None):
            raise Expected("either `contract` or `address`")
        if kind != "event" and (self.of or self.within or self.take != "count"):
            raise Expected("`take`, `of` and `within` only with `event`")
        if kind != "call" and (self.args or self.output):
            raise Expected("`args` and `output` only with `call`")
        if self.sum != (len(self.network) > 1):
            raise Expected("`sum = true` with several networks, and only there")
        if len(set(self.network)) < len(self.network):
            raise Expected("each network once")
        return self


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
        'chain time, such as `"5m"`; or at blocks with an event, `{ contract = "NAME", event = "NAME" }`.',
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
