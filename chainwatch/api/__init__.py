"""The HTTP server of ``chainwatch run``: health, metrics. What it answers is done by `chainwatch.operations`."""
