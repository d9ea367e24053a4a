"""The alerting for any Python program: `from chainwatch import AlertManager`."""
