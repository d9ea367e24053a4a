"""Thirty broken configurations, and more: exit code 2, the file and the line, no traceback."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from chainwatch.cli import main
from tests.support.process import Chainwatch

FOLDER = Path(__file__).parents[1] / "data" / "broken_configs"
BROKEN = sorted(FOLDER.glob("*.toml"))


@pytest.mark.parametrize(
    ("file", "command"),
    [
        pytest.param(file, command, id=f"{file.stem}-{command}")
        for file in BROKEN
        for command in ("check", "run", "status")
        if (file.stem, command)
        != ("no-networks", "status")  # the alerts that it shows may come from elsewhere
    ],
)
def test_a_broken_configuration_is_bad_usage(file: Path, command: str) -> None:
    done = CliRunner().invoke(main, ["--config", str(file), command])
    assert done.exit_code == 2
    assert isinstance(done.exception, SystemExit)
    assert re.search(rf"{re.escape(file.name)}:\d+", done.stderr), done.stderr
    assert "Traceback" not in done.output
    assert done.stdout == ""


def test_there_are_thirty_of_them() -> None:
    assert len(BROKEN) >= 30


@pytest.mark.parametrize("command", ["check", "run"])
async def test_the_process_itself_says_the_same(tmp_path: Path, command: str) -> None:
    watch = Chainwatch(tmp_path, (FOLDER / "many-at-once.toml").read_text())
    done = await watch.command(command)
    assert done.code == 2
    assert re.search(r"config\.toml:\d+", done.err)
    assert "Traceback" not in done.err
    assert done.out == ""


async def test_a_configuration_that_is_not_there_is_bad_usage(tmp_path: Path) -> None:
    watch = Chainwatch(tmp_path, "")
    watch.config.unlink()
    done = await watch.command("run")
    assert done.code == 2
    assert "config.toml" in done.err
    assert "Traceback" not in done.err
