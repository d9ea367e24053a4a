"""`chainwatch audit` on what a running chainwatch has stored."""

import json
import sqlite3
from contextlib import closing

import pytest

from tests.support.world import World

pytestmark = pytest.mark.anvil


async def test_an_audit_reports_what_is_missing_by_its_exit_code_and_repairs_it(world: World) -> None:  # S1
    watch = world.configure(within="1h")
    watch.start()
    transfer = world.open()
    world.execute(transfer)
    world.reconcile(transfer)
    await world.until("transfers", holds=lambda found: [t["status"] for t in found] == ["complete"])
    fine = await watch.command("audit", "optimism")
    assert fine.code == 0, fine.err
    assert "all 2 logs match what is stored" in fine.out
    await watch.stop()
    with closing(sqlite3.connect(watch.folder / "chainwatch.db")) as database, database:
        database.execute(
            "DELETE FROM logs WHERE id = (SELECT max(logs.id) FROM logs, networks "
            "WHERE networks.name = 'optimism' AND logs.id >> 52 = networks.id)"
        )

    notified = await watch.command("audit", "optimism", "--json")
    assert notified.code == 1
    assert [difference["kind"] for difference in json.loads(notified.out)["differences"]] == ["missing"]
    repaired = await watch.command("audit", "optimism", "--repair")
    assert repaired.code == 1
    assert "1 differences, repaired" in repaired.out
    assert (await watch.command("audit", "optimism")).code == 0
