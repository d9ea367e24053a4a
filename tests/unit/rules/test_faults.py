"""Errors that nobody foresaw, in the log: each once."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from chainwatch.rules import faults as module
from chainwatch.rules.faults import Faults


@pytest.fixture(autouse=True)
def nothing_is_traced_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_traced", set())


def fault(text: str = "x") -> Exception:
    try:
        raise ArithmeticError(text)
    except ArithmeticError as error:
        return error


def other_fault() -> Exception:
    try:
        raise ArithmeticError("y")
    except ArithmeticError as error:
        return error


def test_each_rule_is_logged_once_and_the_traceback_with_the_first() -> None:
    one, two = Faults(), Faults()
    with capture_logs() as logs:
        for number in range(5):
            one.log("it failed", fault(str(number)), rule="a")
            one.log("it failed", fault(str(number)), rule="b")
            two.log("it failed", fault(str(number)), rule="a")
    assert [(log["rule"], log["error"], log["exc_info"] is not None) for log in logs] == [
        ("a", "ArithmeticError: 0", True),
        ("b", "ArithmeticError: 0", False),
        ("a", "ArithmeticError: 0", False),
    ]


def test_another_error_of_a_rule_is_logged_too() -> None:
    faults = Faults()
    with capture_logs() as logs:
        faults.log("it failed", fault(), rule="a")
        faults.log("it failed", other_fault(), rule="a")
    assert len(logs) == 2
    assert logs[1]["exc_info"] is not None


def test_an_error_that_was_never_raised_is_logged() -> None:
    with capture_logs() as logs:
        Faults().log("it failed", ValueError("z"), rule="a")
    assert logs[0]["error"] == "ValueError: z"
