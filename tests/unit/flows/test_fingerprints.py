"""Which changes of the configuration make a flow's events, or only their judging, another (S7)."""

from __future__ import annotations

from pathlib import Path

import pytest

from chainwatch.flows.fingerprints import fingerprints
from chainwatch.plan import load_plan
from tests.support import bridge

URLS = {network.name: "http://127.0.0.1:1" for network in bridge.NETWORKS}


def prints(folder: Path, old: str = "", new: str = "", abi: str = "") -> tuple[str, str]:
    """Of the bridge, configured with ``new`` in place of ``old``, whose ABI file ends in ``abi``."""
    bridge.write_abi(folder)
    with (folder / "bridge.json").open("a") as file:
        file.write(abi)
    text = bridge.config(URLS, flow='lookback = "0s"')
    assert old in text
    (folder / "config.toml").write_text(text.replace(old, new, 1))
    return fingerprints(load_plan(folder / "config.toml", {}).settings)["bridge"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (f'address = "{bridge.ADDRESS}"', f'address = "0x{"12" * 20}"'),
        ('key = ["originChainId", "number"]', 'key = ["number"]'),
        ('step = "fill"', 'step = "filled"'),
        ('lookback = "0s"', 'lookback = "1h"'),
        ('event = "Filled"', 'event = "Filled"\nwith.deposit = { event = "Deposited", pick = "only" }'),
    ],
)
def test_what_decides_which_events_count_changes_both_S7(tmp_path: Path, old: str, new: str) -> None:
    before, after = prints(tmp_path), prints(tmp_path, old, new)
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_another_abi_changes_both_S7(tmp_path: Path) -> None:
    before, after = prints(tmp_path), prints(tmp_path, abi="\n")
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_how_events_are_judged_changes_the_judging_alone_S7(tmp_path: Path) -> None:
    before, after = prints(tmp_path), prints(tmp_path, f'within = "{bridge.WITHIN}s"', 'within = "1s"')
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_what_concerns_no_flow_changes_nothing_S7(tmp_path: Path) -> None:
    assert prints(tmp_path) == prints(tmp_path, "http://127.0.0.1:1", "http://127.0.0.1:2")
