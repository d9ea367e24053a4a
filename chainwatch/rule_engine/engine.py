"""What of rules lasts as long as the process, whatever is reloaded; its tasks run with each monitor."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from chainwatch.config.samples import SamplesSettings
from chainwatch.monitor.companions import Running, Tasks
from chainwatch.rule_engine.capacity import Capacity
from chainwatch.rule_engine.intake import Intake
from chainwatch.rule_engine.manager import RuleManager
from chainwatch.rule_engine.own_metrics import OwnMetrics
from chainwatch.rule_engine.persistence import Persistence
from chainwatch.rule_engine.pushing import PushGroups
from chainwatch.rule_engine.reporting import report_statuses
from chainwatch.rule_engine.scraping import Scrapes, TargetStatus
from chainwatch.rules.status import GroupStatus
from chainwatch.tsdb.model import TsdbLimits
from chainwatch.tsdb.tsdb import Tsdb


class RuleEngine:
    """The samples, the rules that are evaluated over them, and how these stand. One for all monitors of a process."""

    def __init__(self) -> None:
        self.tsdb = Tsdb(journal=True)
        self.loaded = asyncio.Event()
        """Whether the samples from before this process are in ``tsdb``; rules are evaluated from then on."""
        self.persistence = Persistence(self.tsdb, self.loaded)
        self.intake = Intake(self.tsdb, self.loaded, self.persistence.stored)
        self._scrapes = Scrapes(self.intake)
        self._capacity = Capacity(self.tsdb, self.loaded)
        self._pushed: PushGroups | None = None
        self._manager = RuleManager(self.tsdb, self.loaded, lambda: self.persistence.last_own)

    def companions(self, running: Running) -> Tasks:
        """Return the tasks of one monitor."""
        self.tsdb.limit(limits_of(running.plan.settings.samples))
        clock = running.alerting.clock
        return {
            "samples": lambda: self.persistence.run(running.database),
            "pushed groups": self.pushed_groups(running).repeat,
            "room for samples": lambda: self._capacity.watch(running),
            "own metrics": OwnMetrics(running, self.intake).sample,
            **self._scrapes.tasks(running.plan.settings.scrape, clock),
            "rules": lambda: self._manager.run(running),
            "statuses of rules": lambda: report_statuses(self.groups, running.database),
        }

    def pushed_groups(self, running: Running) -> PushGroups:
        """Return the groups of pushed metrics, which all monitors of the process have."""
        if self._pushed is None:
            self._pushed = PushGroups(running.database, self.intake, running.alerting.clock)
        return self._pushed

    def groups(self) -> Sequence[GroupStatus]:
        """Return how all groups of rules stand now. Safe in any thread."""
        return self._manager.groups

    def targets(self) -> Sequence[TargetStatus]:
        """Return how all targets that are scraped stand. Call it on the event loop."""
        return self._scrapes.statuses()

    @property
    def is_idle(self) -> bool:
        """Whether all that follows from past evaluations is stored."""
        return self._manager.is_idle

    def changed(self) -> None:
        """Note that rules were created, changed or deleted beside the configuration. Call it on the event loop."""
        self._manager.changed()


def limits_of(settings: SamplesSettings) -> TsdbLimits:
    """Return the limits that are configured."""
    return TsdbLimits(
        series=settings.series, bytes=settings.memory * 1_000_000, window=round(settings.keep * 1000)
    )
