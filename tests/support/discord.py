"""How Discord answers `POST /api/webhooks/{id}/{token}`, its limits included.

From Discord's developer documentation: Execute Webhook, Rate Limits, Embed Limits.
"""

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

from tests.support.receiver import Answer, Received

JSON = {"Content-Type": "application/json"}
WEBHOOK = re.compile(r"/api/(v\d+/)?webhooks/\d+/[\w-]+(?P<message>/messages/\d+)?")

MAX_CONTENT = 2000
MAX_EMBEDS = 10
MAX_FIELDS = 25
MAX_EMBEDS_TOGETHER = 6000
EMBED_LIMITS = {"title": 256, "description": 4096}
FIELD_LIMITS = {"name": 256, "value": 1024}

_ids = itertools.count(1_000_000_000_000_000_000)


def discord(request: Received) -> Answer:
    """What Discord answers: the message with `wait=true`, 204 without, 400 for a body beyond its limits."""
    if not WEBHOOK.fullmatch(request.path):
        return _json(404, {"message": "Unknown Webhook", "code": 10015})
    body = request.json()
    broken = list(_broken_limits(body))
    if broken:
        return _json(400, {"message": "Invalid Form Body", "code": 50035, "errors": broken})
    if request.query.get("wait") != "true":
        return Answer(204, headers=_limits(remaining=4))
    message = {"id": str(next(_ids)), "type": 0, "channel_id": "1", "webhook_id": "1", **body}
    return Answer(200, json.dumps(message), {**JSON, **_limits(remaining=4)})


def rate_limited(retry_after: float, *, everywhere: bool = False) -> Answer:
    """A 429; `retry_after` in seconds, `everywhere` for the limit that holds for all webhooks."""
    body = {"message": "You are being rate limited.", "retry_after": retry_after, "global": everywhere}
    scope = {"X-RateLimit-Scope": "global" if everywhere else "shared", "Retry-After": f"{retry_after:g}"}
    if everywhere:
        scope["X-RateLimit-Global"] = "true"
    return Answer(429, json.dumps(body), {**JSON, **scope, **_limits(remaining=0, reset_after=retry_after)})


def _limits(remaining: int, reset_after: float = 2.0) -> dict[str, str]:
    return {
        "X-RateLimit-Limit": "5",
        "X-RateLimit-Remaining": str(remaining),
        "X-RateLimit-Reset-After": f"{reset_after:g}",
        "X-RateLimit-Bucket": "webhook",
    }


def _json(status: int, body: Any) -> Answer:
    return Answer(status, json.dumps(body), JSON)


def _broken_limits(body: dict[str, Any]) -> Iterator[str]:
    embeds = body.get("embeds") or []
    if not body.get("content") and not embeds:
        yield "Cannot send an empty message"
    if len(body.get("content") or "") > MAX_CONTENT:
        yield f"content: must be {MAX_CONTENT} or fewer in length"
    if len(embeds) > MAX_EMBEDS:
        yield f"embeds: must be {MAX_EMBEDS} or fewer in length"
    if sum(_length(embed) for embed in embeds) > MAX_EMBEDS_TOGETHER:
        yield f"embeds: must be {MAX_EMBEDS_TOGETHER} or fewer in length together"
    for embed in embeds:
        yield from _broken_embed(embed)


def _broken_embed(embed: dict[str, Any]) -> Iterator[str]:
    fields = embed.get("fields") or []
    if len(fields) > MAX_FIELDS:
        yield f"fields: must be {MAX_FIELDS} or fewer in length"
    for key, limit in EMBED_LIMITS.items():
        if len(embed.get(key) or "") > limit:
            yield f"{key}: must be {limit} or fewer in length"
    for one in fields:
        for key, limit in FIELD_LIMITS.items():
            if not 0 < len(one.get(key) or "") <= limit:
                yield f"fields.{key}: must be between 1 and {limit} in length"


def _length(embed: dict[str, Any]) -> int:
    fields = embed.get("fields") or []
    texts = [embed.get("title"), embed.get("description"), (embed.get("footer") or {}).get("text")]
    texts += [one.get(key) for one in fields for key in FIELD_LIMITS]
    texts.append((embed.get("author") or {}).get("name"))
    return sum(len(text or "") for text in texts)
