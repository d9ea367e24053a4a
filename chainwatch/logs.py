"""Structured log lines on standard error: JSON for machines, aligned and coloured for people."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from io import StringIO
from typing import Any, TextIO
from urllib.parse import parse_qsl, unquote, urlsplit

import structlog
from pydantic import BaseModel, SecretStr

from chainwatch.config import LogSettings
from chainwatch.printable import clean

KEY_MIN = 8
"""Characters of a part of a secret URL from which on it is taken for a key; shorter ones are words such as ``v3``."""

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure(settings: LogSettings, secrets: Iterable[str] = ()) -> None:
    """Send structlog's and the standard library's records to standard error as ``settings`` say.

    Tracebacks never show local variables, and ``secrets`` are struck out of every line, whoever wrote it (S9).
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
    rendering.append(_striking_out(secrets))
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
    for telling in ("urllib3.connectionpool", "aiohttp.client", "web3", "requests"):
        logging.getLogger(telling).setLevel(logging.ERROR)


def _on_one_line(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """What others say begins no line of its own and steers no terminal; JSON escapes it by itself."""
    return {key: clean(value) if isinstance(value, str) else value for key, value in event.items()}


def _traceback(stream: TextIO, exception: structlog.typing.ExcInfo) -> None:
    """An exception below its line, indented, since its text may be anybody's."""
    written = StringIO()
    structlog.dev.plain_traceback(written, exception)
    stream.write("".join(f"\n    {clean(line)}" for line in written.getvalue().splitlines() if line))


def secrets_in(settings: BaseModel) -> Iterator[str]:
    """Every secret text in ``settings``, and the parts of secret URLs that may be keys."""
    for _, value in settings:
        for item in _leaves(value):
            if isinstance(item, SecretStr):
                yield from _telling_parts(item.get_secret_value())
            elif isinstance(item, BaseModel):
                yield from secrets_in(item)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _leaves(item)
    else:
        yield value


def _telling_parts(secret: str) -> Iterator[str]:
    if secret.startswith("sqlite:"):
        return  # a path
    yield secret
    if "://" not in secret:
        return
    url = urlsplit(secret)
    if url.password:
        yield url.password
    yield from (value for _, value in parse_qsl(url.query) if len(value) >= KEY_MIN)
    yield from (part for part in url.path.split("/") if len(part) >= KEY_MIN and any(map(str.isdigit, part)))


def _striking_out(secrets: Iterable[str]) -> Callable[[Any, str, str], str]:
    """A last processor, over the rendered line."""
    forms = {form for secret in secrets for form in (secret, unquote(secret), json.dumps(secret)[1:-1])}
    if not forms:
        return lambda _logger, _method, line: line
    longest_first = sorted(forms, key=len, reverse=True)
    any_secret = re.compile("|".join(map(re.escape, longest_first)))
    return lambda _logger, _method, line: any_secret.sub("***", line)
