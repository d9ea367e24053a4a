"""The files that the page loads, all from this server: its style and script, and the libraries that are kept beside them."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from aiohttp import web

from chainwatch.api.identity import STATIC

TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
KEEP = "public, max-age=31536000, immutable"
"""`Cache-Control` of a file whose address changes with its content."""


class Asset(NamedTuple):
    """A file, its type, and the beginning of its hash, which is part of its address."""

    content: bytes
    content_type: str
    version: str


@cache
def assets() -> dict[str, Asset]:
    """Return the files by their names."""
    found = {}
    folder = files("chainwatch.api.page") / "static"
    for place in (folder, folder / "vendor"):
        for file in place.iterdir():
            ending = file.name[file.name.rfind(".") :]
            if ending in TYPES:
                content = file.read_bytes()
                version = hashlib.sha256(content).hexdigest()[:12]
                found[file.name] = Asset(content, TYPES[ending], version)
    return found


def address(name: str) -> str:
    """Return the path of a file, which is another one when the file changes."""
    return f"{STATIC}{assets()[name].version}/{name}"


def routes() -> list[web.RouteDef]:
    """Return the route of all files."""

    async def send(request: web.Request) -> web.Response:
        asset = assets().get(request.match_info["name"])
        if asset is None or asset.version != request.match_info["version"]:
            raise web.HTTPNotFound
        headers = {"Cache-Control": KEEP}
        return web.Response(
            body=asset.content, content_type=asset.content_type, charset="utf-8", headers=headers
        )

    return [web.get(f"{STATIC}{{version}}/{{name}}", send)]
