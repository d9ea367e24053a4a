"""The task that has rules evaluated: those of the configuration, of rule files, and those that clients make."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import sqlalchemy as sa
import structlog

from chainwatch.alert_model import Alert as StoredAlert
from chainwatch.alerting.policy.severities import Severities
from chainwatch.monitor.companions import Running
from chainwatch.operations.rules import groups_of
from chainwatch.promql.evaluation import Limits
from chainwatch.promql.series import NAME, Labels
from chainwatch.promql.syntax import Matcher
from chainwatch.rule_engine.interests import Interests
from chainwatch.rule_engine.lanes import Lanes
from chainwatch.rule_engine.live_group import LiveGroup
from chainwatch.rule_engine.restoring import grace_after, moved, restored
from chainwatch.rule_engine.saving import Saver
from chainwatch.rules.evaluation import ALERTS_FOR_STATE, Alert, RuleState
from chainwatch.rules.placed import PlacedGroup, with_distinct_names
from chainwatch.rules.status import GroupStatus
from chainwatch.store import created, rule_alerts
from chainwatch.store.alerting import alerts
from chainwatch.store.created import StoredRule
from chainwatch.store.retrying import retrying
from chainwatch.store.rule_alerts import StoredRuleAlert
from chainwatch.tsdb.model import SET_BACK
from chainwatch.tsdb.tsdb import Tsdb

SAVED_WITHIN = 2.0
"""Seconds for which the end waits until all is stored that was evaluated."""

_STATE_MATCHERS = (Matcher(NAME, "=", ALERTS_FOR_STATE),)
_log = structlog.get_logger(__name__)


class RuleManager:
    """Keeps rules evaluated over ``tsdb``, by one monitor after the other; ``loaded``: its samples from before are there.

    ``last_own`` returns when (Unix ms) the last process was there last, 0 where that is not known.
    """

    def __init__(self, tsdb: Tsdb, loaded: asyncio.Event, last_own: Callable[[], int]) -> None:
        self._tsdb = tsdb
        self._loaded = loaded
        self._last_own = last_own
        self._saver = Saver()
        self._lanes = Lanes(tsdb, self._saver)
        self._groups: dict[str, LiveGroup] = {}
        self._is_restored = False
        self._keep_until = 0
        self._changed = asyncio.Event()

    @property
    def groups(self) -> list[GroupStatus]:
        """How all groups stand now. Safe in any thread."""
        return [group.status for group in list(self._groups.values())]

    @property
    def is_idle(self) -> bool:
        """Whether all that follows from past evaluations is stored."""
        return self._saver.is_idle

    def changed(self) -> None:
        """Note that rules were created, changed or deleted beside the configuration."""
        self._changed.set()

    async def run(self, running: Running) -> None:
        """Evaluate the rules of a monitor until cancelled."""
        await self._loaded.wait()
        try:
            while True:
                self._changed.clear()
                made = await retrying(partial(running.database.read, created.load))
                placed = [*running.plan.rule_groups, *_readable(made.rules)]
                stored = await self._stored(running)
                failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                await asyncio.to_thread(self._follow, placed, stored, running, failed)
                _log.info(
                    "rules are evaluated",
                    groups=len(placed),
                    rules=sum(len(one.group.rules) for one in placed),
                )
                await self._until_changed(failed)
                await asyncio.shield(asyncio.to_thread(self._lanes.stop))
        finally:
            await asyncio.shield(self._end())

    async def _until_changed(self, failed: asyncio.Future[None]) -> None:
        changed = asyncio.create_task(self._changed.wait())
        try:
            await asyncio.wait((changed, failed), return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()
        if failed.done():
            failed.result()

    async def _end(self) -> None:
        await asyncio.to_thread(self._lanes.stop)
        until = asyncio.get_running_loop().time() + SAVED_WITHIN
        while not self._saver.is_idle and asyncio.get_running_loop().time() < until:
            self._saver.flush()
            await asyncio.sleep(0.01)
        self._saver.detach()

    async def _stored(self, running: Running) -> tuple[list[StoredRuleAlert], list[StoredAlert]] | None:
        """Return what is stored of alerts of rules; None where this process has taken it over already."""
        if self._is_restored:
            return None

        def load(connection: sa.Connection) -> tuple[list[StoredRuleAlert], list[StoredAlert]]:
            return rule_alerts.load(connection), [alert for alert, _ in alerts.unresolved(connection)]

        return await retrying(partial(running.database.read, load))

    # --- off the event loop ---------------------------------------------------------------------------

    def _follow(
        self,
        placed: Sequence[PlacedGroup],
        stored: tuple[list[StoredRuleAlert], list[StoredAlert]] | None,
        running: Running,
        failed: asyncio.Future[None],
    ) -> None:
        """Evaluate these groups from now on; rules that there were before go on from where they stood."""
        settings, clock = running.plan.settings, running.alerting.clock
        now = int(clock() * 1000)
        restored_alerts = {} if stored is None else self._restore(*stored, now)
        interval, link = round(settings.evaluation.interval * 1000), settings.external_url or ""
        groups: dict[str, LiveGroup] = {}
        states: dict[str, RuleState] = {}
        for group in self._groups.values():
            states |= group.states_by_key
        for name, one in with_distinct_names(placed):
            known = self._groups.get(name)
            if known is not None and known.is_of(one, interval, link):
                groups[name] = known
                continue
            group = groups[name] = LiveGroup(name, one, interval, link)
            if stored is None:
                group.take_over(states, self._keep_until)
            else:
                group.take_over_alerts(restored_alerts, self._keep_until)
        rules = {rule.key: rule for group in groups.values() for rule in group.rules}
        for group in self._groups.values():
            group.end(self._tsdb, now, {rule.key for rule in group.rules} - rules.keys())
        for group in groups.values():
            group.begin_after(now + 1)
        self._groups = groups
        self._tsdb.keep([need for group in groups.values() for need in group.needs])
        self._saver.attach(running.alerting, Severities(settings.severities), link, rules)
        loop = failed.get_loop()

        def report(error: BaseException) -> None:
            loop.call_soon_threadsafe(_fail, failed, error)

        limits = Limits(seconds=settings.evaluation.timeout)
        self._lanes.start(
            groups.values(),
            Interests({name: group.queries for name, group in groups.items()}),
            clock,
            limits,
            report,
        )
        self._is_restored = True

    def _restore(
        self, stored: Sequence[StoredRuleAlert], active: Sequence[StoredAlert], now: int
    ) -> Mapping[str, Mapping[Labels, Alert]]:
        """Take over what is stored; return the alerts that go on, by the keys of their rules."""
        self._saver.load(stored, active, now)
        if not stored:
            return {}
        sampled = (series.newest for series in self._tsdb.select(_STATE_MATCHERS))
        last = max((self._last_own(), *sampled, *(int(one.updated_at * 1000) for one in stored)))
        gap = max(0, now - last)
        ahead = last - now if last - now > SET_BACK else 0  # the clock was
        self._keep_until = now + grace_after(gap + ahead)
        found: dict[str, dict[Labels, Alert]] = {}
        for one in stored:
            alert = restored(one, gap)
            if alert is not None:
                alert = moved(alert, -ahead)
                found.setdefault(one.rule, {})[alert.labels] = alert
        _log.info(
            "alerts of rules go on", alerts=len(stored), seconds_without_evaluation=round(gap / 1000, 1)
        )
        return found


def _readable(rules: Iterable[StoredRule]) -> list[PlacedGroup]:
    groups, unreadable = groups_of(rules)
    for name, error in unreadable:
        _log.error("a rule that was created is not evaluated", rule=name, reason=str(error)[:500])
    return groups


def _fail(failed: asyncio.Future[None], error: BaseException) -> None:
    if not failed.done():
        failed.set_exception(error if isinstance(error, Exception) else RuntimeError(type(error).__name__))
