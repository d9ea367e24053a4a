"""The HTTP server of ``chainwatch run``: calls, metrics, health. Its work is done by `chainwatch.operations`."""
