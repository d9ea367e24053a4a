"""The screen for queries: a table without scripts, what cannot be evaluated said as it is, and nobody's markup."""

import time

import pytest

from chainwatch.promql.series import Labels
from tests.unit.api.conftest import Served, Serving, serving_on

NOW = int(time.time())


@pytest.fixture
def serving(sqlite_url: str) -> Serving:
    return serving_on(sqlite_url)


def fill(served: Served) -> None:
    times = [(NOW - 600 + 15 * index) * 1000 for index in range(40)]
    served.samples.append(
        [
            (Labels({"__name__": "depth", "queue": queue}), times, [float(index) for index in range(40)])
            for queue in ("a", "<b>&amp;")
        ],
        NOW * 1000,
    )


async def page(served: Served, **query: str) -> str:
    status, text = await served.get("/ui/query", params=query)
    assert status == 200
    return str(text)


async def test_a_query_is_shown_as_table_and_graph(serving: Serving) -> None:
    async with serving() as served:
        fill(served)
        assert 'href="/ui/query" aria-current="page"' in await page(served)
        text = await page(served, query='depth{queue="a"} * 2', range="15m", at=str(NOW))
        assert '<td class="number">78</td>' in text
        assert "data-query-chart" in text
        assert text.count("<tr data-at=") > 20
        assert "&lt;b&gt;&amp;amp;" in await page(served, query="depth", at=str(NOW))
        assert "<b>" not in await page(served, query="depth", at=str(NOW))


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("sum(", "1:5: parse error"),
        ("<script>alert(1)</script>", "parse error"),
        ("depth + on (x) depth", "many-to-many"),
        ("nothing", "The result is empty"),
        ('"text"', '<td class="number">text</td>'),
        ("1 / 0", "+Inf"),
        ("depth[1m]", "samples, the last"),
        ("max_over_time(depth[2 * step()])", '<td class="number">39</td>'),
        ("depth[step() - range()]", "duration must be greater than 0"),
    ],
)
async def test_every_query_has_its_answer(serving: Serving, query: str, said: str) -> None:
    async with serving() as served:
        fill(served)
        text = await page(served, query=query, at=str(NOW))
        assert said in text
        assert "<script>alert" not in text


async def test_a_time_may_be_given(serving: Serving) -> None:
    async with serving() as served:
        fill(served)
        assert "Then" in await page(served, query="depth", at=str(NOW - 300))
        assert "cannot parse" in await page(served, query="depth", at="yesterday")
        assert "empty" in await page(served, query="depth", at="2001-01-01T00:00:00Z")
