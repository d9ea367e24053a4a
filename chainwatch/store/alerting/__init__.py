"""The rows of alerting: alerts, groups, silences, escalations, and the queue of notifications."""
