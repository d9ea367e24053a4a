"""Rules that are evaluated as in `chainwatch run`, on a database, without networks."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from typing import Any

from chainwatch.alert_model import Alert
from chainwatch.alerting.runtime import AlertingRuntime
from chainwatch.config import read_dict
from chainwatch.monitor.companions import Running
from chainwatch.monitor.heartbeat import Health
from chainwatch.operations import live_alerting
from chainwatch.plan import make_plan
from chainwatch.promql.series import Labels
from chainwatch.rule_engine.engine import RuleEngine
from chainwatch.store.alerting import alerts
from chainwatch.store.database import Database
from chainwatch.support.clock import SteadyClock
from tests.support.waiting import PATIENCE, eventually


class Ruling:
    """One running process: ``push`` samples, look at alerts."""

    def __init__(self, running: Running, engine: RuleEngine) -> None:
        self.running = running
        self.engine = engine

    def push(self, name: str, value: float, at: float | None = None, **labels: str) -> None:
        """Append one sample, at Unix seconds; by default now."""
        clock = self.running.alerting.clock
        now = int(clock() * 1000)
        time_ms = now if at is None else int(at * 1000)
        appended = self.engine.tsdb.append(
            [(Labels({"__name__": name, **labels}), [time_ms], [value])], max(now, time_ms)
        )
        assert not appended.refused

    def alerts(self, name: str | None = None) -> list[Alert]:
        with self.running.database.reading() as connection:
            found = alerts.list_alerts(connection, name=name)
        return sorted((one for one in found if one.source == "rule"), key=lambda alert: alert.id)

    def states(self, name: str | None = None) -> list[str]:
        return [alert.state for alert in self.alerts(name)]

    async def until(self, condition: Callable[[], Any], within: float = PATIENCE) -> Any:
        return await eventually(condition, within)

    async def evaluated(self) -> None:
        """Wait until every rule has been evaluated once, and what followed is stored."""
        groups = self.engine.groups
        await self.until(
            lambda: (
                groups()
                and all(rule.health != "unknown" for group in groups() for rule in group.rules)
                and self.engine.is_idle
            )
        )


@asynccontextmanager
async def ruling(
    url: str,
    rules: Sequence[Mapping[str, Any]] = (),
    *,
    engine: RuleEngine | None = None,
    clock: SteadyClock | None = None,
    samples: Mapping[Labels, Sequence[tuple[int, float]]] | None = None,
    **tables: Any,
) -> AsyncIterator[Ruling]:
    """Run the rules on the database at ``url``, which may exist; ``samples`` are there from the start."""
    config = {
        "store": {"url": url},
        "receivers": {"ops": {"provider": "console"}},
        "routes": [{"receivers": ["ops"]}],
        "rules": list(rules),
        **tables,
    }
    plan = make_plan(read_dict(config, watches=False))
    engine = engine or RuleEngine()
    with closing(Database.open(url, durable=False)) as database:
        alerting = AlertingRuntime(database, live_alerting.alerting(plan.settings), clock=clock)
        await alerting.resume()
        now = int(alerting.clock() * 1000)
        for labels, some in (samples or {}).items():
            engine.tsdb.append([(labels, [at for at, _ in some], [value for _, value in some])], now)
        running = Running(plan, database, alerting, Health([]))
        tasks = [asyncio.ensure_future(task()) for task in engine.companions(running).values()]
        try:
            yield Ruling(running, engine)
            assert not [task for task in tasks if task.done()], "a task has ended"
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await alerting.close()
