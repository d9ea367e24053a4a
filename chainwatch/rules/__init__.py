"""Rule files as Prometheus reads them, the evaluation of their groups, and their unit tests. Pure."""
