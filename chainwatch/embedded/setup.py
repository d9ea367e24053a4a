"""A configuration as the library uses it, and the database that it names."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chainwatch.alerting.runtime import AlertingConfig
from chainwatch.config import Draft, Settings, read, read_dict
from chainwatch.operations import channel_actions
from chainwatch.store.claim import claimed
from chainwatch.store.database import Database

RETENTION = 7 * 86_400.0
"""The default of ``[store] retention`` in the library, in seconds."""


@dataclass(frozen=True)
class Setup:
    """A valid configuration. ``retention`` is in seconds; ``contents``: the tables as read, with variables replaced."""

    settings: Settings
    in_memory: bool
    retention: float
    contents: Mapping[str, Any] = field(repr=False, default_factory=dict)

    @property
    def where(self) -> str | None:
        """The database's URL; None for an alert manager in memory."""
        return None if self.in_memory else self.settings.store.url.get_secret_value()

    def alerting(self) -> AlertingConfig:
        """Return the part that decides who is notified of what, and how."""
        return AlertingConfig.of(
            self.settings, keep_for=self.retention, perform=channel_actions.performer(self.settings)
        )


@dataclass(frozen=True)
class Registered:
    """A receiver that was registered while running: the keys of its own table and of its route's."""

    name: str
    settings: Mapping[str, Any] = field(repr=False)
    route: Mapping[str, Any]

    def checked(self, setup: Setup, environ: Mapping[str, str]) -> Settings:
        """Return ``setup`` with this receiver, whose route is the first. Raises ``ConfigError``."""
        others = {name: {"provider": "console"} for name in setup.settings.receivers}
        first = {**self.route, "receivers": [self.name], "continue": True}
        contents = {
            **setup.contents,
            "receivers": {**others, self.name: self.settings},
            "routes": [first, *([{"receivers": list(others)}] if others else [])],
        }
        return read_dict(contents, environ, watches=False).settings()


def read_setup(config: Path | str | Mapping[str, Any], environ: Mapping[str, str] | None) -> Setup:
    """Read a file or a dict, with ``${NAME}`` from ``environ`` (None: the process's). Raises ``ConfigError``."""
    variables = os.environ if environ is None else environ
    if isinstance(config, Mapping):
        draft = read_dict(config, variables, watches=False)
    else:
        draft = read(Path(config), variables, watches=False)
    settings = draft.settings()
    return Setup(
        settings,
        in_memory=not _says(draft, "url"),
        contents=draft.contents,
        retention=settings.store.retention if _says(draft, "retention") else RETENTION,
    )


def open_database(setup: Setup, opened: ExitStack) -> Database:
    """Open the database, in memory or claimed for this process, until ``opened`` is closed. Raises ``StoreError``."""
    if setup.in_memory:
        folder = opened.enter_context(tempfile.TemporaryDirectory(prefix="chainwatch-", dir=_memory()))
        url = f"sqlite:///{folder}/alerts.db"
    else:
        url = setup.settings.store.url.get_secret_value()
        opened.enter_context(claimed(url))
    database = Database.open(url, durable=not setup.in_memory)
    opened.callback(database.close)
    return database


def _memory() -> str | None:
    """Return the folder of a file system in memory; None where there is none."""
    shared = "/dev/shm"  # noqa: S108 - a folder of our own is made in it
    return shared if os.access(shared, os.W_OK) else None


def _says(draft: Draft, key: str) -> bool:
    return draft.value(("store", key)) is not None
