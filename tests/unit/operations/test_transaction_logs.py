"""All logs of a transaction, with every ABI at hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chainwatch.chain.decode.abi import parse_abi
from chainwatch.chain.receipts import read_receipt
from chainwatch.commands.show import flows as show
from chainwatch.init.presets import PRESETS, shipped_abis
from chainwatch.operations.errors import Conflict
from chainwatch.operations.transaction_logs import find_siblings
from chainwatch.operations.transactions import Transaction
from chainwatch.support.keccak import keccak256
from tests.support.pages import ROOT
from tests.support.receipts import BRIDGE, SENT, log, plan, sent, transaction

RECORDED = ROOT / "tests" / "data" / "connext" / "deployment-receipts.jsonl"


def test_logs_stand_in_order_with_the_abi_that_decodes_them(tmp_path: Path) -> None:
    foreign = log(
        "0x" + "ee" * 20, [keccak256(b"MessagePassed(uint256,address,address,uint256,uint256,bytes,bytes32)")]
    )
    elsewhere = sent() | {"address": "0x" + "ee" * 20}
    unknown = log("0x" + "ee" * 20, [b"\x99" * 32], b"\x01")
    found = find_siblings(
        plan(tmp_path), transaction(unknown, foreign, elsewhere, sent()), shipped_abis()
    ).logs
    assert [one.log_index for one in found] == [3, 4, 5, 6]
    assert [one.contract for one in found] == [None, None, None, "bridge"]
    assert [one.abi for one in found] == [None, None, "bridge.json", "bridge.json"]
    assert (found[0].topics, found[0].data) == (["0x" + "99" * 32], "0x01")
    assert found[2].event == found[3].event == SENT


def test_anonymous_events_are_looked_for_only_at_their_own_contract(tmp_path: Path) -> None:
    made = plan(tmp_path)
    abi = [{"type": "event", "name": "Quiet", "anonymous": True, "inputs": []}]
    (tmp_path / "bridge.json").write_text(json.dumps(abi))
    shipped = {"quiet": parse_abi(abi, "quiet.json")}
    found = find_siblings(
        made, transaction(log("0x" + "ee" * 20, []), log(BRIDGE["alpha"], [])), shipped
    ).logs
    assert [one.event for one in found] == [None, "Quiet()"]


def test_an_abi_that_is_gone_is_a_conflict_that_names_it(tmp_path: Path) -> None:
    made = plan(tmp_path)
    (tmp_path / "bridge.json").unlink()
    with pytest.raises(Conflict, match=r"bridge\.json"):
        find_siblings(made, transaction(sent()), {})


def test_every_preset_of_flows_ships_its_abis() -> None:
    following = [preset for preset in PRESETS.values() if preset.about.orphans]
    assert shipped_abis().keys() == {name for preset in following for name in preset.abis}


def test_recorded_receipts_are_listed_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made, shipped = plan(tmp_path), shipped_abis()
    lines = RECORDED.read_text().splitlines()
    for line in lines[:40]:
        recorded = json.loads(line)["receipt"]
        found = find_siblings(made, Transaction("alpha", read_receipt(as_rpc(recorded))), shipped)
        assert [one.log_index for one in found.logs] == [one["logIndex"] for one in recorded["logs"]]
        show.siblings(found, as_json=True)
        shown = json.loads(capsys.readouterr().out)
        assert [one["topics"] for one in shown["logs"]] == [one["topics"] for one in recorded["logs"]]


def as_rpc(recorded: dict[str, object]) -> bytes:
    """A receipt as ethers stores it, in the form in which a node gave it: quantities as 0x text."""

    def quantities(value: object) -> object:
        if isinstance(value, dict):
            return {name: quantities(one) for name, one in value.items()}
        if isinstance(value, list):
            return [quantities(one) for one in value]
        return hex(value) if isinstance(value, int) and not isinstance(value, bool) else value

    return json.dumps(quantities(recorded)).encode()


@pytest.mark.parametrize("as_json", [True, False])
def test_hostile_text_of_any_log_is_escaped(
    tmp_path: Path, as_json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    logs = sent(memo="\x1b]0;owned\x07\u202e\r\n" + "y" * 50_000), log("0x" + "ee" * 20, [], b"\x1b" * 50_000)
    show.siblings(find_siblings(plan(tmp_path), transaction(*logs), {}), as_json)
    written = capsys.readouterr().out
    assert not {"\x1b", "\x07", "\u202e", "\r"} & set(written)
    assert "owned" in written
    assert as_json or len(written) < 4_000
