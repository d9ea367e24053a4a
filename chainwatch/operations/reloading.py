"""Reload the configuration while ``chainwatch run`` goes on: a valid one takes over, an invalid one is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from pathlib import Path

import structlog

from chainwatch import logs
from chainwatch.config import ConfigError
from chainwatch.plan import Plan, load_plan
from chainwatch.store import blocks
from chainwatch.store.database import Database
from chainwatch.store.errors import StoreError

_log = structlog.get_logger(__name__)


class Refused(Exception):
    """The configuration is valid, but cannot replace the present one without a restart."""


class Reloads:
    """The plans that replace ``plan``, which runs on ``database``: one for each request whose configuration is valid."""

    def __init__(self, config: Path, environ: Mapping[str, str], database: Database, plan: Plan) -> None:
        self._config = config
        self._environ = environ
        self._database = database
        self._plan = plan
        self._asked = asyncio.Event()
        _log_warnings(plan, ())

    def ask(self) -> None:
        """Request a reload. Call it on the event loop."""
        self._asked.set()

    async def next(self) -> Plan:
        """Wait for a request, and return the new plan. A refused configuration is logged, and the wait goes on."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            warned = self._plan.warnings
            try:
                self._plan = await asyncio.to_thread(self._read)
            except (ConfigError, StoreError, Refused) as error:
                reason = str(error)
            except Exception as error:  # noqa: BLE001 - whatever is wrong with a file, the process goes on
                reason = f"{type(error).__name__} while reading it: please report this defect"
            else:
                _log.info("configuration reloaded", config=str(self._config))
                _log_warnings(self._plan, warned)
                return self._plan
            _log.error("the configuration is refused; the present one stays in use", reason=reason)

    def _read(self) -> Plan:
        plan = load_plan(self._config, self._environ)
        before, after = self._plan.settings, plan.settings
        if before.store.url != after.store.url:
            raise Refused("[store] url has changed: restart chainwatch to use another database")
        with self._database.reading() as connection:
            blocks.check_chain_ids(connection, {n.name: n.chain_id for n in after.networks.values()})
        # The old parts run until they are stopped, and may still log their secrets.
        logs.configure(after.log, {*logs.hidden(), *logs.secrets_in(before), *logs.secrets_in(after)})
        return plan


def _log_warnings(plan: Plan, known: Collection[str]) -> None:
    """Log what may be a mistake in the configuration of ``plan``, but for what is ``known``."""
    for warning in plan.warnings:
        if warning not in known:
            _log.warning("the configuration may have a mistake", warning=warning)
