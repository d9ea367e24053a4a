"""Every preset, as `init` writes it, on its protocol's own logs: what is alerted is exactly what should be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from chainwatch.checker.transfer_keys import event_key
from chainwatch.cli import main
from chainwatch.init.presets import PRESETS
from tests.support.presets import PROTOCOLS
from tests.support.presets.protocol import HOUR, Alerted, Protocol
from tests.support.presets.world import BEGIN, LONG, World, watched, written

CLOCK_SKEW = 120
"""Seconds: the default of flows."""


@pytest.fixture(params=PROTOCOLS, ids=lambda protocol: protocol.preset)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with watched(request.param, tmp_path) as networks:
        yield networks


def test_every_preset_is_proven() -> None:
    following = {name for name, preset in PRESETS.items() if preset.flows(preset.networks)}
    assert following == {protocol.preset for protocol in PROTOCOLS}


def test_transfers_in_time_are_complete_in_every_direction_and_raise_nothing(world: World) -> None:
    routes = world.protocol.routes
    world.open(1)
    world.open(2)
    world.follow(2, 1)
    world.see(BEGIN + LONG)
    assert world.judged() == {world.protocol.key(r, n): "complete" for r in routes for n in (1, 2)}
    assert {(t.key, t.origin, t.destination) for t in world.transfers() if t.status != "untracked"} == {
        (world.protocol.key(r, n), *r) for r in routes for n in (1, 2)
    }
    assert world.alerts() == []


@pytest.mark.slow
def test_steps_may_be_seen_before_their_opening(world: World) -> None:
    """S3"""
    world.follow(1)
    world.open(1)
    world.see(BEGIN + LONG)
    assert set(world.judged().values()) == {"complete"}
    assert [alert for alert in world.alerted() if alert.state == "firing"] == []


@pytest.mark.slow
def test_a_transfer_that_never_arrives_is_overdue_at_its_deadlines_and_not_before(world: World) -> None:
    """S5"""
    protocol = world.protocol
    world.open(1)
    world.see(BEGIN + min(step.within for step in protocol.steps))
    assert world.alerts() == []
    world.see(
        BEGIN + max(step.within for step in protocol.steps) + CLOCK_SKEW + 1
    )  # an alias may be given so much later
    assert set(world.judged().values()) == {"overdue"}
    overdue = [Alerted("TransferOverdue", step.name) for step in protocol.steps]
    assert world.alerted() == sorted(overdue * len(protocol.routes))
    assert {(a.labels["origin"], a.labels["destination"]) for a in world.alerts()} == set(protocol.routes)


@pytest.mark.slow
def test_a_late_transfer_ends_its_alerts(world: World) -> None:
    protocol = world.protocol
    late = max(step.within for step in protocol.steps) + 10
    world.open(1)
    world.see(BEGIN + late)
    world.follow(1, at=BEGIN + late)
    world.see(BEGIN + LONG)
    assert set(world.judged().values()) == {"complete"}
    ended = [Alerted("TransferOverdue", step.name, "resolved") for step in protocol.steps]
    assert world.alerted() == sorted(ended * len(protocol.routes))


@pytest.mark.slow
def test_a_payout_that_nobody_funded_is_an_orphan(world: World) -> None:
    protocol = world.protocol
    world.open(1)
    world.follow(1, 2)
    world.see(BEGIN + LONG)
    expected = protocol.on_orphan
    if expected is None:
        expected = [Alerted("TransferOrphan", step.name) for step in protocol.steps]
    assert world.alerted() == sorted([*expected] * len(protocol.routes))
    assert {alert.labels["severity"] for alert in world.alerts()} <= {protocol.orphan_severity}
    assert {world.judged()[protocol.key(r, 1)] for r in protocol.routes} == {"complete"}
    if expected:
        by_key = {event_key(key): status for key, status in world.judged().items()}
        assert {by_key[protocol.key(r, 2)] for r in protocol.routes} == {"orphan"}


@pytest.mark.slow
def test_a_payout_that_comes_twice_is_reported_unless_it_may(world: World) -> None:
    protocol = world.protocol
    world.open(1)
    world.follow(1)
    world.step(protocol.last, 1, at=BEGIN + protocol.last.after + HOUR)
    world.see(BEGIN + LONG)
    expected = protocol.on_repeat
    if expected is None:
        expected = [Alerted("TransferRepeated", protocol.last.name)]
        assert set(world.judged().values()) == {"disputed"}
    assert world.alerted() == sorted([*expected] * len(protocol.routes))


@pytest.mark.slow
def test_what_is_no_transfer_of_the_flow_raises_nothing(world: World) -> None:
    for route in world.protocol.routes:
        for transaction in world.protocol.ignored(route, 1):
            world.run(transaction, BEGIN)
    world.see(BEGIN + LONG)
    assert set(world.statuses().values()) <= {"untracked"}
    assert world.alerts() == []


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.preset)
def test_check_has_nothing_to_say_about_what_init_writes(protocol: Protocol, tmp_path: Path) -> None:
    assert written(protocol, tmp_path).warnings == ()
    variables = {
        f"{name.upper().replace('-', '_')}_RPC_URL": "https://node.example" for name in protocol.networks
    }
    done = CliRunner().invoke(main, ["--config", str(tmp_path / "chainwatch.toml"), "check"], env=variables)
    assert (done.exit_code, "warning" in done.output.lower()) == (0, False), done.output


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.preset)
def test_a_preset_says_when_it_reports_no_orphans_yet(protocol: Protocol, tmp_path: Path) -> None:
    """A step seen soon after the first block is `unopened`, forged or not, where its opening cannot be asked for."""
    silent = [flow for flow in written(protocol, tmp_path).flows if flow.search is None and flow.lookback]
    about = PRESETS[protocol.preset].about
    assert not silent or "`unopened`" in about.orphans + about.blind
