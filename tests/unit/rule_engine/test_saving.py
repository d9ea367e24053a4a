"""What follows from evaluations, as it is stored."""

from collections.abc import Sequence
from typing import Any

import pytest

from chainwatch.alert_model import Alert
from chainwatch.rule_engine import saving
from chainwatch.store import rule_alerts
from chainwatch.store.alerting import alerts
from tests.support.rule_process import START, RuleProcess, emptied

RULES = "groups:\n- name: g\n  rules:\n  - {alert: High, expr: x > 1, annotations: {summary: 'at {{ $value }}'}}\n"


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> RuleProcess:
    monkeypatch.setattr(saving, "PAUSE", 0.0)
    return RuleProcess(emptied(), RULES)


def at(process: RuleProcess, seconds: int, value: float) -> None:
    process.now = START + seconds * 1_000
    process.push("s", value)
    process.evaluate()


def stored(process: RuleProcess) -> Sequence[Alert]:
    with process.database.reading() as connection:
        return sorted(alerts.list_alerts(connection), key=lambda alert: alert.id)


def test_what_fired_and_ended_while_the_database_refused_is_one_alert_that_has_ended(
    process: RuleProcess,
) -> None:
    process.refuses = True
    at(process, 1, 2)
    at(process, 2, 0)
    assert not process.saver.is_idle
    process.refuses = False
    at(process, 3, 0)
    (alert,) = stored(process)
    assert (alert.state, alert.starts_at, alert.ends_at) == ("resolved", START / 1000 + 1, START / 1000 + 2)
    assert process.saver.is_idle


def test_what_ended_and_fired_again_while_the_database_refused_are_two_alerts(process: RuleProcess) -> None:
    at(process, 1, 2)
    process.refuses = True
    at(process, 2, 0)
    at(process, 3, 2)
    process.refuses = False
    at(process, 4, 2)
    assert [(alert.state, alert.starts_at - START / 1000) for alert in stored(process)] == [
        ("resolved", 1),
        ("firing", 3),
    ]


def test_an_alert_that_goes_on_writes_no_row_again(process: RuleProcess) -> None:
    at(process, 1, 2)
    commits = process.database.commits
    for second in range(2, 10):
        at(process, second, 2)
    assert process.database.commits == commits
    with process.database.reading() as connection:
        (row,) = rule_alerts.load(connection)
    assert (row.state, row.active_at) == ("firing", START + 1_000)


def test_a_new_value_is_stored_after_a_while_and_never_wakes_what_a_person_resolved(
    process: RuleProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(process, 1, 2)
    at(process, 2, 3)
    assert stored(process)[0].annotations["summary"] == "at 2"
    monkeypatch.setattr(saving, "REFRESH_AFTER", 0.0)
    at(process, 3, 4)
    assert stored(process)[0].annotations["summary"] == "at 4"
    (alert,) = stored(process)
    with process.database.transaction() as connection:
        process.engine.apply(connection, [alert.signal(START / 1000 + 4, "by hand")], START / 1000 + 4)
    at(process, 5, 5)
    assert [one.state for one in stored(process)] == ["resolved"]


def test_an_alert_waits_for_no_many_alerts_of_another_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saving, "AT_ONCE", 4)
    process = RuleProcess(emptied(), RULES + "  - {alert: Other, expr: x == 1}\n")
    write, written = process.write, []

    def note(job: Any) -> Any:
        done = write(job)
        written.append(sorted(alert.name for alert in stored(process)))
        return done

    process.write = note  # type: ignore[method-assign]
    for number in range(9):
        process.push(f"s{number}", 2)
    process.push("other", 1)
    process.evaluate()
    assert written[0] == ["High", "High", "Other"]
    assert sorted(written, key=len)[-1] == ["High"] * 9 + ["Other"]
