"""Channels: receivers that are created through the HTTP server, while chainwatch runs.

They are valid where a ``[receivers.NAME]`` table with the same keys is, but for what would reach this machine itself.
Secrets go in and never come out.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import msgspec
import sqlalchemy as sa
from pydantic import SecretStr

from chainwatch.config import Draft
from chainwatch.config.errors import Problem, key_text
from chainwatch.config.receivers import PROVIDERS, secret_keys, settings_model
from chainwatch.operations.checks import check_known, no_such
from chainwatch.operations.context import Context
from chainwatch.operations.errors import Conflict, Invalid, NotFound
from chainwatch.store import created
from chainwatch.store.alerting import alert_groups, outbox
from chainwatch.store.created import StoredChannel
from chainwatch.support.nesting import is_too_deep_or_large
from chainwatch.support.spelling import did_you_mean

CHANNELS_MAX = 100
CONFIG_MAX = 20_000
"""Characters of a channel's configuration, as JSON."""
HIDDEN = "**********"
"""What stands in place of a secret."""
LOCAL_ONLY = {"exec": "runs a program on", "file": "writes to files of"}
"""The providers that only the configuration file may have, and what they do to this machine."""


class ChannelView(msgspec.Struct, frozen=True):
    """A channel: ``id`` is the receiver's name, ``config`` has no secret, ``rules`` are those that name it.

    ``waiting``: notifications in its queue. ``problem``: why it is not used; None where it is.
    """

    id: str
    type: str
    config: Mapping[str, Any]
    rules: Sequence[str]
    waiting: int
    origin: str
    author: str
    created_at: float
    problem: str | None


class ChannelsView(msgspec.Struct, frozen=True):
    """All channels."""

    channels: list[ChannelView]


class DeletedChannel(msgspec.Struct, frozen=True):
    """A channel that was deleted, and how many notifications were dropped that waited for it."""

    id: str
    dropped: int


def add_channel(
    connection: sa.Connection,
    context: Context,
    now: float,
    type: str,
    config: dict[str, Any],
    author: str = "",
) -> ChannelView:
    """Create a receiver with the provider ``type`` and the other keys of its table. Raises ``Invalid`` and ``Conflict``."""
    if len(context.created.channels) >= CHANNELS_MAX:
        raise Conflict(f"there are {CHANNELS_MAX} channels: delete one first")
    taken = {*context.receivers, *(channel.id for channel in context.created.channels)}
    channel_id = next(
        name for name in iter(lambda: f"{type}-{secrets.token_hex(3)}", "") if name not in taken
    )
    _check(context, channel_id, type, config)
    channel = StoredChannel(channel_id, type, SecretStr(json.dumps(config)), author, now)
    created.add_channel(connection, channel)
    return _view(channel, context, {})


def list_channels(connection: sa.Connection, context: Context, now: float) -> ChannelsView:
    """Return all channels, by their IDs."""
    waiting = _waiting(connection)
    return ChannelsView([_view(channel, context, waiting) for channel in context.created.channels])


def show_channel(connection: sa.Connection, context: Context, now: float, id: str) -> ChannelView:
    """Return one channel. Raises ``NotFound``."""
    return _view(_find(context, id), context, _waiting(connection))


def delete_channel(connection: sa.Connection, context: Context, now: float, id: str) -> DeletedChannel:
    """Delete a channel, and drop what waits for it, which stays visible. Raises ``NotFound``, and ``Conflict`` for one that
    rules name."""
    _find(context, id)
    if rules := _rules(context, id):
        raise Conflict(f"rules notify {id}: change or delete them first: {', '.join(rules)}")
    created.delete_channel(connection, id)
    if id in context.settings.receivers and id in context.problems:
        return DeletedChannel(id, 0)  # the name is that of the file's receiver
    alert_groups.delete_of(connection, id)
    return DeletedChannel(id, outbox.drop(connection, now, receiver=id))


def without_secrets(type: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``config`` with ``HIDDEN`` in place of every secret; all is, for an unknown ``type``."""
    if type not in PROVIDERS:
        return dict.fromkeys(config, HIDDEN)
    hidden = secret_keys(type)
    known = {field.alias or name for name, field in settings_model(type).model_fields.items()}
    return {
        key: HIDDEN if key in hidden or key not in known or _may_be_secret(value) else value
        for key, value in config.items()
    }


def prepare(type: str, config: Mapping[str, Any]) -> None:
    """Load what checking such a channel needs, which may take a second: call it off the threads that others wait for."""
    if type in PROVIDERS and type not in LOCAL_ONLY and not is_too_deep_or_large(config):
        Draft("config", Path(), {"receivers": {"channel": {**_escaped(config), "provider": type}}}, {}, None)


def _check(context: Context, channel_id: str, type: str, config: dict[str, Any]) -> None:
    if type in LOCAL_ONLY:
        raise Invalid(
            f"type: {type!r} {LOCAL_ONLY[type]} this machine, which nobody may have it do over HTTP: "
            "configure such a receiver in the file"
        )
    if type not in PROVIDERS:
        possible = [name for name in PROVIDERS if name not in LOCAL_ONLY]
        hint = did_you_mean(type[:100], possible)
        raise Invalid(
            f"type: {type[:100]!r} is none of {', '.join(possible)}" + (f"; {hint}" if hint else "")
        )
    if "provider" in config:
        raise Invalid("config.provider: unknown key; `type` names the provider")
    for key, field in settings_model(type).model_fields.items():
        if key in config and _is_path(field.annotation):
            raise Invalid(
                f"config.{key}: nobody may name a file of this machine over HTTP: configure such a receiver in the file"
            )
    if len(json.dumps(config)) > CONFIG_MAX:
        raise Invalid(f"config: longer than {CONFIG_MAX} characters")
    table = {**_escaped(config), "provider": type}
    draft = Draft("config", context.settings.folder, {"receivers": {channel_id: table}}, {}, None)
    if draft.problems:
        raise Invalid("; ".join(map(_problem, draft.problems))[:2_000])
    template = draft.parts.receivers[channel_id].template
    if template is not None and template not in context.settings.templates:
        raise Invalid(f"config.template: {no_such('template', template, context.settings.templates)}")


def _problem(problem: Problem) -> str:
    """Return the problem of a draft by the body's own keys."""
    path = problem.path[2:]
    where = key_text(("config", *path)) if path != ("provider",) else "type"
    return f"{where}: {problem.message}" + (f" ({problem.hint})" if problem.hint else "")


def _escaped(value: Any) -> Any:
    """Return ``value`` so that no text of it stands for an environment variable, which would be another's secret."""
    if isinstance(value, dict):
        return {key: _escaped(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_escaped(one) for one in value]
    return value.replace("${", "$${") if isinstance(value, str) else value


def _is_path(annotation: object) -> bool:
    return annotation is Path or any(map(_is_path, get_args(annotation)))


def _may_be_secret(value: object) -> bool:
    """Return whether ``value`` is or holds an address, which may hold a password."""
    return "://" in json.dumps(value)


def _find(context: Context, channel_id: str) -> StoredChannel:
    by_id = {channel.id: channel for channel in context.created.channels}
    if channel_id in context.settings.receivers and channel_id not in by_id:
        raise NotFound(f"{channel_id!r} is a receiver of the configuration file: change it there")
    check_known("channel", channel_id, by_id)
    return by_id[channel_id]


def _rules(context: Context, channel_id: str) -> list[str]:
    return [rule.name for rule in context.created.rules if channel_id in rule.channels]


def _waiting(connection: sa.Connection) -> dict[str, int]:
    return {depth.receiver: depth.number for depth in outbox.depths(connection) if depth.status == "pending"}


def _view(channel: StoredChannel, context: Context, waiting: Mapping[str, int]) -> ChannelView:
    return ChannelView(
        id=channel.id,
        type=channel.provider,
        config=without_secrets(channel.provider, channel.keys),
        rules=_rules(context, channel.id),
        waiting=waiting.get(channel.id, 0),
        origin="api",
        author=channel.author,
        created_at=channel.created_at,
        problem=context.problems.get(channel.id),
    )
