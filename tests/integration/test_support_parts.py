"""The real parts that other tests stand on do what those tests take for granted."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import aiohttp
import psycopg
import pytest
from eth_utils.crypto import keccak

from tests.support import connext
from tests.support.anvil import Anvil, AnvilError
from tests.support.discord import discord, rate_limited
from tests.support.pages import ROOT
from tests.support.ports import free_port
from tests.support.postgres import PostgresServer
from tests.support.receiver import Answer, Receiver
from tests.support.waiting import PATIENCE

AnvilFactory = Callable[..., Anvil]


def logs(node: Anvil) -> list[dict[str, object]]:
    found: list[dict[str, object]] = node.rpc("eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest"})
    return found


@pytest.mark.anvil
def test_two_nodes_carry_a_transfer_of_the_real_contracts(anvil_factory: AnvilFactory) -> None:
    ethereum, optimism = anvil_factory(chain_id=1), anvil_factory(chain_id=10)
    assert [node.rpc("eth_chainId") for node in (ethereum, optimism)] == ["0x1", "0xa"]
    ethereum.set_emitter(connext.ETHEREUM.address)
    optimism.set_emitter(connext.OPTIMISM.address)

    transfer = connext.transfer(connext.ETHEREUM, connext.OPTIMISM, nonce=7)
    ethereum.emit(connext.ETHEREUM.address, *connext.xcalled(transfer))
    with optimism.one_block():
        optimism.emit(connext.OPTIMISM.address, *connext.executed(transfer, routers=[connext.ROUTER]))
        optimism.emit(connext.OPTIMISM.address, *connext.reconciled(transfer, routers=[connext.ROUTER]))

    [opened] = logs(ethereum)
    assert str(opened["address"]).lower() == connext.ETHEREUM.address.lower()
    assert opened["topics"] == ["0x" + topic.hex() for topic in connext.xcalled(transfer).topics]
    assert opened["data"] == "0x" + connext.xcalled(transfer).data.hex()
    assert [log["logIndex"] for log in logs(optimism)] == ["0x0", "0x1"]
    assert {log["blockNumber"] for log in logs(optimism)} == {"0x1"}


@pytest.mark.anvil
def test_the_emitter_logs_any_number_of_topics(anvil_factory: AnvilFactory) -> None:
    node = anvil_factory()
    node.set_emitter(connext.ETHEREUM.address)
    for count in range(5):
        topics = [bytes([number]) * 32 for number in range(1, count + 1)]
        node.emit(connext.ETHEREUM.address, topics, b"data" * count)
        last = logs(node)[-1]
        assert last["topics"] == ["0x" + topic.hex() for topic in topics]
        assert last["data"] == "0x" + (b"data" * count).hex()


@pytest.mark.anvil
def test_a_node_keeps_its_chain_over_a_restart(anvil_factory: AnvilFactory) -> None:
    node = anvil_factory()
    node.set_emitter(connext.ETHEREUM.address)
    node.emit(connext.ETHEREUM.address, [], b"kept")
    before = node.block()
    node.stop()
    with pytest.raises(OSError, match="refused"):
        node.rpc("eth_chainId")
    node.start()
    assert node.block(1)["hash"] == before["hash"]
    assert [log["data"] for log in logs(node)] == ["0x" + b"kept".hex()]


@pytest.mark.anvil
def test_a_frozen_node_goes_on_where_it_was(anvil_factory: AnvilFactory) -> None:
    node = anvil_factory()
    node.freeze()
    with pytest.raises(TimeoutError):
        node.rpc("eth_chainId", timeout=0.2)
    node.thaw()
    assert node.height == 0


@pytest.mark.anvil
def test_a_nodes_clock_can_be_put_forward(anvil_factory: AnvilFactory) -> None:
    node = anvil_factory()
    moment = int(time.time()) + 1000
    node.set_next_timestamp(moment)
    node.mine()
    assert int(node.block()["timestamp"], 16) == moment
    node.increase_time(500)
    node.mine()
    assert int(node.block()["timestamp"], 16) >= moment + 500


@pytest.mark.anvil
def test_a_reorg_changes_hashes_and_drops_logs(anvil_factory: AnvilFactory) -> None:
    node = anvil_factory()
    node.set_emitter(connext.ETHEREUM.address)
    node.mine(2)
    node.emit(connext.ETHEREUM.address, [], b"gone")
    before = [node.block(number)["hash"] for number in (1, 2, 3)]
    node.reorg(2)
    after = [node.block(number)["hash"] for number in (1, 2, 3)]
    assert [old == new for old, new in zip(before, after, strict=True)] == [True, False, False]
    assert logs(node) == []
    with pytest.raises(AnvilError, match="anvil_reorg"):
        node.reorg(99)


def test_connexts_logs_carry_the_hashes_of_what_they_hold() -> None:
    transfer = connext.transfer(connext.ETHEREUM, connext.OPTIMISM, nonce=7, slippage=1)
    body = connext.message_body(transfer)
    assert connext.xcalled(transfer).topics[1] == transfer.id == body[-32:]
    assert connext.xcalled(transfer).topics[3] == keccak(body)
    assert transfer.id != connext.transfer(connext.ETHEREUM, connext.OPTIMISM, nonce=8, slippage=1).id


@pytest.mark.postgres
def test_an_empty_postgres_database_has_no_table(empty_postgres_url: str) -> None:
    with psycopg.connect(empty_postgres_url) as connection:
        tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
        assert tables == (0,)


@pytest.mark.postgres
def test_a_prepared_postgres_database_has_nothing_of_the_test_before(postgres_server: PostgresServer) -> None:
    with postgres_server.prepared() as url, psycopg.connect(url, autocommit=True) as connection:
        new = left_in(connection)
        connection.execute("INSERT INTO properties VALUES ('left', 'behind')")
        connection.execute("DELETE FROM properties WHERE name = 'created_at'")
        connection.execute("SELECT nextval(seqrelid) FROM pg_sequence")
        kept_open = psycopg.connect(url)
        kept_open.execute("LOCK TABLE properties, alerts")

    with postgres_server.prepared() as again, psycopg.connect(again) as connection:
        assert again == url
        assert left_in(connection) == new
    with pytest.raises(psycopg.OperationalError):
        kept_open.execute("SELECT 1")


@pytest.mark.postgres
@pytest.mark.parametrize(
    "change",
    [
        "CREATE TABLE left_behind (id int)",
        "ALTER TABLE alerts ADD COLUMN left_behind int",
        "ALTER TABLE alerts ALTER COLUMN name DROP NOT NULL",
        "DROP TABLE alerts CASCADE",
        "CREATE FUNCTION left_behind() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE SCHEMA left_behind",
        "CREATE TYPE left_behind AS ENUM ('a')",
        "ALTER TABLE alerts ALTER COLUMN name SET DEFAULT 'left behind'",
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET lock_timeout = 1', current_database()); END $$",
        "UPDATE alembic_version SET version_num = '0001'",
        "DELETE FROM alembic_version",
    ],
)
def test_a_postgres_database_whose_schema_was_changed_serves_no_other_test(
    postgres_server: PostgresServer, change: str
) -> None:
    with postgres_server.prepared() as url, psycopg.connect(url, autocommit=True) as connection:
        connection.execute(change)

    with postgres_server.prepared() as another:
        assert another != url


def left_in(connection: psycopg.Connection[Any]) -> list[Any]:
    """What the database holds, without the time at which it was made: its properties, and how far its sequences are."""
    properties = connection.execute("SELECT name FROM properties").fetchall()
    return (
        properties
        + connection.execute("SELECT sequencename, last_value FROM pg_sequences ORDER BY 1").fetchall()
    )


def test_both_kinds_of_database_are_offered(database_url: str) -> None:
    assert database_url.startswith(("sqlite:///", "postgresql://"))


def test_no_port_is_given_twice_nor_to_two_processes() -> None:
    ours = [free_port() for _ in range(400)]
    code = "from tests.support.ports import free_port; print(*(free_port() for _ in range(400)))"
    other = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert len({*ours, *map(int, other.stdout.split())}) == 800


async def test_a_receiver_records_and_answers_by_its_script() -> None:
    async with Receiver() as receiver, aiohttp.ClientSession() as session:
        receiver.script.extend([Answer(503, "busy", {"Retry-After": "1"}), Answer(drop=True)])
        async with session.post(f"{receiver.url}/hook?a=1", json={"n": 1}, headers={"X-Key": "k"}) as first:
            assert (first.status, await first.text(), first.headers["Retry-After"]) == (503, "busy", "1")
        with pytest.raises(aiohttp.ClientPayloadError):
            async with session.post(receiver.url) as second:
                await second.read()
        async with session.post(receiver.url) as third:
            assert third.status == 200
        [request, *_] = await receiver.wait_for(3)
        assert (request.path, request.query["a"], request.headers["x-key"]) == ("/hook", "1", "k")
        assert request.json() == {"n": 1}
        assert abs(request.arrived_at - time.time()) < PATIENCE


async def test_a_stopped_receiver_refuses_and_comes_back_on_its_port() -> None:
    async with Receiver() as receiver, aiohttp.ClientSession() as session:
        await receiver.stop()
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.post(receiver.url)
        await receiver.start()
        assert (await session.post(receiver.url)).status == 200
        with pytest.raises(asyncio.TimeoutError):
            await receiver.wait_for(2, timeout=0.01)


async def test_discord_takes_what_is_within_its_limits() -> None:
    async with Receiver(discord) as receiver, aiohttp.ClientSession() as session:
        hook = f"{receiver.url}/api/webhooks/1/token"
        async with session.post(f"{hook}?wait=true", json={"content": "hello"}) as answer:
            assert (await answer.json())["content"] == "hello"
        assert (await session.post(hook, json={"content": "hello"})).status == 204
        assert (await session.post(hook, json={"content": "x" * 2001})).status == 400
        long = {"fields": [{"name": "n", "value": "v" * 1024}] * 6}
        assert (await session.post(hook, json={"embeds": [long]})).status == 400
        assert (await session.post(f"{receiver.url}/elsewhere", json={})).status == 404

        receiver.script.append(rate_limited(0.5))
        async with session.post(hook, json={"content": "hello"}) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (429, "0.5")
            assert (await answer.json())["retry_after"] == 0.5
