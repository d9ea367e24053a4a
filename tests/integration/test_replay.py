"""A year of another bridge, replayed from a recorded node: everything that is to be found, and nothing else."""

import json
import random
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from chainwatch.chain import history
from chainwatch.flows import checker, opening_search
from chainwatch.replay import replay, session
from chainwatch.replay.errors import ReplayError
from chainwatch.replay.session import Wanted
from scripts.bench.recorded_node import Faults, Recording
from tests.support import bridge
from tests.support.bridge import BETA, DAY, NETWORKS, Action, Network
from tests.support.replays import BARE, WHOLE, YEAR, Bridge


def whole(length: int = YEAR) -> dict[Network, tuple[int, int]]:
    """The first and last block of each network in a whole replay."""
    return {n: (n.start, n.block_at(bridge.BEGIN + length)) for n in NETWORKS}


async def test_a_year_of_history_is_judged_as_by_hand(
    year: list[Action], chains: dict[str, Recording], watched: Bridge, database_url: str
) -> None:
    await watched.serve(chains)

    report = await watched.replay(database_url)

    expected = bridge.expect(year, whole())
    assert bridge.found(report) == expected
    assert min(len(expected.late), len(expected.never), len(expected.orphans), len(expected.repeated)) > 10
    inside = [a for a in year if a.at >= bridge.BEGIN]
    assert report["networks"] == [
        {
            "name": n.name,
            "chain_id": n.chain_id,
            "from": n.start,
            "to": whole()[n][1],
            "from_timestamp": bridge.BEGIN,
            "to_timestamp": n.timestamp(whole()[n][1]),
            "events": sum(a.network is n for a in inside),
        }
        for n in NETWORKS
    ]


async def test_s7_the_report_has_the_same_bytes_on_either_database_and_in_every_interleaving(
    chains: dict[str, Recording],
    watched: Bridge,
    sqlite_url: str,
    empty_postgres_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await watched.serve(chains)
    reports = [json.dumps(await watched.replay(url)) for url in (sqlite_url, empty_postgres_url)]
    for seed, pages, commits in ((1, 200_000, 700), (2, 90_000, 40_000), (3, 150_000, 100)):
        chance = random.Random(seed)
        monkeypatch.setattr(replay, "EVENTS_A_COMMIT", commits)
        await watched.serve(chains, Faults(delay=partial(chance.choice, (0.0, 0.0, 0.02))))
        reports.append(json.dumps(await watched.replay(network=f"max_block_range = {pages}")))
    monkeypatch.setattr(replay, "is_worthwhile", lambda _ranges: False)
    for at_once, found_max in ((5_000, 40_000), (1, 40_000), (5_000, 3), (2, 5)):
        monkeypatch.setattr(checker, "AT_ONCE", at_once)
        monkeypatch.setattr(checker, "FOUND_MAX", found_max)
        reports.append(json.dumps(await watched.replay()))

    assert len(set(reports)) == 1


@pytest.mark.parametrize(
    "faults",
    [
        Faults(methods=BARE, batches=False, linked=False, log_timestamps=False),
        Faults(methods=BARE, batches=False),
        Faults(max_range=50_000),
        Faults(log_timestamps=False),
    ],
    ids=["bare", "no batches", "small ranges", "no timestamps"],
)
async def test_what_a_node_lacks_changes_nothing(
    year: list[Action], chains: dict[str, Recording], watched: Bridge, faults: Faults
) -> None:
    await watched.serve(chains, faults)

    assert bridge.found(await watched.replay()) == bridge.expect(year, whole())
    for node in watched.nodes.values():
        assert node.refused < 10, "the limit of the range was not remembered"


@pytest.mark.parametrize(
    ("back", "searchable"), [("0s", True), ("7d", True), ("1h", True), ("7d", False), ("0s", False)]
)
async def test_a_fill_without_deposit_in_the_range_is_looked_up_or_not_as_configured(
    year: list[Action], chains: dict[str, Recording], watched: Bridge, back: str, searchable: bool
) -> None:
    as_emitted = {
        name: c._replace(logs=bridge.with_searchable_numbers(c.logs, searchable=searchable))
        for name, c in chains.items()
    }
    await watched.serve(as_emitted)
    seconds = {"0s": 0, "7d": 7 * DAY, "1h": 3600}[back]

    report = await watched.replay(flow=f'lookback = "{back}"', searchable=searchable)

    expected = bridge.expect(year, whole(), seconds, searchable=searchable)
    assert bridge.found(report) == expected
    assert bool(expected.statuses["unopened"]) == (not searchable and seconds > 0)


async def test_a_fill_whose_deposit_lies_in_blocks_that_the_node_has_no_more_stays_open(
    year: list[Action], chains: dict[str, Recording], watched: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "PATIENCE", 0.05)
    await watched.serve(chains)
    for network in NETWORKS:
        watched.nodes[network.name].faults = Faults(first_block=network.start)

    report = await watched.replay()

    plain = bridge.expect(year, whole(), 0)
    not_found = plain.orphans - bridge.expect(year, whole(), searchable=False).orphans
    found = bridge.found(report)
    assert found.statuses["open"] == plain.statuses["open"] + len(not_found)
    assert found.orphans == plain.orphans - not_found


async def test_blocks_before_the_range_are_looked_for_once_for_many_transfers(
    chains: dict[str, Recording], watched: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening_search, "KEYS_AT_ONCE", 2)
    monkeypatch.setattr(replay, "is_worthwhile", lambda _ranges: False)  # what one pool asks is counted
    await watched.serve(chains)

    await watched.replay()

    for node in watched.nodes.values():
        assert node.questions["eth_getBlockByNumber"] < 400


async def test_repeats_that_are_allowed_raise_nothing(
    year: list[Action], chains: dict[str, Recording], watched: Bridge
) -> None:
    await watched.serve(chains)

    report = await watched.replay(flow='repeat = "allow"')

    assert bridge.found(report) == bridge.expect(year, whole(), repeat=False)


async def test_s7_conditions_that_were_over_before_their_alert_would_have_fired_are_left_out(
    chains: dict[str, Recording], watched: Bridge
) -> None:
    await watched.serve(chains)
    whole_report = await watched.replay()
    seen_until = max(network["to_timestamp"] for network in whole_report["networks"])

    def lasted(alert: dict[str, Any]) -> int:
        until: int = (alert["ends_at"] or seen_until) - alert["starts_at"]
        return until

    patience = sorted(map(lasted, whole_report["alerts"]))[len(whole_report["alerts"]) // 2]

    report = await watched.replay(
        rest=f'[[lifecycle]]\nmatch = {{ alertname = "TransferOverdue" }}\nfor = "{patience}s"'
    )

    left_out = [a for a in whole_report["alerts"] if a not in report["alerts"]]
    assert len(left_out) > 5
    assert all(a["labels"]["alertname"] == "TransferOverdue" for a in left_out)
    assert all(lasted(a) < patience for a in left_out)


@pytest.mark.parametrize(
    ("start", "end", "first", "last"),
    [
        (("2023-06-01",), ("2023-06-30",), 1_685_577_600, 1_688_169_599),
        (("2023-06-01T12:30",), ("2023-06-30T06:00:01+02:00",), 1_685_622_600, 1_688_097_601),
        (("1685577600",), ("1688169599",), 1_685_577_600, 1_688_169_599),
        (("2023-06-01", "beta=2023-06-02"), ("2023-07-03",), (1_685_577_600, 1_685_664_000), 1_688_428_799),
    ],
    ids=["dates", "times", "Unix seconds", "by network"],
)
async def test_a_range_is_given_in_any_way(
    year: list[Action],
    chains: dict[str, Recording],
    watched: Bridge,
    start: tuple[str, ...],
    end: tuple[str, ...],
    first: int | tuple[int, int],
    last: int,
) -> None:
    """The first block is the first made at or after the beginning, the last one the last made by the end."""
    await watched.serve(chains)
    begins = first if isinstance(first, tuple) else (first, first)

    report = await watched.replay(wanted=Wanted((), start, end))

    ranges = {n: (n.block_at(b), n.block_at(last + 1) - 1) for n, b in zip(NETWORKS, begins, strict=True)}
    assert [(n["from"], n["to"]) for n in report["networks"]] == list(ranges.values())
    assert bridge.found(report) == bridge.expect(year, ranges)


async def test_a_range_is_given_by_block_for_one_network(
    chains: dict[str, Recording], watched: Bridge
) -> None:
    await watched.serve(chains)

    report = await watched.replay(wanted=Wanted(("alpha",), ("17100000",), ("alpha=17200000",)))

    assert [(n["name"], n["from"], n["to"]) for n in report["networks"]] == [
        ("alpha", 17_100_000, 17_200_000)
    ]


async def test_an_end_beyond_the_head_is_the_head(chains: dict[str, Recording], watched: Bridge) -> None:
    await watched.serve(chains)

    report = await watched.replay(wanted=Wanted(("beta",), ("2024-03-20",), ("2030-01-01",)))

    assert report["networks"][0]["to"] == whole()[BETA][1]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Wanted(("gamma",), (), ()), "no contract of any flow is on a network 'gamma'"),
        (Wanted((), ("gamma=1",), ()), "--from gamma=1: there is no network 'gamma'"),
        (Wanted((), ("soon",), ()), "--from soon: expected a block number, a date"),
        (Wanted((), (), ("2023-13-01",)), "--to 2023-13-01: expected"),
        (Wanted((), ("2024-01-02",), ("2024-01-01",)), "the range of alpha holds no block"),
        (Wanted((), ("2031-01-02",), ()), "the range of alpha holds no block"),
    ],
)
async def test_a_range_that_makes_no_sense_is_refused(
    chains: dict[str, Recording], watched: Bridge, wanted: Wanted, said: str
) -> None:
    await watched.serve(chains)

    with pytest.raises(ReplayError, match=said):
        await watched.replay(wanted=wanted)


async def test_a_network_without_start_block_needs_a_beginning(
    chains: dict[str, Recording], watched: Bridge
) -> None:
    await watched.serve(chains)
    plan = watched.plan()
    networks = {n: s.model_copy(update={"start_block": None}) for n, s in plan.settings.networks.items()}
    settings = plan.settings.model_copy(update={"networks": networks})
    without = replace(plan, settings=settings)

    with pytest.raises(ReplayError, match="nothing says where to begin on alpha: give --from"):
        await session.replay(
            without, WHOLE, f"sqlite:///{watched.folder / 'a.db'}", durable=False, show_progress=False
        )
