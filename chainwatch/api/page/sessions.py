"""Log in with a token, log out."""

from __future__ import annotations

from aiohttp import hdrs, web

from chainwatch.api.guard import Guard
from chainwatch.api.identity import IDENTITY, LOGIN, LOGOUT, PAGE, SESSION_COOKIE, Identities
from chainwatch.api.page.forms import FIELD, check_csrf, fields_of
from chainwatch.api.page.rendering import html_response, render
from chainwatch.api.page.serving import frame, own_place, redirect
from chainwatch.api.writes import Entry, Writes
from chainwatch.operations import access
from chainwatch.operations.access import SESSION_LASTS


def routes(identities: Identities, writes: Writes, guard: Guard) -> list[web.RouteDef]:
    """Return the routes."""

    async def show(request: web.Request) -> web.Response:
        if not await identities.tokens():
            return redirect(PAGE)
        return _form(request.query.get("next", ""))

    async def log_in(request: web.Request) -> web.Response:
        origin = request.headers.get(hdrs.ORIGIN)
        if not guard.is_own_origin(request.headers.get(hdrs.HOST, ""), origin, request.scheme):
            raise web.HTTPForbidden(reason="pages of this origin may not log in to chainwatch")
        fields = await fields_of(request)
        place = fields.get("next", "")
        found = await identities.log_in(fields.get("token", "").strip(), request.remote or "")
        if isinstance(found, web.Response):
            wrong = "This token is unknown or was removed."
            if found.status == 429:
                wrong = f"Too many failed logins from this address: try again in {found.headers['Retry-After']} seconds."
            return _form(place, wrong, found.status)
        secret = await writes(Entry(found.name, "log in", ""), access.open_session, found.id)
        await identities.refresh()
        answer = redirect(own_place(place))
        answer.set_cookie(
            SESSION_COOKIE,
            secret,
            max_age=int(SESSION_LASTS),
            path=PAGE,
            httponly=True,
            samesite="Strict",
            secure=request.secure or (origin or "").startswith("https://"),
        )
        return answer

    async def log_out(request: web.Request) -> web.Response:
        check_csrf(request, (await fields_of(request)).get(FIELD, ""))
        secret = request.cookies.get(SESSION_COOKIE, "")
        await writes(Entry(request[IDENTITY].name, "log out", ""), access.close_session, secret)
        await identities.refresh()
        answer = redirect(LOGIN)
        answer.del_cookie(SESSION_COOKIE, path=PAGE)
        return answer

    return [web.get(LOGIN, show), web.post(LOGIN, log_in), web.post(LOGOUT, log_out)]


def _form(place: str, wrong: str = "", status: int = 200) -> web.Response:
    values = frame(None) | {"next": own_place(place), "wrong": wrong}
    return html_response(render("login.html", values), status)
