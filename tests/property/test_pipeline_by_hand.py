"""What a person resolved stays resolved, and hides nothing that came to be wrong after it."""

from __future__ import annotations

from collections import Counter

import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from chainwatch.checker.transfer import resolved_by_hand
from chainwatch.model import Raised
from chainwatch.store import transfers
from tests.property.worlds import World, answer_searches, fresh, reorganised_orders, worlds
from tests.support.flows import NETWORKS, Alerts, decode
from tests.support.pipelines import flow_pipeline, judge_transfers_again

PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
IDENTITY = ("alertname", "step", "check", "origin", "destination")


def standing(connection: sa.Connection) -> dict[tuple[str, ...], Raised]:
    """What is raised and has not ended, by transfer and condition."""
    return {
        (t.key, *(r.labels.get(name, "") for name in IDENTITY)): r
        for t in transfers.page(connection, 0, 1000)
        for r in t.raised.values()
        if r.ends_at is None
    }


def resolve_all(connection: sa.Connection) -> None:
    changed = []
    for transfer in transfers.page(connection, 0, 1000):
        labels = [r.labels for r in transfer.raised.values() if r.ends_at is None]
        changed.append((transfer, resolved_by_hand(transfer, labels, 5000)))
    transfers.save(connection, changed)


def is_hidden_by(resolved: Raised, raised: Raised) -> bool:
    """Whether a person has resolved all that is wrong in ``raised``."""
    same = all(resolved.labels.get(name) == raised.labels.get(name) for name in IDENTITY[:3])
    return resolved.by_hand and same and not Counter(raised.wrong) - Counter(resolved.wrong)


@given(data=st.data(), world=worlds())
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    phases=PHASES,
)
def test_what_was_resolved_stays_so_and_hides_nothing_else(
    engine: sa.Engine, data: st.DataObject, world: World
) -> None:
    delays = data.draw(reorganised_orders(world))
    resolved_after = data.draw(st.sets(st.integers(0, len(delays) - 1), min_size=1, max_size=3))

    def play(connection: sa.Connection, *, by_hand: bool) -> dict[tuple[str, ...], Raised]:
        pipeline = flow_pipeline([world.flow], NETWORKS, decode, Alerts())
        for number, items in enumerate(delays):
            pipeline.process(connection, items, 0.0)
            if by_hand and number in resolved_after:
                resolve_all(connection)
                judge_transfers_again(pipeline, connection, 0, 1000, 0.0)
                assert standing(connection) == {}
        answer_searches(connection, pipeline, world)
        return standing(connection)

    with fresh(engine) as connection:
        expected = play(connection, by_hand=False)
    with fresh(engine) as connection:
        found = play(connection, by_hand=True)
        resolved = {t.key: t.raised.values() for t in transfers.page(connection, 0, 1000)}

    assert found.keys() <= expected.keys()
    for name in expected.keys() - found.keys():
        assert any(is_hidden_by(one, expected[name]) for one in resolved[name[0]]), name
