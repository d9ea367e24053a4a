"""One durable queue for each receiver: what is sent, when it is tried again, when it is given up."""
