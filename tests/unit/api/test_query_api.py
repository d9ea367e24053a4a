"""The query API: Grafana's requests, limits, hostile clients, whose turn it is, and who may ask."""

import asyncio
import gc
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from chainwatch.api.prometheus import operations, routes, turning
from chainwatch.api.prometheus.client_turns import AT_ONCE, WAITING_MAX, ClientTurns, TooMany
from chainwatch.operations import access
from chainwatch.promql import queries
from chainwatch.promql.series import Labels, Metadata
from tests.support.effort import effort_within
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE, eventually
from tests.unit.api.conftest import Served, Serving

NOW = int(time.time()) // 60 * 60


def fill(served: Served, instances: int = 3) -> None:
    """Ten minutes of a counter, every ten seconds."""
    times = [(NOW - 600 + 10 * index) * 1000 for index in range(60)]
    served.samples.append(
        [
            (
                Labels({"__name__": "sent_total", "instance": f"i{number}", "job": "chainwatch"}),
                times,
                [float(index) for index in range(60)],
            )
            for number in range(instances)
        ],
        NOW * 1000,
    )
    served.samples.set_metadata("sent_total", Metadata("counter", "What was sent", ""))


async def ask(served: Served, path: str, **given: Any) -> Any:
    status, body = await served.get(f"/api/v1/{path}", params=given)
    assert status == 200, body
    assert body["status"] == "success"
    return body["data"]


async def test_grafanas_requests(serving: Serving) -> None:
    """What the data source sends when it is saved, when a panel is edited and when a board is shown."""
    async with serving() as served:
        fill(served)
        health = await ask(served, "query", query="1+1", time=str(NOW))
        assert health == {"resultType": "scalar", "result": [NOW, "2"]}
        assert (await ask(served, "status/buildinfo"))["version"].startswith("3.")
        bounds = {"start": str(NOW - 600), "end": str(NOW)}
        assert await ask(served, "label/__name__/values", **bounds) == ["sent_total"]
        assert await ask(served, "labels", **{"match[]": "sent_total"}, **bounds) == [
            "__name__",
            "instance",
            "job",
        ]
        chosen = {"match[]": 'sent_total{instance!="i0"}', **bounds}
        assert await ask(served, "label/instance/values", **chosen) == ["i1", "i2"]
        assert len(await ask(served, "series", **chosen)) == 2
        assert await ask(served, "metadata") == {
            "sent_total": [{"type": "counter", "unit": "", "help": "What was sent"}]
        }
        form = {"query": "sum(rate(sent_total[1m0s]))", "step": "15", **bounds}
        status, body = await served.ask("POST", "/api/v1/query_range", data=form)
        assert status == 200
        (series,) = body["data"]["result"]
        assert series["metric"] == {}
        assert float(series["values"][-1][1]) == pytest.approx(0.3)
        assert [at for at, _ in series["values"]] == [*range(NOW - 585, NOW + 1, 15)]
        assert await ask(served, "query_exemplars", query="sent_total", **bounds) == []


async def test_limit_truncates_with_a_warning(serving: Serving) -> None:
    async with serving() as served:
        fill(served)
        bounds = {"start": str(NOW - 600), "end": str(NOW), "limit": "2"}
        for path, given in (
            ("query", {"query": "sent_total", "time": str(NOW), "limit": "2"}),
            ("query_range", {"query": "sent_total", "step": "60", **bounds}),
            ("series", {"match[]": "sent_total", **bounds}),
            ("labels", bounds),
            ("label/instance/values", bounds),
        ):
            _, body = await served.get(f"/api/v1/{path}", params=given)
            data = body["data"]
            assert len(data["result"] if isinstance(data, dict) else data) == 2, path
            assert body["warnings"] == ["results truncated due to limit"]
        _, body = await served.get("/api/v1/series", params={"match[]": "sent_total", "limit": "3"})
        assert "warnings" not in body


async def test_look_back_and_statistics(serving: Serving) -> None:
    async with serving() as served:
        fill(served)
        late = str(NOW + 400)
        assert (await ask(served, "query", query="sent_total", time=late))["result"] == []
        longer = {"lookback_delta": "10m", "stats": "all"}
        data = await ask(served, "query", query="sent_total", time=late, **longer)
        assert len(data["result"]) == 3
        assert data["stats"]["samples"]["totalQueryableSamples"] > 0
        assert data["stats"]["timings"]["evalTotalTime"] >= 0


@pytest.mark.parametrize(
    ("path", "given", "status", "kind"),
    [
        ("query", {"query": "(" * 20_000}, 400, "bad_data"),
        ("query", {"query": "x" * 70_000}, 400, "bad_data"),
        ("query", {"query": 'x{a=~"' + "(a{1,900}){1,900}" + '"}'}, 400, "bad_data"),
        ("query", {"query": "x", "time": "1e300"}, 400, "bad_data"),
        ("query", {"query": "x", "time": "9" * 400}, 400, "bad_data"),
        ("query", {"query": "x", "lookback_delta": "x" * 100}, 400, "bad_data"),
        ("query", {"query": "x", "limit": "-1"}, 400, "bad_data"),
        ("query", {"query": "x", "limit": "9" * 5_000}, 400, "bad_data"),
        ("query_range", {"query": "x", "start": "0", "end": "1e9", "step": "1"}, 400, "bad_data"),
        ("query_range", {"query": "x", "start": "0", "end": "1", "step": "0.0001"}, 400, "bad_data"),
        ("series", {}, 400, "bad_data"),
        ("series", {"match[]": "rate(x[5m])"}, 400, "bad_data"),
        ("series", {"match[]": "x offset step()"}, 400, "bad_data"),
        ("series", {"match[]": "x smoothed"}, 400, "bad_data"),
        ("query", {"query": "rate(x[step()])"}, 400, "bad_data"),
        ("query_range", {"query": "x[1m-step()]", "start": "0", "end": "600", "step": "60"}, 400, "bad_data"),
        ("query", {"query": "vector(0)[365d:1s]"}, 422, "execution"),
        ("query", {"query": "sent_total[0s]"}, 400, "bad_data"),
    ],
)
async def test_hostile_requests_are_refused(
    serving: Serving, path: str, given: dict[str, str], status: int, kind: str
) -> None:
    async with serving() as served:
        fill(served)
        with effort_within(2):
            got, body = await served.ask("POST", f"/api/v1/{path}", data=given)
        assert (got, body["status"], body["errorType"]) == (status, "error", kind), body
        assert body["error"]


class Hanging:
    """Range queries that hang before they are evaluated."""

    def __init__(self) -> None:
        self._has_begun, self._may_go_on = threading.Event(), threading.Event()

    def evaluate(self, *args: Any, **options: Any) -> queries.Matrix:
        self._has_begun.set()
        self._may_go_on.wait()
        return queries.evaluate_range_with(*args, **options)

    @asynccontextmanager
    async def once_it_hangs(self) -> AsyncIterator[None]:
        """What is done while a query hangs, which then goes on."""
        try:
            await eventually(self._has_begun.is_set)
            yield
        finally:
            self._may_go_on.set()


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Hanging:
    hanging = Hanging()
    monkeypatch.setattr(operations, "evaluate_range_with", hanging.evaluate)
    return hanging


@pytest.mark.slow
async def test_a_query_ends_by_its_time_and_the_server_answers_meanwhile(
    serving: Serving, hanging: Hanging
) -> None:
    async with serving() as served:
        fill(served, 300)
        slow = {"query": "sum(mad_over_time(sum by (instance) (sent_total)[10m:1s]))", "timeout": "2s"}
        bounds = {"start": str(NOW - 600), "end": str(NOW), "step": "1"}
        asked = asyncio.ensure_future(served.ask("POST", "/api/v1/query_range", data={**slow, **bounds}))
        async with hanging.once_it_hangs():
            assert (await served.get("/-/healthy"))[0] == 200
        status, body = await asked
        assert (status, body["errorType"]) == (503, "timeout")
        assert body["error"] == "query timed out in expression evaluation"


@pytest.fixture
def no_collections() -> Iterator[None]:
    """No garbage is collected: that takes long, in whichever thread it happens to be."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collections")
async def test_the_server_answers_while_long_selectors_are_read(serving: Serving) -> None:
    selector = "{" + ",".join(f'a{number}!="x"' for number in range(4000)) + ',a="b"}'
    async with serving() as served:
        asked = asyncio.ensure_future(served.ask("POST", "/api/v1/series", data=[("match[]", selector)] * 5))
        began = time.process_time()
        slowest = 0.0
        while not asked.done():
            before = time.thread_time()  # of the event loop's thread alone, however busy the machine is
            await asyncio.sleep(0.001)
            slowest = max(slowest, time.thread_time() - before)
        assert await asked == (200, {"status": "success", "data": []})
        assert slowest < (time.process_time() - began) / 3


async def test_a_long_query_sees_no_later_push_and_holds_none_up(serving: Serving, hanging: Hanging) -> None:
    async with serving() as served:
        fill(served, 300)
        query = {"query": "sum(sent_total)", "start": str(NOW - 20), "end": str(NOW), "step": "1"}
        asked = asyncio.ensure_future(served.ask("POST", "/api/v1/query_range", data=query))
        async with hanging.once_it_hangs():
            later = Labels({"__name__": "sent_total", "instance": "i0", "job": "chainwatch"})
            pushed = asyncio.to_thread(served.samples.append, [(later, [NOW * 1000 - 1], [1e9])], NOW * 1000)
            await asyncio.wait_for(pushed, PATIENCE)
        status, body = await asked
        assert status == 200
        assert all(float(value) < 1e6 for _, value in body["data"]["result"][0]["values"])


async def test_many_points_are_refused(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chainwatch.api.prometheus.operations.POINTS_MAX", 100)
    async with serving() as served:
        fill(served)
        given = {"query": "sent_total", "start": str(NOW - 600), "end": str(NOW), "step": "10"}
        status, body = await served.get("/api/v1/query_range", params=given)
        assert (status, body["errorType"]) == (422, "execution")
        assert "100 samples" in body["error"]


async def test_a_subquery_holds_no_more_than_memory_has(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chainwatch.promql.subqueries._HELD_MAX", 100)
    monkeypatch.setattr("chainwatch.promql.ranges.ELEMENTS_MAX", 0)
    async with serving() as served:
        fill(served)
        status, body = await served.get(
            "/api/v1/query", params={"query": "sum_over_time(sent_total[5m:1s])", "time": str(NOW)}
        )
        assert (status, body["errorType"]) == (422, "execution")
        assert "a subquery has more than 100 samples" in body["error"]


async def test_a_subquery_without_a_step_has_the_interval_of_rules(serving: Serving) -> None:
    query = {"query": "count_over_time(vector(1)[10m:])", "time": str(NOW)}
    for interval, count in (("1m", "10"), ("30s", "20")):
        async with serving({"evaluation": {"interval": interval}}) as served:
            assert (await ask(served, "query", **query))["result"][0]["value"] == [NOW, count]


async def test_a_viewer_may_query_by_post_and_nobody_without_a_token(serving: Serving) -> None:
    async with serving() as served:
        with served.running.database.transaction() as connection:
            made = access.add_token(connection, None, time.time(), "board", "viewer", "me")  # type: ignore[arg-type]
        status, body = await served.ask("POST", "/api/v1/query", data={"query": "1"})
        assert (status, body["status"], body["errorType"]) == (401, "error", "bad_data")
        bearer = {"Authorization": f"Bearer {made.token}"}
        status, _ = await served.ask("POST", "/api/v1/query", data={"query": "1"}, headers=bearer)
        assert status == 200
        status, _ = await served.ask("POST", "/v1/silences", json={}, headers=bearer)
        assert status == 403


async def test_problems_have_the_shape_of_prometheus(serving: Serving) -> None:
    async with serving() as served:
        status, body = await served.ask("DELETE", "/api/v1/query")
        assert (status, body["status"]) == (405, "error")
        status, body = await served.ask("POST", "/api/v1/query", data={"query": "1" * 2_000_000})
        assert (status, body["status"], body["errorType"]) == (413, "error", "bad_data")


async def test_an_escaped_label(serving: Serving) -> None:
    async with serving() as served:
        served.samples.append(
            [(Labels({"__name__": "x", "my.label_": "v"}), [NOW * 1000], [1.0])], NOW * 1000
        )
        assert await ask(served, "label/U__my_2e_label__/values") == ["v"]
        assert await ask(served, "label/my.label_/values") == ["v"]


async def test_each_client_gets_its_turn() -> None:
    """One that asks much waits for itself; others do not wait for it."""
    turns, begun, most = ClientTurns(asyncio.Event()), list[tuple[str, threading.Event]](), 0

    def work(client: str) -> None:
        may_end = threading.Event()
        begun.append((client, may_end))
        may_end.wait(PATIENCE)

    async def ask(client: str) -> None:
        await turns.wait(client)
        await turns.run(client, lambda: work(client))

    greedy = [asyncio.ensure_future(ask("greedy")) for _ in range(20)]
    await asyncio.sleep(0)
    others = [asyncio.ensure_future(ask("other")) for _ in range(3)]
    for ended in range(23):
        await eventually(lambda ended=ended: len(begun) > ended)  # type: ignore[misc]
        most = max(most, len(begun) - ended)
        begun[ended][1].set()
    await asyncio.gather(*greedy, *others)
    order = [client for client, _ in begun]
    assert order[:8].count("other") == 3
    assert most <= AT_ONCE
    turns.close()


async def test_who_gives_up_leaves_the_queue() -> None:
    turns = ClientTurns(asyncio.Event())
    await turns.wait("a")
    waiting = [asyncio.ensure_future(turns.wait("a")) for _ in range(WAITING_MAX)]
    await asyncio.sleep(0)
    with pytest.raises(TooMany):
        await turns.wait("a")
    for one in waiting[:-1]:
        one.cancel()
    await asyncio.sleep(0)
    assert await turns.run("a", lambda: 1) == 1
    await asyncio.wait_for(waiting[-1], PATIENCE)
    turns.close()


def test_the_version_is_one_that_grafana_takes_for_recent() -> None:
    assert tuple(map(int, routes.VERSION.split("."))) >= (2, 24, 0)


async def test_a_query_is_laid_out(serving: Serving) -> None:
    async with serving() as served:
        assert await ask(served, "format_query", query="sum(a)by(b)/c") == "sum by (b) (a) / c"
        form = {"data": {"query": "a+b"}}
        assert (await served.ask("POST", "/api/v1/format_query", **form))[1]["data"] == "a + b"
        status, body = await served.get("/api/v1/format_query", params={"query": "a +"})
        assert (status, body["errorType"]) == (400, "bad_data")


async def test_targets_are_listed_as_prometheus_lists_its_own(serving: Serving) -> None:
    dead = f"127.0.0.1:{free_port()}"
    scrape = [
        {"job": "dead", "targets": [dead], "interval": "100ms", "timeout": "50ms"},
        {"job": "later", "targets": ["127.0.0.1:9"], "interval": "90s", "scheme": "https"},
    ]
    async with serving({"scrape": scrape}) as served:
        served.rules.loaded.set()
        tasks = served.rules.companions(served.running)
        running = asyncio.ensure_future(tasks["scrape dead"]())

        async def of(job: str) -> Any:
            (found,) = (await ask(served, "targets", scrapePool=job, state="active"))["activeTargets"]
            return found

        try:
            later = await of("later")
            assert (later["health"], later["lastScrape"]) == ("unknown", "0001-01-01T00:00:00Z")
            assert (later["scrapeInterval"], later["scrapeTimeout"]) == ("1m30s", "10s")
            assert later["scrapeUrl"] == "https://127.0.0.1:9/metrics"
            assert later["discoveredLabels"]["__address__"] == "127.0.0.1:9"
            async with asyncio.timeout(PATIENCE):
                while (await of("dead"))["health"] == "unknown":
                    await asyncio.sleep(0.05)
            failed = await of("dead")
            assert (failed["health"], failed["labels"]) == ("down", {"instance": dead, "job": "dead"})
            assert failed["lastError"]
            assert failed["lastScrape"].startswith("20")
            both = await ask(served, "targets")
            assert [one["scrapePool"] for one in both["activeTargets"]] == ["dead", "later"]
            assert both["droppedTargets"] == []
            assert (await ask(served, "targets", state="dropped"))["activeTargets"] == []
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def test_a_query_waits_until_the_samples_from_before_the_start_are_there(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(loads=True) as served:
        waiting = asyncio.ensure_future(served.get("/api/v1/query?query=1"))
        done, _ = await asyncio.wait([waiting], timeout=0.2)
        assert not done
        served.rules.loaded.set()
        assert (await waiting)[0] == 200
        served.rules.loaded.clear()
        monkeypatch.setattr(turning, "LOADED_WITHIN", 0.01)
        for path in ("query?query=up", "series?match[]=up", "label/job/values", "alerts"):
            status, said = await served.get(f"/api/v1/{path}")
            assert (status, said["errorType"]) == (503, "unavailable")
