"""Sends a real server what its own description allows, and what it does not, and compares its answers with the description.

Usage: python -m tests.support.fuzz_api [--seconds N] [--seed S]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import tempfile
from pathlib import Path

from chainwatch.operations.context import Access, Context
from tests.support.operating import raise_alert
from tests.unit.api.conftest import Served, serving_on

CONFIG = """
[checks.positive_data_acceptance]
# No schema says which combinations of arguments make sense, such as a window that ends after it begins.
enabled = false
"""


async def fuzz(folder: Path, *options: str) -> tuple[int, str]:
    """Serve on a database in ``folder`` and run schemathesis with ``options``; its exit code and its report."""
    (folder / "schemathesis.toml").write_text(CONFIG)
    program = Path(sys.executable).with_name("schemathesis")
    async with serving_on(f"sqlite:///{folder / 'chainwatch.db'}")() as served:
        await _leave_something(served)
        storing = asyncio.ensure_future(served.rules.companions(served.running)["samples"]())
        process = await asyncio.create_subprocess_exec(
            *(program, "run", f"{served.url}/api/openapi.json", "--no-color"),
            *("--generation-database", "none", "--warnings", "off", *options),
            *("--exclude-operation-id", "PostPrometheusWrite"),  # it makes no protobuf
            cwd=folder,
            env={**os.environ, "HYPOTHESIS_STORAGE_DIRECTORY": str(folder)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            report, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
            storing.cancel()
            await asyncio.gather(storing, return_exceptions=True)
        return process.returncode or 0, report.decode()


async def _leave_something(served: Served) -> None:
    """Let there be alerts, and queues that deliver."""
    await served.running.alerting.start()
    database = served.running.database
    with database.reading() as connection:
        access = Access(database, Context.of(served.running.plan, connection))
    for name in ("Late", "Orphan", "Mismatch"):
        await asyncio.to_thread(raise_alert, access, name)


def main() -> int:
    """Run with another seed each time, unless one is given; print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=int, default=300, help="how long (default: 300)")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32), help="default: any")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        options = (f"--max-time={given.seconds}", f"--seed={given.seed}")
        code, report = asyncio.run(fuzz(Path(folder), *options))
    print(report)
    return code


if __name__ == "__main__":
    sys.exit(main())
