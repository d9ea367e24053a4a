"""The server under hostile clients: sizes, times, broken requests, foreign pages; and when it cannot listen."""

import asyncio
import gzip
import json
import socket
import subprocess
import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from chainwatch.api import bodies, connection, handshake, problems, server
from chainwatch.config.api import ApiSettings
from tests.support.waiting import PATIENCE, eventually
from tests.unit.api.conftest import Served, Serving


async def test_it_says_that_it_lives_and_that_it_watches(serving: Serving) -> None:
    async with serving() as served:
        assert await served.get("/-/healthy") == (200, "chainwatch is healthy\n")
        status, answer = await served.get("/-/ready")
        assert (status, answer["detail"]) == (503, "it has not looked yet")
        served.running.health.note([], [])
        assert await served.get("/-/ready") == (200, "chainwatch is ready\n")
        served.running.database.close()
        status, answer = await served.get("/-/ready")
        assert (status, answer["detail"]) == (503, "the database does not answer")


async def test_a_reload_is_requested_by_post_alone(serving: Serving) -> None:
    async with serving() as served:
        status, answer = await served.get("/-/reload")
        assert (status, answer["title"]) == (405, "Method Not Allowed")
        assert not served.reloads
        assert (await served.ask("POST", "/-/reload"))[0] == 202
        assert len(served.reloads) == 1


async def test_every_refusal_is_a_problem(serving: Serving) -> None:
    async with serving() as served, served.client.get(f"{served.url}/nothing") as answer:
        assert answer.status == 404
        assert answer.content_type == "application/problem+json"
        assert answer.headers["Cache-Control"] == "no-store"
        body = await answer.json(content_type=None)
        assert body == {
            "type": "about:blank",
            "title": "Not Found",
            "status": 404,
            "detail": "there is nothing at /nothing",
        }


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nbad header\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n"
        + b"".join(b"X%d: y\r\n" % n for n in range(2_000))
        + b"\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
async def test_a_malformed_request_is_answered_with_a_problem_and_no_traceback(
    serving: Serving, request_bytes: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    async with serving() as served:
        answer = await served.send(request_bytes)
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.split(b" ")[1][:1] == b"4"
        assert b"application/problem+json" in head
        assert json.loads(body)["status"] // 100 == 4
        assert (await served.get("/-/healthy"))[0] == 200
    assert "Traceback" not in "".join(capfd.readouterr())


async def _chunks(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 60_000):
        yield content[start : start + 60_000]


@pytest.mark.parametrize("path", ["/-/reload", "/nothing"])
@pytest.mark.parametrize("coding", ["plain", "chunked", "gzip", "deflate"])
async def test_a_body_of_more_than_a_mebibyte_is_refused_however_it_comes(
    serving: Serving, path: str, coding: str
) -> None:
    content = b"x" * (bodies.BODY_MAX + 1)
    packed: dict[str, dict[str, Any]] = {
        "plain": {"data": content},
        "chunked": {"data": _chunks(content)},
        "gzip": {"data": gzip.compress(content), "headers": {"Content-Encoding": "gzip"}},
        "deflate": {"data": zlib.compress(content), "headers": {"Content-Encoding": "deflate"}},
    }
    async with serving() as served:
        status, answer = await served.ask("POST", path, **packed[coding])
        assert (status, answer["status"]) == (413, 413)
        assert not served.reloads


async def test_a_body_that_is_not_what_its_headers_say_is_a_problem(serving: Serving) -> None:
    async with serving() as served:
        status, answer = await served.ask(
            "POST", "/-/reload", data=b"no gzip", headers={"Content-Encoding": "gzip"}
        )
        assert status == answer["status"] == 400


async def test_a_refused_client_s_body_that_is_not_what_its_headers_say_fills_no_log(
    serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving() as served:
        headers = {"Content-Encoding": "gzip", "Authorization": "Bearer cw_wrong"}
        status, _ = await served.ask("POST", "/samples", data=b"no gzip", headers=headers)
        assert status == 401
        status, _ = await served.ask("GET", "/-/healthy")
    assert not caplog.records


async def test_a_request_that_takes_too_long_is_ended(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(problems, "REQUEST_WITHIN", 0.1)
    monkeypatch.setattr(connection, "LINGER", 0.1)
    async with serving() as served:
        answer = await served.send(
            b"POST /-/reload HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 10\r\n\r\nhalf"
        )
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert not served.reloads


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: loc"])
async def test_a_connection_that_says_nothing_or_half_a_head_is_closed(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(connection, "HEAD_WITHIN", 0.1)
    async with serving() as served:
        assert await served.send(sent) == b""


@pytest.mark.parametrize("more", [b"", b"GET /-/healthy HTTP/1.1\r\nHost: loc"])
async def test_a_connection_that_says_nothing_after_a_request_is_closed(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, more: bytes
) -> None:
    monkeypatch.setattr(connection, "IDLE_WITHIN", 1.0)  # the first request must come within it, too
    async with serving() as served:
        answer = await served.send(b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n" + more)
        assert answer.count(b"HTTP/1.1") == 1


def test_silence_ends_within_a_minute() -> None:
    assert connection.HEAD_WITHIN < 60
    assert connection.IDLE_WITHIN + connection.READ_WITHIN < 60


async def test_a_client_that_does_not_read_the_end_of_an_answer_takes_no_place_for_ever(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[connection.Connection] = []

    def note(self: connection.Connection, transport: asyncio.BaseTransport) -> None:
        connection_made(self, transport)
        made.append(self)

    connection_made = connection.Connection.connection_made
    monkeypatch.setattr(connection.Connection, "connection_made", note)
    monkeypatch.setattr(connection, "READ_WITHIN", 2.0)
    monkeypatch.setattr(connection, "IDLE_WITHIN", 2.0)
    monkeypatch.setattr(connection, "usable_connections", lambda: 1)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        client.setblocking(False)
        async with serving(wait=False) as served:
            loop = asyncio.get_running_loop()
            await _eventually(lambda: loop.sock_connect(client, ("127.0.0.1", served.port)))
            async with asyncio.timeout(PATIENCE):
                while not made:
                    await asyncio.sleep(0.01)
                transport = made[0].transport
                assert isinstance(transport, asyncio.Transport)
                transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2048)
                while not transport.get_write_buffer_size():  # the kernel takes what is less
                    await loop.sock_sendall(client, b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    await asyncio.sleep(0.01)
            await _eventually(lambda: served.get("/-/healthy"))


async def test_connections_are_bounded_and_room_is_made_again(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "usable_connections", lambda: 3)
    async with serving() as served:
        held = [await asyncio.open_connection("127.0.0.1", served.port) for _ in range(3)]
        assert await served.send(b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n") == b""
        for _, writer in held:
            writer.close()
            await writer.wait_closed()
        await _eventually(lambda: served.get("/-/healthy"))


async def test_one_host_leaves_room_for_others(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "usable_connections", lambda: 10)
    ask = b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n"
    async with serving() as served:
        held = [await asyncio.open_connection("127.0.0.1", served.port) for _ in range(9)]
        assert await served.send(ask) == b""
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port, local_addr=("127.0.0.2", 0))
        writer.write(ask)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        for _, one in [*held, (reader, writer)]:
            one.close()


def test_a_host_is_an_address_or_the_first_half_of_one() -> None:
    peers = [
        ("10.0.0.1", 5),
        ("::ffff:10.0.0.1", 5, 0, 0),
        ("2001:db8::1", 5, 0, 0),
        ("2001:db8::2%eth0", 5, 0, 0),
    ]
    v4, mapped, v6, other = map(connection.host_of, peers)
    assert (v4, v6) == (mapped, other)
    assert v4 != v6 != connection.host_of(("2001:db8:0:1::1", 5, 0, 0))
    assert [connection.host_of(peer) for peer in (None, "", (), ("nowhere", 1), (7,))] == [""] * 5


async def _eventually(ask: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await ask()
            except Exception:
                await asyncio.sleep(0.01)
            else:
                return


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "", "localhost@evil.example", "["]
)
async def test_a_foreign_host_is_refused(serving: Serving, host: str) -> None:
    async with serving() as served:
        for method in ("GET", "POST", "OPTIONS"):
            status, _ = await served.ask(method, "/-/reload", headers={"Host": host})
            assert status in (400, 403)
        assert not served.reloads


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "[::1]:9095", "127.0.0.1"])
async def test_this_machines_names_are_not_foreign(serving: Serving, host: str) -> None:
    async with serving() as served:
        assert (await served.get("/-/healthy", headers={"Host": host}))[0] == 200


async def test_a_foreign_page_is_refused_unless_it_is_allowed(serving: Serving) -> None:
    async with serving(allowed_origins=["https://Karma.example:443/"]) as served:
        for origin in ("https://evil.example", "null", "http://karma.example", "https://karma.example.evil"):
            assert (await served.ask("POST", "/-/reload", headers={"Origin": origin}))[0] == 403
        assert not served.reloads
        for origin in ("https://karma.example", served.url):
            assert (await served.ask("POST", "/-/reload", headers={"Origin": origin}))[0] == 202
        assert len(served.reloads) == 2


async def test_a_browser_is_answered_that_asks_before_it_calls(serving: Serving) -> None:
    async with serving(allowed_origins=["https://karma.example"]) as served:
        asked = {"Origin": "https://karma.example", "Access-Control-Request-Method": "POST"}
        async with served.client.options(f"{served.url}/-/reload", headers=asked) as answer:
            assert answer.status == 204
            assert answer.headers["Access-Control-Allow-Origin"] == "https://karma.example"
        asked["Origin"] = served.url
        async with served.client.options(f"{served.url}/-/reload", headers=asked) as answer:
            assert answer.status == 405
            assert "Access-Control-Allow-Origin" not in answer.headers


async def test_a_proxy_passes_requests_on_under_its_own_name(serving: Serving) -> None:
    async with serving(allowed_origins=["https://watch.example"]) as served:
        assert (await served.get("/-/healthy", headers={"Host": "watch.example"}))[0] == 200


def _fail() -> str:
    raise KeyError("a secret")


async def test_a_defect_is_logged_and_not_shown(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as served:
        monkeypatch.setattr(served.running.health, "problem", _fail)
        with capture_logs() as logs:
            status, answer = await served.get("/-/ready")
        assert status == 500
        assert "secret" not in str(answer)
        (line,) = logs
        assert line["event"] == "a request failed"
        assert line["error"].startswith("KeyError in test_server.py, line ")


async def test_a_client_that_leaves_amid_its_body_is_no_defect(serving: Serving) -> None:
    async with serving() as served:
        with capture_logs() as logs:
            for _ in range(3):
                _, writer = await asyncio.open_connection("127.0.0.1", served.port)
                writer.write(
                    b"POST /v1/silences HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf"
                )
                await writer.drain()
                await asyncio.sleep(0.05)
                writer.transport.abort()
            await asyncio.sleep(0.1)
        assert [one for one in logs if one["log_level"] == "error"] == []


async def test_an_address_in_use_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "LISTEN_AGAIN", 0.01)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        settings = ApiSettings(listen=f"127.0.0.1:{port}")
        with capture_logs() as logs:
            task = asyncio.create_task(server.serve(settings, web.Application()))
            await eventually(lambda: logs)
            assert [line["event"] for line in logs] == ["the API does not listen; trying again"]
            assert "in use" in logs[0]["reason"]
            taken.close()
            await eventually(lambda: len(logs) >= 2)
        assert logs[1]["event"] == "the API listens"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    key, certificate = tmp_path / "server.key", tmp_path / "server.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    )
    subprocess.run(
        [*command.split(), "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True
    )
    return certificate, key


async def test_it_speaks_tls(serving: Serving, certificate: tuple[Path, Path]) -> None:
    served: Served
    async with serving(tls_certificate=str(certificate[0]), tls_key=str(certificate[1])) as served:
        url = f"https://127.0.0.1:{served.port}/-/healthy"
        async with served.client.get(url, ssl=False) as answer:
            assert answer.status == 200


async def test_a_handshake_counts_as_a_connection_and_gives_its_place_back(
    serving: Serving, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "usable_connections", lambda: 3)
    places: list[connection.Connections] = []
    admit = connection.Connections.admit

    def note(self: connection.Connections, *who: Any) -> bool:
        places.append(self)
        return admit(self, *who)

    monkeypatch.setattr(connection.Connections, "admit", note)
    monkeypatch.setattr(handshake, "HANDSHAKE_WITHIN", 2 * PATIENCE)
    tls = {"tls_certificate": str(certificate[0]), "tls_key": str(certificate[1])}
    async with serving(**tls) as served:
        url = f"https://127.0.0.1:{served.port}/-/healthy"

        async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            return await asyncio.open_connection("127.0.0.1", served.port)

        async def ask() -> None:
            async with served.client.get(url, ssl=False) as answer:
                assert answer.status == 200

        await eventually(lambda: places and not places[0]._open)  # the connection that found it listening
        silent = [await connect() for _ in range(3)]
        silent[0][1].write(b"this is no handshake")
        assert await asyncio.wait_for(_ends(silent[0][0]), PATIENCE)
        monkeypatch.setattr(handshake, "HANDSHAKE_WITHIN", 1.0)
        silent.append(await connect())
        refused, _ = await connect()
        assert await asyncio.wait_for(_ends(refused), PATIENCE)
        assert await asyncio.wait_for(_ends(silent[3][0]), PATIENCE)  # by itself, as its time is over
        await _eventually(ask)
        for _, writer in silent:
            writer.close()


async def _ends(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read() == b""
    except ConnectionError:
        return True


async def test_what_cannot_be_expected_is_a_problem(serving: Serving) -> None:
    async with serving() as served:
        for path in ("/-/healthy", "/v1/status", "/nowhere"):
            head, _, body = (
                await served.send(
                    f"GET {path} HTTP/1.1\r\nHost: localhost\r\nExpect: nonsense\r\n\r\n".encode()
                )
            ).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 417")
            assert b"application/problem+json" in head
            assert json.loads(body)["status"] == 417


async def test_a_certificate_that_cannot_be_used_is_tried_again(
    tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    broken = tmp_path / "broken.pem"
    broken.write_text("none")
    for file in (broken, tmp_path / "missing.pem"):
        settings = ApiSettings(tls_certificate=file, tls_key=certificate[1])
        with capture_logs() as logs:
            task = asyncio.create_task(server.serve(settings, web.Application()))
            await eventually(lambda: logs)
            assert not task.done()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert [line["event"] for line in logs] == ["the API does not listen; trying again"]


async def test_an_allowed_page_may_read_errors_too(serving: Serving) -> None:
    async with serving(allowed_origins=["https://karma.example"]) as served:
        headers = {"Origin": "https://karma.example"}
        async with served.client.get(f"{served.url}/nothing", headers=headers) as answer:
            assert answer.status == 404
            assert answer.headers["Access-Control-Allow-Origin"] == "https://karma.example"


async def test_another_protocol_is_refused_at_once(serving: Serving) -> None:
    async with serving() as served:
        answer = await served.send(
            b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
        )
        assert answer.startswith(b"HTTP/1.1 400 ")
