"""Which step of an escalation is due when, whom a step means, and when frequent alerts count as more severe: pure.

Steps are due at fixed times from the start, so those that came due while the process was down are all taken after it,
and the end is the same as without the pause (S2). Times are Unix seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from chainwatch.alerting.policy.oncall import Duty
from chainwatch.config.people import PERSON, SCHEDULE, EscalationSettings, PersonSettings
from chainwatch.model import SEVERITIES


class Step(msgspec.Struct, frozen=True):
    """``notify`` is told ``wait`` seconds after the step before, if severity and time are right."""

    wait: float
    notify: tuple[str, ...]
    if_severity: tuple[str, ...] = ()
    if_time: tuple[str, ...] = ()


class Policy(msgspec.Struct, frozen=True):
    """Steps, taken ``repeat`` times again, each time ``repeat_wait`` seconds after the last step.

    ``contacts`` are the people that the steps name or a schedule may, as they were when the policy was taken: person →
    severity (empty for all others) → receivers.
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
    """One receiver to tell, and on whose behalf: ``oncall:primary (anna)``; empty for a receiver named itself."""

    receiver: str
    who: str = ""


def build_policies(
    settings: Mapping[str, EscalationSettings], people: Mapping[str, PersonSettings]
) -> dict[str, Policy]:
    """The policies as configured, by name."""
    contacts = {
        name: {"": tuple(person.receivers), **{s: tuple(r) for s, r in person.by_severity.items()}}
        for name, person in people.items()
    }
    return {
        name: Policy(
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


def begin(policy: Policy, now: float) -> Progress:
    """Where an escalation stands that starts at ``now``."""
    return Progress(0, 0, now + policy.steps[0].wait)


def after(policy: Policy, progress: Progress) -> Progress | None:
    """What comes when the step that was due is done; None when that was the last."""
    round_, step, due_at = progress.round, progress.step + 1, progress.due_at
    if step == len(policy.steps):
        if round_ == policy.repeat:
            return None
        round_, step, due_at = round_ + 1, 0, due_at + policy.repeat_wait
    return Progress(round_, step, due_at + policy.steps[step].wait)


def applies(step: Step, severity: str, is_inside: Callable[[Sequence[str]], bool]) -> bool:
    """Whether a step is taken for alerts of ``severity``; ``is_inside`` tells of intervals whether it is time."""
    return (not step.if_severity or severity in step.if_severity) and (
        not step.if_time or is_inside(step.if_time)
    )


def targets(
    step: Step, policy: Policy, severity: str, on_call: Callable[[str], Duty | None]
) -> tuple[list[Target], list[str]]:
    """The receivers that ``step`` means, each once, and in words what of it reaches nobody.

    ``on_call`` tells who is on call by a schedule's name; None where there is no such schedule.
    """
    found: dict[str, Target] = {}
    missed = []
    for name in step.notify:
        person, who = name.removeprefix(PERSON), name
        if name.startswith(SCHEDULE):
            duty = on_call(name.removeprefix(SCHEDULE))
            if duty is None or duty.person is None:
                missed.append(f"{name}: {'no such schedule' if duty is None else 'nobody is on call'}")
                continue
            person, who = duty.person, f"{name} ({duty.person})"
        elif not name.startswith(PERSON):
            found.setdefault(name, Target(name))
            continue
        contact = policy.contacts.get(person)
        if contact is None:
            missed.append(f"{who}: no such person")
            continue
        for receiver in contact.get(severity, contact[""]):
            found.setdefault(receiver, Target(receiver, who))
    return list(found.values()), missed


def worst(severities: Sequence[str]) -> str:
    """The most urgent of them."""
    return min(severities, key=SEVERITIES.index)


def risen(severity: str, occurrences: int, thresholds: Mapping[str, int]) -> str | None:
    """One level above ``severity`` once it occurred as often as its threshold says; None while it has not, or is the top."""
    level = SEVERITIES.index(severity)
    if level == 0 or severity not in thresholds or occurrences < thresholds[severity]:
        return None
    return SEVERITIES[level - 1]
