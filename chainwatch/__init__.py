"""chainwatch: an open monitor for cross-chain protocols."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chainwatch.embedded.library import AlertManager, Overloaded, Severity

__version__ = "0.1.0"
__all__ = ["AlertManager", "Overloaded", "Severity", "__version__"]


def __getattr__(name: str) -> object:
    """Import the library once it is used: commands do without it."""
    if name in __all__:
        from chainwatch.embedded import library

        return getattr(library, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
