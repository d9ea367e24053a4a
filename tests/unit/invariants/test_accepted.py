"""What is compared with accepted values: those that were read first, until somebody accepts others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from chainwatch.alerting.engine.alert_engine import AlertEngine
from chainwatch.alerting.policy.policies import Policies
from chainwatch.operations.accepted_values import accept_values, values_to_accept
from chainwatch.operations.context import Context
from chainwatch.operations.errors import Conflict, NotFound
from chainwatch.operations.invariants import show_invariant
from chainwatch.store import accepted_values
from chainwatch.support.keccak import keccak256
from tests.unit.invariants.test_checker import BACKED, FLOOR, SAFE, Chains, plan_of
from tests.unit.invariants.test_flow_values import plan_of as events_plan
from tests.unit.invariants.test_flow_values import sent

SAME: dict[str, Any] = {**FLOOR, "assert": "is_accepted(funds)"}
OWNERS = "function owners() view returns (address[])"
RAISED = ("InvariantViolated", 1_030, None, "")


def accept(chains: Chains, name: str = "same") -> None:
    accept_values(chains.connection, context(chains), 5_000.0, name=name, author="carol")


def context(chains: Chains) -> Context:
    settings = chains.checker.settings
    return Context(settings, AlertEngine([], {}, 0, Policies.of(settings)), ())


def test_an_alert_goes_on_until_the_value_is_back_whatever_the_check_before(
    connection: sa.Connection,
) -> None:
    chains = Chains(connection, plan_of(same=SAME))
    for number, funds in ((1, 7), (2, 7), (3, 8), (4, 8)):
        chains.step(number, funds)
    assert chains.raised == [RAISED]
    annotations = chains.alerts.signals[0].annotations
    assert annotations["accepted"] == "funds = 7"
    assert annotations["description"].startswith(
        "funds = 8 (accepted: funds = 7) at block 3 of alpha; if that is right: chainwatch invariants accept same; "
        "it held"
    )
    chains.step(5, 7)
    assert chains.raised == [RAISED, ("InvariantViolated", 1_030, 1_050, "holds again")]


def test_somebody_accepts_what_was_read_last_and_the_alert_ends_at_the_next_block(
    connection: sa.Connection,
) -> None:
    chains = Chains(connection, plan_of(same=SAME))
    for number, funds in ((1, 7), (2, 7), (3, 8), (4, 9)):
        chains.step(number, funds)
    view = accept_values(connection, context(chains), 5_000.0, name="same", author="carol")
    assert (view.values, view.block, view.author, view.accepted_at) == ("funds = 9", 4, "carol", 5_000.0)
    chains.mine(5)
    (ended,) = chains.alerts.signals[1:]
    assert (ended.reason, ended.starts_at) == ("accepted", 1_030)
    chains.step(5, 9)
    chains.step(6, 7)
    assert chains.raised[2:] == [("InvariantViolated", 1_060, None, "")]
    shown = show_invariant(connection, context(chains), 5_000.0, name="same")
    assert shown.accepted == view


def test_what_changes_again_before_it_is_accepted_goes_on_firing(connection: sa.Connection) -> None:
    chains = Chains(connection, plan_of(same=SAME))
    for number, funds in ((1, 7), (2, 7), (3, 8)):
        chains.step(number, funds)
    chains.mine(4)
    accept(chains)
    chains.answer(lambda _name, _block: {"funds": 9})
    assert chains.raised[-1] == ("InvariantViolated", 1_040, None, "")


@pytest.mark.parametrize("changed", ["severity", "value"])
def test_a_changed_configuration_keeps_what_is_accepted_of_the_same_value(
    connection: sa.Connection, changed: str
) -> None:
    Chains(connection, plan_of(same=SAME)).step(1, 7)
    value = {"network": "alpha", "address": "0x" + "77" * 20, "balance": True}
    other = {"severity": "P3"} if changed == "severity" else {"values": {"funds": value}}
    chains = Chains(connection, plan_of(same={**SAME, **other}))
    chains.step(2, 8)
    assert len(chains.raised) == (changed == "severity")
    gone = Chains(connection, plan_of(floor=FLOOR))
    gone.step(3, 10)
    assert accepted_values.load(connection) == {}


def test_a_reorg_drops_what_was_read_first_in_a_block_that_is_gone(connection: sa.Connection) -> None:
    chains = Chains(connection, plan_of(floor=FLOOR, same=SAME))
    chains.mine(1)
    chains.step(2, 17)
    chains.step(2, 18, fork=1, back_to=1)
    chains.step(3, 18)
    assert chains.raised == []
    accept(chains)
    chains.step(3, 18, fork=1, back_to=2)
    chains.step(4, 17)
    assert chains.raised == [("InvariantViolated", 1_040, None, "")]


def test_what_was_accepted_in_a_block_that_is_gone_holds_good_in_those_in_its_place(
    connection: sa.Connection,
) -> None:
    chains = Chains(connection, plan_of(same=SAME))
    for number, funds in ((1, 7), (2, 8), (3, 8), (4, 8)):
        chains.step(number, funds)
    accept(chains)
    chains.step(5, 9)
    accept(chains)
    chains.step(6, 9)
    assert [reason for *_, reason in chains.raised] == ["", "accepted", "", "accepted"]
    chains.step(4, 9, fork=1, back_to=3)
    for number in range(5, 8):
        chains.step(number, 9, fork=1)
    assert len(chains.raised) == 4
    chains.step(8, 8, fork=1)
    assert chains.raised[4:] == [("InvariantViolated", 1_080, None, "")]


def test_what_is_accepted_after_a_reorg_takes_the_place_of_what_was_accepted_in_blocks_that_are_gone(
    connection: sa.Connection,
) -> None:
    chains = Chains(connection, plan_of(same=SAME))
    for number, funds in ((1, 7), (2, 7), (3, 7), (4, 8)):
        chains.step(number, funds)
    accept(chains)
    chains.step(3, 9, fork=1, back_to=2)
    accept(chains)
    for number in (4, 5, 6):
        chains.step(number, 9, fork=1)
    assert chains.raised[-1] == ("InvariantViolated", 1_030, 1_040, "accepted")


def test_a_reorg_of_another_network_drops_what_was_read_first_with_it(connection: sa.Connection) -> None:
    values = {**BACKED["values"]}
    chains = Chains(connection, plan_of(same={"values": values, "assert": "is_accepted(minted)"}))

    def answer(minted: int) -> None:
        chains.answer(lambda _name, _block: {"locked": 5}, "alpha")
        chains.answer(lambda _name, _block: {"minted": minted}, "beta")

    def mine(number: int, minted: int, fork: int = 0, back_to: int | None = None) -> None:
        chains.mine(number)
        chains.mine(number, "beta", fork, back_to)
        answer(minted)

    chains.mine(1, "beta")
    mine(2, 7)
    mine(3, 7)
    assert [one[0].content["minted"] for one in accepted_values.load(connection).values()] == [7]
    chains.mine(2, "beta", fork=1, back_to=1)
    answer(8)
    for number in (3, 4, 5):
        mine(number, 8, fork=1)
    assert [one[0].content["minted"] for one in accepted_values.load(connection).values()] == [8]
    assert chains.raised == []


@pytest.mark.parametrize("interrupted", ["by a restart", "by a transaction that is undone"])
def test_what_was_accepted_ends_the_alert_at_the_next_block_whatever_comes_between(
    connection: sa.Connection, interrupted: str
) -> None:
    plan = plan_of(same={**SAME, "every": "1h"})
    chains = Chains(connection, plan)
    for number, funds in ((1, 7), (260, 7), (620, 8)):
        chains.step(number, funds)
    assert chains.raised == [("InvariantViolated", 7_200, None, "")]
    chains.alerts.signals.clear()
    accept(chains)
    if interrupted == "by a restart":
        chains = Chains(connection, plan)
    else:
        with connection.begin_nested() as undone:
            chains.mine(621)
            undone.rollback()
        chains.alerts.signals.clear()
    chains.mine(621)
    assert [reason for *_, reason in chains.raised] == ["accepted"]


def test_what_a_transaction_that_was_undone_has_forgotten_is_still_compared_with(
    connection: sa.Connection,
) -> None:
    chains = Chains(connection, plan_of(same=SAME))
    chains.step(1, 7)
    kept = chains.checker.kept_accepted
    with connection.begin_nested() as undone:
        kept.begin(connection)
        kept.forget(connection, ["same"])
        kept.commit(connection)
        undone.rollback()
    chains.step(2, 8)
    assert chains.raised == [("InvariantViolated", 1_020, None, "")]


@pytest.mark.parametrize(
    ("first", "is_warned"), [(keccak256(b""), True), (bytes(32), True), (b"c" * 32, False)]
)
def test_a_first_value_that_is_nothing_is_warned_of_as_by_a_wrong_address(
    connection: sa.Connection, first: bytes, is_warned: bool
) -> None:
    code = {"network": "alpha", "address": SAFE, "code_hash": True}
    chains = Chains(connection, plan_of(same={"values": {"code": code}, "assert": "is_accepted(code)"}))
    chains.mine(1)
    with capture_logs() as logs:
        chains.answer(lambda _name, _block: {"code": first})
    found = [one for one in logs if "is its address right?" in one["event"]]
    assert [one["invariant"] for one in found] == ["same"] * is_warned


def test_what_is_accepted_no_more_because_other_values_are_read_is_warned_of(
    connection: sa.Connection,
) -> None:
    chains = Chains(connection, plan_of(same=SAME))
    chains.step(1, 7)
    chains.step(2, 8)
    nonce = {"network": "alpha", "address": SAFE, "nonce": True}
    values = {**FLOOR["values"], "nonce": nonce}
    chains = Chains(connection, plan_of(same={"values": values, "assert": "is_accepted(funds)"}))
    with capture_logs() as logs:
        for number in (3, 4):
            chains.mine(number)
            chains.answer(lambda *_: {"funds": 8, "nonce": 1})
    (warning,) = logs
    assert (warning["was"], warning["now"]) == ("funds = 7", "funds = 8")


def test_accepted_events_do_not_hide_later_ones(connection: sa.Connection, tmp_path: Path) -> None:
    events = {"network": "alpha", "contract": "bridge", "event": "Sent", "within": "25s", "at_once": True}
    table = {"values": {"changes": events}, "assert": "changes <= accepted.changes"}
    chains = Chains(connection, events_plan(tmp_path, same=table))
    chains.mine(1)
    chains.mine(2, events=(sent(2, 1, 5),))
    assert chains.raised == [("InvariantViolated", 1_020, None, "")]
    accept(chains)
    for number in range(3, 8):
        chains.mine(number)
    assert [reason for *_, reason in chains.raised[1:]] == ["accepted"]
    chains.mine(8, events=(sent(8, 2, 5),))
    assert chains.raised[2:] == [("InvariantViolated", 1_080, None, "")]


def test_arrays_are_the_same_in_any_order(connection: sa.Connection) -> None:
    owners = {"network": "alpha", "address": SAFE, "call": "function getOwners() view returns (address[])"}
    chains = Chains(connection, plan_of(same={"values": {"owners": owners}, "assert": "is_accepted(owners)"}))
    some = ["0x" + digit * 40 for digit in "123"]
    for number, found in enumerate((some, some[::-1], some[:2], [*some, some[0]], some), 1):
        chains.mine(number)
        chains.answer(lambda _name, _block, f=found: {"owners": f})  # type: ignore[misc]
    assert chains.raised == [RAISED, ("InvariantViolated", 1_030, 1_050, "holds again")]


def test_what_cannot_be_accepted_is_refused_with_the_reason(connection: sa.Connection) -> None:
    chains = Chains(connection, plan_of(floor=FLOOR, same=SAME))
    with pytest.raises(NotFound, match="did you mean"):
        accept(chains, "sane")
    with pytest.raises(Conflict, match="compares with no accepted value, or no check"):
        accept(chains)
    chains.step(1, 10)
    with pytest.raises(Conflict, match="compares with no accepted value"):
        accept(chains, "floor")


def test_what_is_read_on_several_networks_is_accepted_as_their_sum(connection: sa.Connection) -> None:
    both = {"network": ["alpha", "beta"], "address": SAFE, "balance": True, "sum": True}
    chains = Chains(connection, plan_of(same={"values": {"funds": both}, "assert": "is_accepted(funds)"}))

    def read(number: int, *funds: int) -> None:
        for network in ("alpha", "beta"):
            chains.mine(number, network)
        for network, amount in zip(("alpha", "beta"), funds, strict=True):
            chains.answer(lambda *_, amount=amount: {"funds": amount}, network)

    for number in (1, 2):
        read(number, 7, 5)
    read(3, 8, 5)
    assert len(chains.raised) == 1
    view = accept_values(connection, context(chains), 5_000.0, name="same", author="carol")
    assert view.values == "funds = 13"
    read(4, 8, 5)
    assert [one[3] for one in chains.raised] == ["", "accepted"]


def test_values_that_are_cut_off_are_told_apart(connection: sa.Connection) -> None:
    listed = {"values": {"owners": {"network": "alpha", "address": SAFE, "call": OWNERS}}}
    chains = Chains(connection, plan_of(same={**listed, "assert": "is_accepted(owners)"}))
    texts = []
    for number, last in enumerate(("0x" + "a1" * 20, "0x" + "b2" * 20), 1):
        chains.mine(number)
        owners = [f"0x{index:040x}" for index in range(30)]
        chains.answer(lambda *_, owners=[*owners, last]: {"owners": owners})
        texts.append(values_to_accept(connection, "same"))
    assert texts[0] != texts[1]
    with pytest.raises(Conflict, match="other values"):
        accept_values(connection, context(chains), 5_000.0, name="same", author="carol", values=texts[0])
    accept_values(connection, context(chains), 5_000.0, name="same", author="carol", values=texts[1])


@pytest.mark.parametrize(
    ("call", "seen", "read"),
    [
        ("function names() view returns (string[])", ["a, b"], ["a", "b"]),
        ("function names() view returns (string[])", [], [""]),
        ("function name() view returns (string)", "a\\n", "a\n"),
        ("function name() view returns (string)", "a", "a "),
        ("function name() view returns (string)", "a b", "a\u00a0b"),
    ],
)
def test_texts_that_look_alike_are_told_apart(
    connection: sa.Connection, call: str, seen: str | list[str], read: str | list[str]
) -> None:
    value = {"network": "alpha", "address": SAFE, "call": call}
    chains = Chains(connection, plan_of(same={"values": {"name": value}, "assert": "is_accepted(name)"}))
    texts = []
    for number, name in enumerate((seen, read), 1):
        chains.mine(number)
        chains.answer(lambda *_, name=name: {"name": name})
        texts.append(values_to_accept(connection, "same"))
    with pytest.raises(Conflict, match="other values"):
        accept_values(connection, context(chains), 5.0, name="same", author="carol", values=texts[0])
    accept_values(connection, context(chains), 5.0, name="same", author="carol", values=texts[1])
