"""Everything under ``/ui/``."""

from __future__ import annotations

from aiohttp import web

from chainwatch.api.guard import Guard
from chainwatch.api.identity import PAGE, Identities
from chainwatch.api.kept import KeptAnswers
from chainwatch.api.page import assets, serving, sessions
from chainwatch.api.page.events import Changes
from chainwatch.api.page.screens import ACTIONS, SCREENS
from chainwatch.api.reads import Reads
from chainwatch.api.writes import Writes
from chainwatch.store.database import Database


def add_page(
    app: web.Application,
    database: Database,
    reads: Reads,
    writes: Writes,
    identities: Identities,
    guard: Guard,
) -> None:
    """Add the page to ``app``."""

    async def lead(_: web.Request) -> web.Response:
        return serving.redirect(PAGE)

    changes = Changes(lambda: database.commits, identities.still_knows)
    rendered: KeptAnswers[str] = KeptAnswers(lambda: database.commits)
    app.add_routes([web.get("/", lead), web.get(PAGE.rstrip("/"), lead)])
    app.add_routes(assets.routes())
    app.add_routes(changes.routes())
    app.add_routes(sessions.routes(identities, writes, guard))
    app.add_routes(serving.routes(SCREENS, ACTIONS, reads, writes, rendered))
    app.on_shutdown.append(changes.close)
