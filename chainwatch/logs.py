"""Structured log lines on standard error: JSON for machines, aligned and coloured for people."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator, MutableMapping
from io import StringIO
from typing import Any, TextIO

import structlog
from pydantic import BaseModel, SecretStr

from chainwatch.config import LogSettings
from chainwatch.support.printable import clean
from chainwatch.support.redaction import NOTHING_SECRET, Redactor, parts_of

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure(settings: LogSettings, secrets: Iterable[str] = ()) -> None:
    """Send structlog's and the standard library's records to standard error, in the form of ``settings``.

    Tracebacks never show local variables, and ``secrets`` are removed from every line, whatever wrote it (S9).
    """
    level = _LEVELS[settings.level]
    as_json = settings.format == "json" or (settings.format == "auto" and not sys.stderr.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if as_json:
        rendering: list[Any] = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        rendering = [
            _on_one_line,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=_traceback),
        ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    _hidden.replace(frozenset(secrets))
    rendering.append(lambda _logger, _method, line: _hidden.redact(line))
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for noisy in ("apscheduler", "alembic", "asyncio", "urllib3", "discord_webhook"):
        logging.getLogger(noisy).setLevel(max(level, logging.WARNING))
    # Request lines of HTTP clients carry URLs, and URLs carry keys.
    for noisy in ("urllib3.connectionpool", "aiohttp.client", "web3", "requests"):
        logging.getLogger(noisy).setLevel(logging.ERROR)


def hide(secrets: Iterable[str]) -> None:
    """Remove ``secrets`` too from every line from now on."""
    _hidden.replace(_hidden.secrets.union(secrets))


def hidden() -> frozenset[str]:
    """Return the secrets that are removed from every line."""
    return _hidden.secrets


def _on_one_line(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Escape foreign text, which must begin no line of its own and control no terminal; JSON escapes by itself."""
    return {key: clean(value) if isinstance(value, str) else value for key, value in event.items()}


def _traceback(stream: TextIO, exception: structlog.typing.ExcInfo) -> None:
    """Write an exception below its line, indented, since its text may come from outside."""
    written = StringIO()
    structlog.dev.plain_traceback(written, exception)
    stream.write("".join(f"\n    {clean(line)}" for line in written.getvalue().splitlines() if line))


def secrets_in(settings: BaseModel) -> Iterator[str]:
    """Yield every secret text in ``settings``, and the parts of secret URLs that may be keys."""
    for _, value in settings:
        for item in _leaves(value):
            if isinstance(item, SecretStr):
                yield from parts_of(item.get_secret_value())
            elif isinstance(item, BaseModel):
                yield from secrets_in(item)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _leaves(item)
    else:
        yield value


_WORDS = frozenset(
    {*_LEVELS, "critical", "level", "event", "timestamp", "exception", "null", "true", "false"}
)
"""The words of every line, which are never removed."""


class _Hidden:
    """The secrets that are removed from every line."""

    secrets: frozenset[str] = frozenset()
    redact = NOTHING_SECRET

    def replace(self, secrets: frozenset[str]) -> None:
        if secrets != self.secrets:
            self.secrets, self.redact = secrets, Redactor(secrets, keep=_WORDS)


_hidden = _Hidden()
