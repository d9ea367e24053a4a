"""Which steps are due when, whom they mean, and when alerts rise."""

import pytest

from chainwatch.alerting.policy.escalation import (
    EscalationPolicy,
    Progress,
    Step,
    Target,
    after,
    applies,
    begin,
    build_policies,
    risen,
    targets,
    worst,
)
from chainwatch.alerting.policy.oncall import Duty
from chainwatch.config.people import OCCURRENCES, EscalationSettings, PersonSettings

T0 = 1_700_000_000.0


def run(policy: EscalationPolicy) -> list[tuple[int, int, float]]:
    """Every step of an escalation as (round, step, seconds after the start)."""
    taken = []
    progress: Progress | None = begin(policy, T0)
    while progress is not None:
        taken.append((progress.round, progress.step, progress.due_at - T0))
        progress = after(policy, progress)
    return taken


def test_each_step_waits_from_the_one_before() -> None:
    policy = EscalationPolicy("p", (Step(0, ("a",)), Step(300, ("b",)), Step(600, ("c",))))
    assert run(policy) == [(0, 0, 0), (0, 1, 300), (0, 2, 900)]


def test_a_repeated_policy_begins_again_after_its_wait() -> None:
    policy = EscalationPolicy("p", (Step(10, ("a",)), Step(20, ("b",))), repeat=2, repeat_wait=100)
    assert run(policy) == [(0, 0, 10), (0, 1, 30), (1, 0, 140), (1, 1, 160), (2, 0, 270), (2, 1, 290)]


@pytest.mark.parametrize(
    ("step", "severity", "inside", "taken"),
    [
        (Step(0, ("a",)), "P3", False, True),
        (Step(0, ("a",), if_severity=("P0", "P1")), "P1", False, True),
        (Step(0, ("a",), if_severity=("P0", "P1")), "P2", True, False),
        (Step(0, ("a",), if_time=("office",)), "P2", True, True),
        (Step(0, ("a",), if_time=("office",)), "P2", False, False),
    ],
)
def test_a_step_is_taken_for_its_severities_at_its_times(
    step: Step, severity: str, inside: bool, taken: bool
) -> None:
    assert applies(step, severity, lambda names: inside) is taken


CONTACTS: dict[str, dict[str, tuple[str, ...]]] = {
    "anna": {"": ("anna-mail",), "P0": ("anna-phone", "anna-mail")},
    "bob": {"": ("bob-phone",)},
}


def test_a_step_means_receivers_people_and_whoever_is_on_call_each_receiver_once() -> None:
    step = Step(0, ("ops", "person:bob", "oncall:primary", "oncall:primary"))
    found, missed = targets(
        step, EscalationPolicy("p", (step,), contacts=CONTACTS), "P0", lambda name: Duty("anna")
    )
    assert found == [
        Target("ops"),
        Target("bob-phone", "person:bob"),
        Target("anna-phone", "oncall:primary (anna)"),
        Target("anna-mail", "oncall:primary (anna)"),
    ]
    assert missed == []


def test_a_person_is_reached_by_the_receivers_for_the_severity() -> None:
    step = Step(0, ("person:anna",))
    policy = EscalationPolicy("p", (step,), contacts=CONTACTS)
    assert [t.receiver for t in targets(step, policy, "P2", lambda _: None)[0]] == ["anna-mail"]


def test_what_reaches_nobody_is_said() -> None:
    step = Step(0, ("oncall:gone", "oncall:night", "person:zoe"))
    duties = {"night": Duty(None)}
    found, missed = targets(step, EscalationPolicy("p", (step,), contacts=CONTACTS), "P1", duties.get)
    assert found == []
    assert missed == [
        "oncall:gone: no such schedule",
        "oncall:night: nobody is on call",
        "person:zoe: no such person",
    ]


@pytest.mark.parametrize(
    ("severity", "occurrences", "to"),
    [
        ("P3", 4, None),
        ("P3", 5, "P2"),
        ("P2", 2, None),
        ("P2", 3, "P1"),
        ("P1", 1, None),
        ("P1", 2, "P0"),
        ("P0", 100, None),
    ],
)
def test_alerts_rise_one_level_after_as_many_occurrences_as_their_severity_takes(
    severity: str, occurrences: int, to: str | None
) -> None:
    assert risen(severity, occurrences, OCCURRENCES) == to


def test_the_worst_severity_is_the_most_urgent() -> None:
    assert worst(["P2", "P1", "P3"]) == "P1"


def test_a_policy_is_built_as_configured_with_everybody_s_contacts() -> None:
    settings = EscalationSettings.model_validate(
        {
            "name": "p",
            "steps": [{"notify": "ops"}, {"wait": "5m", "notify": ["oncall:x"], "if_severity": "critical"}],
            "repeat": 1,
            "repeat_wait": "10m",
        }
    )
    anna = PersonSettings.model_validate(
        {"name": "anna", "receivers": "mail", "by_severity": {"critical": ["phone"]}}
    )
    assert build_policies({"p": settings}, {"anna": anna})["p"] == EscalationPolicy(
        "p",
        (Step(0, ("ops",)), Step(300, ("oncall:x",), ("P0",))),
        1,
        600,
        {"anna": {"": ("mail",), "P0": ("phone",)}},
    )
