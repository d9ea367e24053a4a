"""Samples that other programs send: pushes as to a Pushgateway, JSON, and Prometheus' remote write 1.0 and 2.0.

What is answered with success is stored. Of a request some samples of which are refused, the others are taken, and the answer
is 400 with the reasons, as the specification of remote write has it: to send it again would not help.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from aiohttp import hdrs, web

from chainwatch.api.problems import Handler, problem
from chainwatch.ingestion.json_samples import parse_json
from chainwatch.ingestion.known_labels import KnownLabels
from chainwatch.ingestion.model import IngestionError, Parsed, Refusals, TooLarge, WrongFormat
from chainwatch.ingestion.push_groups import group_labels
from chainwatch.ingestion.remote_write import (
    message_of,
    parse_remote_write,
)
from chainwatch.rule_engine.intake import JSON, REMOTE_WRITE, Intake
from chainwatch.rule_engine.pushing import PushGroups, TooMuchPushed
from chainwatch.tsdb.model import Appended

PUSHED = "/metrics/"
SAMPLES = "/samples"
WRITE = "/api/v1/write"
WRITTEN = "X-Prometheus-Remote-Write-{}-Written"


def routes(intake: Intake, groups: PushGroups, clock: Callable[[], float]) -> list[web.RouteDef]:
    """Return the routes. ``clock`` gives Unix seconds."""
    known = KnownLabels()

    def now_ms() -> int:
        return math.floor(clock() * 1000)

    async def push(request: web.Request) -> web.Response:
        labels = group_labels(request.match_info["group"])
        appended = await groups.push(
            labels,
            await request.read(),
            content_type=request.content_type,
            replaces_all=request.method == hdrs.METH_PUT,
        )
        return _refusal(appended, Refusals()) or web.Response(status=200)

    async def delete(request: web.Request) -> web.Response:
        await groups.delete(group_labels(request.match_info["group"]))
        return web.Response(status=202)

    async def samples(request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            raise WrongFormat("send the header Content-Type: application/json, and JSON")
        body = await request.read()
        appended, _ = await _take(JSON, partial(parse_json, body), len(body))
        return _refusal(appended, Refusals()) or web.json_response({"accepted": appended.accepted})

    async def write(request: web.Request) -> web.Response:
        kind = request.headers.get(hdrs.CONTENT_TYPE, "")
        message = message_of(kind, request.headers.get(hdrs.CONTENT_ENCODING, ""))
        body = await request.read()
        appended, parsed = await _take(REMOTE_WRITE, lambda _: parse_remote_write(body, message, known))
        response = _refusal(appended, parsed.refusals) or web.Response(status=204)
        written = {"Samples": appended.accepted, "Histograms": 0, "Exemplars": 0}
        response.headers.update({WRITTEN.format(what): str(number) for what, number in written.items()})
        return response

    async def _take(source: str, parse: Callable[[int], Parsed], size: int = 0) -> tuple[Appended, Parsed]:
        def work() -> tuple[Appended, Parsed]:
            now = now_ms()  # and not before: a client may take long to send, and others send meanwhile
            parsed = parse(now)
            intake.describe(parsed.metadata)
            intake.refuse(source, parsed.refusals.numbers)
            appended = intake.append(source, parsed.series, now)
            if source == REMOTE_WRITE:
                known.settle(is_kept=not appended.refused)
            return appended, parsed

        appended, parsed = await intake.run(source, work, size)
        await intake.stored()
        return appended, parsed

    return [
        web.post(PUSHED + GROUP, _answering(push)),
        web.put(PUSHED + GROUP, _answering(push)),
        web.delete(PUSHED + GROUP, _answering(delete)),
        web.post(SAMPLES, _answering(samples)),
        web.post(WRITE, _answering(write)),
    ]


GROUP = "{group:job(?:@base64)?/.*}"


def _answering(handler: Handler) -> Handler:
    """Return ``handler`` with answers for what its parsers refuse."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except WrongFormat as error:
            return problem(415, str(error))
        except TooLarge as error:
            return problem(413, str(error))
        except TooMuchPushed as error:
            return problem(429, str(error))
        except IngestionError as error:
            return problem(400, str(error))

    return handle


def _refusal(appended: Appended, refusals: Refusals) -> web.Response | None:
    """Return the answer where some samples were refused; None where none were."""
    for reason, number in appended.refused.items():
        refusals.add(reason, repr(appended.examples[reason]), number)
    if not refusals:
        return None
    detail = f"{appended.accepted} samples were taken, others were not: {refusals}"
    return problem(400, detail, members={"accepted": appended.accepted, "refused": refusals.numbers})
