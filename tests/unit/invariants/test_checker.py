"""Invariants in the pipeline, without a chain: what is wanted, judged, raised and undone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from chainwatch.config import ConfigError, read_dict
from chainwatch.flows.checker import FlowChecker
from chainwatch.invariants.checker import InvariantChecker, Wanted
from chainwatch.invariants.definitions import INVARIANT
from chainwatch.invariants.kept_transfers import TransfersLoaded
from chainwatch.invariants.reads import BlockRead
from chainwatch.invariants.sampling import Sample, SampledBlocks
from chainwatch.model import Batch, Event, Header, Seen
from chainwatch.pipeline.checker import Checker, Page
from chainwatch.pipeline.pipeline import Pipeline
from chainwatch.pipeline.recompute import Recomputation
from chainwatch.plan import Plan, make_plan
from chainwatch.store import definitions, invariant_breaches, invariant_tables, invariants
from chainwatch.store.definitions import Definition
from tests.support.flows import Alerts

SAFE, OTHER = "0x" + "5a" * 20, "0x" + "07" * 20
NETWORKS = {
    "alpha": {"chain_id": 1, "rpc": ["http://x"], "block_time": "10s"},
    "beta": {"chain_id": 2, "rpc": ["http://x"], "block_time": "10s"},
}
FLOOR: dict[str, Any] = {
    "values": {"funds": {"network": "alpha", "address": SAFE, "balance": True}},
    "assert": "funds >= 10",
}
BACKED: dict[str, Any] = {
    "values": {
        "locked": {"network": "alpha", "address": SAFE, "balance": True},
        "minted": {"network": "beta", "address": SAFE, "balance": True},
    },
    "assert": "locked >= minted",
}


def plan_of(**tables: Mapping[str, Any]) -> Plan:
    return make_plan(read_dict({"networks": NETWORKS, "invariants": tables}))


def header(number: int, fork: int = 0, at: int | None = None) -> Header:
    return Header(
        number,
        bytes([fork]) * 4 + number.to_bytes(28),
        bytes([fork]) * 4 + (number - 1).to_bytes(28),
        1_000 + 10 * number if at is None else at,
    )


class Chains:
    """A pipeline of the invariants of ``plan``: blocks are read as they are made, their state is what the test says."""

    def __init__(self, connection: sa.Connection, plan: Plan, *, by_clock: bool = True) -> None:
        self.connection = connection
        self.now = 0.0
        self.alerts = Alerts()
        self.checker = InvariantChecker.of(plan, by_clock=by_clock)
        checkers: list[Checker] = [FlowChecker.of(plan), self.checker]
        self.pipeline = Pipeline(checkers, plan.settings.networks, plan.decode, self.alerts)
        target = self.checker.fingerprints(plan.settings)
        work = Recomputation(self.pipeline, plan.read_again, self.alerts, target)
        while work.step(connection, 0.0):
            pass

    def mine(
        self,
        number: int,
        network: str = "alpha",
        fork: int = 0,
        back_to: int | None = None,
        events: tuple[Event, ...] = (),
    ) -> None:
        """Read the block ``number``, whose time is 1,000 + 10 × it."""
        ancestor = None if back_to is None else header(back_to)
        last = header(number, fork)
        batch = Batch(network, number, last, events, (), (last,), ancestor, first_timestamp=1_000)
        self.now = max(self.now, last.timestamp)
        self.pipeline.process(self.connection, [batch], self.now)

    def catch_up(self, first: int, last: int, network: str = "alpha") -> None:
        """Read the blocks ``first`` to ``last`` at once, which were made before."""
        headers = tuple(map(header, range(first, last + 1)))
        batch = Batch(network, first, headers[-1], headers=headers, first_timestamp=1_000)
        self.pipeline.process(self.connection, [batch], self.now)

    def see(self, network: str, until: int) -> None:
        self.pipeline.process(self.connection, [Seen(network, until)], self.now)

    def wanted(self, network: str = "alpha") -> list[int]:
        found = self._wanted(network)
        return [] if found is None else [block.header.number for block in found.blocks]

    def answer(
        self, give: Callable[[str, int], Mapping[str, Any] | str | None], network: str = "alpha"
    ) -> None:
        """Answer what is wanted of ``network``: values, an error, or nothing, by the invariant's name and the block."""
        found = self._wanted(network)
        if found is not None and found.has_loaded:
            self.pipeline.process(self.connection, [TransfersLoaded()], self.now)
        for block in found.blocks if found else ():
            done = []
            for one in block.readings:
                given = give(one.name, one.block)
                if isinstance(given, str):
                    done.append(one._replace(is_wanted=False, error=given))
                elif given is not None:
                    done.append(one._replace(is_wanted=False, content=given))
            self.pipeline.process(self.connection, [BlockRead(network, tuple(done))], self.now)

    def step(self, number: int, funds: int | str | None, fork: int = 0, back_to: int | None = None) -> None:
        self.mine(number, fork=fork, back_to=back_to)
        self.answer(lambda _name, _block: {"funds": funds} if isinstance(funds, int) else funds)

    def _wanted(self, network: str) -> Wanted | None:
        return self.checker.load_wanted(self.connection, network, 500)

    @property
    def raised(self) -> list[tuple[str, float, float | None, str]]:
        return [(s.labels["alertname"], s.starts_at, s.ends_at, s.reason) for s in self.alerts.signals]


BROKEN = ("InvariantViolated", 1_020, None, "")


def test_a_breach_is_raised_at_its_block_and_ends_at_the_block_that_mends_it(
    connection: sa.Connection,
) -> None:
    chains = Chains(connection, plan_of(floor=FLOOR))
    chains.step(1, 10)
    assert chains.raised == []

    chains.step(2, 9)
    (signal,) = chains.alerts.signals
    assert chains.raised == [BROKEN]
    assert signal.labels == {
        "alertname": "InvariantViolated",
        "severity": "P1",
        "invariant": "floor",
        "network": "alpha",
    }
    assert signal.annotations["values"] == "funds = 9"
    assert signal.annotations["block"] == "2"
    assert signal.source == "invariant"

    chains.step(3, 8)
    chains.step(4, 10)
    assert chains.raised == [BROKEN, ("InvariantViolated", 1_020, 1_040, "holds again")]


def test_it_fires_only_once_it_was_broken_for_as_long_as_it_must_be(connection: sa.Connection) -> None:
    chains = Chains(connection, plan_of(floor={**FLOOR, "for": "15s"}))
    chains.step(1, 10)
    chains.step(2, 9)
    chains.step(3, 9)
    assert chains.raised == []
    chains.step(4, 9)
    assert chains.raised == [BROKEN]


def test_what_cannot_be_read_neither_raises_nor_ends_anything_and_is_an_alert_in_time(
    connection: sa.Connection,
) -> None:
    chains = Chains(connection, plan_of(floor=FLOOR))
    chains.step(1, 10)
    chains.step(2, 9)
    chains.step(3, "funds: the call reverts")
    chains.step(4, None)
    assert chains.raised == [BROKEN]

    for number in range(5, 34):
        chains.step(number, None)
    assert chains.raised == [BROKEN, ("InvariantUnread", 1_030, None, "")]
    assert "the call reverts" in chains.alerts.signals[-1].annotations["description"]

    chains.step(34, 9)
    assert chains.raised[2:] == [("InvariantUnread", 1_030, 1_040, "read again")]
    chains.step(35, 9)
    chains.step(36, 11)
    assert chains.raised[3:] == [("InvariantViolated", 1_020, 1_360, "holds again")]


def test_a_short_breach_is_raised_where_the_answers_of_several_blocks_come_at_once(
    connection: sa.Connection,
) -> None:
    chains = Chains(connection, plan_of(backed=BACKED))
    chains.mine(1, "beta")
    for number in (1, 2, 3, 4):
        chains.mine(number)
    chains.see("beta", 1_041)  # it has no other block
    locked = {1: 5, 2: 4, 3: 5, 4: 5}
    chains.answer(lambda _name, block: {"locked": locked[block]}, "alpha")
    assert chains.raised == []
    chains.answer(lambda _name, _block: {"minted": 5}, "beta")
    assert chains.raised == [BROKEN, ("InvariantViolated", 1_020, 1_030, "holds again")]
    assert chains.alerts.signals[0].annotations["held_block"] == "1"


def test_several_networks_are_compared_once_a_period(connection: sa.Connection) -> None:
    chains = Chains(connection, plan_of(backed={**BACKED, "every": "30s"}))
    for number in range(1, 10):
        chains.mine(number)
        chains.mine(number, "beta")
        chains.answer(lambda _name, _block: {"locked": 5}, "alpha")
        chains.answer(lambda _name, _block: {"minted": 5}, "beta")
    checks = invariants.checks(connection, "backed")
    assert [(check.network, check.timestamp) for check in checks] == [
        ("alpha", 1_010),
        ("alpha", 1_020),
        ("alpha", 1_050),
        ("alpha", 1_080),
    ]


def _answer_at(number: int, given: Mapping[str, Any] | str, _name: str, block: int) -> Any:
    return given if block == number else None


def test_a_replay_raises_the_same_however_long_it_takes(connection: sa.Connection) -> None:  # S7
    chains = Chains(connection, plan_of(floor=FLOOR), by_clock=False)
    for number in range(1, 60):
        chains.mine(number)
    assert chains.wanted() == []  # which blocks are checked is decided once all are read
    samples = [Sample("alpha", header(n), {}, frozenset(), True, n == 59) for n in range(1, 60)]
    sampled = SampledBlocks(tuple(samples), at_all_networks=True)
    chains.pipeline.process(connection, [sampled], chains.now)
    for number in range(1, 60):
        assert chains.wanted()[0] == number
        chains.now += 3_600
        chains.answer(partial(_answer_at, number, {"funds": 10} if number < 50 else "funds: gone"))
    assert chains.raised == []


def test_a_check_that_is_rare_is_missed_after_the_same_time(connection: sa.Connection) -> None:
    chains = Chains(connection, plan_of(floor={**FLOOR, "every": "1h"}))
    chains.step(1, 10)
    for number in range(2, 260):
        chains.mine(number)
    chains.step(260, "funds: the call reverts")
    for number in range(261, 290):
        chains.mine(number)
    assert chains.raised == []
    chains.mine(290)
    assert chains.raised == [("InvariantUnread", 3_600, None, "")]


def test_a_check_that_failed_is_repeated_at_the_next_blocks(connection: sa.Connection) -> None:
    chains = Chains(connection, plan_of(floor={**FLOOR, "every": "1h"}))
    chains.step(1, 10)
    for number in range(2, 260):
        chains.mine(number)
    chains.step(260, "funds: the call reverts")  # at 3,600
    for number, funds in ((261, "funds: the call reverts"), (262, 9), (263, 9)):
        chains.mine(number)
        assert chains.wanted() == ([number] if number < 263 else [])
        chains.answer(lambda *_, given=funds: given if isinstance(given, str) else {"funds": given})
    assert chains.raised == [("InvariantViolated", 3_620, None, "")]


def test_a_block_after_the_common_ancestor_may_be_as_early_as_a_check_elsewhere(
    connection: sa.Connection,
) -> None:
    chains = Chains(connection, plan_of(backed=BACKED))
    for network in ("alpha", "beta"):
        chains.mine(1, network)
        chains.mine(2, network)
    chains.mine(3, "beta")
    chains.see("alpha", 1_031)
    chains.answer(lambda *_: {"locked": 5}, "alpha")
    chains.answer(lambda *_: {"minted": 5}, "beta")
    (*_, check) = invariants.checks(connection, "backed")
    assert (check.network, check.positions) == ("beta", {"alpha": 2, "beta": 3})
    chains.mine(3, fork=1, back_to=2)
    (*_, newest) = (one for one in invariants.checks(connection, "backed") if one.network == "beta")
    assert newest.positions == {"alpha": 3, "beta": 3}


def test_blocks_that_are_caught_up_with_are_not_missed(connection: sa.Connection) -> None:
    """Hours of chain time pass within seconds, before anything can be read."""
    chains = Chains(connection, plan_of(floor=FLOOR))
    chains.step(1, 10)
    chains.now = 5_000
    chains.catch_up(2, 60)
    chains.catch_up(61, 120)
    chains.answer(lambda *_: {"funds": 10})
    assert chains.raised == []


def test_a_network_that_comes_back_ends_the_alert_once(connection: sa.Connection) -> None:
    chains = Chains(connection, plan_of(backed=BACKED))
    chains.mine(1)
    chains.mine(1, "beta")
    for number in range(2, 80):
        chains.mine(number)
    assert chains.raised == [("InvariantUnread", 1_010, None, "")]
    for number in range(2, 80):
        chains.mine(number, "beta")
        chains.answer(lambda *_: {"locked": 5})
        chains.answer(lambda *_: {"minted": 5}, "beta")
    assert [one[0::3] for one in chains.raised[1:]] == [("InvariantUnread", "read again")]


def test_a_breach_in_a_block_that_is_gone_ends(connection: sa.Connection) -> None:  # S4
    chains = Chains(connection, plan_of(floor=FLOOR))
    chains.step(1, 10)
    chains.step(2, 9)
    chains.mine(2, fork=1, back_to=1)
    assert chains.raised == [BROKEN, ("InvariantViolated", 1_020, 1_020, "reorg")]
    chains.step(3, 10, fork=1)
    assert len(chains.raised) == 2


def test_a_late_answer_about_a_block_that_is_gone_counts_for_nothing(connection: sa.Connection) -> None:
    chains = Chains(connection, plan_of(floor=FLOOR))
    chains.step(1, 10)
    chains.mine(2)
    late = chains.checker.load_wanted(connection, "alpha", 500)
    assert late is not None
    chains.mine(2, fork=1, back_to=1)
    done = tuple(one._replace(is_wanted=False, content={"funds": 0}) for one in late.blocks[0].readings)
    chains.pipeline.process(connection, [BlockRead("alpha", done)], 0.0)
    assert chains.raised == []
    assert chains.wanted() == [2]


def test_answers_count_in_the_order_of_their_blocks(connection: sa.Connection) -> None:  # S3
    chains = Chains(connection, plan_of(floor=FLOOR))
    for number in (1, 2, 3):
        chains.mine(number)
    chains.answer(lambda _, block: {"funds": 10} if block == 3 else None)
    chains.answer(lambda _, block: {"funds": 9} if block == 2 else None)
    assert chains.raised == []
    chains.step(4, 9)
    assert chains.raised == [("InvariantViolated", 1_040, None, "")]


def test_a_restart_goes_on_with_what_is_stored(connection: sa.Connection) -> None:
    plan = plan_of(floor=FLOOR)
    Chains(connection, plan).step(1, 10)
    chains = Chains(connection, plan)
    chains.step(2, 9)
    assert chains.raised == [BROKEN]
    again = Chains(connection, plan)
    again.step(3, 9)
    assert again.raised == []
    again.mine(4)
    assert Chains(connection, plan).wanted() == [4]


def test_an_invariant_that_is_configured_otherwise_begins_anew(connection: sa.Connection) -> None:
    chains = Chains(connection, plan_of(floor=FLOOR))
    chains.step(1, 10)
    chains.step(2, 9)
    changed = Chains(connection, plan_of(floor={**FLOOR, "assert": "funds >= 11"}))
    assert [one[2:] for one in changed.raised] == [(1_020, "configuration changed")]
    changed.step(3, 9)
    assert changed.raised[1:] == [("InvariantViolated", 1_030, None, "")]
    assert [one[2:] for one in Chains(connection, plan_of()).raised] == [(1_030, "configuration changed")]
    assert invariants.known_names(connection) == set()


def test_a_flow_that_is_configured_otherwise_leaves_invariants_as_they_are(connection: sa.Connection) -> None:
    chains = Chains(connection, plan_of(floor=FLOOR))
    chains.step(1, 10)
    page = Page(["flow-of-my-floor"], 0, 10)
    chains.pipeline.judge_again(connection, chains.checker, page, 0.0)
    assert invariants.known_names(connection) == {"floor"}


@pytest.mark.parametrize(
    "keys",
    [
        {"message": "fill it up"},
        {"runbook_url": "https://example.org/floor"},
        {"for": "5s"},
        {"every": "10s"},
        {"align": "1m"},
    ],
)
def test_an_alert_goes_on_where_only_how_it_is_reported_is_configured_otherwise(
    connection: sa.Connection, keys: dict[str, Any]
) -> None:
    chains = Chains(connection, plan_of(floor=FLOOR))
    for number, funds in ((1, 10), (2, 9), (3, 9)):
        chains.step(number, funds)
    assert chains.raised == [BROKEN]
    changed = Chains(connection, plan_of(floor={**FLOOR, **keys}))
    changed.step(4, 9)
    assert changed.raised == []
    changed.step(5, 10)
    assert changed.raised == [("InvariantViolated", 1_020, 1_050, "holds again")]


def test_an_alert_whose_severity_is_configured_otherwise_becomes_one_of_that_severity(
    connection: sa.Connection,
) -> None:
    chains = Chains(connection, plan_of(floor=FLOOR))
    chains.step(1, 10)
    chains.step(2, 9)
    changed = Chains(connection, plan_of(floor={**FLOOR, "severity": "P0"}))
    assert changed.raised == []
    changed.step(3, 9)
    signals = changed.alerts.signals
    assert [(one.labels["severity"], one.starts_at, one.ends_at, one.reason) for one in signals] == [
        ("P1", 1_020, 1_030, "configuration changed"),
        ("P0", 1_020, None, ""),
    ]
    changed.step(4, 9)
    assert len(changed.raised) == 2


@pytest.mark.parametrize("severity", ["P1", "P0"])
def test_the_breach_of_an_invariant_that_is_replaced_while_it_lasts_stays_in_its_history(
    connection: sa.Connection, severity: str
) -> None:
    made = Definition("made", "", INVARIANT, True, False, 0, "", 0.0, 0.0)
    text = msgspec.json.encode(FLOOR).decode()
    definitions.save(connection, made._replace(settings=text))
    chains = Chains(connection, plan_of(rich={**FLOOR, "assert": "funds >= 0"}))
    chains.step(1, 10)
    chains.step(2, 9)
    text = msgspec.json.encode({**FLOOR, "message": "Fill it up", "severity": severity}).decode()
    definitions.save(connection, made._replace(settings=text))
    chains.step(3, 9)
    chains.step(4, 10)
    found = invariant_breaches.of(connection, "made", 0, 9)
    assert [(one.starts_at, one.held_at, one.ends_at, one.reason) for one in found] == [
        (1_030, None, 1_040, "holds again"),
        (1_020, 1_010, 1_030, "configuration changed"),
    ]


def test_an_alert_goes_on_until_its_condition_holds_whatever_for_becomes(connection: sa.Connection) -> None:
    chains = Chains(connection, plan_of(floor=FLOOR))
    chains.step(1, 10)
    chains.step(2, 9)
    changed = Chains(connection, plan_of(floor={**FLOOR, "for": "20s"}))
    changed.step(3, 9)
    assert changed.raised == []
    changed.step(4, 10)
    assert changed.raised == [("InvariantViolated", 1_020, 1_040, "holds again")]
    changed.step(5, 9)
    changed.step(6, 9)
    assert len(changed.raised) == 1
    changed.step(7, 9)
    assert changed.raised[1:] == [("InvariantViolated", 1_050, None, "")]


def test_a_name_that_the_file_takes_or_gives_back_begins_anew(connection: sa.Connection) -> None:
    rich = {**FLOOR, "assert": "funds >= 0"}
    made = {
        **FLOOR,
        "assert": "funds >= 8",
        "values": {"funds": {**FLOOR["values"]["funds"], "address": OTHER}},
    }
    text = msgspec.json.encode(made).decode()
    definitions.save(connection, Definition("floor", text, INVARIANT, True, False, 0, "", 0.0, 0.0))
    chains = Chains(connection, plan_of(rich=rich))
    chains.step(1, 9)
    chains.step(2, 7)
    (alert,) = [one for one in chains.alerts.signals if one.labels["invariant"] == "floor"]
    assert alert.starts_at == 1_020

    taken = Chains(connection, plan_of(rich=rich, floor={**FLOOR, "assert": "funds >= 1000", "for": "15s"}))
    assert taken.raised == [("InvariantViolated", 1_020, 1_020, "configuration changed")]
    taken.step(3, 999)
    taken.step(4, 999)
    assert len(taken.raised) == 1  # it is broken for 10 seconds, whatever the other of its name was
    taken.step(5, 999)
    assert taken.raised[1:] == [("InvariantViolated", 1_030, None, "")]

    given_back = Chains(connection, plan_of(rich=rich))
    assert given_back.raised == [("InvariantViolated", 1_030, 1_050, "configuration changed")]
    given_back.step(6, 7)
    assert given_back.raised[1:] == [("InvariantViolated", 1_060, None, "")]


def test_what_the_configuration_leaves_without_its_network_is_an_alert(connection: sa.Connection) -> None:
    funds = {"funds": {**FLOOR["values"]["funds"], "network": "beta"}}
    text = msgspec.json.encode({**FLOOR, "values": funds, "severity": "P0"}).decode()
    made = Definition("made", text, INVARIANT, True, False, 0, "", 0.0, 0.0)
    definitions.save(connection, made)
    rich = {**FLOOR, "assert": "funds >= 0"}
    whole = plan_of(rich=rich)
    alone = make_plan(read_dict({"networks": {"alpha": NETWORKS["alpha"]}, "invariants": {"rich": rich}}))
    chains = Chains(connection, whole)
    chains.mine(1, "beta")
    chains.answer(lambda *_: {"funds": 9}, "beta")
    assert chains.raised == [("InvariantViolated", 1_010, None, "")]

    without = Chains(connection, alone)
    for number in (2, 3):
        without.mine(number)
    (unread,) = without.alerts.signals  # and the violation goes on firing
    assert unread.labels == {"alertname": "InvariantUnread", "severity": "P0", "invariant": "made"}
    assert 'no network is called "beta"' in unread.annotations["description"]

    again = Chains(connection, whole)
    again.mine(4, "beta")
    assert again.raised == []
    again.answer(lambda *_: {"funds": 10}, "beta")
    assert sorted((name, reason) for name, _, _, reason in again.raised) == [
        ("InvariantUnread", "read again"),
        ("InvariantViolated", "holds again"),
    ]

    without = Chains(connection, alone)
    without.mine(5)
    definitions.save(connection, made._replace(is_running=False, is_deleted=True))
    without.mine(6)
    assert [reason for *_, reason in without.raised] == ["", "deleted"]


def test_the_value_at_the_check_before(connection: sa.Connection) -> None:
    falling = {**FLOOR, "assert": "funds >= previous.funds"}
    chains = Chains(connection, plan_of(floor=falling))
    for number, funds in enumerate((5, 7, 6, 8), 1):
        chains.step(number, funds)
    assert chains.raised == [
        ("InvariantViolated", 1_030, None, ""),
        ("InvariantViolated", 1_030, 1_040, "holds again"),
    ]


def test_a_period_is_checked_at_its_first_block(connection: sa.Connection) -> None:
    chains = Chains(connection, plan_of(floor={**FLOOR, "every": "30s"}))
    wanted = []
    for number in range(1, 9):
        chains.mine(number)
        wanted += chains.wanted()
        chains.answer(lambda *_: {"funds": 10})
    assert wanted == [1, 2, 5, 8]  # the first one, then at 1,020, 1,050 and 1,080 seconds


def test_of_a_range_that_was_read_at_once_the_end_is_checked_until_a_newer_block(
    connection: sa.Connection,
) -> None:
    chains = Chains(connection, plan_of(floor=FLOOR))
    for first, last in ((1, 500), (501, 1_000)):
        end = header(last)
        batch = Batch("alpha", first, end, headers=(end,), first_timestamp=1_000)
        chains.pipeline.process(connection, [batch], 0.0)
    assert chains.wanted() == [1_000]


def test_networks_are_compared_at_one_moment(connection: sa.Connection) -> None:
    """The lock of a mint is not read yet: nothing is known of it, and nothing is raised."""
    chains = Chains(connection, plan_of(backed=BACKED))
    locked, minted = {0: 5, 1: 5, 2: 5, 3: 8}, {1: 5, 2: 5, 3: 8}
    chains.mine(1)
    chains.mine(1, "beta")
    chains.mine(2, "beta")
    chains.mine(3, "beta")

    def answer() -> None:
        chains.answer(lambda _, block: {"locked": locked[block]}, "alpha")
        chains.answer(lambda _, block: {"minted": minted[block]}, "beta")

    answer()
    assert chains.raised == []  # alpha is seen until 1,010 only
    chains.mine(2)
    chains.mine(3)
    answer()
    assert chains.raised == []
    minted[4] = 9
    chains.mine(4, "beta")
    answer()
    assert chains.raised == []
    chains.see("alpha", 1_041)
    answer()
    assert chains.raised == [("InvariantViolated", 1_040, None, "")]
    (signal,) = chains.alerts.signals
    assert signal.annotations["values"] == "locked = 8, minted = 9"
    assert "network" not in signal.labels


def test_a_reorg_of_one_network_undoes_what_another_was_compared_with(connection: sa.Connection) -> None:
    chains = Chains(connection, plan_of(backed=BACKED))
    for network in ("alpha", "beta"):
        chains.mine(1, network)
        chains.mine(2, network)
    chains.answer(lambda _, block: {"locked": 5 if block == 1 else 4}, "alpha")
    chains.answer(lambda *_: {"minted": 5}, "beta")
    chains.answer(lambda _, block: {"locked": 5 if block == 1 else 4}, "alpha")
    assert chains.raised == [BROKEN]
    chains.mine(2, fork=1, back_to=1)
    assert chains.raised[1:] == [("InvariantViolated", 1_020, 1_020, "reorg")]
    chains.answer(lambda *_: {"locked": 5}, "alpha")
    assert len(chains.raised) == 2


def test_rows_stay_few_and_tell_a_reorg_enough(connection: sa.Connection) -> None:  # S10, S4
    chains = Chains(connection, plan_of(floor=FLOOR))
    chains.step(1, 10)
    for number in range(2, 60):
        chains.step(number, 9)
    assert len(invariants.checks(connection, "floor")) <= 18
    assert len(invariants.readings(connection, "floor")) <= 18
    chains.mine(31, fork=1, back_to=30)
    assert chains.raised == [BROKEN]
    chains.step(32, 10, fork=1)
    assert chains.raised[1:] == [("InvariantViolated", 1_020, 1_310, "holds again")]


def test_what_no_reorg_reaches_is_dropped(connection: sa.Connection) -> None:  # S10
    networks = {"alpha": {**NETWORKS["alpha"], "reorg_window": 20}}
    falling = {**FLOOR, "assert": "funds >= previous.funds"}
    chains = Chains(
        connection, make_plan(read_dict({"networks": networks, "invariants": {"floor": falling}}))
    )
    for number in range(1, 60):
        chains.step(number, 1_000 - number)
    assert len(invariants.checks(connection, "floor")) <= 23
    assert len(invariants.readings(connection, "floor")) <= 23
    assert chains.raised == [("InvariantViolated", 1_020, None, "")]


def test_a_change_over_a_time_is_measured_by_chain_time_and_undone_by_a_reorg(
    connection: sa.Connection,
) -> None:
    drained = {**FLOOR, "assert": 'delta(funds, "60s") > -30', "every": "block"}
    chains = Chains(connection, plan_of(floor=drained))
    for number in range(1, 31):
        chains.step(number, 1_000 - 5 * number)
    assert chains.raised == [("InvariantViolated", 1_070, None, "")]  # 30 in 60 s, once so long is known
    for number in range(31, 37):
        chains.step(number, 850)
    assert chains.raised[1:] == [("InvariantViolated", 1_070, 1_310, "holds again")]
    chains.step(35, 800, fork=1, back_to=34)
    assert chains.raised[2:] == [("InvariantViolated", 1_350, None, "")]
    again = Chains(connection, plan_of(floor=drained))  # as after a restart
    again.step(36, 850, fork=1)
    assert again.raised == [("InvariantViolated", 1_350, 1_360, "holds again")]
    chains.mine(400)
    chains.answer(lambda _name, _block: {"funds": 850})
    stored = sa.select(sa.func.count()).select_from(invariant_tables.invariant_history)
    assert connection.execute(stored).scalar_one() == 2


def test_a_condition_that_reads_the_past_names_its_mistakes() -> None:
    for condition, message in (
        ("delta(funds) > 0", "a value and a time in quotes"),
        ('delta(funds, "soon") > 0', "expected a duration"),
        ('delta(funds, "500ms") > 0', "whole seconds"),
        ('delta(funds + 1, "1h") > 0', "takes a value as it was read"),
        ("has_changed(previous.funds)", "takes a value as it was read"),
    ):
        with pytest.raises(ConfigError, match=message):
            plan_of(floor={**FLOOR, "assert": condition})
