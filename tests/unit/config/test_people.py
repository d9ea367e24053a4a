"""People, schedules and escalations in the configuration."""

from datetime import date
from typing import Any

from chainwatch.config import from_dict

BASE: dict[str, Any] = {
    "networks": {"alpha": {"chain_id": 1, "rpc": ["http://localhost:1"]}},
    "receivers": {"ops": {"provider": "console"}, "phone": {"provider": "console"}},
    "people": {"anna": {"receivers": "ops", "by_severity": {"critical": "phone"}}},
    "oncall": {"primary": {"layers": [{"people": ["anna"], "start": date(2026, 1, 5)}]}},
    "escalations": {"wake": {"steps": [{"notify": "oncall:primary", "if_severity": "high"}]}},
    "routes": [{"receivers": ["ops"], "escalation": "wake"}],
}


def test_a_receiver_that_only_a_person_or_a_step_names_is_reached() -> None:
    settings = from_dict(BASE)
    assert settings.people["anna"].by_severity == {"P0": ["phone"]}


def test_names_of_severities_are_taken_in_either_spelling_and_dates_as_text_or_toml() -> None:
    settings = from_dict(
        {**BASE, "oncall": {"primary": {"layers": [{"people": ["anna"], "start": "2026-01-05"}]}}}
    )
    assert settings.escalations["wake"].steps[0].if_severity == ["P1"]
    assert settings.oncall == from_dict(BASE).oncall


def test_counts_that_are_left_out_keep_their_defaults_and_without_the_table_nothing_rises() -> None:
    assert from_dict(BASE).escalate_after is None
    rise = from_dict({**BASE, "escalate_after": {"occurrences": {"high": 10}}}).escalate_after
    assert rise is not None
    assert rise.occurrences == {"P0": 1, "P1": 10, "P2": 3, "P3": 5}
