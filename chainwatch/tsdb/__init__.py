"""The database of samples in memory that rules and queries are evaluated over: bounded, thread-safe. Does no I/O."""
