"""Everything configured that decides when an alert fires and who is notified: built once from the settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from chainwatch.alerting.policy.intervals import Interval, build_intervals
from chainwatch.alerting.policy.muting import Cooldown, Inhibition, build_inhibitions
from chainwatch.alerting.policy.people import People
from chainwatch.config import AcknowledgeSettings, AlertSettings, LifecycleSettings, Settings
from chainwatch.grammar import matchers
from chainwatch.grammar.matchers import Matchers


class Lifecycle(msgspec.Struct, frozen=True):
    """Seconds that a condition must hold before its alert fires, and must be gone before it ends (``[[lifecycle]]``)."""

    match: Matchers = ()
    fire_after: float = 0.0
    keep_firing_for: float = 0.0


class AutoAcknowledgement(msgspec.Struct, frozen=True):
    """Alerts that ``match`` takes and that begin within the intervals ``during`` are acknowledged as ``by`` at once.

    The acknowledgement lapses when those intervals end, after ``lasts`` seconds at the latest.
    """

    match: Matchers
    by: str
    during: tuple[str, ...]
    lasts: float | None


AT_ONCE = Lifecycle()


class Policies(msgspec.Struct, frozen=True):
    """Everything configured about alerts but the routes. ``rate_limits``: receiver → severity → notifications a minute."""

    intervals: Mapping[str, Interval] = {}
    inhibitions: tuple[Inhibition, ...] = ()
    lifecycles: tuple[Lifecycle, ...] = ()
    cooldowns: tuple[Cooldown, ...] = ()
    auto_acknowledgements: tuple[AutoAcknowledgement, ...] = ()
    rate_limits: Mapping[str, Mapping[str, int]] = {}
    flapping_changes: int = 8
    flapping_within: float = 600.0
    remind_after: float = 14_400.0
    people: People = People()

    @classmethod
    def of(cls, settings: Settings) -> Policies:
        """Build it from a configuration."""
        alerts: AlertSettings = settings.alerts
        return cls(
            intervals=build_intervals(settings.intervals),
            inhibitions=build_inhibitions(settings.inhibit),
            lifecycles=_lifecycles(settings.lifecycle),
            cooldowns=tuple(
                Cooldown(matchers.build(one.match), tuple(one.by), one.within) for one in settings.cooldowns
            ),
            auto_acknowledgements=_auto_acknowledgements(settings.acknowledge),
            rate_limits={r.name: r.rate_limit for r in settings.receivers.values() if r.rate_limit},
            flapping_changes=alerts.flapping_changes,
            flapping_within=alerts.flapping_within,
            remind_after=alerts.remind_after,
            people=People.of(settings),
        )

    def lifecycle_of(self, labels: Mapping[str, str]) -> Lifecycle:
        """Return the delays of the first ``[[lifecycle]]`` that matches an alert with ``labels``."""
        return next((one for one in self.lifecycles if matchers.takes(one.match, labels)), AT_ONCE)

    @property
    def longest_delay(self) -> float:
        """The most seconds that an alert may wait before it fires or ends."""
        waits = [max(one.fire_after, one.keep_firing_for) for one in self.lifecycles]
        return max([*waits, self.flapping_within])

    def inhibitor_names(self) -> list[str] | None:
        """Return the names that inhibiting alerts may have; None where any name may inhibit."""
        names: set[str] = set()
        for inhibition in self.inhibitions:
            named = next((m for m in inhibition.source if m.name == "alertname" and not m.patterns), None)
            if named is None or not named.values:
                return None
            names |= named.values
        return sorted(names)


def _lifecycles(settings: Sequence[LifecycleSettings]) -> tuple[Lifecycle, ...]:
    return tuple(Lifecycle(matchers.build(s.match), s.for_, s.keep_firing_for) for s in settings)


def _auto_acknowledgements(settings: Sequence[AcknowledgeSettings]) -> tuple[AutoAcknowledgement, ...]:
    return tuple(
        AutoAcknowledgement(matchers.build(s.match), s.by, tuple(s.during), s.lasts) for s in settings
    )
