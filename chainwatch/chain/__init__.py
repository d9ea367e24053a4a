"""The only part that speaks JSON-RPC: endpoints, observers, ranges of blocks and their logs."""
