"""To which transfer an event belongs where its key alone does not say it: numbers, aliases, ranges, and their bounds."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from chainwatch.checker.judge import SEARCH
from chainwatch.flows import checker
from chainwatch.model import Event, Searched, StoredLog
from chainwatch.store import retention, tables, transfers
from tests.support.flows import CHAIN_IDS, NETWORKS, Alerts, decode, event, flow
from tests.support.pipelines import flow_pipeline
from tests.support.runs import Run, batch
from tests.support.storing import transaction_on

NUMBERED = flow(
    match="nth",
    key=["from", "to", "id"],
    fill={"key": ["from", "network.chain_id", "id"]},
    settle={"key": ["from", "network.chain_id", "id"]},
)
ALIASED = flow(fill={"alias": "amount"}, settle={"by": "fill", "key": "amount"})
RANGED = flow(key=["from", "id"], settle={"covers": "id..id + amount - 1", "key": "from"})


@pytest.fixture
def connection(database_url: str) -> Iterator[sa.Connection]:
    """A transaction on a database of either kind."""
    with transaction_on(database_url) as connection:
        yield connection


def sent(at: int, number: int = 7, index: int = 0) -> Event:
    return event("alpha", "Sent", at, id=number, log_index=index)


def filled(at: int, number: int = 7, amount: int = 100, index: int = 0) -> Event:
    return event("beta", "Filled", at, id=number, amount=amount, log_index=index)


def settled(at: int, number: int = 7, amount: int = 100, index: int = 0) -> Event:
    return event("beta", "Settled", at, id=number, amount=amount, log_index=index)


def shown(connection: sa.Connection) -> dict[str, tuple[str, list[tuple[str, int]]]]:
    """By key: the status, and which step was seen at what time."""
    found = transfers.select(connection, transfers.Filter())
    return {t.key: (t.status, [(o.step, o.timestamp) for o in t.occurrences]) for t in found}


def statuses(connection: sa.Connection) -> dict[str, str]:
    return {key: status for key, (status, _) in shown(connection).items()}


# --- numbers


def test_the_nth_transfer_of_a_key_has_its_number(connection: sa.Connection) -> None:
    run = Run(connection, NUMBERED)
    run(batch("alpha", 1010, sent(1000), sent(1001), sent(1002)))
    run(batch("beta", 1030, filled(1010), filled(1011), settled(1020)))

    assert shown(connection) == {
        "1/2/7": ("complete", [("send", 1000), ("fill", 1010), ("settle", 1020)]),
        "1/2/7#2": ("open", [("send", 1001), ("fill", 1011)]),
        "1/2/7#3": ("open", [("send", 1002)]),
    }


def test_one_step_more_than_openings_is_an_orphan(connection: sa.Connection) -> None:
    run = Run(connection, NUMBERED)
    run(batch("alpha", 1131, sent(1000)), batch("beta", 1030, filled(1010), filled(1011)))
    assert statuses(connection) == {"1/2/7": "open", "1/2/7#beta:1011:0": "open"}

    run(batch("alpha", 1132, first=1132))
    assert statuses(connection) == {"1/2/7": "open", "1/2/7#beta:1011:0": "orphan"}
    (orphan,) = run.alerts.signals
    assert (orphan.labels["alertname"], orphan.labels["severity"]) == ("TransferOrphan", "P0")
    assert orphan.labels["transfer"] == "1/2/7#beta:1011:0"


def test_a_step_on_its_way_when_watching_begins_shifts_no_later_pair(connection: sa.Connection) -> None:
    run = Run(connection, NUMBERED)
    run(
        batch("alpha", 9_000, *(sent(at) for at in range(2_000, 8_000, 1_000)), first=1_000),
        batch("beta", 9_000, *(filled(at) for at in range(1_010, 8_000, 1_000)), first=1_000),
    )
    found = shown(connection)
    assert found.pop("1/2/7#beta:1010:0") == ("orphan", [("fill", 1_010)])
    assert [steps for _, steps in found.values()][::-1] == [
        [("send", at), ("fill", at + 10)] for at in range(2_000, 8_000, 1_000)
    ]


def test_a_forged_step_shifts_no_later_pair_and_goes_with_its_log(connection: sa.Connection) -> None:
    run = Run(connection, NUMBERED)
    forged = filled(1_500)
    run(batch("beta", 3_000, filled(1_010), forged, filled(2_010)))
    run(batch("alpha", 3_000, sent(1_000), sent(2_000)))
    honest = {
        "1/2/7": ("overdue", [("send", 1_000), ("fill", 1_010)]),
        "1/2/7#2": ("overdue", [("send", 2_000), ("fill", 2_010)]),
    }
    assert shown(connection) == honest | {"1/2/7#beta:1500:0": ("orphan", [("fill", 1_500)])}

    run.pipeline.repair_logs(connection, "beta", [StoredLog("bridge", forged.log, None)], [], 0.0)
    assert shown(connection) == honest


def test_a_step_waits_for_an_opening_that_is_seen_later_S3(connection: sa.Connection) -> None:
    run = Run(connection, NUMBERED)
    run(batch("beta", 1030, filled(1010), filled(1011)))
    assert statuses(connection) == {"1/2/7#beta:1010:0": "open", "1/2/7#beta:1011:0": "open"}
    run(batch("alpha", 1100, sent(1000), sent(1131)))
    assert shown(connection)["1/2/7#2"][1] == [("fill", 1011), ("send", 1131)]  # clocks differ by 2 m


def test_an_opening_that_goes_leaves_the_last_step_without_one_S4(connection: sa.Connection) -> None:
    run = Run(connection, NUMBERED)
    run(batch("alpha", 1010, sent(1000), sent(1005)), batch("beta", 1030, filled(1010), filled(1011)))
    run(batch("alpha", 1010, first=1003, ancestor=1002, fork=1))
    assert shown(connection) == {
        "1/2/7": ("open", [("send", 1000), ("fill", 1010)]),
        "1/2/7#beta:1011:0": ("open", [("fill", 1011)]),
    }


def test_openings_of_one_number_on_two_networks_count_from_the_earliest(connection: sa.Connection) -> None:
    run = Run(connection, flow(match="nth", clock_skew="0s"))
    run(batch("gamma", 2000, event("gamma", "Sent", 1500, from_=3)), batch("beta", 2000, filled(1010)))
    assert shown(connection)["7"][1] == [("send", 1500)]
    run(batch("alpha", 2000, sent(1000)))
    assert shown(connection)["7"][1] == [("send", 1000), ("fill", 1010), ("send", 1500)]


def test_the_earliest_of_many_openings_of_one_number_counts(connection: sa.Connection) -> None:
    run = Run(connection, flow(match="nth", clock_skew="0s"))
    for network, second in {"alpha": 3000, "gamma": 3000, "beta": 2000}.items():
        openings = [event(network, "Sent", at, from_=CHAIN_IDS[network]) for at in (1000, second)]
        fills = [filled(1010), filled(2010)] if network == "beta" else []
        run(batch(network, 4000, *sorted([*openings, *fills], key=lambda e: e.log.timestamp)))
    assert [step for step, _ in shown(connection)["7#2"][1]].count("fill") == 1


def test_retention_and_a_reorg_leave_the_numbers_right_S4(connection: sa.Connection) -> None:
    run = Run(connection, NUMBERED)
    run(batch("alpha", 1100, *(sent(at) for at in (1000, 1010, 1090))))
    run(batch("beta", 1100, *(step(at) for at in (1001, 1011) for step in (filled, settled)), filled(1095)))
    while retention.prune(connection, 1080, 0.0, 1):
        pass
    run(batch("alpha", 1100, sent(1091), sent(1092), first=1086, ancestor=1085, fork=1))
    assert {key: steps for key, (_, steps) in shown(connection).items()} == {
        "1/2/7#3": [("send", 1091), ("fill", 1095)],
        "1/2/7#4": [("send", 1092)],
    }


def test_the_opening_of_a_step_without_one_is_searched_for_and_comes_first(connection: sa.Connection) -> None:
    run = Run(connection, flow(match="nth", lookback="30s", clock_skew="5s"))
    run(
        batch("alpha", 1100, sent(1020), first=1000),
        batch("beta", 1100, filled(1005), filled(1025), first=1000),
    )
    (waiting,) = transfers.waiting_on(connection, f"{SEARCH}alpha", 10)
    assert waiting.key == "7#beta:1005:0"

    run(Searched("bridge", (waiting.key,), (sent(990),)))
    assert {key: steps for key, (_, steps) in shown(connection).items()} == {
        "7": [("send", 990), ("fill", 1005)],
        "7#2": [("send", 1020), ("fill", 1025)],
    }


def test_an_alias_follows_a_step_that_gets_its_opening_later(connection: sa.Connection) -> None:
    run = Run(connection, flow(match="nth", fill={"alias": "amount"}, settle={"by": "fill", "key": "amount"}))
    run(batch("beta", 1030, filled(1010, amount=55), settled(1020, amount=55)))
    assert shown(connection) == {"7#beta:1010:0": ("open", [("fill", 1010), ("settle", 1020)])}
    run(batch("alpha", 1010, sent(1000)))
    assert shown(connection) == {"7": ("complete", [("send", 1000), ("fill", 1010), ("settle", 1020)])}


def test_a_range_covers_numbered_transfers(connection: sa.Connection) -> None:
    run = Run(connection, flow(match="nth", key=["from", "id"], settle={"covers": "1..id", "key": "from"}))
    run(
        batch("beta", 1030, filled(900), filled(1010), settled(1020, 9)), batch("alpha", 1010, sent(1000 + 2))
    )
    assert {key: steps for key, (_, steps) in shown(connection).items()} == {
        "1/7": [("fill", 900), ("send", 1002), ("settle", 1020)],
        "1/7#beta:1010:0": [("fill", 1010)],
    }


def test_a_log_that_is_taken_out_or_put_in_renumbers_those_that_follow(connection: sa.Connection) -> None:
    run = Run(connection, NUMBERED)
    first, second, third = sent(1000), sent(1001), sent(1002)
    run(batch("alpha", 1010, first, third), batch("beta", 1030, filled(1010), filled(1011), filled(1012)))

    run.pipeline.repair_logs(connection, "alpha", [], [second], 0.0)
    assert [steps for _, steps in shown(connection).values()][::-1] == [
        [("send", 1000), ("fill", 1010)],
        [("send", 1001), ("fill", 1011)],
        [("send", 1002), ("fill", 1012)],
    ]


def test_a_reorg_takes_the_last_numbers_and_others_get_them_again_S4(connection: sa.Connection) -> None:
    run = Run(connection, NUMBERED)
    run(batch("alpha", 1010, sent(1000), sent(1005)), batch("beta", 1030, filled(1010), filled(1011)))
    run(batch("alpha", 1010, sent(1008), sent(1009), first=1003, ancestor=1002, fork=1))

    assert shown(connection) == {
        "1/2/7": ("open", [("send", 1000), ("fill", 1010)]),
        "1/2/7#2": ("open", [("send", 1008), ("fill", 1011)]),
        "1/2/7#3": ("open", [("send", 1009)]),
    }


def test_retention_keeps_the_count_of_a_key_while_a_transfer_of_it_is_stored(
    connection: sa.Connection,
) -> None:
    run = Run(connection, NUMBERED)
    pairs = range(1000, 1030, 10)
    run(batch("alpha", 1100, *map(sent, pairs), sent(1090)))
    steps = [one for at in pairs for one in (filled(at + 1), settled(at + 2))]
    run(batch("beta", 1100, *sorted(steps, key=lambda e: e.log.timestamp)))
    while retention.prune(connection, 1095, 0.0, 1):
        pass
    assert list(shown(connection)) == ["1/2/7#4"]
    assert connection.execute(sa.select(sa.func.count()).select_from(tables.step_events)).scalar() == 3

    run(
        batch("beta", 1120, filled(1105), settled(1106), first=1101),
        batch("alpha", 1130, sent(1125), first=1101),
    )
    assert shown(connection) == {
        "1/2/7#4": ("complete", [("send", 1090), ("fill", 1105), ("settle", 1106)]),
        "1/2/7#5": ("open", [("send", 1125)]),
    }


def test_retention_leaves_nothing_of_a_key_without_transfers(connection: sa.Connection) -> None:
    run = Run(connection, NUMBERED)
    run(batch("alpha", 1100, sent(1000)), batch("beta", 1100, filled(1001), settled(1002)))
    while retention.prune(connection, 2000, 0.0, 100):
        pass
    assert connection.execute(sa.select(tables.step_events)).all() == []


def test_retention_forgets_no_number_while_steps_without_opening_are_last(connection: sa.Connection) -> None:
    run = Run(
        connection, flow(match="nth", fill={"orphan": "allow"}, settle={"orphan": "allow"}, clock_skew="5s")
    )
    run(batch("alpha", 2000, sent(1000)), batch("beta", 2000, filled(1001), settled(1002), filled(1500)))
    run(batch("alpha", 2001, sent(2001), first=2001))
    while retention.prune(connection, 1990, 0.0, 1):
        pass
    assert shown(connection) == {"7#2": ("open", [("send", 2001)])}

    run(batch("beta", 2100, filled(2005), settled(2006), first=2001))
    assert shown(connection) == {"7#2": ("complete", [("send", 2001), ("fill", 2005), ("settle", 2006)])}


def test_a_step_elsewhere_takes_the_first_opening_that_retention_left(connection: sa.Connection) -> None:
    run = Run(connection, NUMBERED)
    run(batch("alpha", 1100, *(sent(at) for at in (1000, 1010, 1020, 1090))))
    run(batch("beta", 1100, *(step(at) for at in (1001, 1011, 1021) for step in (filled, settled))))
    while retention.prune(connection, 1080, 0.0, 100):
        pass
    run(batch("beta", 1120, filled(1105), filled(1106), settled(1107), first=1101))
    assert shown(connection)["1/2/7#4"] == ("complete", [("send", 1090), ("fill", 1105), ("settle", 1107)])


@pytest.mark.slow
@pytest.mark.parametrize("steps_first", [False, True])
def test_thousands_of_events_of_one_key_take_time_in_proportion(
    connection: sa.Connection, steps_first: bool
) -> None:
    run = Run(connection, NUMBERED)
    alpha, beta = (
        [
            batch(name, at + 249, *(make(at + n) for n in range(250)), first=at)
            for at in range(1000, 9000, 250)
        ]
        for name, make in (("alpha", sent), ("beta", filled))
    )
    if steps_first:
        run(*beta)
    took = []
    for start in range(0, len(alpha), 8):
        began = time.process_time()
        for index in range(start, start + 8):
            run(alpha[index])
            if not steps_first:
                run(beta[index])
        took.append(time.process_time() - began)
    assert shown(connection)["1/2/7#8000"][1] == [("send", 8_999), ("fill", 8_999)]
    assert took[-1] < 3 * took[0] + 1


# --- aliases


def test_an_event_that_names_an_unknown_alias_is_an_orphan_that_says_so(connection: sa.Connection) -> None:
    run = Run(connection, ALIASED)
    run(batch("beta", 1500, settled(1020, amount=55)), batch("alpha", 1010))

    assert shown(connection) == {"55#fill": ("orphan", [("settle", 1020)])}
    (signal,) = run.alerts.signals
    assert (signal.labels["alertname"], signal.labels["severity"]) == ("TransferOrphan", "P0")
    assert signal.annotations["summary"] == "bridge: settle on beta without fill: 55"
    assert "no fill with the alias 55" in signal.annotations["description"]


def test_an_alias_is_followed_whatever_is_seen_first_and_lost_with_the_step_that_gave_it_S4(
    connection: sa.Connection,
) -> None:
    run = Run(connection, ALIASED)
    run(
        batch("alpha", 1010, sent(1000)),
        batch("beta", 1030, filled(1010, amount=55), settled(1020, amount=55)),
    )
    assert shown(connection) == {"7": ("complete", [("send", 1000), ("fill", 1010), ("settle", 1020)])}

    run(batch("beta", 1025, settled(1022, amount=55), first=1006, ancestor=1005, fork=1))
    assert shown(connection) == {
        "7": ("open", [("send", 1000)]),
        "55#fill": ("open", [("settle", 1022)]),
    }


def test_an_alias_of_two_transfers_counts_for_the_first_and_is_reported(connection: sa.Connection) -> None:
    run = Run(connection, ALIASED)
    run(batch("alpha", 1010, sent(1000, 7), sent(1001, 8)))
    run(batch("beta", 1030, filled(1012, 8), filled(1011, 7), settled(1020)))

    assert {key: status for key, (status, _) in shown(connection).items()} == {
        "7": "complete",
        "8": "disputed",
    }
    (signal,) = run.alerts.signals
    assert signal.labels["alertname"] == "TransferMismatch"
    assert (signal.labels["transfer"], signal.labels["check"]) == ("8", "alias")
    assert "was given to 7 before" in signal.annotations["description"]


def test_one_more_transfer_with_an_alias_of_many_is_judged_alone(connection: sa.Connection) -> None:
    saved: list[str] = []
    pipeline = flow_pipeline(
        [ALIASED], NETWORKS, decode, Alerts(), saved=lambda some: saved.extend(t.key for _, t in some)
    )
    numbers = range(1, 101)
    openings, fills = [sent(1000, n, n) for n in numbers], [filled(1010, n, index=n) for n in numbers]
    pipeline.process(connection, [batch("alpha", 1030, *openings), batch("beta", 1020, *fills)], 0.0)
    saved.clear()
    pipeline.process(connection, [batch("beta", 1030, filled(1021, 100, index=0), first=1021)], 0.0)
    assert saved == ["100"]

    pipeline.process(
        connection, [batch("beta", 1030, filled(1009, 50), first=1006, ancestor=1005, fork=1)], 0.0
    )
    assert {key: len(steps) for key, (_, steps) in shown(connection).items() if len(steps) > 1} == {"50": 2}


# --- ranges


def test_a_range_is_a_step_of_all_transfers_in_it_whichever_is_seen_first(connection: sa.Connection) -> None:
    run = Run(connection, RANGED)
    run(batch("alpha", 1010, sent(1000, 7), sent(1001, 9)))
    run(batch("beta", 1030, filled(1010, 7), filled(1011, 8), filled(1012, 9), settled(1020, 8, amount=3)))
    run(batch("alpha", 1020, sent(1015, 8), first=1011))

    assert {key: status for key, (status, _) in shown(connection).items()} == {
        "1/7": "open",
        "1/8": "complete",
        "1/9": "complete",
    }


def test_a_range_over_numbers_that_nobody_opened_is_a_row_and_no_more(connection: sa.Connection) -> None:
    run = Run(connection, RANGED)
    run(batch("alpha", 2000), batch("beta", 2000, settled(1020, 0, amount=2**256 - 1)))

    assert shown(connection) == {}
    assert run.alerts.signals == []
    run(batch("alpha", 2010, sent(2005, 123_456), first=2001))
    assert shown(connection)["1/123456"][1] == [("settle", 1020), ("send", 2005)]


def test_an_empty_range_is_the_events_trouble(connection: sa.Connection) -> None:
    run = Run(connection, RANGED)
    run(batch("alpha", 2000), batch("beta", 2000, settled(1020, 5, amount=0)))
    (signal,) = run.alerts.signals
    assert signal.labels["alertname"] == "FlowEvaluationFailed"
    assert "settle covers 5..4, which is empty" in signal.annotations["description"]


def test_a_range_that_a_reorg_takes_is_no_step_any_more_S4(connection: sa.Connection) -> None:
    run = Run(connection, RANGED)
    run(batch("alpha", 1010, sent(1000)), batch("beta", 1030, filled(1010), settled(1020, 1, amount=50)))
    assert shown(connection)["1/7"][0] == "complete"
    run(batch("beta", 1025, first=1016, ancestor=1015, fork=1))
    assert shown(connection) == {"1/7": ("open", [("send", 1000), ("fill", 1010)])}


def test_many_huge_ranges_leave_ten_events_with_a_transfer(connection: sa.Connection) -> None:
    run = Run(connection, RANGED)
    many = [settled(1020, 0, amount=2**200 + n, index=n) for n in range(300)]
    run(batch("beta", 1030, *many), batch("alpha", 1030, sent(1010)))
    assert len(shown(connection)["1/7"][1]) == 11


def test_a_range_over_many_openings_is_applied_in_parts(
    connection: sa.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checker, "AT_ONCE", 100)
    saved: list[int] = []
    pipeline = flow_pipeline([RANGED], NETWORKS, decode, Alerts(), saved=lambda some: saved.append(len(some)))
    openings = [sent(1000, number, index=number) for number in range(1_000)]
    pipeline.process(connection, [batch("alpha", 1030, *openings)], 0.0)
    pipeline.process(connection, [batch("beta", 1030, settled(1020, 0, amount=1_000))], 0.0)
    assert max(saved) == 100
    assert {len(steps) for _, steps in shown(connection).values()} == {2}


def test_ranges_that_overlap_have_each_opening_judged_once(connection: sa.Connection) -> None:
    saved: list[str] = []
    pipeline = flow_pipeline(
        [RANGED], NETWORKS, decode, Alerts(), saved=lambda some: saved.extend(t.key for _, t in some)
    )
    openings = [sent(1000, number, index=number) for number in range(10)]
    pipeline.process(connection, [batch("alpha", 1030, *openings)], 0.0)
    saved.clear()
    ranges = [settled(1020, first, amount=3, index=i) for i, first in enumerate([8, 0, 1, 3, 1, 7])]
    pipeline.process(connection, [batch("beta", 1025, *ranges)], 0.0)
    assert saved == [f"1/{number}" for number in (0, 1, 2, 3, 4, 5, 7, 8, 9)]


def test_ranges_go_once_they_are_old_and_cover_nothing(connection: sa.Connection) -> None:
    run = Run(connection, RANGED)
    run(batch("alpha", 1010, sent(1000)), batch("beta", 1030, filled(1010), settled(1020, 1, amount=50)))
    run(batch("beta", 1040, settled(1031, 100, amount=50), first=1031))
    while retention.prune(connection, 1036, 0.0, 1):
        pass
    assert shown(connection) == {}
    assert connection.execute(sa.select(tables.step_ranges)).all() == []
    assert connection.execute(sa.select(tables.step_events)).all() == []
