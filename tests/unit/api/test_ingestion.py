"""Samples that other programs send: what is taken, what each mistake is answered with, and that nothing else is harmed."""

from __future__ import annotations

import asyncio
import gzip
import json
import math
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client import (
    CollectorRegistry,
    Gauge,
    delete_from_gateway,
    push_to_gateway,
    pushadd_to_gateway,
)

from chainwatch.api import bodies
from chainwatch.api.identity import role_needed
from chainwatch.ingestion.remote_write import NATIVE_HISTOGRAMS, V2
from chainwatch.promql.series import is_stale
from chainwatch.support.counters import SAMPLES, SAMPLES_REFUSED
from tests.support.remote_write import field, label, request_v1, request_v2, series_v1, varint
from tests.support.waiting import eventually
from tests.unit.api.conftest import Served, Serving

WRITE = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}
WRITE_2 = {**WRITE, "Content-Type": f"application/x-protobuf;proto={V2}"}


@asynccontextmanager
async def taking(serving: Serving, **api: Any) -> AsyncIterator[Served]:
    async with serving(**api) as served:
        storing = asyncio.ensure_future(served.rules.persistence.run(served.running.database))
        try:
            yield served
        finally:
            storing.cancel()
            await asyncio.gather(storing, return_exceptions=True)


def now() -> int:
    return math.floor(time.time() * 1000)


def stored(served: Served) -> dict[str, float]:
    """The newest value of each series, by its labels, those apart that have ended."""
    found = {repr(one.labels): one.values[-1] for one in served.rules.tsdb.select(())}
    return {name: value for name, value in found.items() if not is_stale(value) and "push_" not in name}


async def test_a_push_adds_and_replaces_metrics_by_name_until_the_group_is_deleted(serving: Serving) -> None:
    async with taking(serving) as served:
        path = "/metrics/job/backup/instance/a"
        assert await served.ask("PUT", path, data=b'a{x="1"} 1\na{x="2"} 2\nb 3\n') == (200, "")
        assert stored(served) == {
            'a{instance="a", job="backup", x="1"}': 1,
            'a{instance="a", job="backup", x="2"}': 2,
            'b{instance="a", job="backup"}': 3,
        }
        assert (await served.ask("POST", path, data=b'a{x="3"} 4\n'))[0] == 200
        assert stored(served) == {
            'a{instance="a", job="backup", x="3"}': 4,
            'b{instance="a", job="backup"}': 3,
        }
        assert (await served.ask("PUT", path, data=b"c 5\n"))[0] == 200
        assert stored(served) == {'c{instance="a", job="backup"}': 5}
        assert (await served.ask("PUT", "/metrics/job/backup", data=b"c 6\n"))[0] == 200
        assert (await served.ask("DELETE", path))[0] == 202
        assert stored(served) == {'c{job="backup"}': 6}
        assert (await served.ask("DELETE", path))[0] == 202


async def test_the_labels_of_the_group_replace_those_of_the_metric_and_its_times_are_metrics(
    serving: Serving,
) -> None:
    async with taking(serving) as served:
        began = time.time()
        assert (await served.ask("POST", "/metrics/job@base64/YS9i/x@base64/=", data=b'a{job="other"} 1'))[
            0
        ] == 200
        assert stored(served) == {'a{job="a/b"}': 1}
        pushed = {repr(one.labels): one.values[-1] for one in served.rules.tsdb.select(())}
        assert pushed['push_time_seconds{job="a/b"}'] >= began
        assert pushed['push_failure_time_seconds{job="a/b"}'] == 0


REFUSED_PUSHES = (
    ("/metrics/job/", b"a 1", "names no job"),
    ("/metrics/job/a/b", b"a 1", "a label without a value"),
    ("/metrics/job/a/b-c/d", b"a 1", '"b-c" is no label name'),
    ("/metrics/job/a/x/1/x/2", b"a 1", 'the label "x" is twice'),
    ("/metrics/job/a/__x/1", b"a 1", "is reserved"),
    ("/metrics/job@base64/%C3%A9", b"a 1", "is no base64"),
    ("/metrics/job/a", b"a 1 1700000000000", "pushed metrics have no time"),
    ("/metrics/job/a", b'a{job="x"} 1\na{job="y"} 1', "given twice"),
    ("/metrics/job/a", b"push_time_seconds 1", "chainwatch makes this metric itself"),
    ("/metrics/job/a", b"a\xff 1", "line 1: byte 1 is no UTF-8"),
    ("/metrics/job/a", b"9a 1", "line 1: no metric name"),
)


async def test_a_push_that_cannot_be_taken_is_refused_and_changes_nothing(serving: Serving) -> None:
    async with taking(serving) as served:
        await served.ask("POST", "/metrics/job/a", data=b"a 7")
        for path, body, reason in REFUSED_PUSHES:
            status, answer = await served.ask("POST", path, data=body)
            assert (status, answer["title"]) == (400, "Bad Request")
            assert reason in answer["detail"]
        assert stored(served) == {'a{job="a"}': 7}


async def test_a_protobuf_push_is_taken(serving: Serving) -> None:
    async with taking(serving) as served:
        kind = {
            "Content-Type": "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
        }
        value = b"\x09" + struct.pack("<d", 12.0)
        family = field(1, b"last") + b"\x18\x01" + field(4, field(1, label("x", "1")) + field(2, value))
        body = varint(len(family)) + family
        assert (await served.ask("PUT", "/metrics/job/a", data=body, headers=kind))[0] == 200
        assert stored(served) == {'last{job="a", x="1"}': 12}
        status, answer = await served.ask("PUT", "/metrics/job/a", data=body[:-1], headers=kind)
        assert (status, "cut off" in answer["detail"]) == (400, True)


async def test_prometheus_own_client_pushes(serving: Serving) -> None:
    registry = CollectorRegistry()
    Gauge("last_success", "When it worked", registry=registry).set(12)
    async with taking(serving) as served:
        for push in (push_to_gateway, pushadd_to_gateway):
            await asyncio.to_thread(
                push, served.url, job="a job", registry=registry, grouping_key={"path": "/x"}
            )
        assert stored(served) == {'last_success{job="a job", path="/x"}': 12}
        assert served.rules.tsdb.metadata("last_success")["last_success"].help == "When it worked"
        await asyncio.to_thread(delete_from_gateway, served.url, job="a job", grouping_key={"path": "/x"})
        assert stored(served) == {}


async def test_groups_outlive_the_process(serving: Serving) -> None:
    async with taking(serving) as served:
        await served.ask("PUT", "/metrics/job/a", data=b"# TYPE a counter\na 7\nb NaN")
        await served.ask("PUT", "/metrics/job/b", data=b"c 1")
        await served.ask("DELETE", "/metrics/job/b")
    async with taking(serving) as served:
        repeating = asyncio.ensure_future(served.rules.pushed_groups(served.running).repeat())
        await eventually(lambda: len(stored(served)) >= 2)
        repeating.cancel()
        assert stored(served)['a{job="a"}'] == 7
        assert set(stored(served)) == {'a{job="a"}', 'b{job="a"}'}
        assert served.rules.tsdb.metadata("a")["a"].type == "counter"


async def test_json_is_taken(serving: Serving) -> None:
    async with taking(serving) as served:
        before = SAMPLES["json",]
        body = {"samples": [{"name": "a", "labels": {"x": "1"}, "value": 2}, {"name": "b", "value": "+Inf"}]}
        assert await served.ask("POST", "/samples", json=body) == (200, {"accepted": 2})
        assert stored(served) == {'a{x="1"}': 2, "b": math.inf}
        assert SAMPLES["json",] == before + 2


async def test_some_samples_that_are_refused_harm_no_others(serving: Serving) -> None:
    async with taking(serving) as served:
        before = SAMPLES_REFUSED["json", "in the future"]
        later = now() + 3_600_000_000
        body = {"samples": [{"name": "a", "value": 2}, {"name": "b", "value": 3, "time": later}]}
        status, answer = await served.ask("POST", "/samples", json=body)
        assert (status, answer["accepted"], answer["refused"]) == (400, 1, {"in the future": 1})
        assert "such as of b" in answer["detail"]
        assert stored(served) == {"a": 2}
        assert SAMPLES_REFUSED["json", "in the future"] == before + 1


async def test_json_that_is_wrong_is_refused_whole(serving: Serving) -> None:
    async with taking(serving) as served:
        body = {"samples": [{"name": "a", "value": 2}, {"name": "9", "value": 3}]}
        status, answer = await served.ask("POST", "/samples", json=body)
        assert (status, "samples[1]" in answer["detail"]) == (400, True)
        assert (await served.ask("POST", "/samples", data=json.dumps(body)))[0] == 415
        assert stored(served) == {}


async def test_remote_write_is_taken_in_both_versions(serving: Serving) -> None:
    async with taking(serving) as served:
        at = now()
        labels = {"__name__": "a", "x": "1"}
        async with served.client.post(
            f"{served.url}/api/v1/write",
            data=request_v1([series_v1(labels, [(at, 1.0), (at + 1, 2.0)])]),
            headers=WRITE,
        ) as answer:
            assert (answer.status, await answer.read()) == (204, b"")
        async with served.client.post(
            f"{served.url}/api/v1/write",
            data=request_v2([(labels, [(at + 2, 3.0)], 1)], 1, "help"),
            headers=WRITE_2,
        ) as answer:
            written = {
                name: answer.headers[f"X-Prometheus-Remote-Write-{name}-Written"]
                for name in ("Samples", "Histograms", "Exemplars")
            }
            assert (answer.status, written) == (400, {"Samples": "1", "Histograms": "0", "Exemplars": "0"})
            assert (await answer.json(content_type=None))["refused"] == {NATIVE_HISTOGRAMS: 1}
        (series,) = served.rules.tsdb.select(())
        assert (list(series.times), list(series.values)) == ([at, at + 1, at + 2], [1, 2, 3])
        assert served.rules.tsdb.metadata("a")["a"].help == "help"


async def test_what_a_sender_sends_again_is_taken_for_what_it_is(serving: Serving) -> None:
    async with taking(serving) as served:
        body = request_v1([series_v1({"__name__": "a"}, [(now(), 1.0)])])
        for _ in range(2):
            assert (await served.ask("POST", "/api/v1/write", data=body, headers=WRITE))[0] == 204


REFUSED_WRITES = (
    ({**WRITE, "Content-Type": "application/json"}, b"{}", 415),
    ({**WRITE, "Content-Encoding": "zstd1"}, b"", 415),
    ({**WRITE, "Content-Type": "application/x-protobuf;proto=x"}, b"", 415),
    (WRITE, b"", 400),
    (WRITE, b"no snappy", 400),
    (WRITE, varint(2**31) + b"\0" * 10, 413),
    (WRITE, request_v1([series_v1({"x": "1"}, [(1, 1.0)])]), 400),
    (WRITE, request_v1([series_v1({"__name__": "a"}, [(1, 1.0)])]), 400),
    (WRITE, b"\0" * (bodies.SAMPLES_MAX + 1), 413),
)


async def test_remote_write_that_cannot_be_taken_is_refused(serving: Serving) -> None:
    async with taking(serving) as served:
        for headers, body, status in REFUSED_WRITES:
            found, answer = await served.ask("POST", "/api/v1/write", data=body, headers=headers)
            assert (found, bool(answer["detail"])) == (status, True)
        assert stored(served) == {}
        assert (await served.ask("POST", "/samples", json={"samples": []}))[0] == 200


async def test_compressed_text_is_taken_and_bounded(serving: Serving) -> None:
    async with taking(serving) as served:
        headers = {"Content-Encoding": "gzip"}
        assert (await served.ask("PUT", "/metrics/job/a", data=gzip.compress(b"a 1"), headers=headers))[
            0
        ] == 200
        bomb = gzip.compress(b"#" * (bodies.SAMPLES_MAX + 1))
        assert (await served.ask("PUT", "/metrics/job/a", data=bomb, headers=headers))[0] == 413
        assert stored(served) == {'a{job="a"}': 1}


async def test_large_bodies_are_bounded_together(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies.Bodies.__init__, "__defaults__", (bodies.BODY_MAX + 10,))
    async with taking(serving) as served:
        large = b"#" * (bodies.BODY_MAX + 20)
        assert (await served.ask("PUT", "/metrics/job/a", data=large))[0] == 503
        assert (await served.ask("PUT", "/metrics/job/a", data=large[:-15]))[0] == 200
        assert (await served.ask("PUT", "/metrics/job/a", data=large[:-15]))[0] == 200


def test_samples_need_an_operator() -> None:
    for path in ("/metrics/job/a", "/samples", "/api/v1/write"):
        assert (role_needed("POST", path), role_needed("PUT", path)) == ("operator", "operator")
