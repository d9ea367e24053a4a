"""Prometheus' HTTP API for queries, so that Grafana graphs from chainwatch."""
