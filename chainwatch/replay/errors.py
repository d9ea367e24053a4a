"""Why a replay cannot be done."""


class ReplayError(Exception):
    """The replay cannot be done; the message says why and how to fix it."""
