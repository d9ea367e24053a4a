"""How examples are chosen: anew in each run; with ``CI=true`` the same ones each time: CI fails by a change alone.

`scripts/fuzz-properties`, `scripts/fuzz` and `scripts/soak` look for what other examples find.
"""

from __future__ import annotations

import os
from random import SystemRandom

import hypothesis
from hypothesis.internal.conjecture import providers

FRESH, REPEATED = "fresh examples", "repeated examples"
"""Names of profiles, for pytest's option ``--hypothesis-profile``."""


def any_seed() -> int:
    """Return the seed of a test that plays at random."""
    return 1 if _is_ci() else SystemRandom().randrange(2**32)


def choose_examples() -> None:
    """Load Hypothesis' profile for this environment; before test modules are imported."""
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
    if not _is_ci():
        hypothesis.settings.load_profile(FRESH)
        return
    hypothesis.settings.load_profile(REPEATED)
    # Else numbers and texts of the modules that happen to be loaded are examples too: other ones
    # after a change anywhere, or where pytest-xdist gave the tests to other workers.
    vars(providers)["is_local_module_file"] = lambda _path: False


def _is_ci() -> bool:
    return os.environ.get("CI") == "true"
