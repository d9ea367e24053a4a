"""What operations run with: the configuration in use, and a database in whose transactions they run.

An operation is a function ``(connection, context, now, …)`` that returns structs. Its caller chooses the thread and the
transaction: ``Access`` for programs that may block, ``Database.read`` and ``Database.write`` on an event loop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa

from chainwatch.alerting.engine.alert_engine import AlertEngine
from chainwatch.checker.flow import Flow
from chainwatch.config import Settings, read
from chainwatch.operations.created import extended_on
from chainwatch.plan import Plan, make_plan
from chainwatch.presentation.presenter import Presenter
from chainwatch.rules.status import GroupStatus
from chainwatch.store import schema
from chainwatch.store.claim import claimed
from chainwatch.store.created import NOTHING, Created, version
from chainwatch.store.database import Database

P = ParamSpec("P")
T = TypeVar("T")


RuleGroups = Callable[[], Sequence[GroupStatus]]
"""Returns how the rules stand that this process evaluates."""


@dataclass(frozen=True)
class Context:
    """The configuration in use. ``flows`` by name; ``receivers`` are the names of all: configured, created, registered.

    ``created``: what of ``settings`` was created through the HTTP server; ``problems``: name of a channel or rule → why it
    is not used as it is stored.
    """

    settings: Settings
    engine: AlertEngine
    receivers: tuple[str, ...]
    flows: Mapping[str, Flow] = field(default_factory=dict)
    created: Created = NOTHING
    problems: Mapping[str, str] = field(default_factory=dict)
    plan: Plan | None = None
    """What the configuration compiles to; None where alerting runs alone."""
    rule_groups: RuleGroups | None = None
    """How rules stand; None where this process evaluates none."""

    @cached_property
    def presenter(self) -> Presenter:
        """What is shown beside amounts, transactions and addresses."""
        return Presenter.of(self.settings)

    @classmethod
    def of(cls, plan: Plan, connection: sa.Connection) -> Context:
        """Return the context of ``plan`` on the database of ``connection``."""
        extended = extended_on(connection, plan.settings)
        settings = extended.settings
        engine = AlertEngine.of(settings, schema.created_at(connection))
        flows = {flow.name: flow for flow in plan.flows}
        return cls(
            settings, engine, tuple(settings.receivers), flows, extended.created, extended.problems, plan
        )


class Contexts:
    """The contexts of ``plan``, which follow what clients create beside the configuration."""

    def __init__(self, plan: Plan, rule_groups: RuleGroups | None = None) -> None:
        self._plan = plan
        self._rule_groups = rule_groups
        self._last: tuple[int, Context] | None = None

    def on(self, connection: sa.Connection) -> Context:
        """Return the context by what is stored now."""
        now = version(connection)
        last = self._last
        if last is None or last[0] != now:
            context = replace(Context.of(self._plan, connection), rule_groups=self._rule_groups)
            last = self._last = now, context
        return last[1]


@dataclass(frozen=True)
class Access:
    """Runs operations in the calling thread, each in a transaction of its own. ``clock`` gives Unix seconds."""

    database: Database
    context: Context
    clock: Callable[[], float] = time.time

    def read(
        self,
        operation: Callable[Concatenate[sa.Connection, Context, float, P], T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Return what ``operation`` returns on a consistent, read-only view."""
        with self.database.reading() as connection:
            return operation(connection, self.context, self.clock(), *args, **kwargs)

    def write(
        self,
        operation: Callable[Concatenate[sa.Connection, Context, float, P], T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Return what ``operation`` returns, once all that it wrote is committed; if the operation raises, nothing is."""
        with self.database.transaction() as connection:
            return operation(connection, self.context, self.clock(), *args, **kwargs)


@contextmanager
def open_access(config: Path, environ: Mapping[str, str], *, create: bool = False) -> Iterator[Access]:
    """Open the database that ``config`` names. Raises ``ConfigError`` and ``StoreError``.

    It must exist, unless ``create`` makes it where it is missing. A configuration without networks serves too, as alerts
    may come from elsewhere.
    """
    plan = make_plan(read(config, environ, watches=False))
    with open_database(plan, create=create) as database:
        with database.reading() as connection:
            context = Context.of(plan, connection)
        yield Access(database, context)


@contextmanager
def open_database(plan: Plan, *, claim: bool = False, create: bool) -> Iterator[Database]:
    """Open the database of ``plan`` until the end of the block. Raises ``StoreError``.

    ``claim`` keeps every other process from running on it meanwhile; ``create`` makes it where it is missing.
    """
    url = plan.settings.store.url.get_secret_value()
    with ExitStack() as stack:
        if claim:
            stack.enter_context(claimed(url))
        database = Database.open(url, create=create)
        stack.callback(database.close)
        yield database
