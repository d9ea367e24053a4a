"""Acknowledging alerts, dropping acknowledgements, resolving by hand; and one alert with its history."""

from __future__ import annotations

from typing import Any

import pytest

from chainwatch.operations import alert_actions, alert_details
from chainwatch.operations.context import Access
from chainwatch.operations.errors import Invalid, NotFound
from chainwatch.operations.views import Changed
from tests.support.operating import end_alert, raise_alert
from tests.unit.operations.conftest import T0, Clock


def test_of_several_ids_each_has_its_outcome(access: Access) -> None:
    raise_alert(access)
    raise_alert(access, "Over")
    end_alert(access, "Over")

    outcome = access.write(alert_actions.acknowledge, [1, 2, 7, -3, 2**63 - 1, 10**30], "anna", "mine")

    assert outcome == Changed(done=[1], conflicting=[2], not_found=[-3, 7, 2**63 - 1, 10**30])
    assert access.write(alert_actions.resolve, [1, 2, 7], "anna") == Changed([1], [2], [7])


def test_an_acknowledgement_is_shown_and_can_be_dropped_once(access: Access, clock: Clock) -> None:
    raise_alert(access)
    clock.now += 60
    access.write(alert_actions.acknowledge, [1], "anna", "mine", lasts=3600)

    shown = access.read(alert_details.show, 1).acknowledged

    assert shown == alert_details.AcknowledgementView("anna", T0 + 60, "mine", T0 + 3660)
    assert access.write(alert_actions.unacknowledge, [1, 7], "ben") == Changed([1], [], [7])
    assert access.write(alert_actions.unacknowledge, [1], "ben") == Changed([], [1])
    assert access.read(alert_details.show, 1).acknowledged is None


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ({"until": T0 - 1}, "lapsed already"),
        ({"lasts": 0.0}, "lapsed already"),
        ({"until": T0 + 5, "lasts": 5.0}, "give one of them, not both"),
        ({"until": float("nan")}, "is not a time in Unix seconds"),
        ({"until": T0 * 1000}, "seconds, not milliseconds"),
    ],
)
def test_an_acknowledgement_that_would_not_last_is_invalid_and_changes_nothing(
    access: Access, end: dict[str, Any], said: str
) -> None:
    raise_alert(access)
    with pytest.raises(Invalid, match=said):
        access.write(alert_actions.acknowledge, [1], "anna", **end)
    assert access.read(alert_details.show, 1).acknowledged is None


@pytest.mark.parametrize("operation", [alert_details.show, alert_details.list_history])
@pytest.mark.parametrize("alert_id", [7, 0, -1, 10**30])
def test_an_alert_that_is_not_there_is_named_with_where_to_look(
    access: Access, operation: object, alert_id: int
) -> None:
    with pytest.raises(NotFound, match=f"no alert has the ID {alert_id}; `chainwatch alerts` lists them"):
        access.read(operation, alert_id)  # type: ignore[arg-type]


def test_an_alert_is_found_by_its_fingerprint(access: Access) -> None:
    raise_alert(access)
    print_ = access.read(alert_details.show, 1).fingerprint
    assert access.read(alert_details.newest, print_) == 1
    with pytest.raises(NotFound, match="no alert has the fingerprint 'x'"):
        access.read(alert_details.newest, "x")


def test_a_history_goes_on_where_its_page_ended_whatever_happens_meanwhile(
    access: Access, clock: Clock
) -> None:
    raise_alert(access)
    for _ in range(2):
        clock.now += 1
        access.write(alert_actions.acknowledge, [1], "anna")
    first = access.read(alert_details.list_history, 1, limit=2)
    clock.now += 1
    access.write(alert_actions.resolve, [1], "anna", "done")
    second = access.read(alert_details.list_history, 1, limit=10, after=first.next)

    kinds = [one.kind for one in (*first.rows, *second.rows)]
    assert kinds == ["firing", "acknowledged", "acknowledged", "resolved"]
    assert (second.rows[-1].actor, second.rows[-1].at, second.next) == ("anna", T0 + 3, None)
    for cursor in ("alerts.1.2", "history.x", "history"):
        with pytest.raises(Invalid, match="is not a cursor of history"):
            access.read(alert_details.list_history, 1, after=cursor)
