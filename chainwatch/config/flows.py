"""The kinds of transfers: what opens one, and which steps must follow."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from chainwatch.config.types import (
    Duration,
    Names,
    PositiveDuration,
    Severity,
    Table,
    Text,
    WebLink,
)
from chainwatch.grammar.durations import parse_duration

Repeat = Literal["alert", "allow"]
Match = Literal["key", "nth"]

_WHERE = "Condition on the event; only events that satisfy it count. Default: all."
_AMOUNT = "Expression of the amount, shown in alerts; mostly an event argument."
_ASSET = "Expression of the asset's address, shown in alerts; mostly an event argument."
_CONTRACT = "Contract that emits the event. Default: the flow's."
_KEY = "Expression, or list of expressions, of the key in this event. Default: the flow's."
_EVENT = "The event's name in the ABI, or its full signature where the name is overloaded."
_EACH = (
    "Array in the event, each element of which is this step of another transfer: `item` in expressions, its position "
    "`item_index`."
)
_WITH = "Siblings, by the names under which expressions read their values: tables `with.NAME`."
_CALL = (
    "Function whose arguments expressions read as `call.ARGUMENT`, from the calldata of the event's transaction: "
    "`function name(type argument, …)`, or a function of the contract's ABI by name."
)
_VERIFY = "Built-in checks of the event, by name, such as `connext.transfer_id`."


class SiblingSettings(Table):
    """Another event of the same transaction, whose values the step's expressions read as `NAME.argument`."""

    event: Text = Field(description="The sibling's event, by name or full signature.")
    contract: Text | None = Field(
        default=None, description="Contract that emits the sibling. Default: the step's."
    )
    pick: Literal["before", "after", "only"] = Field(
        description="Which of several: the nearest one `before` or `after` the step's event in the transaction; "
        "`only` requires that there is exactly one. Without a sibling the event raises `FlowEvaluationFailed`."
    )
    where: Text | None = Field(
        default=None,
        description="Condition on the sibling's own values; others are passed over. Default: all count.",
    )


class OpeningSettings(Table):
    """The step that opens a transfer."""

    step: Text = Field(description="The step's name.")
    event: Text = Field(description=_EVENT)
    contract: Text | None = Field(default=None, description=_CONTRACT)
    with_: dict[str, SiblingSettings] = Field(default={}, alias="with", description=_WITH)
    call: Text | None = Field(default=None, description=_CALL)
    key: Names | None = Field(default=None, description=_KEY)
    each: Text | None = Field(default=None, description=_EACH)
    origin: Text | None = Field(
        default=None,
        description="Network the transfer comes from: a network's name or an expression, checked "
        "against where the event was seen. Default: where it was seen.",
    )
    destination: Text | None = Field(
        default=None,
        description="Network the transfer goes to: a network's name or an expression.",
    )
    amount: Text | None = Field(default=None, description=_AMOUNT)
    asset: Text | None = Field(default=None, description=_ASSET)
    where: Text | None = Field(default=None, description=_WHERE)
    on: Text | None = Field(default=None, description="Count this step on this network only. Default: all.")
    verify: list[Text] = Field(default=[], description=_VERIFY)


class StepSettings(Table):
    """A step that must follow the opening one."""

    step: Text = Field(description="The step's name.")
    event: Text = Field(description=_EVENT)
    contract: Text | None = Field(default=None, description=_CONTRACT)
    with_: dict[str, SiblingSettings] = Field(default={}, alias="with", description=_WITH)
    call: Text | None = Field(default=None, description=_CALL)
    key: Names | None = Field(default=None, description=_KEY)
    each: Text | None = Field(default=None, description=_EACH)
    on: Text = Field(
        default="destination",
        description="Where the step is expected: `origin`, `destination` or a network's name. "
        "Events seen elsewhere do not count.",
    )
    origin: Text | None = Field(
        default=None,
        description="Where the opening step must have been: a network's name or an expression. "
        "Without it the opening step may have been on any network of its contract, and all of them must be read past "
        "the step before it is an orphan.",
    )
    within: PositiveDuration = Field(
        description="Time allowed from the opening step's block; later is `TransferOverdue`."
    )
    severity: Severity = Field(default="P1", description="Severity of `TransferOverdue` for this step.")
    where: Text | None = Field(default=None, description=_WHERE)
    assert_: Text | None = Field(
        default=None,
        alias="assert",
        description="Condition that must hold once both events are known (`opening` is the opening event); "
        "else `TransferMismatch`.",
    )
    amount: Text | None = Field(default=None, description=_AMOUNT)
    asset: Text | None = Field(default=None, description=_ASSET)
    verify: list[Text] = Field(default=[], description=_VERIFY)
    covers: Text | None = Field(
        default=None,
        description="Range of integers, as `first..last` with both of them in it: one event is this step of all transfers "
        "whose key ends in one of these. Its own `key` has the parts before that; default: those of the flow's.",
    )
    alias: Names | None = Field(
        default=None,
        description="Expression, or list of expressions, of a second name that this event gives the transfer: later steps "
        "find it by that.",
    )
    by: Text | None = Field(
        default=None,
        description="Name of the step whose `alias` this step's `key` is. Default of `key`: that step's `alias`.",
    )
    repeat: Repeat | None = Field(
        default=None, description="`alert` or `allow` a second event of this step. Default: the flow's."
    )
    orphan: Repeat = Field(
        default="alert",
        description="`alert` or `allow` an event of this step without an opening step, where the same event also ends "
        "transfers that the flow does not watch. Allowed ones are `untracked`.",
    )


_JUDGING = {"orphan_grace", "orphan_severity", "repeat", "runbook_url"}
_JUDGING_STEP = {"within", "severity", "repeat", "orphan"}
"""What of a flow says how its events are judged, but not which they are."""


class FlowSettings(Table):
    """A kind of transfer: the key its events share, the opening step, the steps expected after it."""

    name: str = Field(description="The table's key.")
    contract: Text = Field(description="Contract that emits the events.")
    key: Names = Field(
        min_length=1,
        description="Expression, or list of expressions, whose values identify a transfer; mostly event arguments.",
    )
    match: Match = Field(
        default="key",
        description="`key`: all events with the same key are one transfer; `nth`: keys are not unique, and each event of "
        "another step takes the next opening step of its key that was no later, by chain order per step and network.",
    )
    network_by: Text = Field(
        default="chain_id",
        description="Network attribute by which values in events identify networks, such as `domain`.",
    )
    opens: OpeningSettings = Field(description="The opening step.")
    expects: list[StepSettings] = Field(min_length=1, description="The steps expected after it.")
    orphan_grace: Duration = Field(
        default=parse_duration("10m"),
        description="How far the origin network must be read past a step without an opening before it is an orphan.",
    )
    clock_skew: Duration = Field(
        default=parse_duration("2m"),
        description="How far the clocks of two networks may differ: an opening step that is later than the expected step "
        "by more cannot have funded it, and the transfer is disputed.",
    )
    orphan_severity: Severity = Field(default="P0", description="Severity of `TransferOrphan`.")
    lookback: Duration = Field(
        default=parse_duration("7d"),
        description="How long before the origin's first watched block an opening step is still looked for. "
        '`"0s"` turns that off.',
    )
    repeat: Repeat = Field(
        default="alert",
        description="`alert`: a step seen twice raises `TransferRepeated`; `allow`: it does not.",
    )
    runbook_url: WebLink | None = Field(default=None, description="Link added to every alert of this flow.")
    verify: list[Text] = Field(
        default=[], description="Built-in checks applied to every event that has the needed fields."
    )

    @property
    def contracts(self) -> set[str]:
        """The contracts of the events of all steps and their siblings."""
        steps: list[OpeningSettings | StepSettings] = [self.opens, *self.expects]
        siblings = [sibling.contract for step in steps for sibling in step.with_.values()]
        named = (self.contract, *(step.contract for step in steps), *siblings)
        return {contract for contract in named if contract}

    def counting(self) -> dict[str, Any]:
        """Return the settings that say which events count, without those that say how these are judged."""
        return self.model_dump(
            exclude={**dict.fromkeys(_JUDGING, True), "expects": {"__all__": _JUDGING_STEP}}
        )
