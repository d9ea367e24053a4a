"""A transaction's receipt from a node that fails as real ones do, or from a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from chainwatch.operations import transactions
from chainwatch.operations.errors import Conflict, Invalid, NotFound
from tests.fakenode import FakeChain, FakeNode, Fault
from tests.support.receipts import BLOCK_HASH, BRIDGE, TIME, TX, log, plan, receipt, received, sent

SECRET = "5ecret-m4rk"
BLOCK = {"number": "0x64", "hash": BLOCK_HASH, "parentHash": BLOCK_HASH, "timestamp": hex(TIME)}
TRANSACTION = {"hash": TX, "blockNumber": "0x64"}


class ReceiptNode(FakeNode):
    """A node of one transaction: its receipt, and what it knows besides; each as any JSON."""

    def __init__(self, receipt: Any, known: Any = TRANSACTION, block: Any = BLOCK, chain_id: int = 1) -> None:
        super().__init__(FakeChain(chain_id))
        self.answers = {
            "eth_getTransactionReceipt": receipt,
            "eth_getTransactionByHash": known,
            "eth_getBlockByHash": block,
        }

    def _result(self, method: str, params: list[Any]) -> Any:
        return self.answers[method] if method in self.answers else super()._result(method, params)


async def test_every_network_is_asked_and_the_one_that_has_it_named(tmp_path: Path) -> None:
    async with ReceiptNode(None, None) as alpha, ReceiptNode(receipt(received()), chain_id=2) as beta:
        made = plan(tmp_path, [alpha.http_url], [beta.http_url])
        for text in (TX, TX.upper().replace("0X", "0x"), TX[2:]):
            found = await transactions.fetch(made, text)
            assert (found.network, found.receipt.timestamp) == ("beta", TIME)
            assert [one.timestamp for one in found.receipt.logs] == [TIME]
        with pytest.raises(Conflict, match=r"was not found \(alpha: not known\): check the hash"):
            await transactions.fetch(made, TX, "alpha")


@pytest.mark.parametrize(
    "broken",
    [
        None,
        "text",
        17,
        [],
        {},
        receipt(transactionHash="0x" + "11" * 32),
        receipt(blockNumber=None),
        receipt(blockNumber="0x" + "f" * 70),
        receipt(blockHash="0x12"),
        receipt(status="maybe"),
        receipt(status=1),
        receipt(logs=None),
        receipt(sent() | {"transactionHash": "0x" + "11" * 32}),
        receipt(sent() | {"blockHash": "0x" + "11" * 32}),
        receipt(sent() | {"blockNumber": "0x1"}),
        receipt(sent() | {"address": "0x12"}),
        receipt(sent() | {"topics": ["0x" + "11" * 32] * 5}),
        receipt(sent() | {"data": "0xzz"}),
        receipt(sent() | {"removed": True}),
        receipt(sent() | {"logIndex": "0x3"}, sent() | {"logIndex": "0x3"}),
        receipt(sent() | {"logIndex": "0xffffffffff"}),
    ],
)
async def test_a_receipt_that_is_none_is_an_error_and_another_endpoint_is_asked(
    tmp_path: Path, broken: Any
) -> None:
    async with ReceiptNode(broken) as bad, ReceiptNode(receipt(sent())) as good:
        alone = plan(tmp_path, [f"{bad.http_url}/{SECRET}"])
        with pytest.raises(Conflict) as refused:
            await transactions.fetch(alone, TX, "alpha")
        assert SECRET not in str(refused.value)
        assert len(str(refused.value)) < 1_000
        both = plan(tmp_path, [f"{bad.http_url}/{SECRET}", good.http_url])
        assert len((await transactions.fetch(both, TX, "alpha")).receipt.logs) == 1


@pytest.mark.parametrize("block", [None, {}, BLOCK | {"hash": TX}, BLOCK | {"timestamp": "0x0"}])
async def test_a_receipt_whose_block_is_not_there_is_not_taken(tmp_path: Path, block: Any) -> None:
    async with ReceiptNode(receipt(sent()), block=block) as node:
        with pytest.raises(Conflict, match="alpha"):
            await transactions.fetch(plan(tmp_path, [node.http_url]), TX, "alpha")


@pytest.mark.parametrize(
    ("answered", "known", "said"),
    [
        (None, None, "not known): check the hash, and that its network is configured"),
        (None, {"hash": TX, "blockNumber": None}, "is pending on alpha: it is in no block yet; try again"),
        (None, TRANSACTION, "(pruned): add an archive endpoint to networks.alpha.rpc, or give the receipt"),
        (receipt(status="0x0"), TRANSACTION, "was reverted in block 100 of alpha: it emitted no events"),
        (None, {"blockNumber": []}, "malformed answer"),
    ],
    ids=["unknown", "pending", "pruned", "reverted", "malformed"],
)
async def test_a_transaction_without_a_receipt_says_why(
    tmp_path: Path, answered: Any, known: Any, said: str
) -> None:
    async with ReceiptNode(answered, known) as node:
        with pytest.raises(Conflict) as refused:
            await transactions.fetch(plan(tmp_path, [node.http_url]), TX, "alpha")
    assert said in str(refused.value)


async def test_an_endpoint_that_fails_is_not_overruled_by_one_that_does_not_know_it(tmp_path: Path) -> None:
    async with ReceiptNode(receipt(logs=None)) as bad, ReceiptNode(None, None) as ignorant:
        for urls in ([bad.http_url, ignorant.http_url], [ignorant.http_url, bad.http_url]):
            with pytest.raises(Conflict, match="malformed answer"):
                await transactions.fetch(plan(tmp_path, urls), TX, "alpha")


@pytest.mark.parametrize("fault", ["html", "{}", "cut", "close", "hang"])
async def test_a_node_that_fails_is_named_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    if fault == "hang":
        monkeypatch.setattr(transactions, "PATIENCE", 1.0)
    async with ReceiptNode(receipt(sent())) as node:
        node.faults.append(Fault("eth_getTransactionReceipt", fault, times=None))
        with pytest.raises(Conflict, match="chainwatch check --online"):
            await transactions.fetch(plan(tmp_path, [node.http_url]), TX, "alpha")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not 0"),
        ("0x", "not 0"),
        (BRIDGE["alpha"], "not 40; this is as long as an address"),
        (TX + "00", "not 66"),
        ("0x" + "zz" * 32, "all 64 characters are 0 to 9 or a to f"),
        ("\x1b[31m", "all 64 characters"),
        ("0x" + "٣" * 64, "all 64 characters"),
    ],
)
async def test_what_is_no_hash_is_refused_before_anything_is_asked(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(Invalid, match=said):
        await transactions.fetch(plan(tmp_path), text)


async def test_an_unknown_network_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="alpha"):
        await transactions.fetch(plan(tmp_path), TX, "alhpa")


def written(folder: Path, content: Any) -> Path:
    file = folder / "receipt.json"
    file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return file


def test_a_file_holds_the_receipt_or_the_answer_around_it(tmp_path: Path) -> None:
    for content in (receipt(sent()), {"jsonrpc": "2.0", "id": 1, "result": receipt(sent())}):
        found = transactions.from_file(plan(tmp_path), written(tmp_path, content), TX)
        assert (found.network, len(found.receipt.logs)) == ("alpha", 1)


def test_a_file_without_block_times_has_no_time(tmp_path: Path) -> None:
    undated = {name: value for name, value in sent().items() if name != "blockTimestamp"}
    found = transactions.from_file(plan(tmp_path), written(tmp_path, receipt(undated)))
    assert transactions.view(found).timestamp is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b"[" * 100_000,
        b"\xff\xfe",
        {"result": None},
        {"result": 5},
        {"error": {"code": -32000, "message": "\x1b[31m"}},
        receipt(blockNumber=100),
        b'{"result": ' * 5_000,
    ],
)
def test_a_file_that_holds_no_receipt_is_refused(tmp_path: Path, content: Any) -> None:
    with pytest.raises(Invalid, match=r"is not a receipt: .*give the JSON that eth_getTransactionReceipt"):
        transactions.from_file(plan(tmp_path), written(tmp_path, content))


def test_files_that_do_not_fit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = plan(tmp_path)
    with pytest.raises(Invalid, match="cannot be read: No such file"):
        transactions.from_file(made, tmp_path / "missing.json")
    with pytest.raises(Invalid, match="is the receipt of 0x7e7e"):
        transactions.from_file(made, written(tmp_path, receipt(sent())), "0x" + "11" * 32)
    for logs in ([log("0x" + "ee" * 20, [])], [sent(), received()]):
        with pytest.raises(Invalid, match="name it with --network"):
            transactions.from_file(made, written(tmp_path, receipt(*logs)))
        assert transactions.from_file(made, tmp_path / "receipt.json", network="beta").network == "beta"
    with pytest.raises(NotFound, match="beta"):
        transactions.from_file(made, written(tmp_path, receipt(sent())), network="betta")
    with pytest.raises(Conflict, match="was reverted"):
        transactions.from_file(made, written(tmp_path, receipt(status="0x0")), network="beta")
    monkeypatch.setattr(transactions, "FILE_MAX", 10)
    with pytest.raises(Invalid, match="larger than"):
        transactions.from_file(made, written(tmp_path, receipt(sent())))
