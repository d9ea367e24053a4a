"""Alertmanager's API, version 2, as amtool, Prometheus, Karma and Grafana call it."""
