"""The configuration file: TOML → validated `Settings`, or every problem in it at once.

`load` reads a file; `from_dict` takes the same shape from Python. `read` stops half way: its `Draft` holds
what is valid so far, and takes further problems (those that only the ABIs can show) before `Draft.settings`.
``${NAME}`` in any text takes the value of an environment variable; ``$${`` stands for ``${`` itself.
No error text ever repeats a secret or a value that came from the environment (S9).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli

from chainwatch.config import toml_lines
from chainwatch.config.alerting import (
    AcknowledgeSettings,
    AlertSettings,
    CooldownSettings,
    InhibitSettings,
    IntervalSettings,
    LifecycleSettings,
    RouteSettings,
)
from chainwatch.config.checks import cross_check
from chainwatch.config.doubts import note_doubts
from chainwatch.config.draft import Draft
from chainwatch.config.errors import ConfigError, Problem
from chainwatch.config.flows import FlowSettings, OpeningSettings, StepSettings
from chainwatch.config.networks import ContractSettings, NetworkSettings
from chainwatch.config.receivers import ReceiverSettings
from chainwatch.config.settings import LogSettings, Settings, StoreSettings
from chainwatch.grammar.durations import format_duration, parse_duration
from chainwatch.support.nesting import is_too_deep_or_large

__all__ = [
    "AcknowledgeSettings",
    "AlertSettings",
    "ConfigError",
    "ContractSettings",
    "CooldownSettings",
    "Draft",
    "FlowSettings",
    "InhibitSettings",
    "IntervalSettings",
    "LifecycleSettings",
    "LogSettings",
    "NetworkSettings",
    "OpeningSettings",
    "Problem",
    "ReceiverSettings",
    "RouteSettings",
    "Settings",
    "StepSettings",
    "StoreSettings",
    "format_duration",
    "from_dict",
    "load",
    "parse_duration",
    "read",
    "read_dict",
]

_REPEATED = re.compile("overwrite|twice|[Dd]uplicate|redefine|immutable")


def load(path: Path, environ: Mapping[str, str]) -> Settings:
    """Return the settings in the file at ``path``, ``${NAME}`` taken from ``environ``.

    Raises `ConfigError` with every problem found.
    """
    return read(path, environ).settings()


def from_dict(
    data: Mapping[str, Any], environ: Mapping[str, str] | None = None, folder: Path = Path()
) -> Settings:
    """Return the settings in ``data``, which has the file's shape; relative paths refer to ``folder``.

    Raises `ConfigError` with every problem found.
    """
    return read_dict(data, environ, folder).settings()


def read_dict(
    data: Mapping[str, Any],
    environ: Mapping[str, str] | None = None,
    folder: Path = Path(),
    *,
    watches: bool = True,
) -> Draft:
    """As `read`, for the file's shape in a dict. Raises `ConfigError` only where that is nested too deep to be checked."""
    if is_too_deep_or_large(data):
        raise ConfigError("config", [Problem((), 0, "too large, nested too deep, or within itself")])
    draft = Draft("config", folder.absolute(), data, environ or {}, None)
    cross_check(draft, watches=watches)
    note_doubts(draft)
    return draft


def read(path: Path, environ: Mapping[str, str], *, watches: bool = True) -> Draft:
    """Return the draft of the file at ``path``, checked as far as possible without its ABI files.

    ``watches=False``: for a program that only sends alerts, and needs no networks.
    Raises `ConfigError` only when there is nothing to check: no readable file, or not TOML.
    """
    text = _text(path)
    try:
        data = tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        message = f"not valid TOML, column {error.colno}: {error.msg}"
        hint = "each key and each table may stand only once" if _REPEATED.search(error.msg) else ""
        raise ConfigError(str(path), [Problem((), error.lineno, message, hint)]) from None
    except (ValueError, RecursionError):  # thousands of digits, hundreds of brackets
        message = "not valid TOML: a number is too long or brackets are nested too deep"
        raise ConfigError(str(path), [Problem((), 0, message)]) from None
    lines = toml_lines.key_lines(text)
    draft = Draft(str(path), path.absolute().parent, data, environ, lines)
    cross_check(draft, watches=watches)
    note_doubts(draft)
    return draft


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        message, hint = "there is no such file", "`chainwatch init` writes one; --config names another"
    except IsADirectoryError:
        message, hint = "this is a directory", "give the path of a TOML file"
    except UnicodeDecodeError as error:
        message, hint = f"byte {error.start} is not UTF-8", "save the file as UTF-8"
    except OSError as error:
        message, hint = f"cannot be read: {error.strerror}", ""
    raise ConfigError(str(path), [Problem((), 0, message, hint)])
