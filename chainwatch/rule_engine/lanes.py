"""When and where groups are evaluated: in lanes, each a thread, by how long they take (S8).

A group is evaluated on its interval; soon after a series that it reads has grown; and when an alert of it fires, or is kept
firing no longer, by time alone. All evaluations that fall together are one, those within ``GAP`` of the last one too.
"""

from __future__ import annotations

import heapq
import itertools
import math
import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence

import structlog

from chainwatch.promql.evaluation import Limits
from chainwatch.promql.series import Labels
from chainwatch.rule_engine.interests import Interests
from chainwatch.rule_engine.live_group import QUICK_SECONDS, Change, Evaluated, LiveGroup
from chainwatch.rule_engine.saving import Saver
from chainwatch.tsdb.tsdb import Tsdb

GAP = 0.01
"""The least seconds between two evaluations of a group: what grows meanwhile is gathered."""
BUDGETS = QUICK_SECONDS, 0.5, math.inf
"""The CPU seconds that an evaluation may take in each lane; a group that takes longer goes on in the next one."""
SHARES = 0.1, 0.2, 0.2
"""The part of a core that one group takes at most in each lane."""
TURN_MIN = 0.005
"""Seconds that the turn of a group lasts at least: it takes less, but other threads may have the processor."""
PAUSE_MAX = 600.0
"""The longest pause, in seconds, after evaluations that were cut off again and again."""
PATIENCE = 0.5
"""Seconds for which a group that is evaluated by the clock alone lets those go first of which something has changed."""
LOOK_AGAIN = 1.0
"""Seconds after which a group is evaluated once more when what it reads has grown by samples of clocks that are ahead."""
TURN = 0.5
"""The longest that a lane waits, in seconds."""
CLOCK_STEP = 1.0
"""Seconds by which the clock must change at once to count as set."""
CHANGES_MAX = 100_000
"""Appends that may wait until it is found out who reads them; after more, everybody does."""

_log = structlog.get_logger(__name__)


class _Task:
    """A group and when it is evaluated. Times are by the monotonic clock.

    ``due``: on its interval, which counts from ``base``; ``ready_at``: for whatever reason. Of several that are ready the
    one with the least ``turn`` is first, which is when its turn would be if all that grew with it were evaluated slowly
    in a row: so what changes alone does not wait for all of a thousand that changed just before. ``seconds``: how long
    its last evaluation took.
    """

    def __init__(self, group: LiveGroup, now: float) -> None:
        self.group = group
        self.base = now + group.first_at / 1000
        self.due = now
        self.ready_at = math.inf
        self.turn = math.inf
        self.seconds = 0.0
        self.not_before = now
        self.is_running = False
        self.is_changed = False
        self.looks_again = False
        self.pause = 0.0


_Heap = list[tuple[float, int, _Task]]


class Lanes:
    """Evaluates groups: ``start`` and ``stop``, any number of times."""

    def __init__(self, tsdb: Tsdb, saver: Saver) -> None:
        self._tsdb = tsdb
        self._saver = saver
        self._lock = threading.Lock()
        self._tasks: dict[str, _Task] = {}
        self._waiting: tuple[_Heap, ...] = tuple([] for _ in BUDGETS)
        self._ready: tuple[_Heap, ...] = tuple([] for _ in BUDGETS)
        self._numbers = itertools.count()
        self._interests = Interests({})
        self._incoming: queue.SimpleQueue[tuple[Sequence[Labels], str | None] | None] = queue.SimpleQueue()
        self._wakes: tuple[queue.SimpleQueue[None], ...] = tuple(queue.SimpleQueue() for _ in BUDGETS)
        self._writer = threading.local()
        self._threads: list[threading.Thread] = []
        self._is_over = False
        self._limits = Limits()
        self._clock: Callable[[], float] = time.time
        self._ahead: float | None = None
        tsdb.listen(self._grown)

    def start(
        self,
        groups: Iterable[LiveGroup],
        interests: Interests,
        clock: Callable[[], float],
        limits: Limits,
        failed: Callable[[BaseException], None],
    ) -> None:
        """Evaluate ``groups``, new ones at once, after ``stop``. ``clock`` gives Unix seconds.

        ``failed`` is called, in its thread, when a lane has failed.
        """
        now = time.monotonic()
        before, self._tasks = self._tasks, {}
        for group in groups:
            known = before.get(group.name)
            is_same = known is not None and known.group is group
            self._tasks[group.name] = known if known is not None and is_same else _Task(group, now)
        for heap in (*self._waiting, *self._ready):
            heap.clear()
        for task in self._tasks.values():
            task.is_running = False
            until_change = self._until_change(task.group, int(clock() * 1000))
            self._schedule_next(task, now if task.is_changed else now + until_change, task.due)
        self._interests, self._clock, self._limits = interests, clock, limits
        self._is_over = False
        self._threads = [
            threading.Thread(
                target=self._keep_on, args=(lane, failed), name=f"chainwatch-rules-{lane}", daemon=True
            )
            for lane in range(len(BUDGETS))
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End all lanes; what runs is cut off."""
        self._is_over = True
        self._incoming.put(None)
        for wake in self._wakes:
            wake.put(None)
        for thread in self._threads:
            thread.join()
        self._threads = []

    # --- what grows -----------------------------------------------------------------------------------

    def _grown(self, labels: Sequence[Labels]) -> None:
        """Note the series that grew, in the thread that appended to them, which is held up no longer than that."""
        if self._threads:
            self._incoming.put((labels, getattr(self._writer, "group", None)))

    def _spread(self, grown: tuple[Sequence[Labels], str | None] | None) -> None:
        """Let the groups that read what grew be evaluated soon, but for the one that wrote it."""
        if grown is None:
            return
        now = time.monotonic()
        labels, writer = grown
        if self._incoming.qsize() > CHANGES_MAX:
            while not self._incoming.empty():
                self._incoming.get()
            names: set[str] = set(self._tasks)
        else:
            names = set().union(*map(self._interests.of, labels))
        names.discard(writer or "")
        turn = now
        with self._lock:
            for name in names:
                task = self._tasks.get(name)
                if task is not None:
                    task.is_changed = True
                    at = max(now, task.not_before)
                    if not task.is_running and (at < task.ready_at or max(at, turn) < task.turn):
                        self._schedule(task, at, turn)
                        turn += max(task.seconds, TURN_MIN)

    def _spread_all(self) -> None:
        while not self._incoming.empty():
            self._spread(self._incoming.get())

    # --- lanes ----------------------------------------------------------------------------------------

    def _keep_on(self, lane: int, failed: Callable[[BaseException], None]) -> None:
        try:
            while not self._is_over:
                if lane == 0:
                    self._spread_all()
                    self._follow_clock()
                    self._saver.flush()
                self._turn(lane)
        except BaseException as error:  # noqa: BLE001 - whatever it was, the supervised task has to know
            failed(error)

    def _turn(self, lane: int) -> None:
        """Evaluate the next group of a lane, or wait until there may be one."""
        with self._lock:
            task, wait = self._next(lane)
        if task is not None:
            self._evaluate(task, lane)
            return
        try:
            if lane:
                self._wakes[lane].get(timeout=wait)
            else:
                self._spread(self._incoming.get(timeout=wait))
        except queue.Empty:
            pass

    def _next(self, lane: int) -> tuple[_Task | None, float]:
        """Return the group to evaluate now, or None and how long (seconds) there is none."""
        waiting, ready = self._waiting[lane], self._ready[lane]
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            at, number, task = heapq.heappop(waiting)
            if at == task.ready_at:
                heapq.heappush(ready, (task.turn, number, task))
        while ready:
            task = heapq.heappop(ready)[2]
            if task.ready_at <= now and not task.is_running and task.group.lane == lane:
                task.is_running = True
                task.ready_at = math.inf
                return task, 0.0
        return None, min(TURN, waiting[0][0] - now) if waiting else TURN

    def _evaluate(self, task: _Task, lane: int) -> None:
        group = task.group
        was_changed, task.is_changed = task.is_changed, False
        now = int(self._clock() * 1000)
        self._writer.group = group.name
        try:
            result = group.evaluate(
                self._tsdb, now, self._limits, BUDGETS[lane], lambda: self._is_over, waits=lane == 0
            )
        except Exception as error:  # noqa: BLE001 - one group must not silence the others
            group.prepared.faults.log("the evaluation of a group failed", error, group=group.name)
            result = _fault(group, now, error)
        finally:
            self._writer.group = None
        self._saver.note(result.changes, result.at)
        self._saver.flush()
        with self._lock:
            task.is_running = False
            task.is_changed |= was_changed and result.cut_off
            self._plan(task, result, lane, was_changed)

    def _plan(self, task: _Task, result: Evaluated, lane: int, was_changed: bool) -> None:
        """Decide when the group is evaluated next, and in which lane."""
        group, now = task.group, time.monotonic()
        if result.cut_off:
            if self._is_over:
                task.is_changed = True
            else:
                group.lane = lane + 1
                self._schedule(task, now, now)
            return
        group.lane = _lane_for(result.seconds, lane)
        is_too_long = result.seconds >= self._limits.seconds
        task.pause = min(max(2 * task.pause, result.seconds), PAUSE_MAX) if is_too_long else 0.0
        task.seconds = result.seconds
        task.not_before = now + max(GAP, result.seconds / SHARES[group.lane], task.pause)
        interval = group.interval / 1000
        if task.due <= now:
            task.due = task.base + max(0, math.floor((now - task.base) / interval) + 1) * interval
        changes_at = now if task.is_changed else now + self._until_change(group, result.at)
        looks_at = now + LOOK_AGAIN if was_changed and not task.looks_again else math.inf
        task.looks_again = looks_at < math.inf
        self._schedule_next(task, changes_at, min(task.due, looks_at))

    @staticmethod
    def _until_change(group: LiveGroup, at: int) -> float:
        """Return the seconds from ``at`` (Unix ms) until an alert of the group changes by time alone."""
        change = group.next_change()
        return math.inf if change is None else max(0.0, (change - at) / 1000)

    def _schedule_next(self, task: _Task, changes_at: float, looks_at: float) -> None:
        """Schedule a group that has or will have changed at one time, and is evaluated by the clock alone at the other."""
        turn = changes_at if changes_at <= looks_at else looks_at + PATIENCE
        self._schedule(task, max(min(changes_at, looks_at), task.not_before), turn)

    def _schedule(self, task: _Task, at: float, turn: float) -> None:
        lane = task.group.lane
        task.ready_at = at
        task.turn = max(at, turn)
        heapq.heappush(self._waiting[lane], (at, next(self._numbers), task))
        if lane:
            self._wakes[lane].put(None)

    # --- the clock ------------------------------------------------------------------------------------

    def _follow_clock(self) -> None:
        """Have what waits take as long as before, when the clock was set."""
        ahead = self._clock() - time.monotonic()
        by = 0.0 if self._ahead is None else ahead - self._ahead
        self._ahead = ahead
        if abs(by) >= CLOCK_STEP:
            _log.warning("the clock was set: what rules wait for is moved", seconds=round(by, 1))
            for task in self._tasks.values():
                task.group.move(round(by * 1000))


def _lane_for(seconds: float, lane: int) -> int:
    """Return the lane of a group whose evaluation took so long in ``lane``: it comes back once it takes half as long."""
    return next(
        one for one, budget in enumerate(BUDGETS) if seconds <= (budget / 2 if one < lane else budget)
    )


def _fault(group: LiveGroup, at: int, error: Exception) -> Evaluated:
    text = f"{type(error).__name__}: {error}"[:500]
    changes = [
        Change(rule, state.alerts, state.alerts, text)
        for rule, state in zip(group.rules, group.states, strict=True)
    ]
    return Evaluated(at, changes)
