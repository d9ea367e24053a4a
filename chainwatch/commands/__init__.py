"""The commands: what is typed, read and shown; what they do stands in `chainwatch.operations`."""
