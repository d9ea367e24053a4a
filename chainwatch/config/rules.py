"""Rules: queries in PromQL over samples, whose results are alerts, or are recorded as series."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from chainwatch.config.types import Duration, Expected, PositiveDuration, Severity, Table, Text
from chainwatch.grammar.durations import parse_duration
from chainwatch.promql.errors import ParseError
from chainwatch.promql.resolving import parse_instant
from chainwatch.promql.signatures import SCALAR, VECTOR
from chainwatch.rules.template import Template, TemplateError

_SERIES_NAME = re.compile("[a-zA-Z_:][a-zA-Z0-9_:]*")


def _query(text: str) -> str:
    try:
        query = parse_instant(text)
    except ParseError as error:
        raise ValueError(
            f"cannot be read at its line {error.line}, column {error.column}: {error.reason}"
        ) from None
    if query.type not in (VECTOR, SCALAR):
        raise ValueError(f"gives a {query.type}; a rule needs a vector or a number, as rate(x[5m]) > 1 does")
    return text


def _templates(texts: dict[str, str]) -> dict[str, str]:
    for name, text in texts.items():
        try:
            Template(text)
        except TemplateError as error:
            raise ValueError(f"{name[:60]}: {error}") from None
    return texts


def _labels(labels: dict[str, str]) -> dict[str, str]:
    for name in labels:
        if not name or "\0" in name or name.startswith("__") or name == "alertname":
            raise Expected("labels other than `alertname` and those that begin with `__`")
    return _templates(labels)


PromqlText = Annotated[Text, AfterValidator(_query)]


class RuleSettings(Table):
    """A rule: an alert for each element of its query's result, or with `record` a series for each."""

    alert: Text | None = Field(
        default=None, max_length=128, description="The alerts' label `alertname`. Either this or `record`."
    )
    record: Text | None = Field(
        default=None, description="Name of the series as which the result is recorded, in place of `alert`."
    )
    query: PromqlText = Field(description="The expression, in [PromQL](rules.md#expressions).")
    for_: Duration = Field(
        default=0.0,
        alias="for",
        description="How long an element must be in the result until its alert fires.",
    )
    keep_firing_for: Duration = Field(
        default=0.0, description="How long an alert goes on firing after its element is gone."
    )
    severity: Severity = Field(default="P2", description="Severity of the alerts.")
    labels: Annotated[dict[Text, str], AfterValidator(_labels)] = Field(
        default={}, description="Further labels of the alerts or series: [templates](rules.md#templates)."
    )
    annotations: Annotated[dict[Text, str], AfterValidator(_templates)] = Field(
        default={}, description="Texts of the alerts, such as `summary` and `description`: templates."
    )
    interval: PositiveDuration | None = Field(
        default=None,
        description="How often it is evaluated where nothing that it reads changes; rules of a group have one interval. "
        "Default: `interval` of `[evaluation]`.",
    )
    group: Text | None = Field(
        default=None,
        description="Rules of a group are evaluated in their order, at one time. Default: each rule by itself.",
    )

    @model_validator(mode="after")
    def _is_alert_or_series(self) -> Self:
        if (self.alert is None) == (self.record is None):
            raise Expected("either `alert`, of alerts, or `record`, of series")
        if self.record is not None:
            if not _SERIES_NAME.fullmatch(self.record):
                raise Expected("in `record` letters, digits, `_` and `:`, no digit first")
            only_alerts = {"for_", "keep_firing_for", "severity", "annotations"} & self.model_fields_set
            if only_alerts:
                raise Expected("`for`, `keep_firing_for`, `severity` and `annotations` only with `alert`")
        elif "severity" in self.labels:
            raise Expected("the severity in `severity`, not among `labels`")
        return self


class EvaluationSettings(Table):
    """How rules are evaluated."""

    interval: PositiveDuration = Field(
        default=parse_duration("1m"),
        description="How often a group of rules without an `interval` of its own is evaluated where nothing that it reads "
        "changes. It is the step of subqueries without one, too.",
    )
    timeout: PositiveDuration = Field(
        default=parse_duration("10s"),
        description="Time after which the evaluation of a rule is cut off, with `RuleFailing`.",
    )
    sample_every: PositiveDuration = Field(
        default=parse_duration("15s"),
        description="How often chainwatch's [own metrics](rules.md#series) become samples. What "
        "invariants read does as soon as it changes.",
    )
