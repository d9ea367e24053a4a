"""Structured log lines on standard error: JSON for machines, aligned and coloured for people."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from io import StringIO
from typing import Any, TextIO
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

import structlog
from pydantic import BaseModel, SecretStr

from chainwatch.config import LogSettings
from chainwatch.support.printable import clean

KEY_MIN = 8
"""Characters of a part of a secret from which on it is taken for a key; shorter ones are words such as ``v3``."""
STRUCK_MIN = 4
"""Characters of the shortest secret that is struck out: a shorter one stands in every line, and hides nothing."""

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
        yield from (word for word in secret.split() if len(word) >= KEY_MIN)  # of "Bearer KEY"
        return
    url = urlsplit(secret)
    if url.password:
        yield url.password
    names = [*parse_qsl(url.query, keep_blank_values=True), (url.username or "", "")]
    yield from (part for name, value in names if len(part := value or name) >= KEY_MIN)
    yield from (part for part in url.path.split("/") if len(part) >= KEY_MIN and any(map(str.isdigit, part)))


def _striking_out(secrets: Iterable[str]) -> Callable[[Any, str, str], str]:
    """A last processor, over the rendered line.

    What is shorter than a key is struck out where it stands alone, not within words; the words of every line never are.
    """
    forms = {form for secret in secrets for form in _forms(secret) if form.lower() not in _WORDS}
    if not forms:
        return lambda _logger, _method, line: line
    patterns = []
    for form in sorted(forms, key=len, reverse=True):
        pattern = re.escape(form)
        patterns.append(pattern if len(form) >= KEY_MIN else rf"(?<!\w){pattern}(?!\w)")
    any_secret = re.compile("|".join(patterns))
    return lambda _logger, _method, line: any_secret.sub("***", line)


_WORDS = frozenset(
    {*_LEVELS, "critical", "level", "event", "timestamp", "exception", "null", "true", "false"}
)


def _forms(secret: str) -> Iterator[str]:
    """How ``secret`` may be spelt in a line, but for what is too short to be looked for."""
    plain = secret.strip()
    encoded = (quote(plain, errors="replace"), quote(plain, safe="", errors="replace"))
    for spelt in (plain, unquote(plain), *encoded, quote_plus(plain, errors="replace")):
        for form in (spelt, json.dumps(spelt)[1:-1], json.dumps(spelt, ensure_ascii=False)[1:-1]):
            if len(form.strip()) >= STRUCK_MIN:
                yield form
