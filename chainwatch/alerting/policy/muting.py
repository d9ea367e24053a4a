"""What suppresses the notification of an alert: stages, each a pure function of the alert and its context.

The first stage that suppresses an alert says why. The alert is notified when the suppression is over, if it still fires.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from chainwatch.alert_model import Acknowledgement, Silence, Suppression
from chainwatch.alerting.policy.intervals import Interval, inside
from chainwatch.alerting.policy.lifecycle import fingerprint
from chainwatch.alerting.policy.routing import ALL_LABELS, Route
from chainwatch.config import InhibitSettings
from chainwatch.grammar import matchers as matching
from chainwatch.grammar.matchers import Matchers

INHIBITED = "inhibited"
QUIET_HOURS = "quiet hours"
"""The only reason that suppresses resolutions too."""

Labels = Mapping[str, str]


class Candidate(msgspec.Struct, frozen=True):
    """An alert that a route sends to a receiver. ``again``: a reminder, which is sent although the alert is acknowledged."""

    alert_id: int
    labels: Labels
    route: Route
    receiver: str
    notified: bool = False
    again: bool = False


class Inhibition(msgspec.Struct, frozen=True):
    """While an alert that ``source`` matches fires, those that ``target`` matches and share ``equal`` are suppressed."""

    source: Matchers
    target: Matchers
    equal: tuple[tuple[str, str], ...]
    """Pairs of a label of the source and one of the target."""

    def inhibitor(self, labels: Labels, sources: Iterable[Labels]) -> Labels | None:
        """Return the first of the firing ``sources`` that inhibits an alert with ``labels``; None for none.

        Two alerts that match both sides never inhibit each other (as in Alertmanager).
        """
        if not matching.takes(self.target, labels):
            return None
        is_source = matching.takes(self.source, labels)
        for source in sources:
            if not matching.takes(self.source, source) or (is_source and matching.takes(self.target, source)):
                continue
            if all(source.get(a, "") == labels.get(b, "") for a, b in self.equal):
                return source
        return None


class Cooldown(msgspec.Struct, frozen=True):
    """Alerts that ``match`` takes are notified once in ``within`` seconds for each set of values of the labels ``by``."""

    match: Matchers
    by: tuple[str, ...]
    within: float

    def condition(self, labels: Labels) -> str:
        """Return what counts as the same condition: the fingerprint of the labels ``by``."""
        names = labels if self.by == (ALL_LABELS,) else self.by
        return fingerprint({name: labels.get(name, "") for name in names})


class Context(msgspec.Struct, frozen=True):
    """What the stages need beside the alert. ``notified_at``: (receiver, condition) → the last notification of it."""

    now: float
    intervals: Mapping[str, Interval] = {}
    inhibitions: Sequence[Inhibition] = ()
    firing: Sequence[Labels] = ()
    """The labels of the firing alerts that may be sources."""
    silences: Mapping[int, Silence] = {}
    """Alert id → the oldest silence in effect that matches it (`silences.first_silences`)."""
    acknowledgements: Mapping[int, Acknowledgement] = {}
    cooldowns: Sequence[Cooldown] = ()
    notified_at: Mapping[tuple[str, str], float] = {}


Stage = Callable[[Candidate, Context], Suppression | None]


def inhibited(one: Candidate, context: Context) -> Suppression | None:
    """Suppress an alert while another one that inhibits it fires."""
    for inhibition in context.inhibitions:
        source = inhibition.inhibitor(one.labels, context.firing)
        if source is not None:
            about = ", ".join(f"{a}={source.get(a, '')}" for a, _ in inhibition.equal)
            return Suppression(INHIBITED, f"by {source['alertname']}" + (f" ({about})" if about else ""))
    return None


def silenced(one: Candidate, context: Context) -> Suppression | None:
    """Suppress an alert that a silence matches."""
    silence = context.silences.get(one.alert_id)
    if silence is None:
        return None
    detail = f"by silence {silence.id} of {silence.author}: {silence.comment}".rstrip(": ")
    return Suppression("silenced", detail, silence.id)


def in_quiet_hours(one: Candidate, context: Context) -> Suppression | None:
    """Suppress an alert while its route is muted; P0 is notified all the same unless the route says otherwise."""
    route = one.route
    if one.labels["severity"] == "P0" and not route.mute_critical:
        return None
    muted = inside(context.intervals, route.mute_times, context.now)
    if muted is not None:
        return Suppression(QUIET_HOURS, f"within {muted}")
    if route.active_times and inside(context.intervals, route.active_times, context.now) is None:
        return Suppression(QUIET_HOURS, f"outside {', '.join(route.active_times)}")
    return None


def acknowledged(one: Candidate, context: Context) -> Suppression | None:
    """Suppress an acknowledged alert; reminders are sent all the same."""
    taken = context.acknowledgements.get(one.alert_id)
    if taken is None or one.again:
        return None
    return Suppression("acknowledged", f"by {taken.actor}" + (f": {taken.note}" if taken.note else ""))


def cooling_down(one: Candidate, context: Context) -> Suppression | None:
    """Suppress an alert while a cooldown of its condition runs for the receiver."""
    cooldown = cooldown_of(context.cooldowns, one.labels)
    if cooldown is None or one.notified:
        return None
    notified_at = context.notified_at.get((one.receiver, cooldown.condition(one.labels)))
    if notified_at is None or context.now >= notified_at + cooldown.within:
        return None
    return Suppression(
        "cooldown", f"notified {int(context.now - notified_at)} s ago, again after {cooldown.within:g} s"
    )


STAGES: tuple[Stage, ...] = (inhibited, silenced, in_quiet_hours, acknowledged, cooling_down)
"""In the order in which they are asked."""


def suppression_of(one: Candidate, context: Context) -> Suppression | None:
    """Return why an alert that fires is not notified, or None."""
    return next((found for stage in STAGES if (found := stage(one, context)) is not None), None)


def cooldown_of(cooldowns: Sequence[Cooldown], labels: Labels) -> Cooldown | None:
    """Return the first cooldown that takes an alert with ``labels``."""
    found = next((one for one in cooldowns if matching.takes(one.match, labels)), None)
    return found if found is not None and found.within > 0 else None


def build_inhibitions(settings: Sequence[InhibitSettings]) -> tuple[Inhibition, ...]:
    """Return the inhibitions as configured."""
    return tuple(
        Inhibition(
            matching.build(one.source),
            matching.build(one.target),
            tuple((a, b or a) for a, _, b in (pair.partition("=") for pair in one.equal)),
        )
        for one in settings
    )
