"""The main job on the real Connext addresses: fast, slow and open transfers between two nodes."""

import pytest

from tests.support.notified import NotifiedAlert
from tests.support.world import DISCORD, FAST, World

pytestmark = pytest.mark.anvil

ONCE_EACH = [
    ("firing", "execute"),
    ("firing", "reconcile"),
    ("resolved", "execute"),
    ("resolved", "reconcile"),
]
"""The alerts of the open transfer: each missing step, and its end."""


async def play(world: World) -> list[NotifiedAlert]:
    """A fast transfer, a slow one, and one that stays open until both of its steps were reported late."""
    fast, slow, stuck = world.open(), world.open(), world.open()
    world.execute(fast, fast=True)
    world.reconcile(slow)
    world.reconcile(fast, fast=True)
    world.execute(slow)
    await world.until_notified(2, "TransferOverdue", "firing")
    with world.optimism.one_block():
        world.execute(stuck)
        world.reconcile(stuck)
    await world.until_notified(2, "TransferOverdue", "resolved")
    await world.until_all_notified()
    assert {alert.labels["transfer"] for alert in world.notified} == {"0x" + stuck.id.hex()}
    return world.notified


def steps(alerts: list[NotifiedAlert]) -> list[tuple[str, str]]:
    """Status and step of what was sent, in order of both."""
    return sorted((alert.status, alert.labels["step"]) for alert in alerts)


@pytest.mark.parametrize("endpoints", [("ws", "http"), ("ws",), ("http",)], ids="+".join)
async def test_only_the_open_transfer_is_reported_and_once(world: World, endpoints: tuple[str, ...]) -> None:
    world.configure(endpoints=endpoints).start()
    alerts = await play(world)
    assert steps(alerts) == ONCE_EACH
    firing, late = alerts[0], alerts[-1]
    assert {name: firing.labels[name] for name in ("flow", "origin", "destination")} == {
        "flow": "connext",
        "origin": "ethereum",
        "destination": "optimism",
    }
    assert late.ends_at is not None
    assert late.ends_at > firing.starts_at == late.starts_at
    assert {alert.labels["severity"] for alert in alerts if alert.labels["step"] == "reconcile"} == {"P2"}


@pytest.mark.postgres
async def test_default_route_settings_and_postgresql_report_the_same(world: World, postgres_url: str) -> None:
    world.configure(route="", store=postgres_url).start()
    assert steps(await play(world)) == ONCE_EACH
    transfers = await world.watch.read("transfers")
    assert sorted(t["status"] for t in transfers) == ["complete"] * 3


async def test_discord_is_reported_the_same(world: World) -> None:
    more = f"""
[receivers.channel]
provider = "discord"
allow_private = true
url = "${{DISCORD_URL}}"

[[routes]]
receivers = ["channel"]
{FAST}
"""
    world.configure(route=FAST + "continue = true", more=more).start()
    await play(world)
    bodies = [request.json() for request in world.receiver.requests if request.path == DISCORD]
    titles = [embed["title"] for body in bodies for embed in body["embeds"]]
    assert sorted(titles) == [
        "P1 FIRING: TransferOverdue",
        "P1 RESOLVED: TransferOverdue",
        "P2 FIRING: TransferOverdue",
        "P2 RESOLVED: TransferOverdue",
    ]
