"""The configuration in use: the file's, extended by the receivers and rules that were created through the HTTP server.

What is created never changes what the file says: where names collide, the file's receiver is used. A rule's ``channels``
and ``cooldown`` are a route and a cooldown for the alerts that have the rule's name, before those of the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from chainwatch.config import ReceiverSettings, RouteSettings, Settings, parse_duration
from chainwatch.config.alerting import CooldownSettings
from chainwatch.config.receivers import PROVIDERS, settings_model
from chainwatch.store import created as store
from chainwatch.store.created import NOTHING, Created, StoredChannel, StoredRule
from chainwatch.store.database import Database
from chainwatch.store.errors import StoreError


@dataclass(frozen=True)
class Extended:
    """``settings`` with what was created. ``problems``: name of a channel or rule → why it is not used as it is stored."""

    settings: Settings
    created: Created = NOTHING
    problems: Mapping[str, str] = field(default_factory=dict)

    def origin_of(self, receiver: str) -> str:
        """Return where ``receiver`` comes from: ``file``, ``api`` (the HTTP server) or ``program``."""
        if receiver not in self.settings.receivers:
            return "program"
        is_created = any(channel.id == receiver for channel in self.created.channels)
        return "api" if is_created and receiver not in self.problems else "file"


def extend(settings: Settings, created: Created) -> Extended:
    """Return the file's ``settings`` extended by what was ``created``."""
    problems: dict[str, str] = {}
    receivers: dict[str, ReceiverSettings] = {}
    for channel in created.channels:
        if channel.id in settings.receivers:
            problems[channel.id] = "the configuration file has a receiver of this name, which is used instead"
            continue
        try:
            receivers[channel.id] = receiver_of(channel, settings)
        except ValueError:
            problems[channel.id] = "its settings do not fit this version of chainwatch: create it anew"
    known = {**settings.receivers, **receivers}
    for rule in created.rules:
        if missing := [name for name in rule.channels if name not in known]:
            problems[rule.name] = f"there is no receiver called {', '.join(missing)}"
    changes: dict[str, Any] = {
        "receivers": known,
        "routes": [*_routes(created, known), *settings.routes],
        "cooldowns": [*map(_cooldown, filter(_cools, created.rules)), *settings.cooldowns],
    }
    return Extended(settings.model_copy(update=changes), created, problems)


def extended_on(connection: sa.Connection, settings: Settings) -> Extended:
    """Return ``settings`` extended by what is stored."""
    return extend(settings, store.load(connection))


def extended_by_database(settings: Settings) -> Extended:
    """Return ``settings`` extended by what is in their database; by nothing where there is none of this version."""
    try:
        database = Database.open(settings.store.url.get_secret_value(), create=False)
    except StoreError:
        return Extended(settings)
    with closing(database), database.reading() as connection:
        return extended_on(connection, settings)


def receiver_of(channel: StoredChannel, settings: Settings) -> ReceiverSettings:
    """Return the settings of a receiver. Raises ``ValueError`` where they are invalid."""
    if channel.provider not in PROVIDERS:
        raise ValueError("no such provider")
    table = {**channel.keys, "name": channel.id, "provider": channel.provider}
    return settings_model(channel.provider).model_validate(table, context={"folder": settings.folder})


def _routes(created: Created, known: Mapping[str, ReceiverSettings]) -> Iterator[RouteSettings]:
    for rule in created.rules:
        if receivers := [name for name in rule.channels if name in known]:
            table = {"match": {"alertname": [rule.name]}, "receivers": receivers, "continue": True}
            yield RouteSettings.model_validate(table)


def _cools(rule: StoredRule) -> bool:
    return rule.cooldown is not None and parse_duration(rule.cooldown) > 0


def _cooldown(rule: StoredRule) -> CooldownSettings:
    return CooldownSettings.model_validate({"match": {"alertname": [rule.name]}, "within": rule.cooldown})
