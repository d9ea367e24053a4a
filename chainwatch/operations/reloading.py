"""Reading the configuration again while ``chainwatch run`` goes on: a good one follows, a bad one is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
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
    """The configuration cannot take the place of the one that runs."""


class Reloads:
    """The plans that follow ``plan``, which runs on ``database``: one whenever it is asked for and can be used."""

    def __init__(self, config: Path, environ: Mapping[str, str], database: Database, plan: Plan) -> None:
        self._config = config
        self._environ = environ
        self._database = database
        self._plan = plan
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """Have the configuration read again; call it on the event loop."""
        self._asked.set()

    async def next(self) -> Plan:
        """Wait until it was asked for a plan and there is a good one; whatever is wrong with others is logged."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            try:
                self._plan = await asyncio.to_thread(self._read)
            except (ConfigError, StoreError, Refused) as error:
                reason = str(error)
            except Exception as error:  # noqa: BLE001 - whatever it is, what runs goes on
                reason = f"{type(error).__name__} while it was read: please report this defect"
            else:
                _log.info("the configuration was read again", config=str(self._config))
                return self._plan
            _log.error("the configuration is refused; the one before goes on", reason=reason)

    def _read(self) -> Plan:
        plan = load_plan(self._config, self._environ)
        before, after = self._plan.settings, plan.settings
        if before.store.url != after.store.url:
            raise Refused("[store] url has changed: that takes a restart")
        with self._database.reading() as connection:
            blocks.check_chain_ids(connection, {n.name: n.chain_id for n in after.networks.values()})
        # The old parts go on until they are stopped, and may name their secrets.
        logs.configure(after.log, {*logs.secrets_in(before), *logs.secrets_in(after)})
        return plan
