"""Whom alerts page: everything configured about people, schedules and escalations, built once from the settings."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from chainwatch.alerting.policy.escalation import EscalationPolicy, build_policies
from chainwatch.alerting.policy.intervals import Interval, build_intervals
from chainwatch.alerting.policy.oncall import OnCallSchedule, build_schedules
from chainwatch.config import Settings


class People(msgspec.Struct, frozen=True):
    """Whom alerts page, as configured; without any of it incidents are only recorded."""

    policies: Mapping[str, EscalationPolicy] = {}
    schedules: Mapping[str, OnCallSchedule] = {}
    intervals: Mapping[str, Interval] = {}
    receivers: frozenset[str] = frozenset()
    rise_within: float = 0.0
    rise_after: Mapping[str, int] = {}

    @classmethod
    def of(cls, settings: Settings) -> People:
        """Build it from a configuration."""
        rise = settings.escalate_after
        return cls(
            policies=build_policies(settings.escalations, settings.people),
            schedules=build_schedules(settings.oncall),
            intervals=build_intervals(settings.intervals),
            receivers=frozenset(settings.receivers),
            rise_within=rise.within if rise else 0.0,
            rise_after=rise.occurrences if rise else {},
        )
