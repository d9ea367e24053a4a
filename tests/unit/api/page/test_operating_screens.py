"""The screens about transfers, networks, deliveries, on-call and the configuration, and what their forms do."""

from __future__ import annotations

import asyncio
import re
import time

import pytest

from chainwatch.api import samples
from chainwatch.api.page.networks import WIDTH, health
from chainwatch.api.page.oncall import days
from chainwatch.operations import notifications, rota
from chainwatch.operations.endpoints import KEPT_FOR, PERIOD, EndpointPeriod, EndpointView
from chainwatch.operations.rota import ShiftView
from chainwatch.store.alerting import outbox
from chainwatch.store.alerting.outbox import Payload
from tests.unit.api.conftest import Served, Serving
from tests.unit.api.test_identity import operating

ON_CALL = {
    "people": {"anna": {"receivers": ["ops"]}, "ben": {"receivers": ["ops"]}},
    "oncall": {"primary": {"layers": [{"people": ["anna", "ben"], "start": "2026-01-05"}]}},
}
T0 = 1_767_607_200.0  # 2026-01-05 10:00 UTC, a Monday


async def send(served: Served, screen: str, path: str, **fields: str) -> tuple[int, str]:
    """Send a form of a screen; return the status and the page that it leads to."""
    async with served.client.get(f"{served.url}{screen}") as answer:
        token = re.findall('name="csrf" value="([0-9a-f]{64})"', await answer.text())[-1]
    async with served.client.post(f"{served.url}{path}", data={"csrf": token, **fields}) as answer:
        return answer.status, await answer.text()


def give_up(served: Served, number: int) -> None:
    with served.running.database.transaction() as connection:
        new = [("ops", f"group/{one}", Payload({"alertname": "Late"}, (1,), ())) for one in range(number)]
        outbox.enqueue(connection, new, time.time())
        for queued in outbox.list_notifications(connection):
            outbox.mark_dead(connection, queued, "the server answered 500", time.time())


async def test_screens_without_anything_to_show_say_so(serving: Serving) -> None:
    async with serving() as served:
        for path, said in (
            ("/ui/transfers", "No transfer was seen yet"),
            ("/ui/transfers?q=0x12", "No transfer is found"),
            (f"/ui/transfers?q=0x{'ab' * 20}", "No transfer is known with this address"),
            ("/ui/latency", "No step was seen"),
            ("/ui/networks", "None is configured"),
            ("/ui/deliveries?status=dead", "There is none"),
            ("/ui/oncall", "No schedule is configured"),
            ("/ui/configuration", "console"),
        ):
            status, page = await served.get(path)
            assert (status, said in page) == (200, True), path


async def test_what_cannot_be_asked_is_refused(serving: Serving) -> None:
    async with serving() as served:
        for path, status in (
            ("/ui/transfers?after=x", 400),
            ("/ui/transfers?q=%00", 400),
            ("/ui/latency?window=1y", 400),
            ("/ui/latency?flow=nothing", 404),
            ("/ui/deliveries?status=lost", 400),
            ("/ui/transfers/bridge/0x12", 404),
            ("/ui/transfers/bridge/a/b%00", 404),
            ("/ui/configuration?tested=x", 400),
        ):
            assert (await served.get(path))[0] == status, path
        assert "is no status of transfers" in (await served.get("/ui/transfers?status=lost"))[1]


async def test_a_notification_is_retried_and_dropped(serving: Serving) -> None:
    async with serving() as served:
        await asyncio.to_thread(give_up, served, 2)
        _, page = await served.get("/ui/deliveries?receiver=ops&status=dead")
        assert page.count("the server answered 500") == 2
        status, _ = await send(served, "/ui/deliveries", "/ui/deliveries/retry", id="1")
        assert status == 200
        await send(served, "/ui/deliveries", "/ui/deliveries/drop", id="2", back="/ui/deliveries?status=dead")
        rows = operating(served).read(notifications.list_notifications).rows
        assert {row.id: row.status for row in rows} == {1: "pending", 2: "dropped"}
        for wrong in ("9", "2"):
            status, page = await send(served, "/ui/deliveries", "/ui/deliveries/drop", id=wrong)
            assert (status, "nothing was changed" in page) == (409, True)


async def test_somebody_is_put_on_call_and_removed(serving: Serving) -> None:
    async with serving(ON_CALL) as served:
        form = {"schedule": "primary", "person": "ben", "lasts": "8h"}
        status, page = await send(served, "/ui/oncall", "/ui/oncall/override", **form)
        assert (status, "Remove override 1" in page) == (200, True)
        for begins in ("2099-01-31T09:00", "2099-01-31T11:00+02:00"):
            more = {**form, "from": begins}
            assert (await send(served, "/ui/oncall", "/ui/oncall/override", **more))[0] == 200
        found = operating(served).read(rota.list_overrides)
        assert [(one.author, one.ends_at - one.starts_at) for one in found] == [("api", 28_800)] * 3
        assert [one.starts_at for one in found[1:]] == [4_073_533_200] * 2
        for wrong in ({"lasts": ""}, {"lasts": "soon"}, {"from": "tomorrow"}, {"person": "carol"}):
            status, _ = await send(served, "/ui/oncall", "/ui/oncall/override", **{**form, **wrong})
            assert status in (400, 404), wrong
        assert (await send(served, "/ui/oncall", "/ui/oncall/remove", id="1"))[0] == 200
        assert (await send(served, "/ui/oncall", "/ui/oncall/remove", id="1"))[0] == 409


async def test_routes_are_tested_by_labels(serving: Serving) -> None:
    async with serving({"routes": [{"match": {"severity": "P0"}, "receivers": ["ops"]}]}) as served:
        _, page = await served.get("/ui/configuration?labels=severity%3DP0%0D%0Aalertname%3DLate")
        assert "It goes to <strong>ops</strong>" in page
        _, page = await served.get("/ui/configuration?labels=severity%3DP1")
        assert "nobody is notified" in page
        _, page = await served.get("/ui/configuration?labels=severity")
        assert "expected a label as NAME=VALUE" in page


async def test_a_receiver_is_tested_with_a_click(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as served:
        monkeypatch.setattr(samples, "WITHIN", 0.1)  # its queues do not run yet
        _, page = await send(served, "/ui/configuration", "/ui/configuration/test", receiver="ops")
        assert "ops did not accept the sample" in page
        monkeypatch.setattr(samples, "WITHIN", 10)
        await served.running.alerting.start()
        _, page = await send(served, "/ui/configuration", "/ui/configuration/test", receiver="ops")
        assert "ops accepted the sample" in page
        status, _ = await send(served, "/ui/configuration", "/ui/configuration/test", receiver="nobody")
        assert status == 404


def test_a_strip_has_one_part_for_each_stretch_in_one_state() -> None:
    end = int(T0)
    periods = [
        EndpointPeriod(end - PERIOD * ago, state, 1, 0, 0.1)
        for ago, state in ((300, "ok"), (287, "ok"), (286, "ok"), (285, "down"), (200, "ok"), (0, "ok"))
    ]
    one = EndpointView("a[0] b", "a", "b", "http", "ok", 1, 0, 0.0, 0.1, None, None, periods)
    found = health(one, T0)
    assert [(part.state, part.x, part.width) for part in found.strip] == [
        ("ok", 0, 2),
        ("down", 2, 1),
        ("ok", 87, 1),
        ("ok", 287, 1),
    ]
    assert (found.watched, list(found.spent)) == (5 * PERIOD, [("down", PERIOD)])
    assert WIDTH * PERIOD == KEPT_FOR


def test_a_calendar_has_each_shift_on_each_of_its_days() -> None:
    night = ShiftView("primary", "anna", "layer 1", T0, T0 + 86_400)
    then = ShiftView("primary", None, "layer 1", T0 + 86_400, None)
    found = days([night, then], T0)
    assert [[shift.person for shift in day.shifts] for day in found[:3]] == [["anna"], ["anna", None], [None]]
    assert (found[0].name, found[0].is_weekend, found[5].is_weekend) == ("Mon 05 Jan", False, True)
