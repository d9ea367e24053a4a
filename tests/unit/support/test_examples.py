"""With CI=true the examples of a property follow from the property alone."""

import os
import subprocess
import sys

PROPERTY = """
from hypothesis import given, strategies as st
from tests.support.examples import choose_examples

choose_examples()

@given(st.lists(st.integers() | st.text()))
def note(example):
    print(ascii(example))
"""


def examples(ci: str, first: str = "") -> str:
    """What the property is given, where the module ``first`` is loaded before."""
    program = f"{PROPERTY}\n{first}\nnote()"
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "CI": ci},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


def test_ci_has_the_same_examples_each_time_whatever_modules_are_loaded() -> None:
    other_constants = "import chainwatch.support.clock, chainwatch.support.printable"
    assert examples("true") == examples("true", first=other_constants)


def test_each_other_run_has_its_own_examples() -> None:
    assert examples("") != examples("")
