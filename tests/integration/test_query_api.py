"""The query API beside a real Prometheus over the same samples: the same answers to the same requests, errors too."""

import asyncio
import json
import math
import random
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from chainwatch.promql.series import Labels
from tests.support.prometheus import Samples, prometheus_over
from tests.unit.api.conftest import Served, serving_on

START = 1_700_000_000_000
STEP = 15_000
COUNT = 240
AT = "1700003000.5"
"""No sample is exactly at the edge of a range: Prometheus 3 takes ranges as open on the left, this one is older."""
GRID = {"start": "1700001007.5", "end": "1700003000.5", "step": "37"}


def make_samples() -> Samples:
    """An hour of counters, gauges, a histogram and odd values."""
    chance = random.Random(1)
    times = [START + index * STEP for index in range(COUNT)]
    made: Samples = []
    for instance in ("a:9100", "b:9100", "c"):
        for code in ("200", "404", "500"):
            total, values = 0.0, []
            for _ in times:
                total = 0.0 if chance.random() < 0.01 else total + chance.randrange(50)
                values.append(total)
            labels = {"__name__": "requests_total", "instance": instance, "code": code, "job": "web"}
            made.append((Labels(labels), times, values))
        gauge = [50 + 40 * math.sin(index / 20) + chance.random() for index in range(COUNT)]
        made.append((Labels({"__name__": "temperature", "instance": instance}), times, gauge))
    for bound in ("0.1", "0.5", "1", "+Inf"):
        labels = {"__name__": "latency_bucket", "le": bound}
        share = {"0.1": 2, "0.5": 5, "1": 8, "+Inf": 10}[bound]
        made.append((Labels(labels), times, [float(share * index) for index in range(COUNT)]))
    odd = [math.nan, math.inf, -math.inf, 1e300, 1e-9, 1.5e21, 123456789.125, -0.0]
    for index, value in enumerate(odd):
        made.append((Labels({"__name__": "odd", "n": str(index)}), times, [value] * COUNT))
    made.append((Labels({"__name__": "ended", "text": 'a "quoted" <b>\\ text'}), times[:20], [1.0] * 20))
    return made


QUERIES = (
    "1+1",
    "1.5e-7 * 3",
    '"a <text>"',
    "time()",
    "requests_total",
    'requests_total{code=~"4..|5.."}',
    "temperature",
    "odd",
    "-odd",
    "ended",
    "ended @ 1700000200.5",
    "rate(requests_total[5m])",
    "increase(requests_total[11m])",
    "irate(requests_total[5m])",
    "delta(temperature[5m])",
    "deriv(temperature[10m])",
    "predict_linear(temperature[10m], 3600)",
    "avg_over_time(temperature[7m])",
    "max_over_time(temperature[7m])",
    "stddev_over_time(temperature[7m])",
    "quantile_over_time(0.9, temperature[7m])",
    "count_over_time(odd[5m])",
    "changes(requests_total[5m])",
    "resets(requests_total[30m])",
    "sum(rate(requests_total[5m]))",
    "sum by (code) (rate(requests_total[5m]))",
    "avg without (code) (requests_total)",
    "count by (instance) (requests_total)",
    "min by (job) (requests_total)",
    "max by (job) (requests_total)",
    "stddev(temperature)",
    "quantile(0.3, temperature)",
    "topk(2, requests_total)",
    'count_values("v", odd)',
    "group by (job) (requests_total)",
    "sort_desc(requests_total)",
    "histogram_quantile(0.9, rate(latency_bucket[5m]))",
    'sum by (instance) (rate(requests_total{code="500"}[5m])) / sum by (instance) (rate(requests_total[5m])) * 100',
    "temperature > 50",
    "temperature > bool 50",
    "temperature * on (instance) group_right sum by (instance, code) (requests_total)",
    'requests_total and on (instance) temperature{instance="c"}',
    'requests_total unless on (instance) temperature{instance="c"}',
    'temperature{instance="c"} or requests_total{code="404"}',
    "absent(nothing)",
    'absent(nothing{a="b"})',
    "absent(temperature)",
    "scalar(temperature)",
    'scalar(temperature{instance="c"})',
    "vector(3)",
    "abs(-temperature)",
    "ceil(temperature)",
    "round(temperature, 0.1)",
    "clamp_max(temperature, 50)",
    "exp(temperature)",
    "ln(temperature - 50)",
    'label_replace(temperature, "host", "$1", "instance", "(.*):.*")',
    'label_join(temperature, "all", "-", "instance", "instance")',
    "timestamp(temperature)",
    "hour()",
    "day_of_week(vector(time()))",
    "temperature offset 5m",
    "temperature @ 1700001000.5",
    "temperature @ end()",
    "max_over_time(rate(requests_total[5m])[10m:1m])",
    "avg_over_time(sum(temperature)[10m:37s])",
    "sum(requests_total) + 3 ^ 2 % 5",
    "nothing",
    "sum(nothing)",
)
INSTANT_ONLY = ("temperature[2m]", "ended[1h]", "requests_total[1m:20s]")
BAD_QUERIES = (
    "",
    "sum(",
    "foo{",
    "rate(requests_total)",
    "temperature + ",
    "sum(temperature[5m])",
    'temperature{instance=~"("}',
    "requests_total / on (instance) temperature",
    "temperature + on (job) temperature",
    'label_replace(temperature, "a", "b", "c", "(")',
    "unknown_function(temperature)",
)
REQUESTS: tuple[tuple[str, dict[str, Any]], ...] = (
    *(("query", {"query": query, "time": AT}) for query in (*QUERIES, *INSTANT_ONLY)),
    *(("query_range", {"query": query, **GRID}) for query in QUERIES if query != '"a <text>"'),
    ("query", {"query": "temperature", "time": "2023-11-14T23:03:20.5Z"}),
    ("query", {"query": "temperature", "time": "2023-11-15T00:03:20.123456789+01:00"}),
    ("query", {"query": "temperature", "time": "1700003000.5", "timeout": "5s"}),
    ("query_range", {"query": "temperature", "start": "1700000000", "end": "1700000000", "step": "1"}),
    ("query_range", {"query": "temperature", "start": "1700000607", "end": "1700001000", "step": "1m"}),
    ("series", {"match[]": "temperature"}),
    ("series", {"match[]": ["temperature", 'requests_total{code="200"}']}),
    ("series", {"match[]": '{__name__=~"req.*",instance="c"}'}),
    ("series", {"match[]": "nothing"}),
    ("labels", {}),
    ("labels", {"match[]": "temperature"}),
    ("labels", {"match[]": ["temperature", "odd"]}),
    ("label/__name__/values", {}),
    ("label/instance/values", {}),
    ("label/instance/values", {"match[]": 'requests_total{code="404"}'}),
    ("label/nothing/values", {}),
    ("query_exemplars", {"query": "temperature", "start": "1700000000", "end": "1700000100"}),
)
ERRORS: tuple[tuple[str, dict[str, Any]], ...] = (
    *(("query", {"query": query, "time": AT}) for query in BAD_QUERIES),
    ("query", {"query": "temperature", "time": "yesterday"}),
    ("query", {"query": "temperature", "timeout": "soon"}),
    ("query_range", {"query": "temperature", **GRID, "step": "0"}),
    ("query_range", {"query": "temperature", **GRID, "step": "-1"}),
    ("query_range", {"query": "temperature", **GRID, "step": "x"}),
    ("query_range", {"query": "temperature", **GRID, "step": "1e20"}),
    ("query_range", {"query": "temperature", **GRID, "end": "1700000000"}),
    ("query_range", {"query": "temperature", "end": "1700000000", "step": "1"}),
    ("query_range", {"query": "temperature", "start": "0", "end": "1700000000", "step": "1"}),
    ("query_range", {"query": "temperature[5m]", **GRID}),
    ("query_range", {"query": '"text"', **GRID}),
    ("series", {}),
    ("series", {"match[]": "{"}),
    ("series", {"match[]": "{}"}),
    ("series", {"match[]": "temperature", "start": "x"}),
    ("labels", {"end": "x"}),
    ("query_exemplars", {"query": "temperature", "start": "5", "end": "1"}),
    ("metadata", {"limit": "x"}),
)
SAID_OTHERWISE = {
    "sum(",
    "foo{",
    "{",
    "{}",
    'temperature{instance=~"("}',  # how RE2 says it differs from how Go says it
    'label_replace(temperature, "a", "b", "c", "(")',
    "temperature + on (job) temperature",  # in which order the duplicates are named
    "rate(requests_total)",  # quotes
    "unknown_function(temperature)",
    "temperature[5m]",  # since Prometheus 3 the parameter is named
    '"text"',
}


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with prometheus_over(tmp_path_factory.mktemp("prometheus"), make_samples()) as url:
        yield url


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving_on(f"sqlite:///{tmp_path}/chainwatch.db")() as served:
        samples = make_samples()
        appended = served.samples.append(samples, samples[0][1][-1])
        assert not appended.refused
        yield served


def ask(url: str, path: str, given: dict[str, Any]) -> tuple[int, Any]:
    """The status and the JSON of Prometheus' answer."""
    try:
        with urllib.request.urlopen(
            f"{url}/api/v1/{path}?{urllib.parse.urlencode(given, doseq=True)}"
        ) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


async def test_answers_are_those_of_prometheus(served: Served, prometheus: str) -> None:
    differences = []
    for path, given in REQUESTS:
        expected = ask(prometheus, path, given)
        for method in ("GET", "POST") if not path.startswith("label/") else ("GET",):
            form = urllib.parse.urlencode(given, doseq=True)
            query, body = (f"?{form}", None) if method == "GET" else ("", form)
            headers = {} if body is None else {"Content-Type": "application/x-www-form-urlencoded"}
            got = await served.ask(method, f"/api/v1/{path}{query}", data=body, headers=headers)
            ours, theirs = comparable(got, given), comparable(expected, given)
            if ours != theirs:
                differences.append((path, given, ours, theirs))
    assert not differences


async def test_errors_are_those_of_prometheus(served: Served, prometheus: str) -> None:
    differences = []
    for path, given in ERRORS:
        status, expected = ask(prometheus, path, given)
        got = await served.get(f"/api/v1/{path}?{urllib.parse.urlencode(given, doseq=True)}")
        reason = str(got[1].pop("error")), str(expected.pop("error"))
        said_otherwise = {given.get("query"), given.get("match[]")} & SAID_OTHERWISE
        if got != (status, expected) or (reason[0].lower() != reason[1].lower() and not said_otherwise):
            differences.append((path, given, got, status, expected, reason))
    assert not differences


async def test_promtool_gets_the_same_from_both(served: Served, prometheus: str) -> None:
    """Its client asks by POST, and reads every answer strictly."""
    times = ["--start=1700001007", "--end=1700003000"]
    for command in (
        ["query", "instant", "--time=1700003000.5", "URL", "sum by (code) (requests_total)"],
        ["query", "range", *times, "--step=60s", "URL", "requests_total{instance='c'}"],
        ["query", "series", *times, "--match=temperature", "URL"],
        ["query", "labels", *times, "URL", "instance"],
        ["query", "instant", "URL", "sum("],
    ):
        ours, theirs = [await promtool(command, url) for url in (served.url, prometheus)]
        assert ours[0] == theirs[0], (command, ours, theirs)
        assert sorted(ours[1].splitlines()) == sorted(theirs[1].splitlines()), command


async def promtool(command: list[str], url: str) -> tuple[int | None, str]:
    """The exit code, and what is printed."""
    arguments = [url if one == "URL" else one for one in command]
    process = await asyncio.create_subprocess_exec(
        "promtool", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    printed, _ = await process.communicate()
    return process.returncode, printed.decode()


def comparable(answered: tuple[int, Any], given: dict[str, Any]) -> Any:
    """An answer with numbers rounded to what differs by the order of additions, and series in one order."""
    status, body = answered
    data = body.get("data")
    if isinstance(data, dict) and isinstance(data.get("result"), list):
        result = data["result"]
        if data["resultType"] in ("vector", "matrix"):
            rows = [_rounded(row) for row in result]
            ordered = data["resultType"] == "vector" and str(given["query"]).startswith(("sort", "topk"))
            data = rows if ordered else sorted(rows, key=lambda row: sorted(row["metric"].items()))
        elif data["resultType"] == "scalar":
            data = _point(result)
    elif isinstance(data, list):
        data = sorted(data, key=json.dumps)
    return status, body["status"], body.get("errorType"), data


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    if "value" in row:
        return {"metric": row["metric"], "value": _point(row["value"])}
    return {"metric": row["metric"], "values": [_point(point) for point in row["values"]]}


def _point(point: list[Any]) -> tuple[Any, Any]:
    at, text = point
    return at, f"{float(text):.9e}"
