"""What to do when a real part cannot be had on this machine."""

import os
from typing import NoReturn

import pytest


def missing(part: str, reason: str) -> NoReturn:
    """Skips the test with the reason; in CI, where every real part must be there, fails it."""
    message = f"{part} cannot be had here: {reason}"
    if os.environ.get("CI", "").lower() in {"", "0", "false"}:
        pytest.skip(message)
    pytest.fail(message, pytrace=False)
