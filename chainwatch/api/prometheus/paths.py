"""The paths of queries. Clients send long ones by POST, which changes nothing."""

from __future__ import annotations

PREFIX = "/api/v1/"

QUERY_PATHS = frozenset(
    {
        "query",
        "query_range",
        "query_exemplars",
        "series",
        "labels",
        "metadata",
        "rules",
        "alerts",
        "targets",
        "format_query",
        "status/buildinfo",
    }
)


def is_query_path(path: str) -> bool:
    """Return whether requests to ``path`` only read."""
    name = path.removeprefix(PREFIX)
    return path.startswith(PREFIX) and (
        name in QUERY_PATHS or (name.startswith("label/") and name.endswith("/values"))
    )
