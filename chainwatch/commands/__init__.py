"""The commands: input, options and output; what they do is in `chainwatch.operations`."""
