"""Everything under ``/ui/``."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from chainwatch.api.guard import Guard
from chainwatch.api.identity import PAGE, Identities
from chainwatch.api.kept import KeptAnswers
from chainwatch.api.page import assets, invariants, query, serving, sessions
from chainwatch.api.page.events import Changes
from chainwatch.api.page.screens import ACTIONS, SCREENS
from chainwatch.api.prometheus.client_turns import ClientTurns
from chainwatch.api.reads import Reads
from chainwatch.api.writes import Writes
from chainwatch.store.database import Database
from chainwatch.tsdb.tsdb import Tsdb


def add_page(
    app: web.Application,
    database: Database,
    reads: Reads,
    writes: Writes,
    identities: Identities,
    guard: Guard,
    samples: Tsdb,
    turns: ClientTurns,
    clock: Callable[[], float],
    subquery_step: int,
) -> None:
    """Add the page to ``app``; ``samples`` can be queried, as clients' ``turns`` come. ``clock`` gives Unix seconds.

    ``subquery_step``: milliseconds, where a subquery has none.
    """

    async def lead(_: web.Request) -> web.Response:
        return serving.redirect(PAGE)

    changes = Changes(lambda: database.commits, identities.still_knows)
    rendered: KeptAnswers[str] = KeptAnswers(lambda: database.commits)
    app.add_routes([web.get("/", lead), web.get(PAGE.rstrip("/"), lead)])
    app.add_routes(assets.routes())
    app.add_routes(changes.routes())
    app.add_routes(sessions.routes(identities, writes, guard))
    rows = [*serving.navigation(SCREENS), (query.PATH, query.NAV)]
    screens = [*SCREENS, invariants.screen_of_one(samples)]
    app.add_routes(serving.routes(screens, ACTIONS, rows, reads, writes, rendered))
    app.add_routes([query.route(rows, samples, turns, clock, subquery_step)])
    app.on_shutdown.append(changes.close)
