"""How Hypothesis chooses the examples of properties: anew in each run, or with ``CI=true`` the same ones each time.

So CI fails by a change alone; `scripts/fuzz-properties` looks for what other examples find.
"""

from __future__ import annotations

import os

import hypothesis
from hypothesis.internal.conjecture import providers

FRESH, REPEATED = "fresh examples", "repeated examples"
"""Names of profiles, for pytest's option ``--hypothesis-profile``."""


def choose_examples() -> None:
    """Load the profile for this environment; before test modules are imported."""
    hypothesis.settings.register_profile(
        FRESH,
        hypothesis.settings.get_profile("default"),  # not Hypothesis' own for CI
        deadline=None,  # speed is measured by scripts/bench
        derandomize=False,
        print_blob=True,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )
    hypothesis.settings.register_profile(
        REPEATED, hypothesis.settings.get_profile(FRESH), derandomize=True, database=None
    )
    if os.environ.get("CI") != "true":
        hypothesis.settings.load_profile(FRESH)
        return
    hypothesis.settings.load_profile(REPEATED)
    # Else numbers and texts of the modules that happen to be loaded are examples too: other ones
    # after a change anywhere, or where pytest-xdist gave the tests to other workers.
    vars(providers)["is_local_module_file"] = lambda _path: False
