"""Whom alerts wake: people, on-call schedules, and escalation policies."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, StrictInt, field_validator

from chainwatch.config.types import Duration, Expected, Names, PositiveDuration, Severity, Table, Text, Zone
from chainwatch.grammar import calendars
from chainwatch.grammar.durations import parse_duration
from chainwatch.model import SEVERITIES

SCHEDULE, PERSON = "oncall:", "person:"
"""Marks before the name of a schedule or a person in ``notify``; a receiver's name has none."""


def _handoff(text: str) -> str:
    try:
        if len(text.split()) != 2:
            raise ValueError
        calendars.parse_schedule(text)
    except ValueError:
        raise Expected('"daily HH:MM" or "monday HH:MM", such as "monday 09:00"') from None
    return text


def _date(value: object) -> object:
    if type(value) is date:
        return value
    try:
        return date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        raise Expected('a date such as "2026-01-05"') from None


def _severities(value: object) -> object:
    return [value] if isinstance(value, str) else value


class PersonSettings(Table):
    """A person who can be notified."""

    name: str = Field(description="The table's key.")
    receivers: Names = Field(description="Receivers of this person.")
    by_severity: dict[Severity, Names] = Field(
        default={},
        description="Severity → receivers of this person used instead for alerts of that severity. "
        "Default: `receivers` for all.",
    )


class LayerSettings(Table):
    """One rotation of a schedule: the people take turns, in this order, then again from the first."""

    people: list[Text] = Field(min_length=1, description="Names of people, in the order of their turns.")
    handoff: Annotated[Text, AfterValidator(_handoff)] = Field(
        default="monday 09:00",
        description='When a turn ends and the next begins: `"daily HH:MM"` or `"WEEKDAY HH:MM"`, in the '
        "schedule's zone.",
    )
    start: Annotated[date, BeforeValidator(_date)] = Field(
        default=date(2024, 1, 1),
        description='A day in the first person\'s turn, such as `"2026-01-05"`; turns are counted from there, both ways.',
    )
    during: Names = Field(
        default=[],
        description="Names of intervals: outside all of them the layer has nobody on call. Default: always.",
    )


class OnCallSettings(Table):
    """Who is on call when: the first layer that has somebody on call applies; overrides take precedence over all layers."""

    name: str = Field(description="The table's key.")
    zone: Zone = Field(default="UTC", description="IANA time zone of the handoffs, such as `Europe/Berlin`.")
    layers: list[LayerSettings] = Field(min_length=1, description="Rotations, in order of precedence.")


class EscalationStepSettings(Table):
    """One step: who is notified if nobody has acknowledged by then."""

    wait: Duration = Field(
        default=0.0, description="Time after the previous step; for the first step, after the incident began."
    )
    notify: Names = Field(
        description="Whom to notify: names of receivers, `oncall:NAME` for whoever is on call, `person:NAME`."
    )
    if_severity: Annotated[list[Severity], BeforeValidator(_severities)] = Field(
        default=[], description="Only for alerts of these severities. Default: all."
    )
    if_time: Names = Field(
        default=[], description="Only within one of these intervals. Default: at all times."
    )


class EscalationSettings(Table):
    """What happens while a group of alerts fires and nobody acknowledges it."""

    name: str = Field(description="The table's key.")
    steps: list[EscalationStepSettings] = Field(min_length=1, description="The steps, in order.")
    repeat: StrictInt = Field(
        default=0, ge=0, le=1000, description="How often to restart after the last step."
    )
    repeat_wait: PositiveDuration = Field(
        default=parse_duration("30m"), description="Time from the last step until the restart."
    )


OCCURRENCES: Mapping[str, int] = {"P0": 1, "P1": 2, "P2": 3, "P3": 5}


class RiseSettings(Table):
    """Alerts that come often count as one level more severe. Without this table none do."""

    within: PositiveDuration = Field(
        default=parse_duration("1h"), description="The time in which occurrences are counted."
    )
    occurrences: dict[Severity, StrictInt] = Field(
        default=dict(OCCURRENCES),
        description="Severity → number of alerts of it in one group that raise it by one level; `P0` is the highest.",
    )

    @field_validator("occurrences")
    @classmethod
    def _whole(cls, given: dict[str, int]) -> dict[str, int]:
        if any(number < 1 for number in given.values()):
            raise Expected("numbers of at least 1")
        return {severity: given.get(severity, OCCURRENCES[severity]) for severity in SEVERITIES}
