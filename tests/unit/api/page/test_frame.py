"""What every screen shares: its answer's headers, the files beside it, sessions, forms, changes."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Awaitable, Callable
from contextlib import closing
from importlib.resources import files
from typing import Any

import aiohttp
import pytest
import sqlalchemy as sa
from jinja2 import Template

from chainwatch.api import identity
from chainwatch.api.kept import KeptAnswers
from chainwatch.api.page import assets, events, screens
from chainwatch.api.page.rendering import breakable, key, render, span, when
from chainwatch.api.page.screen import Action, Asked
from chainwatch.api.page.serving import own_place
from chainwatch.operations import access
from chainwatch.operations.context import Context
from chainwatch.store import access as store
from chainwatch.store.database import Database
from tests.support.waiting import PATIENCE, eventually
from tests.unit.api.conftest import Served, Serving
from tests.unit.api.test_identity import operating


async def make_token(served: Served, name: str, role: str) -> str:
    made = await asyncio.to_thread(operating(served).write, access.add_token, name, role, "test")
    return made.token


async def logged_in(served: Served, client: aiohttp.ClientSession, token: str) -> None:
    async with client.post(f"{served.url}/ui/login", data={"token": token}) as answer:
        assert (answer.status, answer.url.path) == (200, "/ui/")


def browser() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))  # as addresses have cookies too


async def send(
    client: aiohttp.ClientSession, url: str, fields: dict[str, str], **headers: str
) -> tuple[int, str]:
    async with client.post(url, data=fields, headers=headers) as answer:
        return answer.status, await answer.text()


async def csrf_of(client: aiohttp.ClientSession, served: Served) -> str:
    async with client.get(f"{served.url}/ui/noting") as answer:
        found = re.findall('name="csrf" value="([0-9a-f]{64})"', await answer.text())
        return str(found[-1])


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> list[Asked]:
    """What the form of one more screen has sent."""
    found: list[Asked] = []

    def perform(connection: sa.Connection, context: Context, now: float, asked: Asked) -> str:
        found.append(asked)
        return "/ui/?done=yes"

    monkeypatch.setattr("chainwatch.api.page.routes.ACTIONS", [Action("/ui/note", perform)])
    screen = screens.SCREENS[0]._replace(path="/ui/noting", template="login.html", read=_no_login)
    monkeypatch.setattr("chainwatch.api.page.routes.SCREENS", [*screens.SCREENS, screen])
    monkeypatch.setattr(identity, "CALLERS_FRESH_FOR", 0.0)
    template = '<input name="csrf" value="{{ csrf }}"> {{ may_act }}'
    monkeypatch.setattr("chainwatch.api.page.serving.render", _rendering(template))
    return found


def _no_login(connection: sa.Connection, context: Context, now: float, asked: Asked) -> dict[str, Any]:
    return {"wrong": "", "next": ""}


def _rendering(template: str) -> Any:
    def show(name: str, values: Any) -> str:
        return Template(template).render(values) if name == "login.html" else render(name, values)

    return show


async def test_the_root_leads_to_the_page(serving: Serving) -> None:
    async with serving() as served:
        for path in ("/", "/ui"):
            async with served.client.get(f"{served.url}{path}") as answer:
                assert (answer.status, answer.url.path) == (200, "/ui/")
                assert answer.content_type == "text/html"


async def test_nothing_may_run_or_come_from_elsewhere(serving: Serving) -> None:
    async with serving() as served:
        for path in ("/ui/", "/ui/nothing"):
            async with served.client.get(f"{served.url}{path}") as answer:
                policy = answer.headers["Content-Security-Policy"]
                html = await answer.text()
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert re.findall(r"<style|\sstyle=|\son\w+=|<script(?! src=)|https?://", html) == []
            for address in re.findall('(?:src|href)="([^"]+)"', html):
                status, _ = await served.get(address)
                assert status == 200, address


async def test_a_refusal_under_the_page_is_a_page(serving: Serving) -> None:
    async with serving() as served:
        async with served.client.get(f"{served.url}/ui/<script>") as answer:
            assert (answer.status, answer.content_type) == (404, "text/html")
            assert "there is nothing at /ui/&lt;script&gt;" in await answer.text()
        async with served.client.get(f"{served.url}/nothing") as answer:
            assert answer.content_type == "application/problem+json"


async def test_files_are_kept_by_browsers_as_their_address_changes_with_them(serving: Serving) -> None:
    async with serving() as served:
        async with served.client.get(served.url + assets.address("page.js")) as answer:
            assert "immutable" in answer.headers["Cache-Control"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
        for wrong in ("/ui/static/0/page.js", "/ui/static/0/..%2fscreen.py", "/ui/static/0/versions.json"):
            assert (await served.get(wrong))[0] == 404


def test_libraries_are_what_their_packages_hold() -> None:
    folder = files("chainwatch.api.page") / "static" / "vendor"
    noted = json.loads((folder / "versions.json").read_text())
    found = {file.name for file in folder.iterdir()} - {"versions.json"}
    assert found == set(noted)
    for name, entry in noted.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == entry["sha256"]
        licence = f"{name.split('.')[0].removesuffix('-ext')}.LICENSE"
        assert licence in found


async def test_with_a_token_people_log_in_and_out(serving: Serving) -> None:
    async with serving() as served, browser() as client:
        token = await make_token(served, "anna", "operator")
        async with client.get(f"{served.url}/ui/?a=b") as answer:
            assert answer.url.path_qs == "/ui/login?next=/ui/?a%3Db"
            assert "anna" not in await answer.text()
        async with client.post(
            f"{served.url}/ui/login", data={"token": token, "next": "/ui/?a=b"}, allow_redirects=False
        ) as answer:
            assert (answer.status, answer.headers["Location"]) == (303, "/ui/?a=b")
            cookie = answer.headers["Set-Cookie"]
            assert {"HttpOnly", "SameSite=Strict", "Path=/ui/"} <= set(cookie.split("; "))
            assert token not in cookie
        async with client.get(f"{served.url}/ui/") as answer:
            html = await answer.text()
            assert "Log out anna" in html
            csrf = re.findall('name="csrf" value="([0-9a-f]{64})"', html)[0]
        async with client.get(f"{served.url}/v1/status") as answer:
            assert answer.status == 401  # the cookie opens the page alone
        kept = client.cookie_jar.filter_cookies(answer.url.with_path("/ui/"))[identity.SESSION_COOKIE].value
        assert (await send(client, f"{served.url}/ui/logout", {"csrf": "0" * 64}))[0] == 403
        assert "Log in" in (await send(client, f"{served.url}/ui/logout", {"csrf": csrf}))[1]
        again = {"Cookie": f"{identity.SESSION_COOKIE}={kept}"}
        async with client.get(f"{served.url}/ui/", headers=again) as answer:
            assert answer.url.path == "/ui/login"  # what was kept of it is worth nothing
        entries = operating(served).read(access.list_audit).rows
        assert [(e.actor, e.action, e.detail) for e in entries[:2]] == [
            ("anna", "log out", ""),
            ("anna", "log in", ""),
        ]


async def test_a_session_ends_with_its_token_and_with_its_time(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "CALLERS_FRESH_FOR", 0.0)
    async with serving() as served, browser() as client, browser() as other:
        for name in ("anna", "ben"):
            await make_token(served, name, "viewer")
        await logged_in(served, client, await make_token(served, "cleo", "viewer"))
        operating(served).write(access.remove_token, "cleo", "test")
        async with client.get(f"{served.url}/ui/") as answer:
            assert answer.url.path == "/ui/login"
        monkeypatch.setattr(access, "SESSION_LASTS", 0.0)
        token = await make_token(served, "dora", "viewer")
        async with other.post(f"{served.url}/ui/login", data={"token": token}) as answer:
            assert answer.url.path == "/ui/login"


def test_sessions_of_one_token_are_bounded(monkeypatch: pytest.MonkeyPatch, sqlite_url: str) -> None:
    with closing(Database.open(sqlite_url, durable=False)) as database, database.transaction() as connection:
        for number in range(5):
            session = store.StoredSession(f"s{number}", "t", float(number), 100.0)
            store.add_session(connection, session, at_most=3)
        assert {s.id for s in store.sessions(connection, 50.0)} == {"s2", "s3", "s4"}
        store.add_session(connection, store.StoredSession("late", "u", 200.0, 300.0), at_most=3)
        assert [s.id for s in store.sessions(connection, 0.0)] == ["late"]


async def test_guesses_at_the_login_share_the_limit_of_all_logins(serving: Serving) -> None:
    async with serving() as served, browser() as client:
        token = await make_token(served, "anna", "viewer")
        wrong = token[:-2] + ("AA" if token[-2:] != "AA" else "BB")
        for _ in range(identity.FAILURES_MAX):
            status, html = await send(client, f"{served.url}/ui/login", {"token": wrong})
            assert (status, "unknown or was removed" in html) == (401, True)
        assert (await send(client, f"{served.url}/ui/login", {"token": token}))[0] == 429
        assert (await served.get("/metrics", headers={"Authorization": f"Bearer {token}"}))[0] == 429


async def test_another_sites_page_cannot_log_in_and_its_links_lead_back_with_the_cookie(
    serving: Serving,
) -> None:
    async with serving() as served, browser() as client:
        token = await make_token(served, "anna", "viewer")
        url = f"{served.url}/ui/login"
        assert (await send(client, url, {"token": token}, Origin="https://evil.example"))[0] == 403
        async with client.get(f"{served.url}/ui/", headers={"Sec-Fetch-Site": "cross-site"}) as answer:
            assert 'http-equiv="refresh"' in await answer.text()
            assert answer.url.path == "/ui/"


@pytest.mark.parametrize(
    "place", ["https://evil.example", "//evil.example", "/ui/\\evil", "/\\evil", "", "/ui/\r\nX: y", "/v1"]
)
def test_no_form_leads_elsewhere(place: str) -> None:
    assert own_place(place) == "/ui/"


async def test_a_form_needs_the_token_of_its_sender_and_is_audited_without_it(
    serving: Serving, noted: list[Asked]
) -> None:
    async with serving() as served, browser() as client:
        url = f"{served.url}/ui/note"
        assert (await send(client, url, {"text": "x"}))[0] == 403
        assert (await send(client, url, {"text": "x", "csrf": "é"}))[0] == 403
        csrf = await csrf_of(client, served)
        async with client.post(url, json={"csrf": csrf}) as answer:
            assert answer.status == 415
        assert not noted
        async with client.post(url, data={"text": " on it ", "csrf": csrf}) as answer:
            assert (answer.status, answer.url.path_qs) == (200, "/ui/?done=yes")
        assert [(one.text("text"), one.actor) for one in noted] == [("on it", "api")]
        (entry,) = operating(served).read(access.list_audit).rows
        assert (entry.actor, entry.action, entry.detail) == ("api", "POST /ui/note", "text= on it ")


@pytest.mark.parametrize("path", ["/ui/login", "/ui/note"])
@pytest.mark.parametrize(
    ("content_type", "content", "status"),
    [
        (
            "multipart/form-data; boundary=x",
            b"--x\r\nContent-Disposition: form-data; name=token\r\n\r\ny\r\n--x--",
            415,
        ),
        ("application/x-www-form-urlencoded", b"token=\xff", 400),
        ("application/x-www-form-urlencoded", b"token=%ff", 400),
        ("application/x-www-form-urlencoded", b"a&" * 3_000, 400),
        ("application/x-www-form-urlencoded; charset=none", b"csrf=%00&token=%00", (401, 403)),
        ("", b"token=x", 415),
    ],
)
async def test_a_form_may_be_anything(
    serving: Serving, noted: list[Asked], path: str, content_type: str, content: bytes, status: Any
) -> None:
    async with serving() as served:
        headers = {"Content-Type": content_type}
        async with served.client.post(f"{served.url}{path}", data=content, headers=headers) as answer:
            assert answer.status in (status if isinstance(status, tuple) else (status,))
            assert answer.content_type == "text/html"
            assert "Traceback" not in await answer.text()
    assert not noted


async def test_a_viewer_reads_and_an_operator_acts_each_with_a_token_of_their_own(
    serving: Serving, noted: list[Asked]
) -> None:
    async with serving() as served, browser() as viewer, browser() as operator:
        await logged_in(served, viewer, await make_token(served, "vera", "viewer"))
        await logged_in(served, operator, await make_token(served, "otto", "operator"))
        url = f"{served.url}/ui/note"
        theirs, own = await csrf_of(viewer, served), await csrf_of(operator, served)
        assert theirs != own
        assert (await send(viewer, url, {"csrf": theirs}))[0] == 403
        assert (await send(operator, url, {"csrf": theirs}))[0] == 403
        assert not noted
        assert (await send(operator, url, {"csrf": own}))[0] == 200
        assert [one.actor for one in noted] == ["otto"]


async def test_a_page_that_has_not_changed_is_not_sent_again(serving: Serving) -> None:
    async with serving() as served:
        async with served.client.get(f"{served.url}/ui/nothing") as answer:
            assert "ETag" not in answer.headers
        async with served.client.get(f"{served.url}/ui/") as answer:
            known = {"If-None-Match": answer.headers["ETag"]}
        async with served.client.get(f"{served.url}/ui/", headers=known) as answer:
            assert answer.status == 304


async def test_many_who_look_at_one_page_have_it_made_once_until_something_changes() -> None:
    commits, now, made = 0, 0.0, 0
    pages: KeptAnswers[str] = KeptAnswers(lambda: commits, lambda: now)

    async def make() -> str:
        nonlocal made
        made += 1
        await asyncio.sleep(0)
        return f"page {made}"

    assert await asyncio.gather(*(pages.get(("a",), make) for _ in range(50))) == ["page 1"] * 50
    commits = 1
    assert await pages.get(("a",), make) == "page 2"
    now = 3600.0
    assert await pages.get(("a",), make) == "page 3"

    async def fail() -> str:
        raise LookupError

    for _ in range(2):
        with pytest.raises(LookupError):
            await pages.get(("b",), fail)


async def test_an_answer_is_made_no_further_once_all_have_gone_who_wait_for_it() -> None:
    pages: KeptAnswers[str] = KeptAnswers(lambda: 0)
    begun: list[str] = []
    ended: list[str] = []
    may_end = {name: asyncio.Event() for name in ("first", "alone", "again")}

    def making(name: str) -> Callable[[], Awaitable[str]]:
        async def make() -> str:
            begun.append(name)
            try:
                await may_end[name].wait()
            finally:
                ended.append(name)
            return name

        return make

    first, second = (asyncio.ensure_future(pages.get(("a",), making("first"))) for _ in range(2))
    await eventually(lambda: begun == ["first"])
    first.cancel()
    await asyncio.sleep(0.01)
    may_end["first"].set()
    assert await second == "first"  # one is left who waits
    alone = asyncio.ensure_future(pages.get(("b",), making("alone")))
    await eventually(lambda: begun == ["first", "alone"])
    assert ended == ["first"]
    alone.cancel()
    await asyncio.sleep(0)  # its making has not ended yet when another asks
    may_end["again"].set()
    assert await pages.get(("b",), making("again")) == "again"
    assert ended == ["first", "alone", "again"]
    assert begun == ["first", "alone", "again"]


async def test_a_change_is_said_within_a_second_and_nothing_more(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "EVENTS_EVERY", 0.1)
    monkeypatch.setattr(events, "KEEPALIVE", 0.2)
    monkeypatch.setattr(events, "LOOK_EVERY", 0.02)
    monkeypatch.setattr("chainwatch.api.problems.REQUEST_WITHIN", 2.0)
    async with serving() as served, served.client.get(f"{served.url}/ui/events") as answer:
        assert answer.headers["X-Accel-Buffering"] == "no"
        assert answer.content_type == "text/event-stream"
        assert (answer.headers["Server"], answer.headers["X-Content-Type-Options"]) == (
            "chainwatch",
            "nosniff",
        )
        assert (await served.ask("HEAD", "/ui/events"))[0] == 405  # it would get events where none may be
        lines = answer.content
        async with asyncio.timeout(PATIENCE):
            assert await lines.readuntil(b"\n\n") == b"retry: 3000\n\n"
            for _ in range(11):  # for longer than any other request may take
                assert await lines.readuntil(b"\n\n") == b": alive\n\n"
            operating(served).write(lambda connection, *_: connection.execute(sa.text("SELECT 1")))
            while (event := await lines.readuntil(b"\n\n")) == b": alive\n\n":
                pass
            assert event == b"event: changed\ndata:\n\n"


async def test_pages_that_listen_are_bounded_and_end_with_the_server(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "usable_connections", lambda: events.ROOM_FOR_REQUESTS + 1)
    async with serving() as served:
        async with served.client.get(f"{served.url}/ui/events") as answer:
            await answer.content.readuntil(b"\n\n")
            assert (await served.get("/ui/events"))[0] == 204
        async with asyncio.timeout(PATIENCE):
            while (await served.get("/ui/nothing"))[0] != 404:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("way", ["logged in", "bearer"])
async def test_a_page_that_listens_is_left_alone_once_its_token_is_removed(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(identity, "CALLERS_FRESH_FOR", 0.0)
    monkeypatch.setattr(events, "EVENTS_EVERY", 0.1)
    monkeypatch.setattr(events, "LOOK_EVERY", 0.02)
    async with serving() as served, browser() as client:
        await make_token(served, "ben", "viewer")
        token = await make_token(served, "anna", "viewer")
        if way == "logged in":
            await logged_in(served, client, token)
        headers = {"Authorization": f"Bearer {token}"} if way == "bearer" else {}
        async with client.get(f"{served.url}/ui/events", headers=headers) as answer:
            await answer.content.readuntil(b"\n\n")
            await asyncio.to_thread(operating(served).write, access.remove_token, "anna", "test")
            async with asyncio.timeout(PATIENCE):
                assert await answer.content.read() == b""


def test_a_very_long_word_has_places_to_break() -> None:
    assert breakable("a b" * 500 + "<") == "a b" * 500 + "&lt;"
    assert breakable("&" * 450) == "<wbr>".join(["&amp;" * 200, "&amp;" * 200, "&amp;" * 50])
    assert breakable("\u202e\0") == "\\u202e\\x00"


def test_text_is_shown_as_text() -> None:
    assert span(0.4) == "0s"
    assert span(90_061) == "1d 1h"
    assert span(7_260) == "2h 1m"
    assert str(when(1e300, 0.0)).startswith('<time data-at="1e+300" title="1e+300">in ')
    assert str(key('"><b>')) == '<code class="key" title="&#34;&gt;&lt;b&gt;">&#34;&gt;&lt;b&gt;</code>'
    long = str(key("0x" + "ab" * 32))
    assert re.sub("<[^>]+>|⧉", "", long) == "0x" + "ab" * 32
    assert "\\u202e" in str(key("\u202eabc"))
    html = render(
        "problem.html", {"identity": None, "title": "{{ 7 * 7 }}", "detail": "<i>\u202e", "here": ""}
    )
    assert "{{ 7 * 7 }}" in html
    assert "&lt;i&gt;\\u202e" in html
