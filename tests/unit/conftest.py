"""What every unit test leaves as it was."""

import logging
from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def _logging_is_put_back() -> Iterator[None]:
    """Commands configure logging for the whole process, onto a standard error that is the test's own."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    configured = structlog.is_configured()
    yield
    if structlog.is_configured() and not configured:
        structlog.reset_defaults()
        root.handlers = handlers
        root.setLevel(level)
