"""Fixtures that several folders of tests share: databases and nodes, real ones."""

import gc
import logging
import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import structlog

from tests.support.anvil import Anvil, AnvilError, find_or_install
from tests.support.examples import choose_examples
from tests.support.missing import missing
from tests.support.postgres import PostgresError, PostgresServer
from tests.support.storing import remember_statements

choose_examples()

if (
    signal.getsignal(signal.SIGINT) == signal.SIG_IGN
):  # a shell's background job; what tests start would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


_configure = structlog.configure


def _configure_for_a_test(**settings: Any) -> None:
    """As ``structlog.configure``, but no logger keeps what it was first used with: the next test has its own."""
    _configure(**{**settings, "cache_logger_on_first_use": False})


vars(structlog)["configure"] = _configure_for_a_test

remember_statements()


@pytest.fixture(autouse=True)
def _logging_is_put_back() -> Iterator[None]:
    """Commands configure logging for the whole process, onto a standard error that is the test's own."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    structlog.reset_defaults()
    yield
    if structlog.is_configured():
        structlog.reset_defaults()
        root.handlers = handlers
        root.setLevel(level)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--quick`, for `scripts/test --quick`."""
    parser.addoption(
        "--quick", action="store_true", help="leave out what is slow, or needs PostgreSQL or anvil"
    )


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Have no garbage looked for among thousands of tests, which all stay: that was a fifth of the time to collect them."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `--quick`, keep the tests that need no server and are not slow, and try fewer examples of each property."""
    if not config.getoption("--quick"):
        return
    slow = [item for item in items if item.get_closest_marker("slow") or _needs_a_server(item)]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if item not in set(slow)]
    for item in items:
        test = getattr(item, "obj", None)
        usual = getattr(test, "_hypothesis_internal_use_settings", None)
        if usual is not None:
            fewer = hypothesis.settings(usual, max_examples=max(5, usual.max_examples // 10))
            test._hypothesis_internal_use_settings = fewer  # type: ignore[union-attr]


def _needs_a_server(item: pytest.Item) -> bool:
    fixtures = set(getattr(item, "fixturenames", ()))
    params = getattr(item, "callspec", None)
    values = params.params.values() if params is not None else ()
    # compared by type first: parameters of hostile tests break in any foreign hands
    return bool({"postgres_server", "anvil_binary"} & fixtures) or any(
        isinstance(value, str) and value == "postgres" for value in values
    )


@pytest.fixture(scope="session")
def anvil_binary() -> Path:
    """The anvil program, installed on first use."""
    try:
        return find_or_install()
    except AnvilError as error:
        missing("anvil", str(error))


@pytest.fixture
def anvil_factory(anvil_binary: Path) -> Iterator[Callable[..., Anvil]]:
    """Starts nodes, with the arguments of Anvil but the binary; all of them end with the test."""
    with ExitStack() as nodes:

        def start(**settings: Any) -> Anvil:
            return nodes.enter_context(Anvil(anvil_binary, **settings))

        yield start


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server per test session, so one per worker of pytest-xdist."""
    try:
        server = PostgresServer()
        server.__enter__()
    except PostgresError as error:
        missing("PostgreSQL", str(error))
    yield server
    server.__exit__()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of a PostgreSQL database as chainwatch has just made it: most tests' first step would be to make it so."""
    with postgres_server.prepared() as url:
        yield url


@pytest.fixture
def empty_postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of a PostgreSQL database without any table."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of an SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'chainwatch.db'}"


@pytest.fixture(params=["sqlite", "postgres"])
def empty_database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a database without any table, of each kind."""
    url: str = request.getfixturevalue(
        {"sqlite": "sqlite_url", "postgres": "empty_postgres_url"}[request.param]
    )
    return url


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a fresh database; a test that asks for it runs once on each kind."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url
