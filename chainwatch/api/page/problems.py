"""Refusals as people see them: a page that says what is wrong, or the login form."""

from __future__ import annotations

import json
from urllib.parse import quote

from aiohttp import hdrs, web

from chainwatch.api.identity import IDENTITY, LOGIN, PAGE
from chainwatch.api.page.rendering import html_response, render
from chainwatch.api.page.screens import SCREENS
from chainwatch.api.page.serving import frame, navigation, personal, redirect
from chainwatch.api.problems import PROBLEM, Handler


@web.middleware
async def show_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Make a page of every problem under ``/ui/``."""
    answer = await handler(request)
    if not request.path.startswith(PAGE) or answer.content_type != PROBLEM:
        return answer
    assert isinstance(answer, web.Response)
    if answer.status == 401 and hdrs.AUTHORIZATION not in request.headers:
        return _login(request)
    said = json.loads(answer.text or "{}")
    values = frame(request.get(IDENTITY), navigation(SCREENS)) | {
        "title": said["title"],
        "detail": said["detail"],
    }
    html = render("problem.html", values)
    page = html_response(personal(html, request) if IDENTITY in request else html, answer.status)
    page.headers.update(
        {name: answer.headers[name] for name in ("Allow", "Retry-After") if name in answer.headers}
    )
    return page


def _login(request: web.Request) -> web.Response:
    """Lead to the login form, and from there back.

    Browsers send the strict cookie with no request that another site's link makes, such as one in a chat. So that one
    is made once more, by a page of ours.
    """
    is_reading = request.method in (hdrs.METH_GET, hdrs.METH_HEAD)
    place = request.path_qs if is_reading else PAGE
    if is_reading and request.headers.get("Sec-Fetch-Site") == "cross-site":
        return html_response(render("again.html", {"place": place}))
    form = f"{LOGIN}?next={quote(place, safe='')}"
    if "HX-Request" in request.headers:
        return web.Response(status=401, headers={"HX-Redirect": form})
    return redirect(form)
