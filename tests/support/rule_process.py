"""Rules on a database without threads and without waiting: for tests that move the time, crash it, or refuse its writes."""

import atexit
import math
import tempfile
from concurrent.futures import Future
from functools import cache
from typing import Any, cast

from chainwatch.alerting.engine.alert_engine import AlertEngine
from chainwatch.alerting.policy.severities import Severities
from chainwatch.config import from_dict
from chainwatch.promql.evaluation import Limits
from chainwatch.promql.series import Labels
from chainwatch.rule_engine.live_group import LiveGroup
from chainwatch.rule_engine.restoring import restored
from chainwatch.rule_engine.saving import Saver
from chainwatch.rules.evaluation import Alert
from chainwatch.rules.files import read_rule_file
from chainwatch.rules.placed import PlacedGroup
from chainwatch.store import rule_alerts, schema
from chainwatch.store.alerting import alerts
from chainwatch.store.database import Database
from chainwatch.store.errors import StoreError
from chainwatch.tsdb.tsdb import Tsdb

START = 1_700_000_000_000
SETTINGS = from_dict({"networks": {"a": {"chain_id": 1, "rpc": ["http://127.0.0.1:1"]}}})


class RuleProcess:
    """Rules on a database, without threads: ``alerting`` as the saver sees it, whose writes may be refused."""

    def __init__(self, database: Database, rules: str, tsdb: Tsdb | None = None, now: int = START) -> None:
        self.database = database
        self.tsdb = tsdb or Tsdb()
        self.now = now
        self.refuses = False
        self.engine = AlertEngine.of(SETTINGS, 0)
        (group,) = read_rule_file(rules)
        self.group = LiveGroup("rules.yml;g", PlacedGroup("file", "rules.yml", group), 60_000, "")
        self.saver = Saver()
        with database.reading() as connection:
            stored = rule_alerts.load(connection)
            active = [alert for alert, _ in alerts.unresolved(connection)]
        self.saver.load(stored, active, now)
        found: dict[str, dict[Labels, Alert]] = {}
        for one in stored:
            alert = restored(one, 0)
            assert alert is not None
            found.setdefault(one.rule, {})[alert.labels] = alert
        self.group.take_over_alerts(found, 0)
        by_key = {rule.key: rule for rule in self.group.rules}
        self.saver.attach(cast("Any", self), Severities(), "", by_key)

    def clock(self) -> float:
        return self.now / 1000

    def write(self, job: Any) -> "Future[None]":
        future: Future[None] = Future()
        if self.refuses:
            future.set_exception(StoreError("refused"))
            return future
        with self.database.transaction() as connection:
            job(connection, self.clock())
        future.set_result(None)
        return future

    def apply(self, connection: Any, signals: Any, now: float) -> float | None:
        return self.engine.apply(connection, signals, now)

    def push(self, series: str, value: float) -> None:
        labels = Labels({"__name__": "x", "series": series})
        self.tsdb.append([(labels, [self.now], [value])], self.now)

    def evaluate(self) -> None:
        result = self.group.evaluate(self.tsdb, self.now, Limits(), math.inf)
        self.saver.note(result.changes, result.at)
        self.saver.flush()


@cache
def _database() -> Database:
    folder = tempfile.TemporaryDirectory(prefix="chainwatch-rules-")
    database = Database.open(f"sqlite:///{folder.name}/x.db", durable=False)
    atexit.register(folder.cleanup)
    atexit.register(database.close)
    return database


def emptied() -> Database:
    """A database without alerts, the same each time: to make one takes long."""
    with _database().transaction() as connection:
        for table in reversed(schema.metadata.sorted_tables):
            if table.name not in ("properties", "alembic_version"):
                connection.execute(table.delete())
    return _database()
