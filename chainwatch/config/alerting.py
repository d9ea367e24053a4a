"""What becomes of alerts: routes, and all that holds them back or lets them go."""

from __future__ import annotations

from pydantic import Field, StrictBool

from chainwatch.config.types import (
    AtLeastOne,
    Clocks,
    Days,
    Digest,
    Duration,
    Match,
    Months,
    PositiveDuration,
    Table,
    Text,
    Weekdays,
    Years,
    Zone,
)
from chainwatch.grammar.durations import parse_duration

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
        description="Names of intervals in which this holds and with which it ends, such as a maintenance. Default: always.",
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
