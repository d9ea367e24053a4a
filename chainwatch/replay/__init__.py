"""The same parts over history, with a process of its own that reads."""
