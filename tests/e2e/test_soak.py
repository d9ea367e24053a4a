"""The short form of `scripts/soak`."""

from pathlib import Path

import pytest

from tests.support import soak
from tests.support.examples import any_seed

pytestmark = pytest.mark.anvil

SECONDS = 14.0


async def test_after_reorgs_freezes_spoilt_answers_and_kills_the_store_is_the_chains_truth(
    anvil_binary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # S1, S2, S4
    monkeypatch.setattr(soak, "LONGEST_LIFE", 6.0)
    monkeypatch.setattr(soak, "FREEZE", 1 / 60)
    monkeypatch.setattr(soak, "RESTART", 1 / 100)
    monkeypatch.setattr(soak, "FAULTY", 0.1)
    seed = any_seed()
    print(f"seed {seed}")  # shown when the test fails
    counts = await soak.soak(tmp_path, anvil_binary, SECONDS, seed)
    assert counts.logs > 50
    assert counts.kills > 0
    assert counts.spoilt > 0
    assert counts.alerts > 0
