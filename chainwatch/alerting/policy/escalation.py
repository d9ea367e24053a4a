"""Which step of an escalation is due when, whom it notifies, and when frequent alerts become more severe: pure.

Steps are due at fixed times from the start. Steps that came due while the process was down are all taken when it is up
again, so the outcome is the same as without the pause (S2). Times are Unix seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from chainwatch.alerting.policy.oncall import Duty
from chainwatch.config.people import PERSON, SCHEDULE, EscalationSettings, PersonSettings
from chainwatch.model import SEVERITIES


class Step(msgspec.Struct, frozen=True):
    """Those named in ``notify`` are notified ``wait`` seconds after the step before, if severity and time are as given."""

    wait: float
    notify: tuple[str, ...]
    if_severity: tuple[str, ...] = ()
    if_time: tuple[str, ...] = ()


class EscalationPolicy(msgspec.Struct, frozen=True):
    """Steps, taken ``repeat`` times again, each time ``repeat_wait`` seconds after the last step.

    ``contacts`` are the people as configured when the escalation started: person → severity (empty for all others) →
    receivers.
    """

    name: str
    steps: tuple[Step, ...]
    repeat: int = 0
    repeat_wait: float = 1800.0
    contacts: Mapping[str, Mapping[str, tuple[str, ...]]] = {}


class Progress(msgspec.Struct, frozen=True):
    """The step that is due next: its round, its number (both from 0), and when."""

    round: int
    step: int
    due_at: float


class Target(NamedTuple):
    """A receiver to notify, and for whom: ``oncall:primary (anna)``; ``who`` is empty where the step names the receiver."""

    receiver: str
    who: str = ""


def build_policies(
    settings: Mapping[str, EscalationSettings], people: Mapping[str, PersonSettings]
) -> dict[str, EscalationPolicy]:
    """Return the policies as configured, by name."""
    contacts = {
        name: {"": tuple(person.receivers), **{s: tuple(r) for s, r in person.by_severity.items()}}
        for name, person in people.items()
    }
    return {
        name: EscalationPolicy(
            name,
            tuple(
                Step(step.wait, tuple(step.notify), tuple(step.if_severity), tuple(step.if_time))
                for step in policy.steps
            ),
            policy.repeat,
            policy.repeat_wait,
            contacts,
        )
        for name, policy in settings.items()
    }


def begin(policy: EscalationPolicy, now: float) -> Progress:
    """Return the first step of an escalation that starts at ``now``."""
    return Progress(0, 0, now + policy.steps[0].wait)


def after(policy: EscalationPolicy, progress: Progress) -> Progress | None:
    """Return the step after the one in ``progress``; None when that was the last."""
    round_, step, due_at = progress.round, progress.step + 1, progress.due_at
    if step == len(policy.steps):
        if round_ == policy.repeat:
            return None
        round_, step, due_at = round_ + 1, 0, due_at + policy.repeat_wait
    return Progress(round_, step, due_at + policy.steps[step].wait)


def applies(step: Step, severity: str, is_inside: Callable[[Sequence[str]], bool]) -> bool:
    """Return whether a step is taken for alerts of ``severity``; ``is_inside``: whether one of these intervals is now."""
    return (not step.if_severity or severity in step.if_severity) and (
        not step.if_time or is_inside(step.if_time)
    )


def targets(
    step: Step, policy: EscalationPolicy, severity: str, on_call: Callable[[str], Duty | None]
) -> tuple[list[Target], list[str]]:
    """Return the receivers that ``step`` notifies, each once, and why some of its entries reach nobody.

    ``on_call`` gives who is on call by a schedule's name; None where there is no such schedule.
    """
    found: dict[str, Target] = {}
    unreached = []
    for name in step.notify:
        person, who = name.removeprefix(PERSON), name
        if name.startswith(SCHEDULE):
            duty = on_call(name.removeprefix(SCHEDULE))
            if duty is None or duty.person is None:
                unreached.append(f"{name}: {'no such schedule' if duty is None else 'nobody is on call'}")
                continue
            person, who = duty.person, f"{name} ({duty.person})"
        elif not name.startswith(PERSON):
            found.setdefault(name, Target(name))
            continue
        contact = policy.contacts.get(person)
        if contact is None:
            unreached.append(f"{who}: no such person")
            continue
        for receiver in contact.get(severity, contact[""]):
            found.setdefault(receiver, Target(receiver, who))
    return list(found.values()), unreached


def worst(severities: Sequence[str]) -> str:
    """Return the most urgent of them."""
    return min(severities, key=SEVERITIES.index)


def risen(severity: str, occurrences: int, thresholds: Mapping[str, int]) -> str | None:
    """Return one level above ``severity`` once it occurred as often as its threshold; None before, and for the highest."""
    level = SEVERITIES.index(severity)
    if level == 0 or severity not in thresholds or occurrences < thresholds[severity]:
        return None
    return SEVERITIES[level - 1]
