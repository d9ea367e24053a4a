"""The commands: arguments, options and output. Their work is done by `chainwatch.operations`."""
