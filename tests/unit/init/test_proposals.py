"""A flow proposed from the receipts of one transfer: for bridges that nobody knows, and where nothing is shared."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from chainwatch.init.answers import OWN, InitError
from chainwatch.init.proposing import add_proposal
from chainwatch.init.questions import Given, ask
from chainwatch.init.wizard import create
from chainwatch.plan import load_plan
from tests.support.abi_text import abi_json

T = TypeVar("T")

BRIDGE, VAULT = "0x" + "b1" * 20, "0x" + "b2" * 20
ALICE = "0x" + "a1" * 20
ID = keccak(text="a transfer")
TRANSACTIONS = {name: "0x" + keccak(text=name).hex() for name in ("left", "right")}


def log(address: str, event: str, **args: Any) -> dict[str, Any]:
    """A log of ``event``, as `abi_json` takes it."""
    (entry,) = json.loads(abi_json(event))
    types = [param["type"] for param in entry["inputs"]]
    names = [param["name"] for param in entry["inputs"]]
    values = [args[name.rstrip("_")] for name in names]
    indexed = [param["indexed"] for param in entry["inputs"]]
    topics = [keccak(text=f"{entry['name']}({','.join(types)})")]
    topics += [encode([t], [v]) for t, v, i in zip(types, values, indexed, strict=True) if i]
    rest = [(t, v) for t, v, i in zip(types, values, indexed, strict=True) if not i]
    data = encode([t for t, _ in rest], [v for _, v in rest])
    return {"address": address, "topics": ["0x" + t.hex() for t in topics], "data": "0x" + data.hex()}


def receipt(folder: Path, network: str, *logs: dict[str, Any]) -> str:
    """The flag that gives the receipt of a transaction with these logs."""
    place = {
        "transactionHash": TRANSACTIONS[network],
        "blockNumber": "0x10",
        "blockHash": "0x" + "bb" * 32,
        "transactionIndex": "0x0",
    }
    numbered = [{**one, **place, "logIndex": hex(i), "removed": False} for i, one in enumerate(logs)]
    (folder / f"{network}-receipt.json").write_text(json.dumps({**place, "status": "0x1", "logs": numbered}))
    return f"{network}={folder / f'{network}-receipt.json'}"


def given(
    folder: Path, sent: list[dict[str, Any]], paid: list[dict[str, Any]], *abi: str, **flags: Any
) -> Given:
    (folder / "bridge.json").write_text(abi_json(*abi))
    return Given(
        preset=OWN,
        networks=["left=31337", "right=31338"],
        abi=["bridge.json"],
        receipts=[receipt(folder, "left", *sent), receipt(folder, "right", *paid)],
        **flags,
    )


async def written(folder: Path, flags: Given) -> tuple[str, tuple[str, ...]]:
    """The configuration that is written, which loads without a doubt, and what is unsure of it."""
    answers = await add_proposal(ask(flags), folder, {})
    done = create(answers, folder / "config.toml", force=True)
    plan = load_plan(done.config, dict.fromkeys(done.variables, "https://node.example"))
    assert plan.flows
    return done.config.read_text(), done.explanation


SENT = "Sent(bytes32 indexed messageId, uint256 dstChainId, address token, uint256 amount)"
PAID = "Paid(bytes32 indexed messageId, uint256 srcChainId, uint256 amount)"


async def test_an_id_and_chain_ids_by_any_name(tmp_path: Path) -> None:
    sent = log(BRIDGE, SENT, messageId=ID, dstChainId=31338, token=ALICE, amount=5)
    paid = log(VAULT, PAID, messageId=ID, srcChainId=31337, amount=5)
    text, unsure = await written(tmp_path, given(tmp_path, [sent], [paid], SENT, PAID))
    assert 'key = "messageId"' in text
    assert 'network_by = "chain_id"' in text
    assert ('destination = "dstChainId"' in text, 'origin = "srcChainId"' in text) == (True, True)
    assert ('amount = "amount"' in text, 'asset = "token"' in text) == (True, True)
    assert (f'left = "{BRIDGE}"' in text, f'right = "{VAULT}"' in text) == (True, True)
    assert unsure == ()


async def test_numbers_that_nobody_knows_are_taken_from_the_arguments_named_like_them(tmp_path: Path) -> None:
    sent = log(BRIDGE, SENT, messageId=ID, dstChainId=700, token=ALICE, amount=5)
    paid = log(VAULT, PAID, messageId=ID, srcChainId=600, amount=5)
    text, _ = await written(tmp_path, given(tmp_path, [sent], [paid], SENT, PAID))
    assert 'network_by = "bridge_id"' in text
    assert ("chain_id = 31337\nbridge_id = 600" in text, "chain_id = 31338\nbridge_id = 700" in text) == (
        True,
        True,
    )


async def test_how_events_name_networks_can_be_said(tmp_path: Path) -> None:
    event, other = "Sent(bytes32 guid, uint8 place)", "Paid(bytes32 guid, uint8 chain)"
    sent, paid = log(BRIDGE, event, guid=ID, place=7), log(VAULT, other, guid=ID, chain=6)
    flags = given(
        tmp_path, [sent], [paid], event, other, network_by="tag", named=["left=6", "right=7"], within="5m"
    )
    text, unsure = await written(tmp_path, flags)
    assert ('network_by = "tag"' in text, 'within = "5m"' in text) == (True, True)
    assert ('on = "left"' in text, 'destination = "right"' in text) == (
        True,
        True,
    )  # "place" does not sound like it
    assert any("this flow goes one way only" in one for one in unsure)


@pytest.mark.parametrize(
    "token",
    ["0017" + "c3" * 18, "17" + "c3" * 19, "c3" * 9 + "0017" + "c3" * 9, "c3" * 18 + "0017", "00" * 20],
)
async def test_a_number_in_bytes_is_told_from_the_bytes_of_a_padded_address(
    tmp_path: Path, token: str
) -> None:
    """Wormhole's transfers hold addresses, and any may hold the number of a network."""
    event = "Sent(bytes32 guid, bytes payload)"
    other = "Paid(bytes32 guid, uint16 emitterChainId)"
    recipient = bytes.fromhex(ALICE[2:])
    for first, second in ((bytes.fromhex(token), recipient), (recipient, bytes.fromhex(token))):
        payload = first.rjust(32, b"\0") + second.rjust(32, b"\0") + (23).to_bytes(2) + b"\1"
        sent = log(BRIDGE, event, guid=ID, payload=payload)
        paid = log(VAULT, other, guid=ID, emitterChainId=2)
        flags = given(
            tmp_path, [sent], [paid], event, other, network_by="wormhole", named=["left=2", "right=23"]
        )
        text, _ = await written(tmp_path, flags)
        assert 'destination = "uint(payload[64:66])"' in text


async def test_a_counter_needs_the_origin_beside_it(tmp_path: Path) -> None:
    event = "Sent(uint64 indexed nonce, uint256 toChain, address sender)"
    other = "Paid(uint64 nonce, uint256 fromChain, address sender, address caller)"
    sent = log(BRIDGE, event, nonce=0, toChain=31338, sender=ALICE)
    paid = log(VAULT, other, nonce=0, fromChain=31337, sender=ALICE, caller=ALICE)
    text, unsure = await written(tmp_path, given(tmp_path, [sent], [paid], event, other))
    assert 'key = ["network.chain_id", "nonce", "sender"]' in text
    assert 'key = ["fromChain", "nonce", "sender"]' in text
    assert any("made of a counter" in one for one in unsure)


async def test_contents_that_are_hashed_on_both_sides_are_no_id(tmp_path: Path) -> None:
    event, other = "Sent(bytes body, uint256 toChain)", "Paid(bytes body, uint256 fromChain)"
    sent = log(BRIDGE, event, body=b"the same for many" * 3, toChain=31338)
    paid = log(VAULT, other, body=b"the same for many" * 3, fromChain=31337)
    with pytest.raises(
        InitError,
        match="identifies a transfer among Sent on left; Paid on right",
    ):
        await written(tmp_path, given(tmp_path, [sent], [paid], event, other))


async def test_an_amount_or_account_is_no_id(tmp_path: Path) -> None:
    event = "Sent(address recipient, uint256 amount, uint256 toChain)"
    sent = log(BRIDGE, event, recipient=ALICE, amount=5, toChain=31338)
    paid = log(VAULT, event, recipient=ALICE, amount=5, toChain=31337)
    with pytest.raises(InitError, match="nothing that both sides share"):
        await written(tmp_path, given(tmp_path, [sent], [paid], event))


async def test_the_hash_of_the_origins_transaction_is_found_in_text_too(tmp_path: Path) -> None:
    event = "Sent(uint256 toChain, bytes32 indexed payloadHash)"
    other = "Paid(string source, uint256 fromChain, bytes32 indexed payloadHash)"
    sent = log(BRIDGE, event, toChain=31338, payloadHash=ID)
    source = f"{TRANSACTIONS['left']}-4"
    paid = log(VAULT, other, source=source, fromChain=31337, payloadHash=ID)
    text, _ = await written(tmp_path, given(tmp_path, [sent], [paid], event, other))
    assert 'key = ["transaction.hash", "payloadHash"]' in text
    assert 'key = ["unhex(source[0:66])", "payloadHash"]' in text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"receipts": ["left=a.json"]}, "--transaction: give two of one transfer"),
        ({"receipts": ["left=a.json", "left=b.json"]}, "on two networks"),
        (
            {"receipts": ["left=a.json", "up=b.json"]},
            "--receipt: expected NETWORK=…, with one of left, right",
        ),
        ({"receipts": ["left=gone.json", "right=gone.json"]}, "gone.json cannot be read"),
        ({"receipts": ["left=bridge.json", "right=bridge.json"]}, "is not a receipt"),
        ({"receipts": [], "transactions": ["left=0x12", "right=0x12"]}, "0x and 64 hex digits"),
        (
            {"receipts": [], "transactions": [f"left={TRANSACTIONS['left']}", f"right={ID.hex()}"]},
            "set LEFT_RPC_URL",
        ),
        ({"network_by": "domain"}, "--named: missing"),
        ({"within": "soon"}, "--within: expected a duration"),
        ({"abi": ["gone.json"]}, "--abi: "),
        ({"address": ["up=0x12"]}, "--address: expected NETWORK="),
    ],
)
async def test_what_cannot_be_used_names_its_flag(
    changes: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sent = log(BRIDGE, SENT, messageId=ID, dstChainId=31338, token=ALICE, amount=5)
    flags = given(tmp_path, [sent], [sent], SENT)
    changed = Given(**{**vars(flags), **changes})
    with pytest.raises(InitError, match=message):
        await add_proposal(ask(changed), tmp_path, {})


async def test_logs_that_no_abi_decodes_name_their_transaction(tmp_path: Path) -> None:
    sent = log(BRIDGE, SENT, messageId=ID, dstChainId=31338, token=ALICE, amount=5)
    with pytest.raises(InitError, match=f"no log of {TRANSACTIONS['right']} on right decodes with bridge"):
        await written(
            tmp_path, given(tmp_path, [sent], [log(VAULT, PAID, messageId=ID, srcChainId=1, amount=5)], SENT)
        )


async def test_a_reverted_transaction_has_no_events(tmp_path: Path) -> None:
    sent = log(BRIDGE, SENT, messageId=ID, dstChainId=31338, token=ALICE, amount=5)
    flags = given(tmp_path, [sent], [sent], SENT)
    file = tmp_path / "right-receipt.json"
    file.write_text(file.read_text().replace('"status": "0x1"', '"status": "0x0"'))
    with pytest.raises(InitError, match="was reverted"):
        await written(tmp_path, flags)


def test_a_person_is_asked_for_the_transactions_first() -> None:
    asked: list[str] = []
    answers = iter([f"left={TRANSACTIONS['left']} right={TRANSACTIONS['right']}", "a.json b.json"])

    def prompt(question: str, _default: str, parse: Callable[[str], T]) -> T:
        asked.append(question)
        return parse(next(answers))

    flags = Given(
        preset=OWN,
        networks=["left=5", "right=6"],
        rpc=["left=A", "right=B"],
        receivers=["console"],
        store="sqlite:///x",
    )
    transfer = ask(flags, prompt).transfer
    assert transfer is not None
    assert [(one.network, one.tx_hash) for one in transfer.transactions] == list(TRANSACTIONS.items())
    assert transfer.abis == ("a.json", "b.json")
    assert [question.split("(")[0] for question in asked] == [
        "Both transactions of one transfer, first the one that sent it ",
        "The contracts' ABI files, separated by spaces ",
    ]
