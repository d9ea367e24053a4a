"""Why an operation cannot be done. Each message names what is wrong, where, and how to fix it."""

from __future__ import annotations

from chainwatch.store.errors import StoreError as StoreError  # of commands, which know no store


class OperationError(Exception):
    """An operation was refused, and nothing was changed."""


class NotFound(OperationError, LookupError):
    """No row has this ID, or nothing configured has this name."""


class Invalid(OperationError, ValueError):
    """An argument cannot be used, whatever is stored."""


class Conflict(OperationError):
    """The arguments are fine, but the present state does not permit it."""
