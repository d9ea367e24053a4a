"""How rules stand: lists whose length the alerts of a rule do not decide."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest
import sqlalchemy as sa

from chainwatch.alerting.engine.alert_engine import AlertEngine
from chainwatch.config import read_dict
from chainwatch.operations.context import Context
from chainwatch.operations.rule_states import ALERTS_MAX, ALERTS_OF_A_PAGE, list_rules
from chainwatch.promql.series import Labels
from chainwatch.rules.evaluation import Alert
from chainwatch.rules.files import read_rule_file
from chainwatch.rules.placed import PlacedGroup
from chainwatch.rules.status import GroupStatus, RuleStatus

ALERTS = 250


def context_of(rules: int) -> Context:
    """Rules of which each has many alerts that fire."""
    text = "groups:\n- name: g\n  rules:\n" + "".join(
        f"  - alert: a{number}\n    expr: vector(1)\n" for number in range(rules)
    )
    (group,) = read_rule_file(text)
    alerts = tuple(
        Alert(Labels({"number": str(number)}), {}, "firing", 1.0, 0, 0) for number in range(ALERTS)
    )
    statuses = tuple(
        RuleStatus(str(number), rule, "ok", "", 0.0, 0.0, alerts) for number, rule in enumerate(group.rules)
    )
    found = [GroupStatus("g", PlacedGroup("file", "rules.yml", group), 15.0, statuses)]
    settings = read_dict(
        {"receivers": {"ops": {"provider": "console"}}, "routes": [{"receivers": ["ops"]}]}, watches=False
    )
    context = Context(settings.settings(), AlertEngine([], {}, 0), ("ops",))
    return replace(context, rule_groups=lambda: found)


@pytest.mark.parametrize(("limit", "shown"), [(1, ALERTS_MAX), (20, 50), (500, 2), (1_000, 2)])
def test_a_page_shows_few_alerts_of_many_rules(limit: int, shown: int) -> None:
    page = list_rules(cast("sa.Connection", None), context_of(500), 0.0, limit=limit)
    assert len(page.rows) == min(limit, 500)
    assert {(one.alert_count, len(one.alerts)) for one in page.rows} == {(ALERTS, shown)}
    assert sum(len(one.alerts) for one in page.rows) <= ALERTS_OF_A_PAGE
