"""One durable queue for each receiver: claiming, sending, retrying, giving up."""
