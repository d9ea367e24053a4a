"""Operations on a database where alerts fire, on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from chainwatch.config import read_dict
from chainwatch.operations.context import Access, Context
from chainwatch.plan import make_plan
from chainwatch.store.database import Database

T0 = 1_767_607_200.0  # 2026-01-05 10:00 UTC, a Monday


def config(url: str) -> dict[str, Any]:
    return {
        "store": {"url": url},
        "receivers": {"ops": {"provider": "console"}, "phone": {"provider": "console"}},
        "people": {"anna": {"receivers": ["phone"]}, "ben": {"receivers": ["phone"]}},
        "intervals": {"office": {"times": ["09:00-17:00"], "weekdays": ["monday-friday"]}},
        "oncall": {
            "primary": {"layers": [{"people": ["anna", "ben"], "start": "2026-01-05"}]},
            "office": {"layers": [{"people": ["ben"], "during": ["office"]}]},
        },
        "escalations": {"wake": {"steps": [{"wait": "5m", "notify": ["oncall:primary"]}]}},
        "cooldowns": [{"match": {"alertname": "Noise"}, "within": "1h"}],
        "routes": [
            {
                "match": {"severity": ["P0", "P1"]},
                "receivers": ["ops"],
                "group_wait": "0s",
                "escalation": "wake",
            },
            {"match": {"severity": "P2"}, "receivers": ["ops"], "group_wait": "30s"},
        ],
    }


class Clock:
    """The present time, which a test moves."""

    def __init__(self) -> None:
        self.now = T0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def access(database_url: str, clock: Clock) -> Iterator[Access]:
    with closing(Database.open(database_url, durable=False)) as database:
        with database.reading() as connection:
            context = Context.of(make_plan(read_dict(config(database_url), watches=False)), connection)
        yield Access(database, context, clock)
