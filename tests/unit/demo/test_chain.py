"""The embedded chain as a client sees it: over HTTP and WebSocket."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import rlp
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType
from eth_abi.abi import decode, encode
from eth_utils.crypto import keccak

from chainwatch.demo import bridge, server
from chainwatch.demo.chain import DemoChain, DemoChainError
from tests.support.waiting import PATIENCE

CHAIN_ID = 31_337
XCALLED = "0xed8e6ba697dd65259e5ce532ac08ff06d1a3607bcec58f8f0937fe36a5666c54"


@pytest.fixture
async def chain() -> AsyncIterator[DemoChain]:
    chain = DemoChain(CHAIN_ID, "alpha")
    await chain.start()
    await chain.deploy_bridge(domain=1)
    yield chain
    await chain.stop()


@pytest.fixture
async def http() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


async def post(http: ClientSession, chain: DemoChain, body: Any) -> Any:
    data = body if isinstance(body, str) else None
    async with http.post(chain.http_url, data=data, json=None if data is not None else body) as answer:
        assert answer.status == 200
        return await answer.json()


async def ask(http: ClientSession, chain: DemoChain, method: str, *params: Any) -> Any:
    answer = await post(http, chain, {"jsonrpc": "2.0", "id": 7, "method": method, "params": params})
    assert answer["id"] == 7
    return answer["result"] if "result" in answer else answer["error"]["code"]


async def subscribe(socket: ClientWebSocketResponse, *params: Any) -> str:
    await socket.send_json({"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": params})
    return str((await socket.receive_json(timeout=PATIENCE))["result"])


async def pushed(socket: ClientWebSocketResponse, count: int) -> list[dict[str, Any]]:
    return [(await socket.receive_json(timeout=PATIENCE))["params"] for _ in range(count)]


async def test_a_node_introduces_itself(chain: DemoChain, http: ClientSession) -> None:
    assert await ask(http, chain, "eth_chainId") == hex(CHAIN_ID)
    assert await ask(http, chain, "net_version") == str(CHAIN_ID)
    assert "chainwatch" in await ask(http, chain, "web3_clientVersion")
    assert await ask(http, chain, "eth_blockNumber") == "0x1"


async def test_blocks_are_found_by_number_by_hash_and_by_tag(chain: DemoChain, http: ClientSession) -> None:
    await chain.mine(5)
    latest = await ask(http, chain, "eth_getBlockByNumber", "latest", False)
    assert latest["number"] == "0x6"
    assert await ask(http, chain, "eth_getBlockByNumber", "0x6", False) == latest
    assert await ask(http, chain, "eth_getBlockByHash", latest["hash"], False) == latest
    numbers = [
        (await ask(http, chain, "eth_getBlockByNumber", tag, False))["number"]
        for tag in ("earliest", "finalized", "safe")
    ]
    assert numbers == ["0x0", "0x2", "0x4"]
    assert await ask(http, chain, "eth_getBlockByNumber", "0x7", False) is None
    assert await ask(http, chain, "eth_getBlockByHash", "0x" + "00" * 32, False) is None


async def test_a_block_lists_its_transactions_by_hash_or_in_full(
    chain: DemoChain, http: ClientSession
) -> None:
    [sent] = (await ask(http, chain, "eth_getBlockByNumber", "0x1", False))["transactions"]
    [full] = (await ask(http, chain, "eth_getBlockByNumber", "0x1", True))["transactions"]
    receipt = await ask(http, chain, "eth_getTransactionReceipt", sent)
    assert full["hash"] == sent == receipt["transactionHash"]
    assert full == await ask(http, chain, "eth_getTransactionByHash", sent)
    assert [receipt] == await ask(http, chain, "eth_getBlockReceipts", "0x1")
    assert receipt["status"] == "0x1"
    assert await ask(http, chain, "eth_getTransactionReceipt", "0x" + "00" * 32) is None


async def test_a_headers_hash_recomputes_from_its_fields(chain: DemoChain, http: ClientSession) -> None:
    await chain.xcall(2, 10)
    header = await ask(http, chain, "eth_getBlockByNumber", "latest", False)
    data = (
        *("parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot", "logsBloom"),
        *("difficulty", "number", "gasLimit", "gasUsed", "timestamp", "extraData", "mixHash", "nonce"),
        *("baseFeePerGas", "withdrawalsRoot", "blobGasUsed", "excessBlobGas", "parentBeaconBlockRoot"),
        "requestsHash",
    )
    quantities = {"difficulty", "number", "gasLimit", "gasUsed", "timestamp", "baseFeePerGas", "blobGasUsed"}
    quantities.add("excessBlobGas")
    fields = [int(header[k], 16) if k in quantities else bytes.fromhex(header[k][2:]) for k in data]
    assert "0x" + keccak(rlp.encode(fields)).hex() == header["hash"]


async def test_block_times_follow_the_clock_and_always_rise(chain: DemoChain, http: ClientSession) -> None:
    began = time.time()
    await chain.mine()
    assert began - 2 <= int(chain.head.header["timestamp"], 16) <= time.time() + 2
    await chain.mine(4)
    times = [
        int((await ask(http, chain, "eth_getBlockByNumber", hex(number), False))["timestamp"], 16)
        for number in range(7)
    ]
    assert times == sorted(set(times))


async def test_an_old_head_leaves_room_for_blocks_that_end_now() -> None:
    chain = DemoChain(CHAIN_ID, "alpha")
    await chain.start()
    began = time.time()
    await chain.mine(30)
    assert began - 2 <= int(chain.head.header["timestamp"], 16) <= time.time() + 2
    await chain.stop()


async def test_the_bridges_events_decode_and_their_ids_recompute(chain: DemoChain) -> None:
    transfer = await chain.xcall(destination_domain=2, amount=10**18)
    [log] = chain.head.logs
    raw = bytes.fromhex(log["data"][2:])
    params, asset, amount, local, body = decode(
        [bridge.TRANSFER_INFO, "address", "uint256", "address", "bytes"], raw
    )
    assert log["topics"][0] == XCALLED
    assert bytes.fromhex(log["topics"][1][2:]) == keccak(encode([bridge.TRANSFER_INFO], [params]))
    assert bytes.fromhex(log["topics"][1][2:]) == transfer.id == body[-32:]
    assert bytes.fromhex(log["topics"][3][2:]) == keccak(body)
    assert (asset, amount, local) == (transfer.asset, 10**18, transfer.asset)
    assert (params[0], params[1], params[9]) == (1, 2, 10**18)


async def test_every_step_of_a_transfer_carries_its_id(chain: DemoChain) -> None:
    transfer = await chain.xcall(2, 5)
    router = "0x" + "33" * 20
    await chain.execute(transfer, routers=[router])
    [executed] = chain.head.logs
    await chain.reconcile(transfer, routers=[router])
    [reconciled] = chain.head.logs
    assert executed["topics"][1] == reconciled["topics"][1] == "0x" + transfer.id.hex()
    [args, *_] = decode(
        [bridge.EXECUTE_ARGS, "address", "uint256", "address"], bytes.fromhex(executed["data"][2:])
    )
    assert args[0] == transfer.params
    assert args[1] == (router,)
    assert int(reconciled["topics"][2], 16) == 1


async def test_two_transfers_of_the_same_amount_differ(chain: DemoChain) -> None:
    assert (await chain.xcall(2, 5)).id != (await chain.xcall(2, 5)).id


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4])
async def test_any_log_can_be_emitted(chain: DemoChain, count: int) -> None:
    topics = [bytes([number]) * 32 for number in range(1, count + 1)]
    await chain.emit_log(topics, b"wrong")
    [log] = chain.head.logs
    assert log["topics"] == ["0x" + topic.hex() for topic in topics]
    assert log["data"] == "0x" + b"wrong".hex()


async def test_a_reverted_transaction_is_an_error_that_names_the_chain(chain: DemoChain) -> None:
    with pytest.raises(DemoChainError, match="reverted on alpha"):
        await chain.emit_log([bytes(32)] * 5, b"")


async def test_logs_are_filtered_by_range_address_and_topics(chain: DemoChain, http: ClientSession) -> None:
    transfer = await chain.xcall(2, 5)
    await chain.execute(transfer)
    address = chain.head.logs[0]["address"]
    both = await ask(http, chain, "eth_getLogs", {"fromBlock": "0x1", "toBlock": "latest"})
    xcalled, executed = both
    opened = {"fromBlock": "0x0", "toBlock": "0x3"}
    transfer_id = "0x" + transfer.id.hex()
    for criteria, expected in [
        ({"address": address}, both),
        ({"address": [address, "0x" + "99" * 20]}, both),
        ({"address": "0x" + "99" * 20}, []),
        ({"topics": [XCALLED]}, [xcalled]),
        ({"topics": [[XCALLED, executed["topics"][0]], transfer_id.upper().replace("X", "x")]}, both),
        ({"topics": [None, transfer_id]}, both),
        ({"topics": [None, None, None, xcalled["topics"][3]]}, [xcalled]),
        ({"topics": [None, "0x" + "00" * 32]}, []),
        ({"toBlock": "0x2"}, [xcalled]),
        ({"fromBlock": "0x3"}, [executed]),
    ]:
        assert await ask(http, chain, "eth_getLogs", {**opened, **criteria}) == expected, criteria
    assert await ask(http, chain, "eth_getLogs", {"blockHash": xcalled["blockHash"]}) == [xcalled]
    assert await ask(http, chain, "eth_getLogs", {}) == [executed]


async def test_a_call_reads_the_state_of_any_block(chain: DemoChain, http: ClientSession) -> None:
    address = str((await ask(http, chain, "eth_getBlockReceipts", "0x1"))[0]["contractAddress"])
    nonce = {"to": address, "data": "0x" + keccak(b"nonce()")[:4].hex()}
    await chain.xcall(2, 5)
    assert await ask(http, chain, "eth_call", nonce, "latest") == "0x" + f"{1:064x}"
    assert await ask(http, chain, "eth_call", nonce, "0x1") == "0x" + f"{0:064x}"
    by_hash = {"blockHash": chain.head.hash}
    assert await ask(http, chain, "eth_call", nonce, by_hash) == "0x" + f"{1:064x}"
    assert await ask(http, chain, "eth_call", {"to": address, "data": "0xffffffff"}, "latest") == 3
    assert await ask(http, chain, "eth_call", nonce, "0x99") == -32000
    assert await ask(http, chain, "eth_getBalance", address, "latest") == "0x0"
    assert len(await ask(http, chain, "eth_getCode", address, "latest")) > 100
    assert await ask(http, chain, "eth_getCode", address, "0x0") == "0x"


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("eth_mine", [], -32601),
        ("eth_subscribe", ["newHeads"], -32601),
        ("eth_getBlockByNumber", ["0x1"], -32602),
        ("eth_getBlockByNumber", [1, False], -32602),
        ("eth_getBlockByNumber", ["0x01", False], -32602),
        ("eth_getLogs", [{"address": "0x12"}], -32602),
        ("eth_getLogs", [{"topics": [None] * 5}], -32602),
        ("eth_getLogs", [{"fromBlock": "0x1", "toBlock": "0x0"}], -32602),
        ("eth_getLogs", [{"fromBlock": "0x1", "toBlock": "0x99"}], -32602),
        ("eth_getLogs", [{"fromBlock": "0x1", "blockHash": "0x" + "00" * 32}], -32602),
        ("eth_getLogs", [{"blockHash": "0x" + "00" * 32}], -32000),
    ],
)
async def test_bad_requests_get_the_codes_that_nodes_use(
    chain: DemoChain, http: ClientSession, method: str, params: list[Any], code: int
) -> None:
    assert await ask(http, chain, method, *params) == code


async def test_batches_and_broken_bodies_are_answered(chain: DemoChain, http: ClientSession) -> None:
    batch = [
        {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"},
        {"jsonrpc": "2.0", "id": "two", "method": "eth_mine", "params": []},
        {"jsonrpc": "2.0", "method": "eth_chainId"},
    ]
    first, second = await post(http, chain, batch)
    assert first == {"jsonrpc": "2.0", "id": 1, "result": hex(CHAIN_ID)}
    assert (second["id"], second["error"]["code"]) == ("two", -32601)
    assert (await post(http, chain, "{not json"))["error"]["code"] == -32700
    assert (await post(http, chain, []))["error"]["code"] == -32600
    assert (await post(http, chain, [1]))[0]["error"]["code"] == -32600


async def test_a_subscriber_hears_of_new_heads_and_wanted_logs(chain: DemoChain, http: ClientSession) -> None:
    async with http.ws_connect(chain.ws_url) as socket:
        heads = await subscribe(socket, "newHeads")
        logs = await subscribe(socket, "logs", {"topics": [XCALLED]})
        transfer = await chain.xcall(2, 5)
        head, log = await pushed(socket, 2)
        assert head["subscription"] == heads
        assert head["result"]["hash"] == chain.head.hash
        assert "transactions" not in head["result"]
        assert log == {"subscription": logs, "result": chain.head.logs[0]}

        await chain.execute(transfer)
        [head] = await pushed(socket, 1)
        await socket.send_json({"id": 2, "method": "eth_unsubscribe", "params": [heads]})
        assert (await socket.receive_json(timeout=PATIENCE))["result"] is True
        await chain.xcall(2, 6)
        [only] = await pushed(socket, 1)
        assert only["subscription"] == logs


async def test_a_socket_answers_requests_and_batches(chain: DemoChain, http: ClientSession) -> None:
    async with http.ws_connect(chain.ws_url) as socket:
        await socket.send_json([{"jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber"}])
        assert await socket.receive_json(timeout=PATIENCE) == [{"jsonrpc": "2.0", "id": 1, "result": "0x1"}]
        await socket.send_json({"jsonrpc": "2.0", "id": 2, "method": "eth_unsubscribe", "params": ["0x1"]})
        assert (await socket.receive_json(timeout=PATIENCE))["error"]["code"] == -32602


async def test_a_reader_too_far_behind_is_dropped(
    chain: DemoChain, http: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MAX_UNSENT", 3)
    async with http.ws_connect(chain.ws_url) as socket:
        await subscribe(socket, "newHeads")
        await chain.mine(3)
        assert len(await pushed(socket, 3)) == 3
        await chain.mine(4)
        kinds = [(await socket.receive(timeout=PATIENCE)).type for _ in range(4)]
        assert WSMsgType.TEXT not in kinds[3:]
    assert await ask(http, chain, "eth_blockNumber") == "0x8"


async def test_a_reorg_replaces_hashes_and_removes_logs(chain: DemoChain, http: ClientSession) -> None:
    await chain.mine()
    kept = chain.head
    await chain.xcall(2, 5)
    [orphaned] = chain.head.logs
    async with http.ws_connect(chain.ws_url) as socket:
        await subscribe(socket, "newHeads")
        await subscribe(socket, "logs", {})
        [orphan] = await chain.reorg(1)
        removed, first, second = [message["result"] for message in await pushed(socket, 3)]
    assert removed == {**orphaned, "removed": True}
    assert orphan.hash == orphaned["blockHash"]
    assert first["parentHash"] == kept.hash
    assert (first["number"], first["hash"] != orphan.hash) == (hex(orphan.number), True)
    assert second["parentHash"] == first["hash"]
    assert second["hash"] == chain.head.hash
    assert await ask(http, chain, "eth_getBlockByHash", orphan.hash, False) is None
    assert await ask(http, chain, "eth_getTransactionReceipt", orphaned["transactionHash"]) is None
    assert await ask(http, chain, "eth_getLogs", {"fromBlock": "0x0"}) == []


async def test_what_a_reorg_undid_can_happen_again(chain: DemoChain) -> None:
    transfer = await chain.xcall(2, 5)
    await chain.execute(transfer)
    await chain.reorg(1)
    await chain.execute(transfer)
    assert chain.head.logs[0]["topics"][1] == "0x" + transfer.id.hex()


async def test_a_reorg_deeper_than_the_chain_is_refused(chain: DemoChain) -> None:
    with pytest.raises(ValueError, match="depth 2"):
        await chain.reorg(2)
    assert chain.head.number == 1


async def test_mining_never_holds_up_the_event_loop(chain: DemoChain) -> None:
    mining = asyncio.create_task(chain.mine(20))
    turns = 0
    while not mining.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 3  # mining on the loop itself would leave it one


async def test_a_chain_without_a_bridge_says_what_to_do() -> None:
    chain = DemoChain(CHAIN_ID, "alpha")
    with pytest.raises(DemoChainError, match="start"):
        await chain.mine()
    await chain.start()
    with pytest.raises(DemoChainError, match="deploy_bridge"):
        await chain.xcall(2, 5)
    await chain.stop()
