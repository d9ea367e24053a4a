"""What keeps an alert from being told for now: a pipeline of stages, each a function of the alert and what is known.

The first stage that holds an alert back says why. Nothing held is forgotten: the alert is told when that is over and it
still fires. Pure: the clock's value is part of what is known.
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
"""The one reason that holds back ends too."""

Labels = Mapping[str, str]


class Candidate(msgspec.Struct, frozen=True):
    """An alert on its way to a receiver by a route. ``again``: it is to be told once more, whoever has taken it on."""

    alert_id: int
    labels: Labels
    route: Route
    receiver: str
    notified: bool = False
    again: bool = False


class Inhibition(msgspec.Struct, frozen=True):
    """While an alert that ``source`` takes fires, those that ``target`` takes and share the ``equal`` labels are held."""

    source: Matchers
    target: Matchers
    equal: tuple[tuple[str, str], ...]
    """Pairs of a label of the source and one of the target."""

    def inhibitor(self, labels: Labels, sources: Iterable[Labels]) -> Labels | None:
        """The first of the firing ``sources`` that holds an alert with ``labels`` back.

        What is a source itself is not held by another that would hold it as well (as in Alertmanager).
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
    """Alerts that ``match`` takes are told once in ``within`` seconds for each set of values of the labels ``by``."""

    match: Matchers
    by: tuple[str, ...]
    within: float

    def condition(self, labels: Labels) -> str:
        """What counts as the same: the fingerprint of its labels."""
        names = labels if self.by == (ALL_LABELS,) else self.by
        return fingerprint({name: labels.get(name, "") for name in names})


class Known(msgspec.Struct, frozen=True):
    """What the stages look at. ``told_at``: (receiver, condition) → when it was last told."""

    now: float
    intervals: Mapping[str, Interval] = {}
    inhibitions: Sequence[Inhibition] = ()
    firing: Sequence[Labels] = ()
    """The labels of the firing alerts that may be sources."""
    silences: Sequence[tuple[Silence, Matchers]] = ()
    acknowledgements: Mapping[int, Acknowledgement] = {}
    cooldowns: Sequence[Cooldown] = ()
    notified_at: Mapping[tuple[str, str], float] = {}


Stage = Callable[[Candidate, Known], Suppression | None]


def inhibited(one: Candidate, known: Known) -> Suppression | None:
    """Another alert that fires explains it."""
    for rule in known.inhibitions:
        source = rule.inhibitor(one.labels, known.firing)
        if source is not None:
            about = ", ".join(f"{a}={source.get(a, '')}" for a, _ in rule.equal)
            return Suppression(INHIBITED, f"by {source['alertname']}" + (f" ({about})" if about else ""))
    return None


def silenced(one: Candidate, known: Known) -> Suppression | None:
    """Somebody has silenced it."""
    for silence, matchers in known.silences:
        if is_on(silence, known) and matching.takes(matchers, one.labels):
            detail = f"by silence {silence.id} of {silence.author}: {silence.comment}".rstrip(": ")
            return Suppression("silenced", detail, silence.id)
    return None


def is_on(silence: Silence, known: Known) -> bool:
    """Whether a silence hides what it matches now; one with intervals does only within them."""
    if not silence.is_active(known.now):
        return False
    return not silence.during or inside(known.intervals, silence.during, known.now) is not None


def in_quiet_hours(one: Candidate, known: Known) -> Suppression | None:
    """The route is quiet now. P0 breaks through unless the route says otherwise."""
    route = one.route
    if one.labels["severity"] == "P0" and not route.mute_critical:
        return None
    muted = inside(known.intervals, route.mute_times, known.now)
    if muted is not None:
        return Suppression(QUIET_HOURS, f"within {muted}")
    if route.active_times and inside(known.intervals, route.active_times, known.now) is None:
        return Suppression(QUIET_HOURS, f"outside {', '.join(route.active_times)}")
    return None


def acknowledged(one: Candidate, known: Known) -> Suppression | None:
    """Somebody has taken it on; reminders get through."""
    taken = known.acknowledgements.get(one.alert_id)
    if taken is None or one.again:
        return None
    return Suppression("acknowledged", f"by {taken.actor}" + (f": {taken.note}" if taken.note else ""))


def cooling_down(one: Candidate, known: Known) -> Suppression | None:
    """The receiver was told of the same condition a short while ago."""
    cooldown = cooldown_of(known.cooldowns, one.labels)
    if cooldown is None or one.notified:
        return None
    notified_at = known.notified_at.get((one.receiver, cooldown.condition(one.labels)))
    if notified_at is None or known.now >= notified_at + cooldown.within:
        return None
    return Suppression(
        "cooldown", f"notified {int(known.now - notified_at)} s ago, again after {cooldown.within:g} s"
    )


STAGES: tuple[Stage, ...] = (inhibited, silenced, in_quiet_hours, acknowledged, cooling_down)
"""In this order."""


def held_back(one: Candidate, known: Known) -> Suppression | None:
    """Why an alert that fires is not told, or None."""
    return next((held for stage in STAGES if (held := stage(one, known)) is not None), None)


def cooldown_of(cooldowns: Sequence[Cooldown], labels: Labels) -> Cooldown | None:
    """The first cooldown that takes an alert with ``labels``."""
    found = next((one for one in cooldowns if matching.takes(one.match, labels)), None)
    return found if found is not None and found.within > 0 else None


def build_inhibitions(settings: Sequence[InhibitSettings]) -> tuple[Inhibition, ...]:
    """The rules as configured."""
    return tuple(
        Inhibition(
            matching.build(rule.source),
            matching.build(rule.target),
            tuple((a, b or a) for a, _, b in (pair.partition("=") for pair in rule.equal)),
        )
        for rule in settings
    )
