"""Everything configured that decides when an alert fires and who is told: built once from the settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from chainwatch.alerting.policy.intervals import Interval, build_intervals
from chainwatch.alerting.policy.muting import Cooldown, Inhibition, build_inhibitions
from chainwatch.alerting.policy.people import People
from chainwatch.config import AcknowledgeSettings, AlertSettings, LifecycleSettings, Settings
from chainwatch.grammar import matchers
from chainwatch.grammar.matchers import Matchers


class Patience(msgspec.Struct, frozen=True):
    """Seconds that a condition must hold until its alert fires, and must be gone until it ends."""

    match: Matchers = ()
    fires_after: float = 0.0
    ends_after: float = 0.0


class Standing(msgspec.Struct, frozen=True):
    """Alerts that ``match`` takes and that begin within the intervals ``during`` are ``by``'s from the start.

    They are so until those intervals end, and for ``lasts`` seconds at most.
    """

    match: Matchers
    by: str
    during: tuple[str, ...]
    lasts: float | None


AT_ONCE = Patience()


class Policies(msgspec.Struct, frozen=True):
    """What is configured beside routes. ``rate_limits``: receiver → severity → notifications a minute."""

    intervals: Mapping[str, Interval] = {}
    inhibitions: tuple[Inhibition, ...] = ()
    patience: tuple[Patience, ...] = ()
    cooldowns: tuple[Cooldown, ...] = ()
    standing: tuple[Standing, ...] = ()
    rate_limits: Mapping[str, Mapping[str, int]] = {}
    flapping_changes: int = 8
    flapping_within: float = 600.0
    remind_after: float = 14_400.0
    people: People = People()

    @classmethod
    def of(cls, settings: Settings) -> Policies:
        """Those of a configuration."""
        alerts: AlertSettings = settings.alerts
        return cls(
            intervals=build_intervals(settings.intervals),
            inhibitions=build_inhibitions(settings.inhibit),
            patience=_patience(settings.lifecycle),
            cooldowns=tuple(
                Cooldown(matchers.build(one.match), tuple(one.by), one.within) for one in settings.cooldowns
            ),
            standing=_standing(settings.acknowledge),
            rate_limits={r.name: r.rate_limit for r in settings.receivers.values() if r.rate_limit},
            flapping_changes=alerts.flapping_changes,
            flapping_within=alerts.flapping_within,
            remind_after=alerts.remind_after,
            people=People.of(settings),
        )

    def patience_with(self, labels: Mapping[str, str]) -> Patience:
        """The first patience that takes an alert with ``labels``."""
        return next((one for one in self.patience if matchers.takes(one.match, labels)), AT_ONCE)

    @property
    def longest_patience(self) -> float:
        """Seconds that an alert waits at most until it fires or ends."""
        waits = [max(one.fires_after, one.ends_after) for one in self.patience]
        return max([*waits, self.flapping_within])

    def source_names(self) -> list[str] | None:
        """The names that inhibiting alerts may have; None where any may."""
        names: set[str] = set()
        for rule in self.inhibitions:
            named = next((m for m in rule.source if m.name == "alertname" and not m.patterns), None)
            if named is None or not named.values:
                return None
            names |= named.values
        return sorted(names)


def _patience(settings: Sequence[LifecycleSettings]) -> tuple[Patience, ...]:
    return tuple(Patience(matchers.build(s.match), s.for_, s.keep_firing_for) for s in settings)


def _standing(settings: Sequence[AcknowledgeSettings]) -> tuple[Standing, ...]:
    return tuple(Standing(matchers.build(s.match), s.by, tuple(s.during), s.lasts) for s in settings)
