"""The shape of the configuration: one frozen model per table, every key with its meaning, unit and default.

Read them through `chainwatch.config`, which turns a TOML file into `Settings`. Durations are float seconds
here, severities ``P0``…``P3``, addresses checksummed, paths absolute; secrets show as ``**********``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StrictBool, StrictInt, ValidationInfo, field_validator, model_validator

from chainwatch.config.durations import parse_duration
from chainwatch.config.people import EscalationSettings, OnCallSettings, PersonSettings, RiseSettings
from chainwatch.config.types import (
    AbiPath,
    AtLeastOne,
    Attribute,
    Clocks,
    DatabaseUrl,
    Days,
    Deployment,
    Digest,
    Duration,
    HttpUrl,
    Match,
    Months,
    Names,
    PositiveDuration,
    RpcUrl,
    Secret,
    Severity,
    Table,
    Text,
    WebLink,
    Weekdays,
    Years,
    Zone,
)
from chainwatch.spelling import nearest

NEAR_MISS = 0.8
"""A network's key this like a known key is taken for a slip, not for a free attribute."""

SECRET_KEYS = frozenset({"rpc", "url", "secret", "headers"})
"""Keys whose values are secret, in whichever table."""


# --- store and log ------------------------------------------------------------------------------------


class StoreSettings(Table):
    """Where events, transfers, alerts and the queues are kept."""

    url: DatabaseUrl = Field(
        default=Secret("sqlite:///chainwatch.db"),
        description="Database: `sqlite:///file` (relative to the config file's folder) or "
        "`postgresql://user:password@host/name`.",
        validate_default=True,
    )
    retention: PositiveDuration = Field(
        default=parse_duration("90d"),
        description="Age at which events of finished transfers and delivered notifications are pruned.",
    )


class LogSettings(Table):
    """What the process writes about itself to standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least important lines to write."
    )
    format: Literal["auto", "human", "json"] = Field(
        default="auto", description="`human` for people, `json` for machines, `auto`: human on a terminal."
    )


# --- networks and contracts ---------------------------------------------------------------------------


class NetworkSettings(Table):
    """One chain. Any further key is a free attribute (an integer or text) that flows may name networks by."""

    name: str = Field(description="The table's key.")
    chain_id: StrictInt = Field(
        ge=1, le=2**63 - 1, description="EIP-155 chain id; each endpoint is asked for it at start."
    )
    rpc: list[RpcUrl] = Field(
        min_length=1,
        description="Endpoints. `ws(s)://` wakes at new blocks, `http(s)://` reads; either kind alone works; "
        "several fail over in this order.",
    )
    start_block: StrictInt | None = Field(
        default=None,
        ge=0,
        le=2**32 - 1,
        description="First block to read, on the first run only. Default: the head at that time.",
    )
    confirmations: StrictInt = Field(
        default=0, ge=0, description="Blocks to stay behind the head before acting. Reorgs undo either way."
    )
    block_time: PositiveDuration | None = Field(
        default=None,
        description="Usual time between blocks. Left out: blocks come on demand, the network never stalls.",
    )
    stall_after: PositiveDuration | None = Field(
        default_factory=lambda given: 20 * given["block_time"] if given.get("block_time") else None,
        description="Age of the head at which the network counts as stalled and its deadlines are held. "
        "Default: 20 × `block_time`; never without it.",
    )
    poll_interval: PositiveDuration = Field(
        default_factory=lambda given: min(max(given.get("block_time") or 1.0, 0.2), 12.0),
        description="Time between questions for the head where no WebSocket wakes. "
        'Default: `block_time`, at least "200ms" and at most "12s"; "1s" without it.',
    )
    blind_after: PositiveDuration = Field(
        default=parse_duration("15s"), description="Time without any answer until `NetworkBlind` is raised."
    )
    lagging_after: PositiveDuration = Field(
        default=parse_duration("5m"),
        description="How far reading may be behind the head, in chain time, until `NetworkLagging`.",
    )
    reorg_window: StrictInt = Field(
        default=256, ge=1, description="Block headers kept to find the common ancestor of a reorg."
    )
    max_block_range: StrictInt | None = Field(
        default=None,
        ge=1,
        description="Most blocks in one `eth_getLogs`. Default: found out from the endpoint's answers.",
    )
    request_timeout: PositiveDuration = Field(
        default=parse_duration("10s"), description="Time to wait for one answer."
    )
    max_rps: float | None = Field(
        default=None,
        gt=0,
        le=10_000,
        description="Most requests a second to each endpoint; fewer are sent after it answered 429. Default: no limit.",
    )
    agreement: StrictInt = Field(
        default=1,
        ge=1,
        description="Endpoints that must give the same logs of a block before it counts; at most as many as in `rpc`.",
    )
    trust_bloom: bool = Field(
        default=False,
        description="Whether blocks whose bloom excludes all that is watched are not asked for logs.",
    )
    attributes: dict[str, Attribute] = Field(
        default={}, description="The free attributes, such as `domain`: written beside the other keys."
    )

    @model_validator(mode="before")
    @classmethod
    def _gather_attributes(cls, table: Any) -> Any:
        """Unknown keys become attributes, unless they look like a slip of a known key."""
        if not isinstance(table, dict):
            return table
        known = set(cls.model_fields)
        free = {key for key in table if key not in known and nearest(key, known, NEAR_MISS) is None}
        rest = {key: value for key, value in table.items() if key not in free}
        return rest | {"attributes": {key: table[key] for key in free}} if free else rest

    @field_validator("agreement")
    @classmethod
    def _check_agreement(cls, agreement: int, given: ValidationInfo) -> int:
        endpoints = len(given.data.get("rpc") or ())
        if endpoints and agreement > endpoints:
            raise ValueError(f"{agreement} endpoints cannot agree where `rpc` names {endpoints}")
        return agreement

    def attribute(self, name: str) -> int | str | None:
        """The value by which a flow's ``network_by = name`` names this network; None when it has none."""
        if name == "chain_id":
            return self.chain_id
        return self.name if name == "name" else self.attributes.get(name)


class ContractSettings(Table):
    """One contract: its ABI and where it is deployed."""

    name: str = Field(description="The table's key.")
    abi: AbiPath = Field(description="ABI file (JSON), relative to the config file's folder.")
    address: Deployment = Field(
        description="One address for all networks, or a table: network → address or list of addresses. "
        "Mixed case is checked against EIP-55."
    )

    def addresses_on(self, network: str) -> list[str]:
        """The checksummed addresses on ``network``; empty when the contract is not there."""
        return [self.address] if isinstance(self.address, str) else self.address.get(network, [])


# --- flows --------------------------------------------------------------------------------------------

Repeat = Literal["alert", "allow"]

_WHERE = "Condition on the event; only events that meet it count. Default: all."
_AMOUNT = "Path of the amount among the event's arguments, shown in alerts."
_ASSET = "Path of the asset's address among the event's arguments, shown in alerts."
_CONTRACT = "Contract that emits the event. Default: the flow's."
_KEY = "Path, or list of paths, of the key in this event. Default: the flow's."
_EVENT = "The event's name in the ABI, or its full signature where the name is overloaded."
_VERIFY = "Built-in checks of the event, by name, such as `connext.transfer_id`."


class OpeningSettings(Table):
    """The step that opens a transfer."""

    step: Text = Field(description="The step's name.")
    event: Text = Field(description=_EVENT)
    contract: Text | None = Field(default=None, description=_CONTRACT)
    key: Names | None = Field(default=None, description=_KEY)
    origin: Text | None = Field(
        default=None,
        description="Network the transfer comes from: a network's name or a path into the arguments, checked "
        "against where the event was seen. Default: where it was seen.",
    )
    destination: Text | None = Field(
        default=None,
        description="Network the transfer goes to: a network's name or a path into the arguments.",
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
    key: Names | None = Field(default=None, description=_KEY)
    on: Text = Field(
        default="destination",
        description="Where the step is expected: `origin`, `destination` or a network's name.",
    )
    origin: Text | None = Field(
        default=None,
        description="Where the opening step must have been: a network's name or a path into the arguments. "
        "Without it an event that has no opening step cannot be told to be an orphan.",
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
    repeat: Repeat | None = Field(
        default=None, description="`alert` or `allow` a second event of this step. Default: the flow's."
    )


class FlowSettings(Table):
    """A kind of transfer: the key its events share, the opening step, the steps expected after it."""

    name: str = Field(description="The table's key.")
    contract: Text = Field(description="Contract that emits the events.")
    key: Names = Field(
        min_length=1,
        description="Path among an event's arguments, or list of paths, whose values identify a transfer.",
    )
    network_by: Text = Field(
        default="chain_id",
        description="Network attribute by which values in events name networks, such as `domain`.",
    )
    opens: OpeningSettings = Field(description="The opening step.")
    expects: list[StepSettings] = Field(min_length=1, description="The steps expected after it.")
    orphan_grace: Duration = Field(
        default=parse_duration("10m"),
        description="How far the origin network must be seen past a step without opening: then it is an orphan.",
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
    runbook_url: WebLink | None = Field(default=None, description="Link put into every alert of this flow.")
    verify: list[Text] = Field(
        default=[], description="Built-in checks applied to every event that has the needed fields."
    )


# --- receivers and routes -----------------------------------------------------------------------------


_PROVIDER = "The kind of channel: `console`, `discord` or `webhook`."


class _Receiver(Table):
    """What every receiver has."""

    name: str = Field(description="The table's key.")
    give_up_after: PositiveDuration = Field(
        default=parse_duration("24h"), description="Time of failed tries after which a notification is dead."
    )
    send_resolved: StrictBool = Field(default=True, description="Whether to tell that an alert has ended.")
    rate_limit: dict[Severity, AtLeastOne] = Field(
        default={},
        description="Severity → notifications about new alerts a minute, for each source of alerts. What is over comes "
        "as one summary at the end of the minute.",
    )


class ConsoleSettings(_Receiver):
    """Alerts as readable lines on standard output."""

    provider: Literal["console"] = Field(description=_PROVIDER)
    color: Literal["auto", "always", "never"] = Field(
        default="auto", description="Colours; `auto`: on a terminal."
    )


class DiscordSettings(_Receiver):
    """A channel on Discord."""

    provider: Literal["discord"] = Field(description=_PROVIDER)
    url: HttpUrl = Field(description="The channel's webhook URL (secret).")
    username: Text | None = Field(default=None, description="Sender's name. Default: as set on Discord.")
    rate_limit: dict[Severity, AtLeastOne] = Field(
        default={"P0": 10, "P1": 5, "P2": 3, "P3": 1},
        description="Severity → notifications about new alerts a minute, for each source of alerts. What is over comes "
        "as one summary at the end of the minute.",
    )


class WebhookSettings(_Receiver):
    """Any HTTP server: Alertmanager's webhook body, version 4."""

    provider: Literal["webhook"] = Field(description=_PROVIDER)
    url: HttpUrl = Field(description="Where to POST (secret).")
    secret: Secret | None = Field(
        default=None, min_length=1, description="Key of the HMAC-SHA256 signature. Default: not signed."
    )
    headers: dict[str, Secret] = Field(default={}, description="Further HTTP headers (secret).")
    allow_private: StrictBool = Field(
        default=False, description="Allow loopback and private addresses, which are refused otherwise."
    )
    timeout: PositiveDuration = Field(
        default=parse_duration("10s"), description="Time to wait for an answer."
    )


ReceiverSettings = Annotated[
    ConsoleSettings | DiscordSettings | WebhookSettings, Field(discriminator="provider")
]

RECEIVER_MODELS: Mapping[str, type[_Receiver]] = {
    "console": ConsoleSettings,
    "discord": DiscordSettings,
    "webhook": WebhookSettings,
}
"""Provider → the model of its settings."""


_MATCH = (
    "Label → value or list of values, all of which must match; severities by either name. A value may begin with `!=`, `=~` "
    "(regular expression) or `!~`."
)


class RouteSettings(Table):
    """Which alerts go to which receivers; the first route that matches takes the alert, its routes before itself.

    A route inside another one, `[[routes.routes]]`, has the same keys; those left out are the outer route's, but for
    `match`, `continue`, `digest`, `digest_empty` and `routes`.
    """

    match: Match = Field(default={}, description=f"{_MATCH} Default: every alert.")
    receivers: list[Text] = Field(
        default=[], min_length=1, description="Names of receivers; required unless the outer route has them."
    )
    continue_: StrictBool = Field(
        default=False, alias="continue", description="Whether to try the following routes too."
    )
    group_by: list[Text] = Field(
        default=["alertname"],
        description='Labels whose equal values put alerts into one notification; `["..."]`: all labels.',
    )
    group_wait: Duration = Field(
        default=parse_duration("5s"),
        description="Time to wait for more alerts before a new group is sent.",
    )
    group_interval: PositiveDuration = Field(
        default=parse_duration("15s"), description="Least time between two notifications of a changed group."
    )
    repeat_interval: PositiveDuration = Field(
        default=parse_duration("4h"),
        description="Time after which an unchanged, still firing group is sent again.",
    )
    send_resolved: StrictBool | None = Field(
        default=None, description="Whether to tell that an alert has ended. Default: the receiver's."
    )
    mute_times: list[Text] = Field(
        default=[], description="Names of intervals in which nothing is sent; what still fires is sent after."
    )
    active_times: list[Text] = Field(
        default=[], description="Names of intervals outside of which nothing is sent. Default: always."
    )
    mute_critical: StrictBool = Field(
        default=False, description="Whether `mute_times` and `active_times` hold back `P0` too."
    )
    digest: Digest | None = Field(
        default=None,
        description='Collect everything into one notification: `"daily 09:00 Europe/Berlin"` or `"monday 09:00 UTC"`. '
        "Default: no digest.",
    )
    escalation: Text | None = Field(
        default=None,
        description="Name of the escalation that runs while a group fires and is nobody's. Default: none.",
    )
    digest_empty: StrictBool = Field(
        default=False, description="Whether to send a digest that has nothing to tell."
    )
    routes: list[RouteSettings] = Field(
        default=[], description="Routes tried first for what this route takes."
    )


class IntervalSettings(Table):
    """A part of the week, month or year, for quiet hours; all keys that are given must fit."""

    name: str = Field(description="The table's key.")
    zone: Zone = Field(default="UTC", description="IANA time zone.")
    times: Clocks = Field(
        default=[],
        description='Times of day, such as `["22:00-07:00"]`; over midnight they belong to the day on which they begin. '
        "Default: the whole day.",
    )
    weekdays: Weekdays = Field(default=[], description='Such as `["monday-friday"]`. Default: all.')
    days: Days = Field(
        default=[], description='Days of the month, such as `["1-7", "-1"]` (the last). Default: all.'
    )
    months: Months = Field(default=[], description='Such as `["december", "1-3"]`. Default: all.')
    years: Years = Field(default=[], description='Such as `["2026-2028"]`. Default: all.')


class InhibitSettings(Table):
    """While an alert that `source` matches fires, those that `target` matches are told to nobody."""

    source: Match = Field(min_length=1, description=_MATCH)
    target: Match = Field(min_length=1, description="Likewise.")
    equal: list[Text] = Field(
        default=[],
        description="Labels that both must have equal; `\"network=destination\"`: the source's `network` and the target's "
        "`destination`. Default: none.",
    )


class LifecycleSettings(Table):
    """How long a condition must hold, or must be gone, until its alert follows; the first table that matches counts."""

    match: Match = Field(default={}, description=f"{_MATCH} Default: every alert.")
    for_: Duration = Field(
        default=0.0, alias="for", description="Time that the condition must hold until its alert fires."
    )
    keep_firing_for: Duration = Field(
        default=0.0, description="Time that the condition must be gone until its alert ends."
    )


class CooldownSettings(Table):
    """Time in which a receiver is not told again of the same condition; the first table that matches counts."""

    match: Match = Field(default={}, description=f"{_MATCH} Default: every alert.")
    by: list[Text] = Field(
        default=["..."], description='Labels that make a condition the same; `["..."]`: all of them.'
    )
    within: PositiveDuration = Field(description="The time, from the last notification of it.")


class AcknowledgeSettings(Table):
    """Alerts that count as acknowledged from the start: they are recorded and shown, and wake nobody."""

    match: Match = Field(min_length=1, description=_MATCH)
    by: Text = Field(description="Whose they are.")
    during: list[Text] = Field(
        default=[],
        description="Names of intervals in which this holds, such as a maintenance. Default: always.",
    )
    lasts: PositiveDuration | None = Field(
        default=None, description="Time after which the acknowledgement lapses. Default: with the alert."
    )


class AlertSettings(Table):
    """What holds for all alerts."""

    flapping_changes: AtLeastOne = Field(
        default=8,
        description="Starts and ends within `flapping_within` from which an alert counts as flapping: it is then held as "
        "firing until it has been steady for that time. Alerts about transfers never do.",
    )
    flapping_within: PositiveDuration = Field(default=parse_duration("10m"), description="See above.")
    remind_after: PositiveDuration = Field(
        default=parse_duration("4h"),
        description="Time after which an acknowledged alert that still fires is told of again.",
    )


# --- the whole ----------------------------------------------------------------------------------------


class Settings(Table):
    """The whole configuration."""

    folder: Path = Field(description="The config file's folder, to which relative paths refer.")
    store: StoreSettings
    networks: dict[str, NetworkSettings]
    contracts: dict[str, ContractSettings] = Field(default={})
    flows: dict[str, FlowSettings] = Field(default={})
    receivers: dict[str, ReceiverSettings] = Field(default={})
    routes: list[RouteSettings] = Field(default=[])
    intervals: dict[str, IntervalSettings] = Field(default={})
    inhibit: list[InhibitSettings] = Field(default=[])
    lifecycle: list[LifecycleSettings] = Field(default=[])
    cooldowns: list[CooldownSettings] = Field(default=[])
    acknowledge: list[AcknowledgeSettings] = Field(default=[])
    alerts: AlertSettings = AlertSettings()
    log: LogSettings = LogSettings()
    people: dict[str, PersonSettings] = Field(default={})
    oncall: dict[str, OnCallSettings] = Field(default={})
    escalations: dict[str, EscalationSettings] = Field(default={})
    escalate_after: RiseSettings | None = None
    external_url: WebLink | None = Field(
        default=None, description="Address at which people reach this chainwatch, for links in notifications."
    )
