"""The demo shows its whole story on embedded chains, without a node, a key or a configuration."""

import re
from collections import Counter
from pathlib import Path

from tests.support.process import Chainwatch


async def test_the_demo_reports_what_is_overdue_and_of_the_orphan(tmp_path: Path) -> None:
    done = await Chainwatch(tmp_path, "").command("demo", "--for", "46s")
    assert (done.code, done.err) == (0, "")
    lines = Counter(re.findall(r"(FIRING|RESOLVED).*?(Transfer\w+)", done.out))
    assert lines == {
        ("FIRING", "TransferOverdue"): 2,
        ("RESOLVED", "TransferOverdue"): 2,
        ("FIRING", "TransferOrphan"): 1,
    }
