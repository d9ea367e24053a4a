"""The alerting of ``chainwatch run``: by the configuration, by what was created beside it, and with buttons."""

from __future__ import annotations

from dataclasses import replace

import sqlalchemy as sa
import structlog

from chainwatch import logs
from chainwatch.alerting.runtime import AlertingConfig
from chainwatch.config import Settings
from chainwatch.operations.channel_actions import performer
from chainwatch.operations.created import extended_on

_log = structlog.get_logger(__name__)


def alerting(settings: Settings) -> AlertingConfig:
    """Return the alerting by ``settings``, which what is stored extends when it begins, and whenever that changes."""

    def on(connection: sa.Connection) -> AlertingConfig:
        extended = extended_on(connection, settings)
        logs.hide(logs.secrets_in(extended.settings))  # before anything can log them
        for name, problem in extended.problems.items():
            _log.warning("not used as it was created through the HTTP server", name=name, reason=problem)
        return replace(_of(extended.settings), extend=on)

    return replace(_of(settings), extend=on)


def _of(settings: Settings) -> AlertingConfig:
    return AlertingConfig.of(settings, perform=performer(settings))
