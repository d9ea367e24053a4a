"""PromQL, as Prometheus 3 evaluates it over series of floats (prometheus.io/docs/prometheus/latest/querying). Pure."""
