"""What options accept, and that everything else is bad usage, reported in a sentence."""

import contextlib
import time
from typing import Any

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from chainwatch.commands.common import BAD_USAGE
from chainwatch.commands.options import Duration, Moment, Severity

APRIL_5 = 1_680_652_800


def converted(kind: click.ParamType[Any], text: str) -> Any:
    return kind.convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2023-04-05", APRIL_5),
        ("2023-04-05T08:11", APRIL_5 + 8 * 3600 + 11 * 60),
        ("2023-04-05T08:11Z", APRIL_5 + 8 * 3600 + 11 * 60),
        ("2023-04-05T08:11:02+02:00", APRIL_5 + 6 * 3600 + 11 * 60 + 2),
        ("1680652800", APRIL_5),
        ("0", 0),
    ],
)
def test_a_moment_is_a_date_a_time_or_unix_seconds(text: str, seconds: int) -> None:
    assert converted(Moment(), text) == seconds


@pytest.mark.parametrize(("text", "ago"), [("24h", 86_400), ("90s", 90), ("PT5M", 300), ("7d", 604_800)])
def test_a_duration_is_a_moment_so_long_ago(text: str, ago: int) -> None:
    began = time.time()
    assert began - 1 <= converted(Moment(), text) + ago <= time.time() + 1


@pytest.mark.parametrize(
    "text",
    [
        "yesterday",
        "",
        "²",
        "٣",
        "-24h",
        "-5",
        "1e9",
        "2023-13-01",
        "99999999999999999999",
        "40000d",
        "24 h x",
    ],
)
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        converted(Moment(), text)


@given(st.text())
def test_no_text_at_all_breaks_an_option(text: str) -> None:
    for kind in (Moment(), Duration(), Severity()):
        with contextlib.suppress(click.BadParameter):
            assert converted(kind, text) is not None


@pytest.mark.parametrize(
    ("text", "severity"),
    [("P0", "P0"), ("p1", "P1"), ("critical", "P0"), ("Warning", "P2"), ("info", "P3"), ("low", "P3")],
)
def test_a_severity_goes_by_either_name(text: str, severity: str) -> None:
    assert converted(Severity(), text) == severity


def test_an_unknown_severity_is_reported_with_those_there_are() -> None:
    with pytest.raises(click.BadParameter, match="P0, P1, P2, P3"):
        converted(Severity(), "P9")


@pytest.mark.parametrize(("text", "seconds"), [("60s", 60.0), ("500ms", 0.5), ("1h30m", 5400.0)])
def test_a_duration_is_in_seconds(text: str, seconds: float) -> None:
    assert converted(Duration(), text) == seconds


@pytest.mark.parametrize("kind", [Moment(), Duration(), Severity()])
def test_a_wrong_value_ends_a_command_with_2_and_a_sentence(kind: click.ParamType[Any]) -> None:
    @click.command()
    @click.option("--value", type=kind)
    def command(value: object) -> None:
        raise AssertionError(f"{value} was taken")

    result = CliRunner().invoke(command, ["--value", "nonsense"])
    assert result.exit_code == BAD_USAGE
    assert "--value" in result.output
    assert "Traceback" not in result.output
