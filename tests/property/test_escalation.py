"""Properties of escalations: every step once a round, in order, never earlier than the one before."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from chainwatch.alerting.policy.escalation import EscalationPolicy, Progress, Step, after, begin, risen
from chainwatch.model import SEVERITIES

POLICIES = st.builds(
    lambda waits, repeat, repeat_wait: EscalationPolicy(
        "p", tuple(Step(wait, ("ops",)) for wait in waits), repeat, repeat_wait
    ),
    st.lists(st.integers(0, 7200), min_size=1, max_size=6),
    st.integers(0, 5),
    st.integers(1, 7200),
)


def taken(policy: EscalationPolicy, start: int) -> list[Progress]:
    steps = []
    progress: Progress | None = begin(policy, start)
    while progress is not None:
        steps.append(progress)
        progress = after(policy, progress)
    return steps


@given(POLICIES, st.integers(0, 2_000_000_000))
def test_every_step_is_taken_once_a_round_in_order_and_time_goes_forward(
    policy: EscalationPolicy, start: int
) -> None:
    found = taken(policy, start)
    rounds = [(p.round, p.step) for p in found]
    assert rounds == [(r, s) for r in range(policy.repeat + 1) for s in range(len(policy.steps))]
    assert all(one.due_at <= other.due_at for one, other in pairwise(found))
    waits = sum(step.wait for step in policy.steps) * (policy.repeat + 1)
    assert found[-1].due_at == start + waits + policy.repeat * policy.repeat_wait


@given(st.sampled_from(SEVERITIES), st.integers(0, 100), st.integers(1, 100))
def test_alerts_rise_one_level_at_most_and_never_before_their_number(
    severity: str, occurrences: int, threshold: int
) -> None:
    to = risen(severity, occurrences, {severity: threshold})
    if to is None:
        assert severity == "P0" or occurrences < threshold
    else:
        assert SEVERITIES.index(to) == SEVERITIES.index(severity) - 1
        assert occurrences >= threshold
