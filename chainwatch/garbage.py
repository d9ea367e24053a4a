"""How often Python looks for cycles among its objects."""

from __future__ import annotations

import gc


def collect_seldom() -> None:
    """Have cycles looked for once in 200,000 new objects instead of 700.

    Neither the modules that a command loads nor what it reads and stores are cycles: looking for them all the time would
    take a sixth of a command's start and a third of a replay.
    """
    gc.set_threshold(200_000, 20, 100)
