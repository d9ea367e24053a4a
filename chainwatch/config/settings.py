"""The shape of the configuration: one frozen model per table, every key with its meaning, unit and default.

Read them through `chainwatch.config`, which turns a TOML file into `Settings`. Durations are float seconds
here, severities ``P0``…``P3``, addresses checksummed, paths absolute; secrets show as ``**********``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, StrictBool

from chainwatch.config.alerting import (
    AcknowledgeSettings,
    AlertSettings,
    CooldownSettings,
    InhibitSettings,
    IntervalSettings,
    LifecycleSettings,
    RouteSettings,
    SeverityTable,
)
from chainwatch.config.api import ApiSettings
from chainwatch.config.assets import AssetSettings
from chainwatch.config.flows import FlowSettings
from chainwatch.config.for_each import Element
from chainwatch.config.invariants import InvariantSettings, PessimismSettings
from chainwatch.config.kinds import LookUp
from chainwatch.config.networks import ContractSettings, NetworkSettings
from chainwatch.config.people import EscalationSettings, OnCallSettings, PersonSettings, RiseSettings
from chainwatch.config.receivers import ALLOW_PRIVATE, ReceiverSettings
from chainwatch.config.rules import EvaluationSettings, RuleSettings
from chainwatch.config.samples import SamplesSettings
from chainwatch.config.scrape import ScrapeSettings
from chainwatch.config.templates import TemplateSettings
from chainwatch.config.types import (
    DatabaseUrl,
    HttpUrl,
    PositiveDuration,
    Table,
    Text,
    WebLink,
)
from chainwatch.grammar.durations import parse_duration

SECRET_KEYS = frozenset({"rpc", "url", "http", "heartbeat", "password", "token"})
"""Keys whose values are secret, in every table but the receivers': those mark theirs by their types."""


class StoreSettings(Table):
    """Where events, transfers, alerts and the queues are kept."""

    url: DatabaseUrl = Field(
        default=SecretStr("sqlite:///chainwatch.db"),
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
        default="info", description="The lowest level to write."
    )
    format: Literal["auto", "human", "json"] = Field(
        default="auto", description="`human` for people, `json` for machines, `auto`: human on a terminal."
    )


class MonitorSettings(Table):
    """A dead man's switch: an address that is called while all is well, so that silence is an alarm elsewhere."""

    heartbeat: HttpUrl | None = Field(
        default=None,
        description="Address to call (GET) while every network is seen, the database is writable and no task fails, such as "
        "`https://hc-ping.com/UUID` (secret). Default: none.",
        examples=["${HEARTBEAT_URL}"],
    )
    heartbeat_every: PositiveDuration = Field(
        default=parse_duration("1m"), description="Time between two calls."
    )
    allow_private: StrictBool = Field(default=False, description=ALLOW_PRIVATE)


class Settings(Table):
    """The whole configuration."""

    folder: Path = Field(description="The config file's folder, to which relative paths refer.")
    store: StoreSettings
    networks: dict[str, NetworkSettings]
    contracts: dict[str, ContractSettings] = Field(default={})
    flows: dict[str, FlowSettings] = Field(default={})
    invariants: dict[str, InvariantSettings] = Field(default={})
    look_ups: dict[str, LookUp] = Field(
        default={}, description="Invariants on what events claim, by name, as kinds say."
    )
    elements: dict[str, Element] = Field(
        default={}, description="What those of the invariants are that `for_each` has made."
    )
    pessimism: PessimismSettings = PessimismSettings()
    assets: dict[str, AssetSettings] = Field(default={})
    receivers: dict[str, ReceiverSettings] = Field(default={})
    templates: dict[str, TemplateSettings] = Field(default={})
    routes: list[RouteSettings] = Field(default=[])
    intervals: dict[str, IntervalSettings] = Field(default={})
    inhibit: list[InhibitSettings] = Field(default=[])
    lifecycle: list[LifecycleSettings] = Field(default=[])
    cooldowns: list[CooldownSettings] = Field(default=[])
    acknowledge: list[AcknowledgeSettings] = Field(default=[])
    alerts: AlertSettings = AlertSettings()
    severities: SeverityTable = Field(
        default={},
        description="Severities of other programs, in any case, such as `page`, → `P0` … `P3`. Any other is `P2`.",
    )
    rules: list[RuleSettings] = Field(default=[])
    scrape: list[ScrapeSettings] = Field(default=[])
    rule_files: list[Text] = Field(
        default=[],
        description="Rule files in Prometheus' format, relative to the config file's folder, such as `[\"rules/*.yml\"]`, "
        'and [ready-made rules](ready-made-rules.md), such as `"preset:bridges runway=2h"`.',
    )
    evaluation: EvaluationSettings = EvaluationSettings()
    samples: SamplesSettings = SamplesSettings()
    log: LogSettings = LogSettings()
    monitor: MonitorSettings = MonitorSettings()
    api: ApiSettings = ApiSettings()
    people: dict[str, PersonSettings] = Field(default={})
    oncall: dict[str, OnCallSettings] = Field(default={})
    escalations: dict[str, EscalationSettings] = Field(default={})
    escalate_after: RiseSettings | None = None
    external_url: WebLink | None = Field(
        default=None,
        description="Address of this chainwatch for people: links in notifications lead to its page.",
    )
