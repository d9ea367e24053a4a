"""How alerts are notified: routes, and everything that mutes or groups them."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, StrictBool

from chainwatch.config.types import (
    AtLeastOne,
    Clocks,
    Days,
    Digest,
    Duration,
    Expected,
    Match,
    Months,
    PositiveDuration,
    Severity,
    Table,
    Text,
    Weekdays,
    Years,
    Zone,
)
from chainwatch.grammar.durations import parse_duration
from chainwatch.model import SEVERITY_NAMES

_MATCH = (
    "Label → value or list of values, all of which must match; severities by either name. A value may begin with `!=`, `=~` "
    "(regular expression) or `!~`."
)


class RouteSettings(Table):
    """Which alerts go to which receivers; the first route that matches takes the alert, nested routes before the outer one.

    A route inside another one, `[[routes.routes]]`, has the same keys; those left out are inherited from the outer route,
    except `match`, `continue`, `digest`, `digest_empty` and `routes`.
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
        default=parse_duration("15s"),
        description="Minimum time between two notifications of a changed group.",
    )
    repeat_interval: PositiveDuration = Field(
        default=parse_duration("4h"),
        description="Time after which an unchanged, still firing group is sent again.",
    )
    send_resolved: StrictBool | None = Field(
        default=None, description="Whether to notify of resolved alerts. Default: the receiver's."
    )
    mute_times: list[Text] = Field(
        default=[],
        description="Names of intervals in which nothing is sent; what still fires is sent afterwards.",
    )
    active_times: list[Text] = Field(
        default=[], description="Names of intervals outside of which nothing is sent. Default: always."
    )
    mute_critical: StrictBool = Field(
        default=False, description="Whether `mute_times` and `active_times` mute `P0` too."
    )
    digest: Digest | None = Field(
        default=None,
        description='Collect everything into one notification: `"daily 09:00 Europe/Berlin"` or `"monday 09:00 UTC"`. '
        "Default: no digest.",
    )
    escalation: Text | None = Field(
        default=None,
        description="Name of the escalation that runs while a group fires unacknowledged. Default: none.",
    )
    template: Text | None = Field(
        default=None, description="Name of the template of its messages. Default: the receiver's."
    )
    digest_empty: StrictBool = Field(default=False, description="Whether to send an empty digest.")
    routes: list[RouteSettings] = Field(
        default=[], description="Routes tried first for what this route takes."
    )


class IntervalSettings(Table):
    """A part of the week, month or year, for quiet hours; all given keys must match."""

    name: str = Field(description="The table's key.")
    zone: Zone = Field(default="UTC", description="IANA time zone.")
    times: Clocks = Field(
        default=[],
        description='Times of day, such as `["22:00-07:00"]`; past midnight they belong to the day on which they begin. '
        "Default: the whole day.",
    )
    weekdays: Weekdays = Field(default=[], description='Such as `["monday-friday"]`. Default: all.')
    days: Days = Field(
        default=[], description='Days of the month, such as `["1-7", "-1"]` (the last). Default: all.'
    )
    months: Months = Field(default=[], description='Such as `["december", "1-3"]`. Default: all.')
    years: Years = Field(default=[], description='Such as `["2026-2028"]`. Default: all.')


class InhibitSettings(Table):
    """While an alert that `source` matches fires, those that `target` matches are inhibited."""

    source: Match = Field(min_length=1, description=_MATCH)
    target: Match = Field(min_length=1, description="Likewise.")
    equal: list[Text] = Field(
        default=[],
        description="Labels that must be equal in both; `\"network=destination\"`: the source's `network` and the target's "
        "`destination`. Default: none.",
    )


class LifecycleSettings(Table):
    """How long a condition must hold, or be gone, until its alert fires or is resolved; the first matching table applies."""

    match: Match = Field(default={}, description=f"{_MATCH} Default: every alert.")
    for_: Duration = Field(
        default=0.0, alias="for", description="How long the condition must hold until its alert fires."
    )
    keep_firing_for: Duration = Field(
        default=0.0, description="How long the condition must be gone until its alert is resolved."
    )


class CooldownSettings(Table):
    """Minimum time between two notifications of a receiver about one condition; the first matching table applies."""

    match: Match = Field(default={}, description=f"{_MATCH} Default: every alert.")
    by: list[Text] = Field(
        default=["..."], description='Labels that identify a condition; `["..."]`: all of them.'
    )
    within: PositiveDuration = Field(
        description="The time, counted from the last notification about the condition."
    )


class AcknowledgeSettings(Table):
    """Alerts that are acknowledged from the start: they are recorded and shown, but not sent."""

    match: Match = Field(min_length=1, description=_MATCH)
    by: Text = Field(description="Who acknowledges them.")
    during: list[Text] = Field(
        default=[],
        description="Names of intervals in which this applies and with which it ends, such as maintenance. Default: always.",
    )
    lasts: PositiveDuration | None = Field(
        default=None,
        description="Time after which the acknowledgement lapses. Default: when the alert is resolved.",
    )


class AlertSettings(Table):
    """What applies to all alerts."""

    flapping_changes: AtLeastOne = Field(
        default=8,
        description="Starts and ends within `flapping_within` from which an alert counts as flapping: it is then kept "
        "firing until it has been steady for that time. Alerts about transfers never flap.",
    )
    flapping_within: PositiveDuration = Field(default=parse_duration("10m"), description="See above.")
    remind_after: PositiveDuration = Field(
        default=parse_duration("4h"),
        description="Time after which a reminder is sent of an acknowledged alert that still fires.",
    )


def _foreign(severities: dict[str, str]) -> dict[str, str]:
    found = {name.lower(): severity for name, severity in severities.items()}
    for name in found.keys() & SEVERITY_NAMES.keys():
        raise Expected(f"severities that chainwatch does not know; {name} is {SEVERITY_NAMES[name]}")
    if len(found) < len(severities):
        raise Expected("each severity once, whatever its case")
    return found


SeverityTable = Annotated[dict[Text, Severity], AfterValidator(_foreign)]
"""What severities of other programs stand for: name in small letters → ``P0`` … ``P3``."""
