"""What holds keys, or what was read and raised, is readable by its owner alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from chainwatch.cli import main
from chainwatch.store import blocks
from chainwatch.store.claim import claimed
from chainwatch.store.database import Database
from chainwatch.support.private_files import touch_private, write_private


@pytest.fixture(params=[0o022, 0o000, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.usefixtures("umask")
def test_a_database_and_all_files_beside_it_are_private(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'chainwatch.db'}"
    with claimed(url), closing(Database.open(url)) as database:
        state = blocks.NetworkState("alpha", "live", 1, 1, None, 1.0)
        with database.transaction() as connection:
            blocks.save_states(connection, [state])
        with database.reading() as connection:
            assert blocks.states(connection) == {"alpha": state}
        files = {file.name: mode(file) for file in tmp_path.iterdir()}
    assert set(files) == {"chainwatch.db", "chainwatch.db-wal", "chainwatch.db-shm", "chainwatch.db.lock"}
    assert set(files.values()) == {0o600}


def test_a_database_that_is_shared_on_purpose_stays_so(tmp_path: Path) -> None:
    file = tmp_path / "chainwatch.db"
    Database.open(f"sqlite:///{file}").close()
    file.chmod(0o640)
    Database.open(f"sqlite:///{file}").close()
    assert mode(file) == 0o640


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize("there", [False, True])
def test_a_configuration_that_init_writes_is_private(tmp_path: Path, there: bool) -> None:
    file = tmp_path / "mine.toml"
    if there:
        file.write_text("x" * 100_000)
        file.chmod(0o644)
    networks = [word for name in ("ethereum", "optimism") for word in ("--network", name)]
    endpoints = [f"--rpc={name}=https://node.example/v3/k3y" for name in ("ethereum", "optimism")]
    command = [
        "--config",
        str(file),
        "init",
        "--preset",
        "connext",
        *networks,
        "--yes",
        "--force",
        *endpoints,
    ]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    assert mode(file) == 0o600
    assert "x" * 100 not in file.read_text()


def test_a_file_is_private_before_anything_is_in_it(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    write_private(file, "a")
    write_private(file, "b")
    touch_private(file)
    assert (mode(file), file.read_text()) == (0o600, "b")
