"""Types of option values, and options that commands share."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import click

from chainwatch.commands.common import myself
from chainwatch.model import SEVERITIES, SEVERITY_NAMES

LAST_MOMENT = 253_402_300_799
"""The last second of the year 9999: larger numbers are not Unix seconds (but perhaps milliseconds)."""


class Duration(click.ParamType[Any]):
    """``60s``, ``5m``, ``PT1H`` → seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return value if isinstance(value, float) else _seconds(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Moment(click.ParamType[Any]):
    """A date, a time, Unix seconds, or a duration back from now (``24h``) → Unix seconds.

    ``ahead``: a duration counts forwards from now.
    """

    name = "time"

    def __init__(self, *, ahead: bool = False) -> None:
        self._direction = 1 if ahead else -1

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        if re.fullmatch("[0-9]{1,19}", value) and int(value) <= LAST_MOMENT:
            return int(value)
        with contextlib.suppress(ValueError):
            return int(datetime.now(UTC).timestamp() + self._direction * _seconds(value))
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(
                f"{value!r} is not a date (2023-04-05), time (2023-04-05T08:11Z), Unix time or duration (24h)",
                param,
                ctx,
            )
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


class Severity(click.ParamType[Any]):
    """``P0`` or ``critical`` → ``P0``."""

    name = "severity"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        found = SEVERITY_NAMES.get(str(value).lower())
        if found is None:
            self.fail(f"{value!r} is not a severity; use {', '.join(SEVERITIES)} or their names", param, ctx)
        return found


class Id(click.ParamType[Any]):
    """The ID of a row in the database."""

    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if not re.fullmatch("0*[1-9][0-9]{0,17}", str(value)):
            self.fail(f"{value!r} is not an ID: whole numbers from 1, as the lists show them", param, ctx)
        return int(value)


Block = click.IntRange(0, 2**32 - 1)
"""A block's number."""

ids = click.argument("ids", type=Id(), nargs=-1, required=True, metavar="ID…")
"""The argument of commands that change rows."""


def default_to(context: click.Context, given: Mapping[str, Any]) -> None:
    """Make the options ``given`` to a group the defaults of its subcommand, so that none is ignored."""
    context.default_map = {
        **(context.default_map or {}),
        str(context.invoked_subcommand): {name: value for name, value in given.items() if value},
    }


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
"""The option that every command with a table has."""


def paged(order: str = "newest first") -> Callable[[Any], Any]:
    """Return the options of commands whose list may be long, which is in this ``order``."""
    limit = click.option(
        "--limit",
        type=click.IntRange(1, 10**9),
        default=100,
        show_default=True,
        help=f"Maximum number of rows, {order}.",
    )
    after = click.option(
        "--after", metavar="CURSOR", help="Continue after the page that printed this cursor."
    )
    return lambda command: limit(after(command))


by = click.option("--by", "actor", default=myself, show_default="you", help="Name recorded as the author.")
"""The option of commands that record who ran them."""


def _seconds(text: str) -> float:
    """Call `parse_duration`, which is imported late: most commands get no duration."""
    from chainwatch.config import parse_duration

    return parse_duration(text)
