"""docs/tutorial.md does what it says: its commands, run as they stand there."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.anvil import Anvil
from tests.support.pages import ROOT, blocks

PAGE = ROOT / "docs" / "tutorial.md"
SHARED = ("chainwatch", "examples")
FIRST_STEP, LAST_STEP = "1. Two chains", "8. Clean up"

BEGIN = """
set -e
trap 'kill $(jobs -p)' EXIT
sleep() {  # as many times as long as the machine needs more than a second to start a command
    local began=$(date +%s)
    scripts/run --version
    command sleep $(($1 * (1 + $(date +%s) - began)))
}
"""


@pytest.mark.anvil
def test_the_tutorial_does_what_it_says(tmp_path: Path, anvil_factory: Callable[..., Anvil]) -> None:
    left, right = anvil_factory(chain_id=31337), anvil_factory(chain_id=31338)
    for name in SHARED:
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    run = tmp_path / "scripts" / "run"
    run.parent.mkdir()
    run.write_text(f'#!/bin/sh\nexec "{Path(sys.prefix) / "bin" / "chainwatch"}" "$@"\n')  # installed already
    run.chmod(0o755)
    steps = [
        block.text
        for block in blocks(PAGE)
        if block.language == "sh" and block.heading not in (FIRST_STEP, LAST_STEP)
    ]
    script = "\n".join([BEGIN, *steps])
    script = script.replace("http://127.0.0.1:8545", left.http_url).replace(
        "http://127.0.0.1:8546", right.http_url
    )
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        env={"PATH": "/usr/bin:/bin", "LEFT": left.http_url, "RIGHT": right.http_url, "LANG": "C.UTF-8"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("\tlive\t") == 2
    assert re.search(r"^bridge\t0x\w{64}\tcomplete\t[^\t]*\tleft\tright\t", done.stdout, re.MULTILINE)
    assert "FIRING TransferOverdue" in done.stdout
    assert re.search(r"\tP1\tresolved\tTransferOverdue\t.*\(late\)", done.stdout)
    assert re.search(r"\tP0\tfiring\tTransferOrphan\t", done.stdout)
    assert "P0 TransferOrphan, firing" in done.stdout
    assert "1 acknowledged" in done.stdout
