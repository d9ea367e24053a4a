"""Amounts in units, links and ways to find a transfer, as somebody sees them who is woken by an alert."""

import pytest
from eth_abi.abi import encode

from chainwatch.demo.bridge import Transfer
from tests.support import connext
from tests.support.erc20 import text, token
from tests.support.waiting import eventually
from tests.support.world import DISCORD, World

EXPLORER = 'explorer = "https://explorer.example.org/chain/"'
MORE = """
[[routes]]
receivers = ["ops"]
group_by = ["..."]
group_wait = "0s"

[receivers.ops]
provider = "discord"
url = "${DISCORD_URL}"
allow_private = true
"""


@pytest.mark.anvil
async def test_alerts_and_tables_show_amounts_in_units_and_links(world: World) -> None:
    world.ethereum.rpc(
        "anvil_setCode", connext.ADOPTED, "0x" + token(text("USDX"), encode(["uint256"], [16])).hex()
    )
    watch = world.configure(
        network=EXPLORER, route='continue = true\ngroup_by = ["..."]\ngroup_wait = "0s"', more=MORE
    )
    watch.start()
    await world.until_running()
    first = world.open()
    (seen,) = await world.until(
        "transfers", holds=lambda found: found and found[0]["steps"]["xcall"]["amount_formatted"]
    )
    step = seen["steps"]["xcall"]
    assert (step["amount"], step["amount_formatted"]) == (str(10**18), "100 USDX")
    page = f"https://explorer.example.org/chain/tx/{step['tx_hash']}"
    assert step["tx_url"] == page

    second = world.open()
    (annotations, *_) = await eventually(
        lambda: [a.annotations for a in world.notified if a.labels.get("transfer") == key_of(second)]
    )
    assert annotations["amount"] == str(10**18)
    assert annotations["amount_formatted"] == "100 USDX"
    assert annotations["xcall_tx_url"].startswith("https://explorer.example.org/chain/tx/0x")
    assert annotations["asset_url"].lower().endswith(f"/address/{connext.ADOPTED.lower()}")

    await world.until_all_notified()
    shown = [request.json() for request in world.receiver.requests if request.path.startswith(DISCORD)]
    fields = [field for message in shown for embed in message["embeds"] for field in embed["fields"]]
    assert f"[{step['tx_hash']}]({page}) on ethereum" in {field["value"] for field in fields}
    assert f"100 USDX ({10**18})" in {field["value"] for field in fields}

    table = (await watch.command("transfers", "--key", step["tx_hash"])).out
    assert f"100 USDX ({10**18})" in table
    assert key_of(first)[:12] in table
    for wanted in (step["tx_hash"], key_of(first)[:10], f"{key_of(first)[:12]}…{key_of(first)[-6:]}"):
        assert [t["key"] for t in await watch.read("transfers", "--key", wanted)] == [key_of(first)]


def key_of(transfer: Transfer) -> str:
    return "0x" + transfer.id.hex()
